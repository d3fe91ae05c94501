//! What operators do to objects: resize, transfer, delete.

use conclave_machine::{
    Demand, Event, HoldState, Kind, LossReason, Name, Note, Outcome, Refusal, SessionId, Token,
    Version, WaitEnd,
};

use crate::model::Model;
use crate::object::State;

impl Model {
    pub(crate) fn resize(
        &mut self,
        name: &Name,
        new: u32,
        expected: Version,
    ) -> Result<Outcome, Refusal> {
        let object = self.object(name).ok_or(Refusal::NotFound)?;
        let State::Semaphore { declared, version, .. } = object.state else {
            return Err(Refusal::WrongKind { kind: object.kind() });
        };
        if version != expected {
            return Err(Refusal::Conflict { version });
        }
        let version = Version(self.draw());
        self.object_mut(name).state =
            State::Semaphore { declared, limit: new, version, resized: true };
        self.touched.insert(name.clone());
        self.note(name, Note::Resized { limit: new, version });
        let weighs = |demand: Option<Demand>| match demand {
            Some(Demand::Permits { weight, .. }) => weight,
            Some(_) | None => 0,
        };
        let queue = self.queue(name).into_iter();
        let too_heavy: Vec<_> = queue
            .map(|wait| (wait.session, wait.seq, weighs(wait.demand(name))))
            .filter(|(_, _, weight)| new > 0 && *weight > new)
            .collect();
        for (session, seq, weight) in too_heavy {
            let refusal = Refusal::Weight { weight, max: new };
            self.end_wait(session, seq, WaitEnd::Refused(refusal));
        }
        Ok(Outcome::Resized { version })
    }

    pub(crate) fn transfer(
        &mut self,
        name: &Name,
        term: Token,
        to: SessionId,
        by: &str,
    ) -> Result<Outcome, Refusal> {
        let object = self.object(name).ok_or(Refusal::NotFound)?;
        if object.kind() != Kind::Election {
            return Err(Refusal::WrongKind { kind: object.kind() });
        }
        let leads =
            self.holds_of(name).any(|hold| hold.token == term && hold.state == HoldState::Held);
        let candidate = self.queue(name).into_iter().find(|wait| wait.session == to);
        let candidate = candidate.map(|wait| (wait.session, wait.seq)).ok_or(Refusal::NotFound)?;
        if !leads {
            return Err(Refusal::NotFound);
        }
        self.object_mut(name).state = State::Election { successor: Some(candidate) };
        self.revoke(term, Some(LossReason::Transferred { by: by.into() }));
        Ok(Outcome::Transferred)
    }

    pub(crate) fn delete(&mut self, name: &Name) -> Result<Outcome, Refusal> {
        let object = self.object(name).ok_or(Refusal::NotFound)?;
        let (kind, timer) = (object.kind(), object.timer());
        let goes_by_itself = match kind {
            Kind::Mutex | Kind::RwLock | Kind::Election | Kind::Barrier => true,
            Kind::Semaphore
            | Kind::Once
            | Kind::Latch
            | Kind::Gate
            | Kind::Register
            | Kind::Counter => false,
        };
        let in_use =
            self.holds_of(name).next().is_some() || self.waits.iter().any(|wait| wait.wants(name));
        if goes_by_itself || in_use {
            return Err(Refusal::Busy);
        }
        if let Some(set) = timer {
            self.events.push(Event::TimerStopped { timer: set.timer });
        }
        self.vanish(name);
        self.note(name, Note::Gone { kind });
        Ok(Outcome::Deleted)
    }
}
