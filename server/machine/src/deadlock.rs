//! Cycles of owners that wait for each other: computed when asked, never stored (semantics, section 8).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::demand::{Demand, Mode};
use crate::ids::{SessionId, Token};
use crate::limits::{DEADLOCK_SEARCH_MAX, DEADLOCK_SHOWN_MAX};
use crate::machine::Machine;
use crate::name::Name;
use crate::object::Object;
use crate::outcome::{DeadlockEdge, HoldState};
use crate::queue::Place;
use crate::record::WaiterRecord;

/// Within a session requests without a name of their own are strangers to each other; with one, they are one owner.
type Owner<'a> = (SessionId, &'a str);

/// A request that was reached, and through which other one.
struct Step<'a> {
    waiter: &'a WaiterRecord,
    /// What the step before waits for, and the index of that step; none: the first.
    reached: Option<(usize, &'a Name)>,
}

impl Machine {
    /// The shortest cycle that this request closes, beginning with it; empty: there is none among the requests that were looked
    /// at. It need not be queued.
    pub(crate) fn cycle_through(&self, request: &WaiterRecord) -> Vec<DeadlockEdge> {
        let Some(start) = owner_of(request) else { return Vec::new() };
        let mut steps = alloc::vec![Step { waiter: request, reached: None }];
        let mut met: BTreeSet<Owner<'_>> = BTreeSet::new();
        let mut next = 0;
        while next < steps.len() && next < DEADLOCK_SEARCH_MAX {
            for (name, owner) in self.waits_for(steps[next].waiter) {
                if owner == start {
                    return self.path(&steps, next, name);
                }
                if !met.insert(owner) {
                    continue;
                }
                let Some(session) = self.live(owner.0) else { continue };
                let waits = session.waits.values().filter(|wait| owner_of(wait) == Some(owner));
                steps.extend(waits.map(|waiter| Step { waiter, reached: Some((next, name)) }));
            }
            next += 1;
        }
        Vec::new()
    }

    /// The first cycle that one of those who wait here is part of.
    pub(crate) fn deadlock_at(&self, object: &Object) -> Vec<DeadlockEdge> {
        let waiters = object
            .queue
            .iter()
            .take(DEADLOCK_SHOWN_MAX)
            .filter_map(|(_, waiting)| self.live(waiting.session)?.waits.get(&waiting.seq));
        waiters.map(|waiter| self.cycle_through(waiter)).find(|c| !c.is_empty()).unwrap_or_default()
    }

    /// Whom a request waits for, and because of which object.
    fn waits_for<'a>(&'a self, waiter: &'a WaiterRecord) -> Vec<(&'a Name, Owner<'a>)> {
        let place = Place::of(waiter);
        let mut found = Vec::new();
        for item in waiter.items.iter() {
            let Some(object) = self.objects.get(&item.name) else { continue };
            let Some(conflicts) = conflicts_with(item.demand) else { continue };
            let holders = object.holders().iter().filter(|(token, holding)| {
                Some(**token) != waiter.upgrades && conflicts(holding.demand)
            });
            let holders =
                holders.filter_map(|(token, holding)| self.owner_of_hold(holding.session, *token));
            found.extend(holders.map(|owner| (&item.name, owner)));
            let before = self.owners_before(object, place, conflicts);
            found.extend(before.map(|owner| (&item.name, owner)));
        }
        found
    }

    fn owners_before<'a>(
        &'a self,
        object: &'a Object,
        place: Place,
        conflicts: impl Fn(Demand) -> bool + 'a,
    ) -> impl Iterator<Item = Owner<'a>> {
        object
            .queue
            .iter()
            .take_while(move |(before, _)| *before < place)
            .filter(move |(_, waiting)| conflicts(waiting.demand))
            .take(DEADLOCK_SEARCH_MAX)
            .filter_map(|(_, waiting)| {
                owner_of(self.live(waiting.session)?.waits.get(&waiting.seq)?)
            })
    }

    fn owner_of_hold(&self, id: SessionId, token: Token) -> Option<Owner<'_>> {
        let hold = self.hold_of_session(id, token)?;
        (hold.state == HoldState::Held).then_some((id, hold.owner.as_deref()?))
    }

    /// From the first step to `last`, which waits at `name` for the first one's owner.
    fn path(&self, steps: &[Step<'_>], last: usize, name: &Name) -> Vec<DeadlockEdge> {
        let mut backwards = Vec::new();
        let (mut at, mut name) = (last, name);
        loop {
            backwards.extend(self.edge(steps[at].waiter, name));
            match steps[at].reached {
                Some((before, waited_for)) => (at, name) = (before, waited_for),
                None => break,
            }
        }
        backwards.into_iter().rev().take(DEADLOCK_SHOWN_MAX).collect()
    }

    fn edge(&self, waiter: &WaiterRecord, name: &Name) -> Option<DeadlockEdge> {
        Some(DeadlockEdge {
            session: waiter.session,
            session_name: self.live(waiter.session)?.name.clone(),
            owner: Box::from(waiter.owner.as_deref()?),
            name: name.clone(),
        })
    }
}

fn owner_of(waiter: &WaiterRecord) -> Option<Owner<'_>> {
    Some((waiter.session, waiter.owner.as_deref()?))
}

/// Which demands of the same object a demand has to wait for; none: edges go only between mutexes and read-write locks.
fn conflicts_with(demand: Demand) -> Option<impl Fn(Demand) -> bool + Copy> {
    let mode = match demand {
        Demand::Mutex => Mode::Write,
        Demand::RwLock(mode) => mode,
        Demand::Permits { .. }
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate
        | Demand::Arrive { .. } => return None,
    };
    Some(move |other| match other {
        Demand::Mutex => true,
        Demand::RwLock(other) => mode.conflicts_with(other),
        Demand::Permits { .. }
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate
        | Demand::Arrive { .. } => false,
    })
}
