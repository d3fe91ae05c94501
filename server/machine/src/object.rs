//! An object: who holds, who waits, and the one rule by which the next are granted. What differs between the kinds is only
//! what fits beside the holders and which demands conflict.

use alloc::collections::BTreeMap;
use core::ops::ControlFlow;

use crate::demand::{Demand, Mode};
use crate::ids::{Seq, SessionId, Token};
use crate::outcome::Kind;
use crate::planted::planted;
use crate::query::Statistics;
use crate::queue::{Place, Queue, Waiting};
use crate::state::State;

/// A holder as its object knows it; the hold itself is with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) session: SessionId,
    pub(crate) demand: Demand,
}

/// How many wait and how urgently: what holders are told when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pressure {
    pub(crate) waiting: u32,
    /// Zero when nobody waits.
    pub(crate) highest_priority: i32,
}

impl Pressure {
    /// Became non-zero, became zero, or a higher priority arrived.
    pub(crate) const fn differs_from(self, before: Self) -> bool {
        if self.waiting == 0 || before.waiting == 0 {
            return self.waiting != before.waiting;
        }
        self.highest_priority > before.highest_priority
    }
}

/// The sum over all holders, so that nobody needs to look at each of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Occupied {
    upgradables: u32,
    writers: u32,
    permits: u64,
}

impl Occupied {
    fn change(&mut self, demand: Demand, by: impl Fn(&mut u32), permits: impl Fn(u64, u64) -> u64) {
        match demand {
            Demand::RwLock(Mode::Upgradable) => by(&mut self.upgradables),
            Demand::RwLock(Mode::Write) => by(&mut self.writers),
            Demand::Permits { weight, .. } => self.permits = permits(self.permits, weight.into()),
            Demand::RwLock(Mode::Read)
            | Demand::Mutex
            | Demand::Lead
            | Demand::Run { .. }
            | Demand::Latch
            | Demand::Gate
            | Demand::Arrive { .. } => {}
        }
    }

    fn add(&mut self, demand: Demand) {
        self.change(demand, |count| *count += 1, |sum, weight| sum + weight);
    }

    fn take(&mut self, demand: Demand) {
        self.change(demand, |count| *count -= 1, |sum, weight| sum - weight);
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) state: State,
    holders: BTreeMap<Token, Holding>,
    occupied: Occupied,
    pub(crate) queue: Queue,
    /// Candidates that stand aside.
    pub(crate) aside: Queue,
    pub(crate) statistics: Statistics,
}

impl Object {
    pub(crate) fn new(state: State, statistics: Statistics) -> Self {
        Self {
            state,
            holders: BTreeMap::new(),
            occupied: Occupied::default(),
            queue: Queue::default(),
            aside: Queue::default(),
            statistics,
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.state.kind()
    }

    pub(crate) const fn holders(&self) -> &BTreeMap<Token, Holding> {
        &self.holders
    }

    pub(crate) const fn permits(&self) -> u64 {
        self.occupied.permits
    }

    pub(crate) fn is_deserted(&self) -> bool {
        self.holders.is_empty() && self.queue.is_empty() && self.aside.is_empty()
    }

    /// Nothing to remember.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_deserted() && self.state.vanishes()
    }

    pub(crate) fn pressure(&self) -> Pressure {
        Pressure {
            waiting: self.queue.len(),
            highest_priority: self.queue.first().map_or(0, |(_, waiting)| waiting.priority),
        }
    }

    /// Waiters, those that stand aside included.
    pub(crate) const fn waiters(&self) -> u32 {
        self.queue.len() + self.aside.len()
    }

    pub(crate) fn admit(&mut self, token: Token, holding: Holding) {
        self.occupied.add(holding.demand);
        let before = self.holders.insert(token, holding);
        assert!(before.is_none(), "a token was granted twice");
    }

    pub(crate) fn dismiss(&mut self, token: Token) -> Holding {
        let holding = self.holders.remove(&token).expect("a hold is among the holders");
        self.occupied.take(holding.demand);
        holding
    }

    /// The hold goes on under another demand.
    pub(crate) fn change(&mut self, token: Token, demand: Demand) {
        let holding = self.holders.get_mut(&token).expect("a hold is among the holders");
        self.occupied.take(holding.demand);
        self.occupied.add(demand);
        holding.demand = demand;
    }

    /// Does it go with everyone who holds, but the hold that it replaces?
    pub(crate) fn fits(&self, demand: Demand, upgrades: Option<Token>) -> bool {
        match demand {
            Demand::Mutex | Demand::Lead | Demand::Run { .. } => self.holders.is_empty(),
            Demand::RwLock(Mode::Read) => self.occupied.writers == 0,
            Demand::RwLock(Mode::Upgradable) => {
                self.occupied.writers == 0 && self.occupied.upgradables == 0
            }
            Demand::RwLock(Mode::Write) => match upgrades {
                None => self.holders.is_empty(),
                Some(token) => self.holders.len() == 1 && self.holders.contains_key(&token),
            },
            Demand::Permits { weight, .. } => match &self.state {
                State::Semaphore(semaphore) => {
                    self.occupied.permits + u64::from(weight) <= u64::from(semaphore.limit)
                }
                _ => false,
            },
            // They pass, or an arrival makes the barrier trip; nothing is held.
            Demand::Latch | Demand::Gate | Demand::Arrive { .. } => false,
        }
    }

    /// Does somebody who conflicts with it stand before this place?
    pub(crate) fn is_behind_another(&self, demand: Demand, place: Place) -> bool {
        let mode = match demand {
            Demand::RwLock(mode) => mode,
            Demand::Mutex
            | Demand::Permits { .. }
            | Demand::Lead
            | Demand::Run { .. }
            | Demand::Latch
            | Demand::Gate
            | Demand::Arrive { .. } => {
                return self.queue.first().is_some_and(|(first, _)| first < place);
            }
        };
        if mode == Mode::Read && planted("reader overtakes a waiting writer") {
            return false;
        }
        self.queue.waits_before(place, |other| other.conflicts_with(mode))
    }

    /// Would a request that arrives now be granted? It must not overtake a waiter that it conflicts with.
    pub(crate) fn admits(&self, demand: Demand, place: Place) -> bool {
        self.fits(demand, None) && !self.is_behind_another(demand, place)
    }

    /// This wait comes next by no transfer any more.
    pub(crate) fn forget_successor(&mut self, session: SessionId, seq: Seq) {
        if let State::Election { successor } = &mut self.state
            && *successor == Some((session, seq))
        {
            *successor = None;
        }
    }

    /// Whether one arrival more is the last that a barrier waits for.
    pub(crate) fn trips_with(&self, arrivals: u32) -> bool {
        match self.state {
            State::Barrier { parties, .. } => self.queue.len() + arrivals >= parties,
            _ => false,
        }
    }

    /// The first waiter that fits here, stands behind nobody whom it conflicts with, and whom `elsewhere` has nothing against
    /// (it is asked only of those that wait for several objects).
    pub(crate) fn next_to_grant(
        &self,
        elsewhere: impl Fn(&Waiting) -> bool,
    ) -> Option<(Place, &Waiting)> {
        let mut scan = Scan::default();
        for (place, waiting) in self.queue.iter() {
            match scan.look(self, waiting) {
                ControlFlow::Break(()) => return None,
                ControlFlow::Continue(true) if !waiting.of_several || elsewhere(waiting) => {
                    return Some((place, waiting));
                }
                ControlFlow::Continue(_) => {}
            }
            if scan.pass(self, waiting) {
                return None;
            }
        }
        None
    }
}

/// Who was passed over on the way through a queue, and so must not be overtaken.
#[derive(Debug, Default)]
struct Scan {
    readers: u32,
    upgradables: u32,
}

impl Scan {
    /// Whether this waiter could be granted as far as this object is concerned. Break: nor could anybody behind it.
    fn look(&self, object: &Object, waiting: &Waiting) -> ControlFlow<(), bool> {
        let fits = object.fits(waiting.demand, waiting.upgrades);
        let Demand::RwLock(mode) = waiting.demand else {
            // Only the first of these is ever looked at.
            return if fits { ControlFlow::Continue(true) } else { ControlFlow::Break(()) };
        };
        let overtakes = match mode {
            Mode::Read => false,
            Mode::Upgradable => self.upgradables > 0,
            Mode::Write => self.readers + self.upgradables > 0,
        };
        ControlFlow::Continue(fits && !overtakes)
    }

    /// Goes on behind this waiter. True: nobody behind it can be granted.
    fn pass(&mut self, object: &Object, waiting: &Waiting) -> bool {
        match waiting.demand {
            Demand::RwLock(Mode::Read) => self.readers += 1,
            Demand::RwLock(Mode::Upgradable) => self.upgradables += 1,
            Demand::RwLock(Mode::Write)
            | Demand::Mutex
            | Demand::Permits { .. }
            | Demand::Lead
            | Demand::Run { .. }
            | Demand::Latch
            | Demand::Gate
            | Demand::Arrive { .. } => return true,
        }
        let readers = object.fits(Demand::RwLock(Mode::Read), None)
            && self.readers < object.queue.count_of(Mode::Read);
        let upgradables = self.upgradables == 0
            && object.fits(Demand::RwLock(Mode::Upgradable), None)
            && object.queue.count_of(Mode::Upgradable) > 0;
        !readers && !upgradables
    }
}
