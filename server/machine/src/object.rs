//! An object: who holds, who waits, and the one rule by which the next are granted. What differs between the kinds is only
//! which demands stand beside each other ([`Demand::stands_beside`]).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::command::Demand;
use crate::ids::{SessionId, Token};
use crate::outcome::{HoldState, Kind};
use crate::query::Statistics;
use crate::queue::{Place, Queue};
use crate::record::{HoldRecord, WaiterRecord};

impl Demand {
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Mutex => Kind::Mutex,
        }
    }

    /// May both hold the same object at one time? Cooling and revoked holds count as holders too.
    pub(crate) const fn stands_beside(self, other: Self) -> bool {
        match (self, other) {
            (Self::Mutex, Self::Mutex) => false,
        }
    }

    /// Stands beside nothing of its kind: nobody is looked at behind such a waiter.
    pub(crate) const fn stands_alone(self) -> bool {
        match self {
            Self::Mutex => true,
        }
    }

    /// Whether an explicit owner may hold this only once.
    pub(crate) const fn once_per_owner(self) -> bool {
        match self {
            Self::Mutex => true,
        }
    }
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

#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) holders: BTreeMap<Token, Arc<HoldRecord>>,
    pub(crate) queue: Queue,
    pub(crate) statistics: Statistics,
}

impl Object {
    pub(crate) fn new(kind: Kind, created_stamp_ms: u64) -> Self {
        Self {
            kind,
            holders: BTreeMap::new(),
            queue: Queue::default(),
            statistics: Statistics { created_stamp_ms, ..Statistics::default() },
        }
    }

    /// Nothing to remember: an idle mutex vanishes.
    pub(crate) fn is_idle(&self) -> bool {
        match self.kind {
            Kind::Mutex => self.holders.is_empty() && self.queue.is_empty(),
        }
    }

    pub(crate) fn pressure(&self) -> Pressure {
        Pressure {
            waiting: self.queue.len(),
            highest_priority: self.queue.first().map_or(0, |waiter| waiter.priority),
        }
    }

    /// Does it go with everyone who holds?
    fn fits(&self, demand: Demand) -> bool {
        self.holders.values().all(|hold| hold.demand.stands_beside(demand))
    }

    /// Would a request that arrives now be granted? It must not overtake a waiter that it conflicts with.
    pub(crate) fn admits(&self, demand: Demand, priority: i32) -> bool {
        self.fits(demand)
            && self
                .queue
                .iter()
                .take_while(|waiter| waiter.priority >= priority)
                .all(|waiter| waiter.demand.stands_beside(demand))
    }

    /// The first waiter that fits the holders and conflicts with nobody who stands before it.
    pub(crate) fn next_to_grant(&self) -> Option<Place> {
        let mut passed: Vec<Demand> = Vec::new();
        for waiter in self.queue.iter() {
            let goes = passed.iter().all(|earlier| earlier.stands_beside(waiter.demand));
            if goes && self.fits(waiter.demand) {
                return Some(Place::of(waiter));
            }
            if waiter.demand.stands_alone() {
                return None;
            }
            if !passed.contains(&waiter.demand) {
                passed.push(waiter.demand);
            }
        }
        None
    }

    pub(crate) fn enqueue(&mut self, waiter: WaiterRecord) {
        self.queue.insert(Arc::new(waiter));
        self.statistics.queue_len_max = self.statistics.queue_len_max.max(self.queue.len());
    }

    pub(crate) fn admit(&mut self, hold: HoldRecord) {
        self.statistics.grants += 1;
        let before = self.holders.insert(hold.token, Arc::new(hold));
        assert!(before.is_none(), "a token was granted twice");
    }

    /// The hold of this owner of the session, if it still counts as one.
    pub(crate) fn held_by_owner(&self, session: SessionId, owner: &str) -> Option<Token> {
        self.holders
            .values()
            .find(|hold| {
                hold.session == session
                    && hold.state == HoldState::Held
                    && hold.owner.as_deref() == Some(owner)
            })
            .map(|hold| hold.token)
    }
}
