//! Sessions: opened, attached, resumed, ended.

use conclave_machine::{
    Attach, Epoch, Event, Generation, HoldState, Invalid, LossNumber, LossReason, Open, Outcome,
    Refusal, Resume, Seq, SessionEnd, SessionId, SessionKey, Standing, StandingHold, StandingWait,
    Timer, WaitEnd,
    limits::{LOCK_DELAY_MS_MAX, TTL_MS_MAX, TTL_MS_MIN},
};

use crate::model::{Model, Session, and_a_tenth};

impl Model {
    pub(crate) fn open(&mut self, open: &Open) -> Result<Outcome, Refusal> {
        if let Some(known) = self.sessions.iter().find(|session| session.secret == open.secret) {
            if known.ended {
                return Err(Refusal::SessionExpired);
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
            adoption: None,
            seen_through: Seq(0),
            seq_max: Seq(0),
            answers: Vec::new(),
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
        self.renew(id);
        // Waits first: a hold released below must not go to a wait that nobody claims.
        let unclaimed: Vec<Seq> = self
            .waits
            .iter()
            .filter(|wait| wait.session == id && wait.seq < attach.next_seq)
            .map(|wait| wait.seq)
            .filter(|seq| !attach.waiting.contains(seq))
            .collect();
        for seq in unclaimed {
            self.end_wait(id, seq, WaitEnd::Cancelled);
        }
        // An unadopted hold is the belief of the process before; only the adoption timer may judge it.
        let unclaimed: Vec<_> = self
            .holds
            .iter()
            .filter(|hold| hold.session == id && hold.seq < attach.next_seq)
            .filter(|hold| hold.state == HoldState::Held && !hold.unadopted)
            .filter(|hold| !attach.held.contains(&hold.token))
            .filter(|hold| !attach.waiting.contains(&hold.seq))
            .map(|hold| hold.token)
            .collect();
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
            return Ok(self.resumed(id));
        }
        if session.epoch != resume.expected {
            return Err(Refusal::Fenced { epoch: session.epoch });
        }
        let session = self.session_mut(id);
        session.epoch = Epoch(session.epoch.get() + 1);
        session.nonce = Some(resume.nonce);
        self.renew(id);
        let waiting: Vec<Seq> = self.seqs_waiting(id);
        for seq in waiting {
            self.end_wait(id, seq, WaitEnd::Fenced);
        }
        for hold in &mut self.holds {
            if hold.session == id && hold.state == HoldState::Held {
                hold.unadopted = true;
            }
        }
        let ttl_ms = self.session_mut(id).ttl_ms;
        if self.holds.iter().any(|hold| hold.session == id && hold.unadopted) {
            let set = self.set_timer(Timer::Adoption(id), ttl_ms);
            self.session_mut(id).adoption = Some(set.generation);
        }
        Ok(self.resumed(id))
    }

    fn resumed(&self, id: SessionId) -> Outcome {
        let session = self.find(id).expect("a known session");
        Outcome::Resumed {
            epoch: session.epoch,
            next_seq: Seq(session.seq_max.get() + 1),
            ttl_ms: session.ttl_ms,
            standing: self.standing(id),
        }
    }

    pub(crate) fn standing(&self, id: SessionId) -> Standing {
        let holds = self.holds.iter().filter(|hold| hold.session == id).map(|hold| StandingHold {
            seq: hold.seq,
            token: hold.token,
            name: hold.name.clone(),
            state: hold.state,
            unadopted: hold.unadopted,
        });
        let waits = self.waits.iter().filter(|wait| wait.session == id).map(|wait| StandingWait {
            seq: wait.seq,
            name: wait.name.clone(),
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
    fn end_session(&mut self, id: SessionId, end: &SessionEnd) {
        let session = self.session_mut(id);
        session.ended = true;
        session.adoption = None;
        session.answers.clear();
        session.losses.clear();
        for seq in self.seqs_waiting(id) {
            self.end_wait(id, seq, WaitEnd::SessionEnded(end.clone()));
        }
        let held: Vec<_> = self
            .holds
            .iter()
            .filter(|hold| hold.session == id && hold.state == HoldState::Held)
            .map(|hold| hold.token)
            .collect();
        for token in held {
            match end {
                SessionEnd::Closed => self.release(token),
                SessionEnd::Expired => self.cool(token),
                SessionEnd::Killed { .. } => self.revoke(token, None),
            }
        }
        self.events.push(Event::SessionEnded { session: id, end: end.clone() });
    }

    pub(crate) fn adoption_over(&mut self, id: SessionId) {
        self.session_mut(id).adoption = None;
        let unadopted: Vec<_> = self
            .holds
            .iter()
            .filter(|hold| hold.session == id && hold.unadopted)
            .map(|hold| hold.token)
            .collect();
        for token in unadopted {
            self.revoke(token, Some(LossReason::NotAdopted));
        }
    }

    fn seqs_waiting(&self, id: SessionId) -> Vec<Seq> {
        self.waits.iter().filter(|wait| wait.session == id).map(|wait| wait.seq).collect()
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
