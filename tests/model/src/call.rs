//! Mutations of a session, exactly once: the replay window, and the ways a wait is withdrawn.

use conclave_machine::{
    Acquire, Call, Invalid, Limit, Op, Outcome, Refusal, Seq, SessionId, SessionKey, WaitEnd,
    limits::{ENDS_MAX, WINDOW_MAX},
};

use crate::model::{Answer, Model};
use crate::request::Wait;
use crate::valid::{SEQ_BEYOND, valid_op, valid_seq};

impl Model {
    pub(crate) fn call(&mut self, call: &Call) -> Result<Outcome, Refusal> {
        self.authenticate(&call.key)?;
        valid_seq(call.seq)?;
        if call.seen_through == SEQ_BEYOND {
            return Err(Refusal::Invalid { what: Invalid::Seq });
        }
        valid_op(&call.op)?;
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
        let outcome = self.run(id, call.seq, &call.op);
        match &outcome {
            Err(refusal) if !is_recorded(refusal) => {}
            Ok(outcome) => self.record(id, call.seq, Some(call.op.clone()), outcome.clone()),
            Err(refusal) => {
                let outcome = Outcome::Refused(refusal.clone());
                self.record(id, call.seq, Some(call.op.clone()), outcome);
            }
        }
        outcome
    }

    fn run(&mut self, id: SessionId, seq: Seq, op: &Op) -> Result<Outcome, Refusal> {
        match op {
            Op::Acquire(acquire) => self.acquire(id, seq, acquire),
            Op::Release { token, permits } => self.release_call(id, *token, *permits),
            Op::Adopt { token } => self.adopt(id, seq, *token),
            Op::Downgrade { token, to } => self.downgrade(id, *token, *to),
            Op::Upgrade { token, wait } => self.upgrade(id, seq, *token, *wait),
            Op::Proclaim { term, value } => self.proclaim(id, *term, value),
            Op::SetEligible { campaign, eligible } => self.set_eligible(id, *campaign, *eligible),
            Op::Complete { token, value, retention_ms } => {
                self.complete(id, *token, value, *retention_ms)
            }
            Op::Edit(edit) => self.edit(id, edit),
        }
    }

    /// What a known seq asked for; `Some(None)`: it was cancelled before it was seen.
    fn body(&self, id: SessionId, seq: Seq) -> Option<Option<&Op>> {
        let answered = self.find(id)?.answered(seq);
        let answered = answered.map(|answer| answer.body.as_ref());
        let waits = self.wait(id, seq);
        let holds = self.holds.iter().find(|hold| hold.is(id, seq));
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

    /// A wait that leaves nothing to hold: its end is known for a while, also to a client that has confirmed that it was queued;
    /// unless that client ended it.
    pub(crate) fn ended_without_hold(&mut self, id: SessionId, wait: &Wait, outcome: Outcome) {
        self.decided_later(id, wait.seq, outcome.clone());
        let session = self.session_mut(id);
        if session.ended || outcome == Outcome::Cancelled {
            return;
        }
        let body = Some(wait.body.clone());
        session.last_ends.push(Answer { seq: wait.seq, body, outcome });
        let many = session.last_ends.len().saturating_sub(ENDS_MAX);
        session.last_ends.drain(..many);
    }

    /// What a known seq stands for now: its wait, its hold, or what was answered. A grant is answered again only as
    /// long as that hold is still one: not after it was released, lost or left behind by an earlier process.
    fn stands_for(&self, id: SessionId, seq: Seq) -> Option<Outcome> {
        if let Some(position) = self.position(id, seq) {
            return Some(Outcome::Queued { position });
        }
        if let Some(hold) = self.holds.iter().find(|hold| hold.is(id, seq)) {
            let waiting = self.longest_queue(&hold.items);
            return hold.is_own().then_some(Outcome::Granted { token: hold.token, waiting });
        }
        let session = self.live(id)?;
        let answer = session.answered(seq)?;
        match &answer.outcome {
            Outcome::Granted { .. } => None,
            // Who holds it now, which may be nobody.
            Outcome::Held(held_by) => Some(Outcome::Held(self.held_by(&held_by.name))),
            Outcome::TimedOut(held_by) => Some(Outcome::TimedOut(self.held_by(&held_by.name))),
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

    pub(crate) fn cancel(&mut self, key: &SessionKey, seq: Seq) -> Result<Outcome, Refusal> {
        self.authenticate(key)?;
        valid_seq(seq)?;
        if self.wait(key.id, seq).is_some() {
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
        let Some(wait) = self.wait(id, seq) else {
            let known = self.body(id, seq).is_some();
            let gone = known || seq <= self.session_mut(id).seen_through;
            let refusal = if gone { Refusal::Gone } else { Refusal::NotFound };
            return self.stands_for(id, seq).ok_or(refusal);
        };
        let lacking = self.lacks(wait).expect("what lacks nothing is served");
        let mut held_by = self.held_by(&lacking.name);
        if !wait.stands_aside() {
            // Itself no longer counts.
            held_by.queue_len -= 1;
        }
        self.end_wait(id, seq, WaitEnd::TimedOut(held_by.clone()));
        Ok(Outcome::TimedOut(held_by))
    }
}

/// Whether to wait is not part of the body.
fn same_body(one: &Op, other: &Op) -> bool {
    match (one, other) {
        (Op::Acquire(one), Op::Acquire(other)) => {
            Acquire { wait: other.wait, ..one.clone() } == *other
        }
        (Op::Upgrade { token: one, .. }, Op::Upgrade { token: other, .. }) => one == other,
        (
            Op::Acquire(_)
            | Op::Release { .. }
            | Op::Adopt { .. }
            | Op::Downgrade { .. }
            | Op::Upgrade { .. }
            | Op::Proclaim { .. }
            | Op::SetEligible { .. }
            | Op::Complete { .. }
            | Op::Edit(_),
            _,
        ) => one == other,
    }
}

/// Refusals that a retry of the seq gets again; after the others it may be tried anew.
fn is_recorded(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::NotHolder
        | Refusal::AlreadyHeld { .. }
        | Refusal::WrongKind { .. }
        | Refusal::NotFound
        | Refusal::Mismatch { .. }
        | Refusal::Weight { .. }
        | Refusal::NotUpgradable
        | Refusal::WouldDeadlock
        | Refusal::Deadlock { .. }
        | Refusal::Guard
        | Refusal::BelowZero { .. }
        | Refusal::Overflow { .. }
        | Refusal::Broken
        | Refusal::AttemptsExhausted { .. }
        | Refusal::HoldLost => true,
        Refusal::SessionExpired
        | Refusal::Fenced { .. }
        | Refusal::SeqReused
        | Refusal::Gone
        | Refusal::Limit { .. }
        | Refusal::Conflict { .. }
        | Refusal::Busy
        | Refusal::Stale
        | Refusal::Invalid { .. } => false,
    }
}
