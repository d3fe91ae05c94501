//! The rounds of a barrier under its lock. A round is settled once, by name: nothing that is late can touch a later one.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::task::Waker;

use super::{BrokenReason, Round};

/// What an arrival is.
pub(super) enum Arrival {
    Broken(BrokenReason),
    Waits(Round),
    /// The last: the round is full and waits for its action.
    Leads(Round),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    /// Full, not yet tripped: the action is due or runs.
    Acting,
    Tripped,
    Broken(BrokenReason),
}

struct One {
    phase: Phase,
    arrived: usize,
    /// Arrived, and not yet gone with the result. At 0 a round that is not the current one is forgotten.
    present: usize,
    wakers: BTreeMap<usize, Waker>,
    next_waker: usize,
}

impl One {
    const fn new() -> Self {
        Self {
            phase: Phase::Filling,
            arrived: 0,
            present: 0,
            wakers: BTreeMap::new(),
            next_waker: 0,
        }
    }

    const fn is_settled(&self) -> bool {
        match self.phase {
            Phase::Filling | Phase::Acting => false,
            Phase::Tripped | Phase::Broken(_) => true,
        }
    }
}

/// Whom to wake once the lock is free.
#[must_use]
pub(super) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

pub(super) struct Rounds {
    parties: NonZeroUsize,
    current: Round,
    /// The current one, and those with somebody in them.
    rounds: BTreeMap<Round, One>,
}

impl Rounds {
    pub(super) fn new(parties: NonZeroUsize) -> Self {
        let current = Round(0);
        Self { parties, current, rounds: BTreeMap::from([(current, One::new())]) }
    }

    pub(super) const fn parties(&self) -> NonZeroUsize {
        self.parties
    }

    pub(super) fn waiting(&self) -> usize {
        let current = self.one(self.current);
        if current.is_settled() { 0 } else { current.arrived }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken(self.current).is_some()
    }

    pub(super) fn broken(&self, round: Round) -> Option<BrokenReason> {
        match self.one(round).phase {
            Phase::Broken(reason) => Some(reason),
            Phase::Filling | Phase::Acting | Phase::Tripped => None,
        }
    }

    pub(super) fn arrive(&mut self) -> Arrival {
        let (round, parties) = (self.current, self.parties.get());
        let current = self.one_mut(round);
        if let Phase::Broken(reason) = current.phase {
            return Arrival::Broken(reason);
        }
        assert_eq!(current.phase, Phase::Filling, "only a filling round is current");
        current.arrived += 1;
        current.present += 1;
        if current.arrived < parties {
            return Arrival::Waits(round);
        }
        current.phase = Phase::Acting;
        self.begin_next();
        Arrival::Leads(round)
    }

    /// The result for a member of that round, or its waker is kept under `place`. The replaced waker comes back.
    pub(super) fn look(
        &mut self,
        round: Round,
        place: &mut Option<usize>,
        waker: &Waker,
    ) -> (Option<Result<(), BrokenReason>>, Option<Waker>) {
        let one = self.one_mut(round);
        match one.phase {
            Phase::Tripped => (Some(Ok(())), None),
            Phase::Broken(reason) => (Some(Err(reason)), None),
            Phase::Filling | Phase::Acting => {
                let place = *place.get_or_insert_with(|| {
                    one.next_waker += 1;
                    one.next_waker
                });
                let unchanged = one.wakers.get(&place).is_some_and(|old| old.will_wake(waker));
                let old = if unchanged { None } else { one.wakers.insert(place, waker.clone()) };
                (None, old)
            }
        }
    }

    /// The action succeeded. An error if the round was broken meanwhile.
    pub(super) fn trip(&mut self, round: Round) -> (Result<(), BrokenReason>, Wakers) {
        let wakers = self.settle(round, Phase::Tripped);
        (self.broken(round).map_or(Ok(()), Err), wakers)
    }

    /// The action failed: its round is broken, and the barrier with it until it is reset. A round that was reset while its
    /// action ran is over, and the new one is none of its business.
    pub(super) fn spoil(&mut self, round: Round, reason: BrokenReason) -> Wakers {
        let is_open = !self.one(round).is_settled();
        let mut wakers = self.settle(round, Phase::Broken(reason));
        if is_open {
            for later in self.rounds.range(round..).map(|(later, _)| *later).collect::<Vec<_>>() {
                wakers.0.extend(self.settle(later, Phase::Broken(reason)).0);
            }
        }
        wakers
    }

    /// A member goes, with its result or without: a round that is not settled then can never be.
    pub(super) fn leave(&mut self, round: Round, place: Option<usize>) -> (Wakers, Option<Waker>) {
        let wakers = self.settle(round, Phase::Broken(BrokenReason::Cancelled));
        let is_current = round == self.current;
        let one = self.one_mut(round);
        one.present -= 1;
        let own = place.and_then(|place| one.wakers.remove(&place));
        if one.present == 0 && !is_current {
            self.rounds.remove(&round);
        }
        (wakers, own)
    }

    pub(super) fn reset(&mut self) -> Wakers {
        let mut wakers = Wakers(Vec::new());
        let current = self.one(self.current);
        let is_clean = current.phase == Phase::Filling && current.arrived == 0;
        for round in self.rounds.keys().copied().collect::<Vec<_>>() {
            if round != self.current || !is_clean {
                wakers.0.extend(self.settle(round, Phase::Broken(BrokenReason::Reset)).0);
            }
        }
        if !is_clean {
            self.begin_next();
        }
        wakers
    }

    fn begin_next(&mut self) {
        let old = self.current;
        self.current = Round(old.0 + 1);
        self.rounds.insert(self.current, One::new());
        if self.one(old).present == 0 {
            self.rounds.remove(&old);
        }
    }

    /// Writes how a round ends, the first time only.
    fn settle(&mut self, round: Round, end: Phase) -> Wakers {
        let one = self.one_mut(round);
        if one.is_settled() {
            return Wakers(Vec::new());
        }
        one.phase = end;
        Wakers(std::mem::take(&mut one.wakers).into_values().collect())
    }

    fn one(&self, round: Round) -> &One {
        self.rounds.get(&round).expect("a round lives while it is current or somebody is in it")
    }

    fn one_mut(&mut self, round: Round) -> &mut One {
        self.rounds.get_mut(&round).expect("a round lives while it is current or somebody is in it")
    }
}
