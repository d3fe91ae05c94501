//! Mutations of a session, exactly once: the replay window, acquire, release, adopt, and the ways a wait is withdrawn.

use conclave_machine::{
    Acquire, Call, Demand, HoldState, Invalid, Kind, Limit, Op, Outcome, Refusal, Seq, SessionId,
    SessionKey, Statistics, Token, WaitEnd,
    limits::{MAX_HOLD_MS_MAX, WINDOW_MAX},
};

use crate::model::{Answer, Model, Object, Wait};

impl Model {
    pub(crate) fn call(&mut self, call: &Call) -> Result<Outcome, Refusal> {
        self.authenticate(&call.key)?;
        valid_seq(call.seq)?;
        if call.seen_through == SEQ_BEYOND {
            return Err(Refusal::Invalid { what: Invalid::Seq });
        }
        if let Op::Acquire(acquire) = &call.op
            && acquire.max_hold_ms > MAX_HOLD_MS_MAX
        {
            return Err(Refusal::Invalid { what: Invalid::MaxHold });
        }
        let id = call.key.id;
        let session = self.session_mut(id);
        session.seen_through = session.seen_through.max(call.seen_through);
        let seen_through = session.seen_through;
        session.answers.retain(|answer| answer.seq > seen_through);
        if let Some(body) = self.body(id, call.seq) {
            if body.is_some_and(|body| !same_body(body, &call.op)) {
                return Err(Refusal::SeqReused);
            }
            return self.stands_for(id, call.seq).ok_or(Refusal::Gone);
        }
        if call.seq <= seen_through {
            return Err(Refusal::Gone);
        }
        self.window_has_room(id)?;
        let outcome = match &call.op {
            Op::Acquire(acquire) => self.acquire(id, call.seq, acquire),
            Op::Release { token } => self.release_call(id, *token),
            Op::Adopt { token } => self.adopt(id, call.seq, *token),
        };
        let outcome = outcome.unwrap_or_else(Outcome::Refused);
        self.record(id, call.seq, Some(call.op.clone()), outcome.clone());
        Ok(outcome)
    }

    /// What a known seq asked for; `Some(None)`: it was cancelled before it was seen.
    fn body(&self, id: SessionId, seq: Seq) -> Option<Option<&Op>> {
        let is = |session: SessionId, other: Seq| session == id && other == seq;
        let answered = self.find(id)?.answers.iter().find(|answer| answer.seq == seq);
        let answered = answered.map(|answer| answer.body.as_ref());
        let waits = self.waits.iter().find(|wait| is(wait.session, wait.seq));
        let holds = self.holds.iter().find(|hold| is(hold.session, hold.seq));
        answered
            .or_else(|| waits.map(|wait| Some(&wait.body)))
            .or_else(|| holds.map(|hold| Some(&hold.body)))
    }

    fn window_has_room(&mut self, id: SessionId) -> Result<(), Refusal> {
        if self.session_mut(id).answers.len() >= WINDOW_MAX {
            return Err(Refusal::Limit { what: Limit::Window, max: WINDOW_MAX as u64 });
        }
        Ok(())
    }

    fn record(&mut self, id: SessionId, seq: Seq, body: Option<Op>, outcome: Outcome) {
        let session = self.session_mut(id);
        session.seq_max = session.seq_max.max(seq);
        session.answers.push(Answer { seq, body, outcome });
    }

    /// The final answer of a wait takes the place of `Queued`, as long as the client has not confirmed that.
    pub(crate) fn decided_later(&mut self, id: SessionId, seq: Seq, outcome: Outcome) {
        let session = self.session_mut(id);
        if let Some(answer) = session.answers.iter_mut().find(|answer| answer.seq == seq) {
            answer.outcome = outcome;
        }
    }

    /// What a known seq stands for now: its wait, its hold, or what was answered. A grant is answered again only as
    /// long as that hold is still one: not after it was released, lost or left behind by an earlier process.
    pub(crate) fn stands_for(&self, id: SessionId, seq: Seq) -> Option<Outcome> {
        if let Some(position) = self.position(id, seq) {
            return Some(Outcome::Queued { position });
        }
        let hold = self.holds.iter().find(|hold| hold.session == id && hold.seq == seq);
        if let Some(hold) = hold {
            let held = hold.state == HoldState::Held && !hold.unadopted;
            let waiting = self.queue_len(&hold.name);
            return held.then_some(Outcome::Granted { token: hold.token, waiting });
        }
        let session = self.live(id)?;
        let answer = session.answers.iter().find(|answer| answer.seq == seq)?;
        match &answer.outcome {
            Outcome::Granted { .. } => None,
            other => Some(other.clone()),
        }
    }

    /// As a retry of the same body would be told; `None`: no such session, or a seq not met yet.
    #[must_use]
    pub fn answer(&self, id: SessionId, seq: Seq) -> Option<Outcome> {
        let session = self.live(id)?;
        if self.body(id, seq).is_none() && seq > session.seen_through {
            return None;
        }
        Some(self.stands_for(id, seq).unwrap_or(Outcome::Refused(Refusal::Gone)))
    }

    fn acquire(&mut self, id: SessionId, seq: Seq, acquire: &Acquire) -> Result<Outcome, Refusal> {
        let Acquire { name, demand: Demand::Mutex, wait, priority, max_hold_ms, owner, metadata } =
            acquire;
        let own = self.holds_of(name).find(|hold| {
            hold.session == id
                && hold.state == HoldState::Held
                && owner.is_some()
                && hold.owner == *owner
        });
        if let Some(hold) = own {
            return Err(Refusal::AlreadyHeld { token: hold.token });
        }
        let request = Wait {
            name: name.clone(),
            session: id,
            seq,
            body: Op::Acquire(acquire.clone()),
            priority: *priority,
            max_hold_ms: *max_hold_ms,
            owner: owner.clone(),
            metadata: metadata.clone(),
            since_stamp_ms: self.stamp_ms,
        };
        if !self.objects.iter().any(|object| object.name == *name) {
            let statistics =
                Statistics { created_stamp_ms: self.stamp_ms, ..Statistics::default() };
            self.objects.push(Object { name: name.clone(), kind: Kind::Mutex, statistics });
        }
        if self.holds_of(name).next().is_none() {
            let token = self.grant(request);
            self.limit_hold(token);
            return Ok(Outcome::Granted { token, waiting: 0 });
        }
        if !wait {
            return Ok(Outcome::Held(self.held_by(name)));
        }
        self.waits.push(request);
        let queue_len = self.queue_len(name);
        let statistics = &mut self.object_mut(name).statistics;
        statistics.queue_len_max = statistics.queue_len_max.max(queue_len);
        Ok(Outcome::Queued { position: self.position(id, seq).expect("it waits") })
    }

    fn release_call(&mut self, id: SessionId, token: Token) -> Result<Outcome, Refusal> {
        let hold = self.hold(token).filter(|hold| hold.session == id).ok_or(Refusal::NotHolder)?;
        if hold.state != HoldState::Held || hold.unadopted {
            return Err(Refusal::NotHolder);
        }
        self.release(token);
        Ok(Outcome::Released)
    }

    /// The hold goes on under a new token, as the hold of this seq.
    fn adopt(&mut self, id: SessionId, seq: Seq, token: Token) -> Result<Outcome, Refusal> {
        let hold = self.hold(token).filter(|hold| hold.session == id).ok_or(Refusal::NotHolder)?;
        if hold.state != HoldState::Held || !hold.unadopted {
            return Err(Refusal::NotHolder);
        }
        let name = hold.name.clone();
        let new = Token(self.draw());
        self.fresh.push(new);
        let hold = self.hold_mut(token);
        hold.token = new;
        hold.seq = seq;
        hold.body = Op::Adopt { token };
        hold.unadopted = false;
        hold.timer = None;
        self.events.push(conclave_machine::Event::HoldEnded {
            session: id,
            name: name.clone(),
            token,
        });
        self.limit_hold(new);
        self.settle_adoption(id);
        Ok(Outcome::Granted { token: new, waiting: self.queue_len(&name) })
    }

    pub(crate) fn cancel(&mut self, key: &SessionKey, seq: Seq) -> Result<Outcome, Refusal> {
        self.authenticate(key)?;
        valid_seq(seq)?;
        if self.position(key.id, seq).is_some() {
            self.end_wait(key.id, seq, WaitEnd::Cancelled);
            return Ok(Outcome::Cancelled);
        }
        if self.body(key.id, seq).is_some() {
            return self.stands_for(key.id, seq).ok_or(Refusal::Gone);
        }
        if seq <= self.session_mut(key.id).seen_through {
            return Err(Refusal::Gone);
        }
        self.window_has_room(key.id)?;
        self.record(key.id, seq, None, Outcome::Cancelled);
        Ok(Outcome::Cancelled)
    }

    pub(crate) fn time_out(&mut self, id: SessionId, seq: Seq) -> Result<Outcome, Refusal> {
        self.live(id).ok_or(Refusal::SessionExpired)?;
        let Some(wait) = self.waits.iter().find(|wait| wait.session == id && wait.seq == seq)
        else {
            let known = self.body(id, seq).is_some();
            let gone = known || seq <= self.session_mut(id).seen_through;
            let refusal = if gone { Refusal::Gone } else { Refusal::NotFound };
            return self.stands_for(id, seq).ok_or(refusal);
        };
        let name = wait.name.clone();
        let mut held_by = self.held_by(&name);
        // Itself no longer counts.
        held_by.queue_len -= 1;
        self.end_wait(id, seq, WaitEnd::TimedOut(held_by.clone()));
        Ok(Outcome::TimedOut(held_by))
    }
}

/// No seq, so that a next one always exists.
const SEQ_BEYOND: Seq = Seq(u64::MAX);

fn valid_seq(seq: Seq) -> Result<(), Refusal> {
    if seq == Seq(0) || seq == SEQ_BEYOND {
        return Err(Refusal::Invalid { what: Invalid::Seq });
    }
    Ok(())
}

/// Whether to wait is not part of the body.
fn same_body(one: &Op, other: &Op) -> bool {
    match (one, other) {
        (Op::Acquire(one), Op::Acquire(other)) => {
            Acquire { wait: other.wait, ..one.clone() } == *other
        }
        (Op::Acquire(_) | Op::Release { .. } | Op::Adopt { .. }, _) => one == other,
    }
}
