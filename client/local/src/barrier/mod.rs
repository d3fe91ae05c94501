//! A barrier that a fixed number of parties pass together, again and again, and that breaks instead of hanging when one of
//! them leaves.

mod rounds;
mod wait;

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use thiserror::Error;

use self::rounds::{Arrival, Rounds};
use self::wait::Member;
use crate::sync::{Mutex, lock};

/// What a barrier without an action does when it trips: nothing.
pub type NoAction = fn() -> Ready<Result<(), Infallible>>;

/// A cyclic barrier: [`wait`](Self::wait) returns for all parties when the last of them has arrived, and the barrier is ready for
/// the next round.
///
/// A barrier is for N peers who meet repeatedly. For one who waits for N others, use a a [`TaskGroup`](crate::TaskGroup) or
/// [`tokio_util::task::TaskTracker`]. [`tokio::sync::Barrier`] is enough for parties that never give up: its `wait` is not cancel
/// safe (a dropped waiter still counts), and it has no action, no reset and no broken state.
///
/// A party that leaves a round before it tripped breaks that round: the others get [`BrokenReason::Cancelled`] instead of
/// waiting for somebody who will not come, and the barrier stays broken until [`reset`](Self::reset). While the action of a round
/// runs, surplus arrivals belong to the next round; if the action fails, or its leader is dropped in the middle of it, what it
/// left half done is everybody's: the barrier stays broken, and those early arrivals are told as well. A party other than the
/// leader that leaves while the action runs breaks its own round only.
///
/// Idea: Java's `CyclicBarrier`, `marusama/cyclicbarrier`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::num::NonZeroUsize;
/// use conclave_local::CyclicBarrier;
///
/// let barrier = CyclicBarrier::new(NonZeroUsize::new(2).expect("not zero"));
/// let (one, other) = tokio::join!(barrier.wait(), barrier.wait());
/// assert!(one?.is_leader() ^ other?.is_leader());
/// # Ok::<(), conclave_local::BarrierError<std::convert::Infallible>>(()) }).unwrap();
/// ```
pub struct CyclicBarrier<E = Infallible, A = NoAction> {
    rounds: Mutex<Rounds>,
    /// Held by a leader while its action runs. The next round may fill up meanwhile; its leader then waits here.
    action: tokio::sync::Mutex<A>,
    _error: std::marker::PhantomData<fn() -> E>,
}

/// The number of a round, counted from 0 for the life of the barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(u64);

impl Round {
    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The round tripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult {
    leader: bool,
    round: Round,
}

impl BarrierWaitResult {
    /// Whether this party came last and ran the action: true for exactly one of a round.
    pub const fn is_leader(&self) -> bool {
        self.leader
    }

    /// Which round it was.
    pub const fn generation(&self) -> Round {
        self.round
    }
}

/// Why a round did not trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BrokenReason {
    /// A party dropped its wait.
    #[error("a party left")]
    Cancelled,
    /// [`CyclicBarrier::reset`] was called.
    #[error("it was reset")]
    Reset,
    /// The action returned an error; the leader has it.
    #[error("its action failed")]
    ActionFailed,
    /// The action panicked; the panic goes on in the leader.
    #[error("its action panicked")]
    ActionPanicked,
}

/// Why a wait failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BarrierError<E> {
    /// The round is, or got, broken.
    #[error("the barrier is broken: {0}")]
    Broken(BrokenReason),
    /// This party was the leader, and its action failed.
    #[error("the barrier's action failed: {0}")]
    Action(E),
}

impl CyclicBarrier {
    /// A barrier for `parties`, without an action.
    pub fn new(parties: NonZeroUsize) -> Self {
        let nothing: NoAction = || ready(Ok(()));
        Self::with_action(parties, nothing)
    }
}

impl<E, A: AsyncFnMut() -> Result<(), E>> CyclicBarrier<E, A> {
    /// A barrier whose last arrival runs `action` before anybody of the round is released. What the parties did before they
    /// waited happens before the action, and the action before what they do afterwards.
    pub fn with_action(parties: NonZeroUsize, action: A) -> Self {
        Self {
            rounds: Mutex::new(Rounds::new(parties)),
            action: tokio::sync::Mutex::new(action),
            _error: std::marker::PhantomData,
        }
    }

    /// Arrives, and waits for the others.
    ///
    /// # Errors
    /// [`BarrierError::Broken`] at once if the barrier is broken, or when it breaks; [`BarrierError::Action`] for the leader
    /// whose action failed.
    ///
    /// # Panics
    /// The leader goes on with a panic of its action.
    ///
    /// # Cancel safety
    /// Not yet polled, a wait has not arrived. Once polled, dropping it breaks its own round, unless that has tripped already;
    /// it never touches a later one. To give up with a token: `token.run_until_cancelled(barrier.wait())`, which does not arrive
    /// if the token is cancelled before.
    pub async fn wait(&self) -> Result<BarrierWaitResult, BarrierError<E>> {
        let arrival = lock(&self.rounds).arrive();
        match arrival {
            Arrival::Broken(reason) => Err(BarrierError::Broken(reason)),
            Arrival::Waits(round) => {
                Member::new(&self.rounds, round).await.map_err(BarrierError::Broken)?;
                Ok(BarrierWaitResult { leader: false, round })
            }
            Arrival::Leads(round) => self.lead(round).await,
        }
    }

    async fn lead(&self, round: Round) -> Result<BarrierWaitResult, BarrierError<E>> {
        let mut member = Member::new(&self.rounds, round);
        let mut action = self.action.lock().await;
        // A round that was reset while its leader waited for the action of the round before has nothing to act for.
        let broken = lock(&self.rounds).broken(round);
        if let Some(reason) = broken {
            return Err(BarrierError::Broken(reason));
        }
        member.begins_action();
        let outcome = AssertUnwindSafe(async { action().await }).catch_unwind().await;
        drop(action);
        let settled = match outcome {
            Ok(Ok(())) => member.trip(),
            Ok(Err(error)) => {
                member.spoil(BrokenReason::ActionFailed);
                return Err(BarrierError::Action(error));
            }
            Err(panic) => {
                member.spoil(BrokenReason::ActionPanicked);
                resume_unwind(panic)
            }
        };
        settled.map_err(BarrierError::Broken)?;
        Ok(BarrierWaitResult { leader: true, round })
    }
}

impl<E, A> CyclicBarrier<E, A> {
    /// Breaks every round that is not over with [`BrokenReason::Reset`] and begins a clean one; mends a broken barrier. Does
    /// nothing to a barrier that is whole and where nobody waits. An action that is running is not stopped; it ends without
    /// effect on the new round.
    pub fn reset(&self) {
        let wakers = lock(&self.rounds).reset();
        wakers.wake();
    }

    /// How many make a round.
    pub fn parties(&self) -> NonZeroUsize {
        lock(&self.rounds).parties()
    }

    /// How many wait in the round that is filling. 0 after it broke.
    pub fn waiting(&self) -> usize {
        lock(&self.rounds).waiting()
    }

    /// Whether `wait` fails at once, until the next [`reset`](Self::reset).
    pub fn is_broken(&self) -> bool {
        lock(&self.rounds).is_broken()
    }
}

impl<E, A> fmt::Debug for CyclicBarrier<E, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CyclicBarrier")
            .field("parties", &self.parties())
            .field("waiting", &self.waiting())
            .field("broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}
