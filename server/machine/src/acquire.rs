//! Asking: for one object or for several, all or none. Granted on the spot, passed, queued, or told who is in the way.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use crate::call::Caller;
use crate::command::Acquire;
use crate::demand::{Demand, Item, Items};
use crate::ids::SessionId;
use crate::limits;
use crate::machine::{Entry, Machine, draw_version};
use crate::name::Name;
use crate::object::Object;
use crate::outcome::{HoldState, Invalid, Limit, Passed, Refusal};
use crate::query::Statistics;
use crate::queue::{Place, Waiting};
use crate::record::{Recorded, WaiterRecord};
use crate::state::{State, too_heavy};

impl Acquire {
    /// What is wrong with it whatever the state is.
    pub(crate) fn is_invalid(&self) -> Option<Invalid> {
        if self.max_hold_ms > limits::MAX_HOLD_MS_MAX {
            return Some(Invalid::MaxHold);
        }
        if self.items.single().is_none() {
            let names: BTreeSet<&Name> = self.items.iter().map(|item| &item.name).collect();
            let fit = self.items.iter().all(|item| item.demand.goes_with_others());
            let count = self.items.count();
            if count > limits::ITEMS_MAX || names.len() != count || !fit {
                return Some(Invalid::Items);
            }
        }
        if self.items.iter().any(|item| item.demand.is_zero()) {
            return Some(Invalid::Zero);
        }
        let leads = self.items.first().demand == Demand::Lead;
        let valid = match &self.campaign {
            None => !leads,
            Some(campaign) => {
                leads
                    && campaign.value.len() <= limits::PROPOSAL_BYTES_MAX
                    && campaign.preempt_after_ms.is_none_or(|ms| ms <= limits::PREEMPT_MS_MAX)
                    && (campaign.eligible || self.wait)
            }
        };
        (!valid).then_some(Invalid::Campaign)
    }

    /// Where it would stand if it were queued by this entry.
    const fn place(&self, entry: &Entry<'_>) -> Place {
        Place::new(self.priority, entry.revision.0)
    }
}

/// What a request meets that refuses nothing.
enum Meets {
    Free,
    /// It leaves nothing to hold.
    Passes,
    /// This object is the first that cannot be had.
    Blocked(Name),
}

impl Machine {
    pub(crate) fn acquire(
        &mut self,
        entry: &mut Entry<'_>,
        caller: Caller,
        acquire: Acquire,
    ) -> Result<Recorded, Refusal> {
        for item in acquire.items.iter() {
            self.refuse(caller.id, item, acquire.owner.as_deref())?;
        }
        match self.meets(&acquire, acquire.place(entry)) {
            Meets::Passes => self.pass(entry, &acquire.items.first().clone()),
            Meets::Free => {
                self.check_objects(&acquire.items)?;
                if self.counts.holds >= limits::HOLDS_MAX as u64 {
                    return full(Limit::Holds, limits::HOLDS_MAX);
                }
                self.check_room_in_session(caller.id)?;
                self.create(entry, &acquire.items);
                let token = self.admit(entry, request(entry, caller, acquire));
                Ok(Recorded::Granted { token })
            }
            Meets::Blocked(name) if !acquire.wait => Ok(Recorded::Held { name }),
            Meets::Blocked(_) => {
                let fail_on_deadlock = acquire.fail_on_deadlock;
                let wait = request(entry, caller, acquire);
                if fail_on_deadlock {
                    let cycle = self.cycle_through(&wait);
                    if !cycle.is_empty() {
                        return Err(Refusal::Deadlock { cycle });
                    }
                }
                self.check_objects(&wait.items)?;
                self.check_queues(&wait)?;
                self.create(entry, &wait.items);
                self.enqueue(entry, wait);
                Ok(Recorded::Queued)
            }
        }
    }

    /// What an object itself says against the request, whoever else holds or waits.
    fn refuse(&self, id: SessionId, item: &Item, owner: Option<&str>) -> Result<(), Refusal> {
        let demand = item.demand;
        let Some(object) = self.objects.get(&item.name) else {
            let refusal = match demand {
                Demand::Latch => Some(Refusal::NotFound),
                Demand::Permits { weight, limit } => too_heavy(weight, limit),
                Demand::Mutex
                | Demand::RwLock(_)
                | Demand::Lead
                | Demand::Run { .. }
                | Demand::Gate
                | Demand::Arrive { .. } => None,
            };
            return refusal.map_or(Ok(()), Err);
        };
        if object.kind() != demand.kind() {
            return Err(Refusal::WrongKind { kind: object.kind() });
        }
        if let Some(refusal) = object.state.mismatch(demand) {
            return Err(refusal);
        }
        let Some(owner) = owner.filter(|_| demand.once_per_owner()) else { return Ok(()) };
        let session = self.live(id).expect("the caller's session is alive");
        let mut tokens = object.holders().iter().filter(|(_, holding)| holding.session == id);
        let held = tokens.find(|(token, _)| {
            let hold = &session.holds[token];
            hold.state == HoldState::Held && hold.owner.as_deref() == Some(owner)
        });
        held.map_or(Ok(()), |(token, _)| Err(Refusal::AlreadyHeld { token: *token }))
    }

    fn meets(&self, acquire: &Acquire, place: Place) -> Meets {
        let stands_aside = acquire.campaign.as_ref().is_some_and(|campaign| !campaign.eligible);
        for (index, item) in acquire.items.iter().enumerate() {
            let object = self.objects.get(&item.name).map(|object| &**object);
            if index == 0 && passes(object, item.demand) {
                return Meets::Passes;
            }
            let blocked = match object {
                Some(object) => !object.admits(item.demand, place),
                // A gate begins closed, and of a barrier's parties this is the first.
                None => matches!(item.demand, Demand::Gate | Demand::Arrive { .. }),
            };
            if blocked || stands_aside || self.quiet.is_some() {
                return Meets::Blocked(item.name.clone());
            }
        }
        Meets::Free
    }

    /// The caller passes on the spot.
    fn pass(&mut self, entry: &mut Entry<'_>, item: &Item) -> Result<Recorded, Refusal> {
        let Demand::Arrive { parties, .. } = item.demand else {
            let object = self.objects.edit(&item.name).expect("it passes");
            object.statistics.passes += 1;
            let version = object.state.passes().expect("it passes");
            return Ok(Recorded::Passed(Passed { version, index: 0 }));
        };
        let version = match self.objects.get(&item.name) {
            Some(_) => self.pass_all(entry, &item.name, 1),
            None => {
                let version = draw_version(&mut self.counter);
                entry.note(&item.name, crate::event::Note::Passed { version, count: 1 });
                version
            }
        };
        Ok(Recorded::Passed(Passed { version, index: parties - 1 }))
    }

    fn check_objects(&self, items: &Items) -> Result<(), Refusal> {
        let most = items.count() as u64;
        if self.check_room_for_objects(most).is_ok() {
            return Ok(());
        }
        let new = items.iter().filter(|item| self.objects.get(&item.name).is_none());
        self.check_room_for_objects(new.count() as u64)
    }

    pub(crate) fn check_room_for_objects(&self, new: u64) -> Result<(), Refusal> {
        if new > 0 && self.counts.objects + new > limits::OBJECTS_MAX as u64 {
            return full(Limit::Objects, limits::OBJECTS_MAX);
        }
        Ok(())
    }

    /// Whether one wait more has room everywhere.
    pub(crate) fn check_queues(&self, wait: &WaiterRecord) -> Result<(), Refusal> {
        let max = limits::WAITERS_PER_OBJECT_MAX;
        let mut objects = wait.items.iter().filter_map(|item| self.objects.get(&item.name));
        if objects.any(|object| object.waiters() as usize >= max) {
            return full(Limit::WaitersOfObject, max);
        }
        if self.counts.waiters >= limits::WAITERS_MAX as u64 {
            return full(Limit::Waiters, limits::WAITERS_MAX);
        }
        self.check_room_in_session(wait.session)
    }

    fn check_room_in_session(&self, id: SessionId) -> Result<(), Refusal> {
        if self.live(id).is_some_and(crate::session::Session::is_full) {
            return full(Limit::OfSession, limits::HOLDS_AND_WAITS_PER_SESSION_MAX);
        }
        Ok(())
    }

    /// The objects that are not there yet.
    fn create(&mut self, entry: &Entry<'_>, items: &Items) {
        for item in items.iter() {
            if self.objects.get(&item.name).is_some() {
                continue;
            }
            let counter = &mut self.counter;
            let state = State::of(item.demand, || draw_version(counter));
            let object = Object::new(state.expect("a latch was there"), appeared(entry));
            self.add_object(item.name.clone(), object);
        }
    }

    pub(crate) fn enqueue(&mut self, entry: &mut Entry<'_>, wait: WaiterRecord) {
        let place = Place::of(&wait);
        for item in wait.items.iter() {
            let object = self.objects.edit(&item.name).expect("it was there or was just made");
            entry.touch(&item.name, object);
            let waiting = Waiting::of(&wait, item.demand);
            if wait.is_in_line() {
                object.queue.insert(place, waiting);
                let longest = &mut object.statistics.queue_len_max;
                *longest = (*longest).max(object.queue.len());
            } else {
                object.aside.insert(place, waiting);
            }
        }
        self.session_known(wait.session).waits.insert(wait.seq, Arc::new(wait));
        self.counts.waiters += 1;
    }
}

/// Whether a request, alone for this object (none: there is none), leaves nothing to hold: it is open, done, or trips.
fn passes(object: Option<&Object>, demand: Demand) -> bool {
    let trips = match demand {
        Demand::Arrive { parties: 1, .. } => true,
        Demand::Arrive { .. } => object.is_some_and(|object| object.trips_with(1)),
        Demand::Mutex
        | Demand::RwLock(_)
        | Demand::Permits { .. }
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate => false,
    };
    trips || object.is_some_and(|object| object.state.passes().is_some())
}

/// The statistics of an object that appears now.
pub(crate) fn appeared(entry: &Entry<'_>) -> Statistics {
    Statistics { created_stamp_ms: entry.context.stamp_ms, ..Statistics::default() }
}

fn full<T>(what: Limit, max: usize) -> Result<T, Refusal> {
    Err(Refusal::Limit { what, max: max as u64 })
}

fn request(entry: &Entry<'_>, caller: Caller, acquire: Acquire) -> WaiterRecord {
    WaiterRecord {
        session: caller.id,
        seq: caller.seq,
        fingerprint: caller.fingerprint,
        items: acquire.items,
        upgrades: None,
        priority: acquire.priority,
        arrival: entry.revision.0,
        max_hold_ms: acquire.max_hold_ms,
        owner: acquire.owner,
        metadata: acquire.metadata,
        campaign: acquire.campaign,
        since_stamp_ms: entry.context.stamp_ms,
    }
}
