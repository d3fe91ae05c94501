//! One party in one round. Leaves the round exactly once, however it ends: that is what breaks a round nobody can complete.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::rounds::{Rounds, Wakers};
use super::{BrokenReason, Round};
use crate::sync::{Mutex, lock};

pub(super) struct Member<'a> {
    rounds: &'a Mutex<Rounds>,
    round: Round,
    /// The leader, once its action has begun.
    is_acting: bool,
    /// Where its waker is kept; none before the first look.
    place: Option<usize>,
}

impl<'a> Member<'a> {
    pub(super) const fn new(rounds: &'a Mutex<Rounds>, round: Round) -> Self {
        Self { rounds, round, is_acting: false, place: None }
    }

    /// From here on, leaving spoils more than the round: see [`Rounds::spoil`].
    pub(super) const fn begins_action(&mut self) {
        self.is_acting = true;
    }

    pub(super) fn trip(self) -> Result<(), BrokenReason> {
        let (result, wakers) = lock(self.rounds).trip(self.round);
        wakers.wake();
        result
    }

    pub(super) fn spoil(self, reason: BrokenReason) {
        let wakers = lock(self.rounds).spoil(self.round, reason);
        wakers.wake();
    }
}

impl Future for Member<'_> {
    type Output = Result<(), BrokenReason>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (result, _old) = lock(this.rounds).look(this.round, &mut this.place, context.waker());
        result.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let mut rounds = lock(self.rounds);
        let spoiled = self.is_acting.then(|| rounds.spoil(self.round, BrokenReason::Cancelled));
        let (left, _own) = rounds.leave(self.round, self.place);
        drop(rounds);
        spoiled.into_iter().chain([left]).for_each(Wakers::wake);
    }
}
