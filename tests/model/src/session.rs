//! Sessions: opened, attached, resumed, ended.

use conclave_machine::{
    Attach, Epoch, Event, Generation, HoldState, Invalid, LossNumber, LossReason, Open, Outcome,
    Refusal, Resume, Seq, SessionEnd, SessionId, SessionKey, Standing, StandingHold, StandingWait,
    Timer, Token, WaitEnd,
    limits::{LOCK_DELAY_MS_MAX, TTL_MS_MAX, TTL_MS_MIN},
};

use crate::model::{Model, Session, and_a_tenth};
use crate::request::Hold;

impl Model {
    pub(crate) fn open(&mut self, open: &Open) -> Result<Outcome, Refusal> {
        // An ended session is forgotten sooner or later; its secret opens a new one from the beginning.
        let mut live = self.sessions.iter().filter(|session| !session.ended);
        if let Some(known) = live.find(|session| session.secret == open.secret) {
            if known.epoch != Epoch(1) {
                return Err(Refusal::Fenced { epoch: known.epoch });
            }
            return Ok(opened(known));
        }
        if !(TTL_MS_MIN..=TTL_MS_MAX).contains(&open.ttl_ms) {
            return Err(Refusal::Invalid { what: Invalid::Ttl });
        }
        if open.lock_delay_ms > LOCK_DELAY_MS_MAX {
            return Err(Refusal::Invalid { what: Invalid::LockDelay });
        }
        let id = SessionId(self.draw());
        self.sessions.push(Session {
            id,
            secret: open.secret,
            name: open.name.clone(),
            labels: open.labels.clone(),
            ttl_ms: open.ttl_ms,
            lock_delay_ms: open.lock_delay_ms,
            opened_stamp_ms: self.stamp_ms,
            epoch: Epoch(1),
            generation: Generation(0),
            ended: false,
            nonce: None,
            attach_number: 0,
            adoption: None,
            seen_through: Seq(0),
            seq_max: Seq(0),
            answers: Vec::new(),
            last_ends: Vec::new(),
            losses: Vec::new(),
            losses_told: 0,
        });
        self.renew(id);
        Ok(opened(self.find(id).expect("just opened")))
    }

    /// The session's timer starts anew.
    fn renew(&mut self, id: SessionId) {
        let ttl_ms = self.session_mut(id).ttl_ms;
        let set = self.set_timer(Timer::Session(id), and_a_tenth(ttl_ms));
        self.session_mut(id).generation = set.generation;
    }

    pub(crate) fn attach(&mut self, attach: &Attach) -> Result<Outcome, Refusal> {
        self.authenticate(&attach.key)?;
        let id = attach.key.id;
        let session = self.session_mut(id);
        if attach.number <= session.attach_number {
            return Err(Refusal::Stale);
        }
        session.attach_number = attach.number;
        session
            .last_ends
            .retain(|end| end.seq >= attach.next_seq || attach.waiting.contains(&end.seq));
        self.renew(id);
        let mut unclaimed = self.seqs_waiting(id);
        unclaimed.retain(|seq| *seq < attach.next_seq && !attach.waiting.contains(seq));
        self.end_waits(id, &unclaimed, &WaitEnd::Cancelled);
        // An unadopted hold is the belief of the process before; only the adoption timer may judge it.
        let unclaimed = self.tokens_where(id, |hold| {
            hold.seq < attach.next_seq
                && hold.state == HoldState::Held
                && !hold.unadopted
                && !attach.held.contains(&hold.token)
                && !attach.waiting.contains(&hold.seq)
        });
        for token in unclaimed {
            self.release(token);
        }
        Ok(Outcome::Attached(self.standing(id)))
    }

    pub(crate) fn resume(&mut self, resume: &Resume) -> Result<Outcome, Refusal> {
        let id = resume.session;
        let session = self.live(id).ok_or(Refusal::SessionExpired)?;
        if session.secret != resume.secret {
            return Err(Refusal::SessionExpired);
        }
        if session.nonce == Some(resume.nonce) {
            self.renew(id);
            return Ok(self.resumed(id));
        }
        if session.epoch != resume.expected {
            return Err(Refusal::Fenced { epoch: session.epoch });
        }
        self.renew(id);
        let session = self.session_mut(id);
        session.epoch = Epoch(session.epoch.get() + 1);
        session.nonce = Some(resume.nonce);
        session.attach_number = 0;
        // What was answered before belongs to an epoch that is fenced out.
        session.answers.clear();
        session.seen_through = session.seen_through.max(session.seq_max);
        let ttl_ms = session.ttl_ms;
        for token in self.tokens_where(id, |hold| hold.state == HoldState::Held) {
            self.hold_mut(token).unadopted = true;
        }
        if !self.tokens_where(id, |hold| hold.unadopted).is_empty() {
            let set = self.set_timer(Timer::Adoption(id), ttl_ms);
            self.session_mut(id).adoption = Some(set.generation);
        }
        self.end_waits(id, &self.seqs_waiting(id), &WaitEnd::Fenced);
        self.session_mut(id).last_ends.clear();
        Ok(self.resumed(id))
    }

    fn resumed(&self, id: SessionId) -> Outcome {
        let session = self.find(id).expect("a known session");
        Outcome::Resumed {
            epoch: session.epoch,
            next_seq: Seq(session.seq_max.max(session.seen_through).get() + 1),
            ttl_ms: session.ttl_ms,
            standing: self.standing(id),
        }
    }

    pub(crate) fn standing(&self, id: SessionId) -> Standing {
        let holds = self.holds.iter().filter(|hold| hold.session == id).map(|hold| StandingHold {
            seq: hold.seq,
            token: hold.token,
            name: hold.name().clone(),
            state: hold.state,
            unadopted: hold.unadopted,
        });
        let waits = self.waits.iter().filter(|wait| wait.session == id).map(|wait| StandingWait {
            seq: wait.seq,
            name: wait.name().clone(),
            position: self.position(id, wait.seq).expect("it waits"),
        });
        let mut standing =
            Standing { holds: holds.collect(), waits: waits.collect(), losses: self.losses(id) };
        standing.holds.sort_by_key(|hold| hold.token);
        standing.waits.sort_by_key(|wait| wait.seq);
        standing
    }

    /// Losses the session has not confirmed.
    #[must_use]
    pub fn losses(&self, id: SessionId) -> Vec<conclave_machine::Loss> {
        self.live(id).map(|session| session.losses.clone()).unwrap_or_default()
    }

    pub(crate) fn confirm_losses(
        &mut self,
        id: SessionId,
        through: LossNumber,
    ) -> Result<Outcome, Refusal> {
        self.live(id).ok_or(Refusal::SessionExpired)?;
        self.session_mut(id).losses.retain(|loss| loss.number > through);
        Ok(Outcome::Confirmed)
    }

    pub(crate) fn close(&mut self, key: &SessionKey) -> Result<Outcome, Refusal> {
        self.authenticate(key)?;
        self.end_session(key.id, &SessionEnd::Closed);
        Ok(Outcome::Ended)
    }

    pub(crate) fn expire(&mut self, id: SessionId) {
        self.end_session(id, &SessionEnd::Expired);
    }

    pub(crate) fn kill(
        &mut self,
        id: SessionId,
        by: &str,
        reason: &str,
    ) -> Result<Outcome, Refusal> {
        self.live(id).ok_or(Refusal::NotFound)?;
        self.end_session(id, &SessionEnd::Killed { by: by.into(), reason: reason.into() });
        Ok(Outcome::Ended)
    }

    /// One entry ends it: first no wait of it can be granted any more, then its holds go the way of this end.
    pub(crate) fn end_session(&mut self, id: SessionId, end: &SessionEnd) {
        let session = self.session_mut(id);
        session.ended = true;
        session.adoption = None;
        session.answers.clear();
        session.last_ends.clear();
        session.losses.clear();
        self.end_waits(id, &self.seqs_waiting(id), &WaitEnd::SessionEnded(end.clone()));
        self.events.push(Event::SessionEnded { session: id, end: end.clone() });
        for token in self.tokens_where(id, |hold| hold.state == HoldState::Held) {
            let unadopted = self.hold(token).is_some_and(|hold| hold.unadopted);
            match end {
                // Closing speaks for the guards of this process, not for those of the one before it.
                SessionEnd::Closed if unadopted => self.revoke(token, None),
                SessionEnd::Closed => self.release(token),
                SessionEnd::Expired => self.cool(token),
                SessionEnd::Killed { .. } => self.revoke(token, None),
            }
        }
        self.unbind(id);
    }

    /// One after the other; the end of one may be the end of another that waits at the same barrier.
    fn end_waits(&mut self, id: SessionId, seqs: &[Seq], end: &WaitEnd) {
        for seq in seqs {
            if self.wait(id, *seq).is_some() {
                self.end_wait(id, *seq, end.clone());
            }
        }
    }

    pub(crate) fn adoption_over(&mut self, id: SessionId) {
        self.session_mut(id).adoption = None;
        let unadopted = self.tokens_where(id, |hold| hold.unadopted);
        for token in unadopted {
            self.revoke(token, Some(LossReason::NotAdopted));
        }
    }

    /// In order of seq.
    fn seqs_waiting(&self, id: SessionId) -> Vec<Seq> {
        let waits = self.waits.iter().filter(|wait| wait.session == id);
        let mut seqs: Vec<_> = waits.map(|wait| wait.seq).collect();
        seqs.sort();
        seqs
    }

    /// Tokens of the session's holds that fit, in order.
    fn tokens_where(&self, id: SessionId, fits: impl Fn(&Hold) -> bool) -> Vec<Token> {
        let holds = self.holds.iter().filter(|hold| hold.session == id && fits(hold));
        let mut tokens: Vec<_> = holds.map(|hold| hold.token).collect();
        tokens.sort();
        tokens
    }
}

fn opened(session: &Session) -> Outcome {
    Outcome::Opened {
        session: session.id,
        epoch: session.epoch,
        ttl_ms: session.ttl_ms,
        generation: session.generation,
    }
}
