//! Owners that wait for each other in a circle: looked for when asked, never stored.

use conclave_machine::{
    DeadlockEdge, Demand, HoldState, Name, SessionId,
    limits::{DEADLOCK_SEARCH_MAX, DEADLOCK_SHOWN_MAX},
};

use crate::model::Model;
use crate::queue::conflict;
use crate::request::Wait;

/// An owner within its session.
type Owner = (SessionId, Box<str>);

/// A request that the search came to.
struct Met<'a> {
    wait: &'a Wait,
    /// Where the request stands that waits for this one's owner, and what it waits for; none: it is the first.
    from: Option<(usize, Name)>,
}

impl Model {
    /// The cycle that the request closes, or is part of; empty: none was found.
    pub(crate) fn deadlock(&self, first: &Wait) -> Vec<DeadlockEdge> {
        let Some(goal) = owner(first) else { return Vec::new() };
        let mut met = vec![Met { wait: first, from: None }];
        let mut owners = vec![goal.clone()];
        let mut at = 0;
        while at < met.len() && at < DEADLOCK_SEARCH_MAX {
            for (name, other) in self.waits_for(met[at].wait) {
                if other == goal {
                    return self.cycle(&met, at, name);
                }
                if owners.contains(&other) {
                    continue;
                }
                let mut waits: Vec<_> =
                    self.waits.iter().filter(|wait| owner(wait).as_ref() == Some(&other)).collect();
                waits.sort_by_key(|wait| wait.seq);
                met.extend(
                    waits.into_iter().map(|wait| Met { wait, from: Some((at, name.clone())) }),
                );
                owners.push(other);
            }
            at += 1;
        }
        Vec::new()
    }

    /// The owners that stand in its way, and at which object.
    fn waits_for(&self, wait: &Wait) -> Vec<(Name, Owner)> {
        let mut owners = Vec::new();
        for item in &wait.items {
            let (name, demand) = (&item.name, item.demand);
            match demand {
                Demand::Mutex | Demand::RwLock(_) => {}
                Demand::Permits { .. }
                | Demand::Lead
                | Demand::Run { .. }
                | Demand::Latch
                | Demand::Gate
                | Demand::Arrive { .. } => continue,
            }
            let conflicts =
                |other: Option<Demand>| other.is_some_and(|other| conflict(other, demand));
            let holds = self.holds_of(name).filter(|hold| {
                hold.state == HoldState::Held
                    && Some(hold.token) != wait.upgrades
                    && conflicts(hold.demand(name))
            });
            let holders = holds.filter_map(|hold| hold.owner_key());
            let ahead = self.ahead(name, wait).into_iter();
            let ahead = ahead.filter(|other| conflicts(other.demand(name)));
            let all = holders.chain(ahead.filter_map(|other| other.request.owner_key()));
            owners.extend(all.map(|(session, owner)| (name.clone(), (session, owner.into()))));
        }
        owners
    }

    /// From the first request to the last one, which waits for the first one's owner at this object.
    fn cycle(&self, met: &[Met<'_>], last: usize, name: Name) -> Vec<DeadlockEdge> {
        let mut cycle = Vec::new();
        let mut step = Some((last, name));
        while let Some((at, name)) = step {
            let wait = met[at].wait;
            cycle.push(DeadlockEdge {
                session: wait.session,
                session_name: self.find(wait.session).expect("it lives").name.clone(),
                owner: wait.owner.clone().expect("a request of an owner"),
                name,
            });
            step = met[at].from.clone();
        }
        cycle.reverse();
        cycle.truncate(DEADLOCK_SHOWN_MAX);
        cycle
    }
}

fn owner(wait: &Wait) -> Option<Owner> {
    wait.owner_key().map(|(session, owner)| (session, owner.into()))
}
