//! Calls: the mutations of a session, each run at most once, and the answer that a retry gets instead.

use crate::command::{Acquire, Call, Op};
use crate::digest::fingerprint;
use crate::event::Event;
use crate::ids::{Generation, Seq, SessionId, Token};
use crate::limits;
use crate::machine::{Entry, Machine, draw, hold_of, max_hold_timer};
use crate::object::Object;
use crate::outcome::{HoldState, Invalid, Limit, Outcome, Refusal};
use crate::queue::Place;
use crate::record::{Recorded, WaiterRecord};
use crate::session::{Session, WaitsAt};

/// What a seq stands for before it is (not) run.
pub(crate) enum Known {
    /// Never met, and above `seen_through`.
    New,
    /// At or below `seen_through`, and neither waiting nor holding.
    Gone,
    /// Met with this body (none: whatever body), and this became of it.
    As { fingerprint: Option<u64>, answer: Recorded },
}

/// A seq that a client may choose; zero means none, and the largest has no successor.
pub(crate) const fn check_seq(seq: Seq) -> Result<(), Refusal> {
    if seq.0 == 0 || seq.0 == u64::MAX {
        return Err(Refusal::Invalid { what: Invalid::Seq });
    }
    Ok(())
}

impl Machine {
    pub(crate) fn call(&mut self, entry: &mut Entry<'_>, call: Call) -> Result<Outcome, Refusal> {
        self.authenticate(&call.key)?;
        check_call(&call)?;
        let (id, seq) = (call.key.id, call.seq);
        let session = self.session_known(id);
        session.window.see_through(call.seen_through);
        let full = session.window.is_full();
        let body = fingerprint(&call.op);
        match self.known(id, seq) {
            Known::As { fingerprint: Some(other), .. } if other != body => {
                return Err(Refusal::SeqReused);
            }
            Known::As { answer, .. } => return self.recorded(id, seq, &answer),
            Known::Gone => return Err(Refusal::Gone),
            Known::New if full => {
                let max = limits::WINDOW_MAX as u64;
                return Err(Refusal::Limit { what: Limit::Window, max });
            }
            Known::New => {}
        }
        let answer = match call.op {
            Op::Acquire(acquire) => self.acquire(entry, id, seq, body, acquire)?,
            Op::Release { token } => self.release(entry, id, token),
            Op::Adopt { token } => self.adopt(entry, id, seq, body, token),
        };
        self.session_known(id).window.record(seq, Some(body), answer.clone());
        self.settle(entry);
        self.recorded(id, seq, &answer)
    }

    /// What became of a seq of this live session.
    pub(crate) fn known(&self, id: SessionId, seq: Seq) -> Known {
        let session = self.live(id).expect("asked for live sessions only");
        if let Some(found) = session.window.get(seq) {
            return Known::As { fingerprint: found.fingerprint, answer: found.answer.clone() };
        }
        if let Some(wait) = session.waits.get(&seq) {
            let object = self.objects.get(&wait.name).expect("a wait's object exists");
            let waiter = object.queue.get(wait.place).expect("a wait stands in its queue");
            return Known::As { fingerprint: Some(waiter.fingerprint), answer: Recorded::Queued };
        }
        if let Some(token) = session.granted.get(&seq) {
            let object = self.objects.get(&session.holds[token].name);
            let hold = &object.expect("a hold's object exists").holders[token];
            return Known::As {
                fingerprint: Some(hold.fingerprint),
                answer: Recorded::Granted { token: *token },
            };
        }
        if seq <= session.window.seen_through() { Known::Gone } else { Known::New }
    }

    /// The recorded answer as it is true now: a place moves on, and a grant is worth nothing once its hold was lost.
    pub(crate) fn recorded(
        &self,
        id: SessionId,
        seq: Seq,
        answer: &Recorded,
    ) -> Result<Outcome, Refusal> {
        let session = self.live(id).expect("asked for live sessions only");
        match answer {
            Recorded::Queued => {
                let wait = &session.waits[&seq];
                let object = self.objects.get(&wait.name).expect("a wait's object exists");
                let position = object.queue.position(wait.place);
                Ok(Outcome::Queued { position: position.expect("a wait stands in its queue") })
            }
            Recorded::Granted { token } => {
                let held = session.holds.get(token).ok_or(Refusal::Gone)?;
                let object = self.objects.get(&held.name).expect("a hold's object exists");
                let hold = &object.holders[token];
                // An unadopted hold comes back by `Adopt` only, under a new token.
                if hold.state != HoldState::Held || hold.unadopted {
                    return Err(Refusal::Gone);
                }
                Ok(Outcome::Granted { token: *token, waiting: object.queue.len() })
            }
            Recorded::Held(held_by) => Ok(Outcome::Held((**held_by).clone())),
            Recorded::TimedOut(held_by) => Ok(Outcome::TimedOut((**held_by).clone())),
            Recorded::Cancelled => Ok(Outcome::Cancelled),
            Recorded::Released => Ok(Outcome::Released),
            Recorded::NotHolder => Err(Refusal::NotHolder),
            Recorded::AlreadyHeld { token } => Err(Refusal::AlreadyHeld { token: *token }),
            Recorded::WrongKind { kind } => Err(Refusal::WrongKind { kind: *kind }),
        }
    }

    /// A refusal from here is not recorded, a `Recorded` is.
    fn acquire(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        seq: Seq,
        body: u64,
        acquire: Acquire,
    ) -> Result<Recorded, Refusal> {
        let object = self.objects.get(&acquire.name).map(|object| &**object);
        if let Some(refused) = object.and_then(|object| refuse(object, id, &acquire)) {
            return Ok(refused);
        }
        let free = object.is_none_or(|object| object.admits(acquire.demand, acquire.priority));
        if !free && !acquire.wait {
            return Ok(Recorded::Held(self.held_by(object.expect("it does not admit")).into()));
        }
        self.check_room(object, free)?;
        let name = acquire.name;
        if object.is_none() {
            let created = Object::new(acquire.demand.kind(), entry.context.stamp_ms);
            self.objects.insert(name.clone(), created.into());
            self.counts.objects += 1;
        }
        let request = WaiterRecord {
            session: id,
            seq,
            fingerprint: body,
            demand: acquire.demand,
            priority: acquire.priority,
            arrival: entry.revision.0,
            max_hold_ms: acquire.max_hold_ms,
            owner: acquire.owner,
            metadata: acquire.metadata,
            since_stamp_ms: entry.context.stamp_ms,
        };
        let object = self.objects.edit(&name).expect("it was there or was just made");
        let session = self.sessions.edit(&id).expect("the caller's session is alive");
        if free {
            let hold = hold_of(request, &mut self.counter, entry.context.stamp_ms);
            let token = hold.token;
            max_hold_timer(entry, &hold);
            object.admit(hold);
            session.holds_now(name, seq, token);
            self.counts.holds += 1;
            return Ok(Recorded::Granted { token });
        }
        entry.touch(&name, object);
        session.waits.insert(seq, WaitsAt { name, place: Place::of(&request) });
        object.enqueue(request);
        self.counts.waiters += 1;
        Ok(Recorded::Queued)
    }

    /// The limits that a grant or a wait would pass.
    fn check_room(&self, object: Option<&Object>, free: bool) -> Result<(), Refusal> {
        let full = |len: u64, max: usize| len >= max as u64;
        let (what, max) = if object.is_none() && full(self.counts.objects, limits::OBJECTS_MAX) {
            (Limit::Objects, limits::OBJECTS_MAX)
        } else if free {
            if !full(self.counts.holds, limits::HOLDS_MAX) {
                return Ok(());
            }
            (Limit::Holds, limits::HOLDS_MAX)
        } else {
            let queue_len = object.map_or(0, |object| u64::from(object.queue.len()));
            if full(queue_len, limits::WAITERS_PER_OBJECT_MAX) {
                (Limit::WaitersOfObject, limits::WAITERS_PER_OBJECT_MAX)
            } else if full(self.counts.waiters, limits::WAITERS_MAX) {
                (Limit::Waiters, limits::WAITERS_MAX)
            } else {
                return Ok(());
            }
        };
        Err(Refusal::Limit { what, max: max as u64 })
    }

    fn release(&mut self, entry: &mut Entry<'_>, id: SessionId, token: Token) -> Recorded {
        match self.hold_of_session(id, token) {
            Some(hold) if hold.state == HoldState::Held && !hold.unadopted => {
                self.end_hold(entry, id, token, crate::hold::End::Released);
                Recorded::Released
            }
            Some(_) | None => Recorded::NotHolder,
        }
    }

    /// A new token in the same entry; the old one is dead from here on.
    fn adopt(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        seq: Seq,
        body: u64,
        token: Token,
    ) -> Recorded {
        if !self.hold_of_session(id, token).is_some_and(|hold| hold.unadopted) {
            return Recorded::NotHolder;
        }
        let session = self.sessions.edit(&id).expect("the caller's session is alive");
        let name = session.holds[&token].name.clone();
        let object = self.objects.edit(&name).expect("a hold's object exists");
        let mut hold = object.holders.remove(&token).expect("a hold is among the holders");
        session.holds_no_more(token);
        session.one_unadopted_less();

        let adopted = alloc::sync::Arc::make_mut(&mut hold);
        adopted.token = Token(draw(&mut self.counter));
        adopted.timer = (adopted.max_hold_ms > 0).then(|| Generation(draw(&mut self.counter)));
        adopted.seq = seq;
        adopted.fingerprint = body;
        adopted.unadopted = false;
        let adopted_token = adopted.token;
        entry.events.push(Event::HoldEnded { session: id, name: name.clone(), token });
        max_hold_timer(entry, &hold);
        object.holders.insert(adopted_token, hold);
        session.holds_now(name, seq, adopted_token);
        Recorded::Granted { token: adopted_token }
    }
}

fn check_call(call: &Call) -> Result<(), Refusal> {
    check_seq(call.seq)?;
    if call.seen_through.0 == u64::MAX {
        return Err(Refusal::Invalid { what: Invalid::Seq });
    }
    match &call.op {
        Op::Acquire(acquire) if acquire.max_hold_ms > limits::MAX_HOLD_MS_MAX => {
            Err(Refusal::Invalid { what: Invalid::MaxHold })
        }
        Op::Acquire(_) | Op::Release { .. } | Op::Adopt { .. } => Ok(()),
    }
}

/// What the object itself says against the request, whoever else holds or waits.
fn refuse(object: &Object, id: SessionId, acquire: &Acquire) -> Option<Recorded> {
    if object.kind != acquire.demand.kind() {
        return Some(Recorded::WrongKind { kind: object.kind });
    }
    let owner = acquire.owner.as_deref().filter(|_| acquire.demand.once_per_owner())?;
    object.held_by_owner(id, owner).map(|token| Recorded::AlreadyHeld { token })
}

impl Session {
    /// What a wait of this session became: remembered if its client has not seen the seq yet.
    pub(crate) fn waits_no_more(&mut self, seq: Seq, became: Recorded) -> Option<WaitsAt> {
        let wait = self.waits.remove(&seq)?;
        self.window.settle(seq, became);
        Some(wait)
    }
}
