//! What must hold of all holders and waiters together, as far as the observer was told.

use std::cmp::Reverse;

use conclave_machine::{Demand, Item, Name, Passed, Token};

use crate::observer::Observer;
use crate::seen::{Waiting, goes_beside, weight};

impl Observer {
    /// Why nobody may hold this as well; but for the hold that it would replace.
    pub(crate) fn excluded(&self, item: &Item, replaced: Option<Token>) -> Option<String> {
        let holders = self.holders.iter().filter(|held| Some(held.token) != replaced);
        let mut demands = holders.filter_map(|held| Some((held, held.demand(&item.name)?)));
        if let Demand::Permits { weight: wanted, limit } = item.demand {
            let limit = self.places.get(&item.name).and_then(|place| place.limit).unwrap_or(limit);
            let used: u64 = demands.map(|(_, demand)| weight(demand)).sum();
            let too_many = used + u64::from(wanted) > u64::from(limit);
            return too_many.then(|| format!("{used} of {limit} permits"));
        }
        let (held, _) = demands.find(|(_, demand)| !goes_beside(*demand, item.demand))?;
        Some(format!("{held:?}"))
    }

    /// Someone who stands before it somewhere and is in its way. Whoever upgrades stands before all.
    pub(crate) fn overtaken(&self, wait: &Waiting, at: usize) -> Option<&Waiting> {
        let mut others = self.queue.iter().enumerate();
        let found = others.find(|(place, other)| {
            let in_the_way = |item: &Item| {
                other.demand(&item.name).is_some_and(|demand| !goes_beside(demand, item.demand))
                    && !self.succeeds(&item.name, wait)
            };
            !other.aside
                && *place != at
                && rank(other, *place) < rank(wait, at)
                && wait.items.iter().any(in_the_way)
        });
        found.map(|(_, other)| other)
    }

    /// By a transfer: before whoever stands before it.
    fn succeeds(&self, name: &Name, wait: &Waiting) -> bool {
        let place = self.places.get(name);
        place.is_some_and(|place| place.successor == Some((wait.session, wait.seq)))
    }

    /// At an object that is open, under the version that it is open under.
    pub(crate) fn may_pass(
        &self,
        name: &Name,
        demand: Option<Demand>,
        passed: Passed,
    ) -> Result<(), String> {
        let place = self.places.get(name).cloned().unwrap_or_default();
        let may = match demand {
            Some(Demand::Run { .. }) => place.done == Some(passed.version),
            Some(Demand::Latch) => place.open && place.round == Some(passed.version),
            Some(Demand::Gate) => place.open,
            Some(Demand::Arrive { .. }) => true,
            Some(Demand::Mutex | Demand::RwLock(_) | Demand::Permits { .. } | Demand::Lead)
            | None => false,
        };
        if may { Ok(()) } else { Err(format!("{passed:?} at {name}, which is closed: {place:?}")) }
    }

    /// All together, each counted once.
    pub(crate) fn all_parties_of_a_barrier_passed(&self) -> Result<(), String> {
        for (wait, passed) in &self.passed {
            let Item { name, demand: Demand::Arrive { parties, .. } } = &wait.items[0] else {
                continue;
            };
            let together = self.passed.iter().filter(|(other, _)| other.items[0].name == *name);
            let mut indices: Vec<_> = together.map(|(_, passed)| passed.index).collect();
            indices.sort_unstable();
            if !indices.into_iter().eq(0..*parties) || passed.version.get() <= self.number_max {
                return Err(format!("{passed:?} at the barrier {name} of {parties}"));
            }
        }
        Ok(())
    }

    pub(crate) fn nobody_waits_at_a_broken_barrier(&self, left: &[Waiting]) -> Result<(), String> {
        for wait in left {
            let Item { name, demand: Demand::Arrive { break_on_loss: true, .. } } = &wait.items[0]
            else {
                continue;
            };
            if let Some(other) = self.queue.iter().find(|other| other.demand(name).is_some()) {
                return Err(format!("{other:?} waits on at a barrier that {wait:?} broke"));
            }
        }
        Ok(())
    }

    /// Grants happen in the entry that frees: between two commands nobody waits for what it could have.
    pub(crate) fn nobody_waits_for_what_is_free(&self) -> Result<(), String> {
        let waits = self.queue.iter().enumerate();
        let mut idle = waits.filter(|(at, wait)| !wait.aside && !self.lacks_something(wait, *at));
        match idle.next() {
            Some((_, wait)) => Err(format!("{wait:?} waits for what nobody holds")),
            None => Ok(()),
        }
    }

    fn lacks_something(&self, wait: &Waiting, at: usize) -> bool {
        let open = |name: &Name| self.places.get(name).is_some_and(|place| place.open);
        let lacks = |item: &Item| match item.demand {
            Demand::Latch | Demand::Gate => !open(&item.name),
            Demand::Arrive { parties, .. } => {
                let there = self.queue.iter().filter(|other| other.demand(&item.name).is_some());
                there.count() < usize::try_from(parties).expect("a count")
            }
            Demand::Mutex
            | Demand::RwLock(_)
            | Demand::Permits { .. }
            | Demand::Lead
            | Demand::Run { .. } => self.excluded(item, wait.upgrades).is_some(),
        };
        wait.items.iter().any(lacks) || self.overtaken(wait, at).is_some()
    }
}

/// The smaller comes first.
pub(crate) fn rank(wait: &Waiting, place: usize) -> (bool, Reverse<i32>, usize) {
    (wait.upgrades.is_none(), Reverse(wait.priority), place)
}
