//! Acquire: all of its objects at once, or a place in each of their queues.

use conclave_machine::{
    Acquire, Demand, HoldState, Item, Kind, Mode, Op, Outcome, Passed, Refusal, Seq, SessionId,
    Version,
};

use crate::model::{Model, count};
use crate::object::State;
use crate::request::{Request, Wait};

impl Model {
    pub(crate) fn acquire(
        &mut self,
        id: SessionId,
        seq: Seq,
        acquire: &Acquire,
    ) -> Result<Outcome, Refusal> {
        let request = Request {
            session: id,
            seq,
            body: Op::Acquire(acquire.clone()),
            items: acquire.items.iter().cloned().collect(),
            priority: acquire.priority,
            max_hold_ms: acquire.max_hold_ms,
            owner: acquire.owner.clone(),
            metadata: acquire.metadata.clone(),
            campaign: acquire.campaign.clone(),
            since_stamp_ms: self.stamp_ms,
        };
        for item in &request.items {
            self.acceptable(item, &request)?;
        }
        let wait = Wait { request, upgrades: None };
        let Some(lacking) = self.lacks(&wait).cloned() else {
            return self.had_at_once(wait.request);
        };
        if !acquire.wait {
            return Ok(Outcome::Held(self.held_by(&lacking.name)));
        }
        if acquire.fail_on_deadlock {
            let cycle = self.deadlock(&wait);
            if !cycle.is_empty() {
                return Err(Refusal::Deadlock { cycle });
            }
        }
        self.appear_for(&wait.items);
        Ok(self.enqueue(wait))
    }

    pub(crate) fn enqueue(&mut self, wait: Wait) -> Outcome {
        let (session, seq, items) = (wait.session, wait.seq, wait.items.clone());
        self.waits.push(wait);
        self.touch(&items);
        self.count_queue(&items);
        Outcome::Queued { position: self.position(session, seq).expect("it waits") }
    }

    /// Does the object, as it is, go with what is wanted of it?
    fn acceptable(&self, item: &Item, request: &Request) -> Result<(), Refusal> {
        let Item { name, demand } = item;
        let object = self.object(name);
        if let Some(object) = object
            && object.kind() != demand.kind()
        {
            return Err(Refusal::WrongKind { kind: object.kind() });
        }
        match (*demand, object.map(|object| &object.state)) {
            (Demand::Latch, None) => return Err(Refusal::NotFound),
            (
                Demand::Permits { weight, limit: expected },
                Some(State::Semaphore { declared, limit, .. }),
            ) => {
                must_match((*declared).into(), expected.into())?;
                if *limit > 0 && weight > *limit {
                    return Err(Refusal::Weight { weight, max: *limit });
                }
            }
            (Demand::Permits { weight, limit }, None) if weight > limit => {
                return Err(Refusal::Weight { weight, max: limit });
            }
            (
                Demand::Arrive { parties: expected, break_on_loss: expected_to_break },
                Some(State::Barrier { parties, break_on_loss }),
            ) => {
                must_match((*parties).into(), expected.into())?;
                must_match((*break_on_loss).into(), expected_to_break.into())?;
            }
            (_, _) => {}
        }
        self.not_held_by_same_owner(item, request)
    }

    fn not_held_by_same_owner(&self, item: &Item, request: &Request) -> Result<(), Refusal> {
        match item.demand {
            Demand::Mutex | Demand::RwLock(Mode::Write | Mode::Upgradable) => {}
            Demand::RwLock(Mode::Read)
            | Demand::Permits { .. }
            | Demand::Lead
            | Demand::Run { .. }
            | Demand::Latch
            | Demand::Gate
            | Demand::Arrive { .. } => return Ok(()),
        }
        let Some(owner) = request.owner_key() else { return Ok(()) };
        let own = self
            .holds_of(&item.name)
            .find(|hold| hold.state == HoldState::Held && hold.owner_key() == Some(owner));
        match own {
            Some(hold) => Err(Refusal::AlreadyHeld { token: hold.token }),
            None => Ok(()),
        }
    }

    /// Nothing stands in its way.
    fn had_at_once(&mut self, request: Request) -> Result<Outcome, Refusal> {
        let Item { name, demand } = request.items[0].clone();
        let open = self.object(&name).and_then(|object| object.open());
        if let Some(version) = open {
            self.object_mut(&name).statistics.passes += 1;
            return Ok(Outcome::Passed(Passed { version, index: 0 }));
        }
        self.appear_for(&request.items);
        if demand.kind() == Kind::Barrier {
            let version = Version(self.draw());
            let index = count(self.queue(&name).len());
            self.all_pass(&name, version, true);
            return Ok(Outcome::Passed(Passed { version, index }));
        }
        let items = request.items.clone();
        let token = self.grant(request);
        Ok(Outcome::Granted { token, waiting: self.longest_queue(&items) })
    }
}

fn must_match(object: u64, request: u64) -> Result<(), Refusal> {
    if object == request { Ok(()) } else { Err(Refusal::Mismatch { object, request }) }
}
