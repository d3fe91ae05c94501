//! Holds and the queue behind them: granted, released, lost, ended. Whatever ends a hold grants the next in the same entry.

use conclave_machine::{
    Event, Generation, HoldState, Loss, LossNumber, LossReason, Name, Outcome, Refusal, Revision,
    Secret, Seq, SessionId, Timer, TimerSet, Token, WaitEnd,
};

use crate::model::{Hold, Model, Wait, and_a_tenth};

impl Model {
    /// Makes the wait a hold. Returns its token; the answer and the event are the caller's.
    pub(crate) fn grant(&mut self, wait: Wait) -> Token {
        let token = Token(self.draw());
        self.fresh.push(token);
        self.holds.push(Hold {
            name: wait.name.clone(),
            session: wait.session,
            seq: wait.seq,
            body: wait.body,
            token,
            state: HoldState::Held,
            unadopted: false,
            owner: wait.owner,
            metadata: wait.metadata,
            since_stamp_ms: self.stamp_ms,
            max_hold_ms: wait.max_hold_ms,
            timer: None,
        });
        self.object_mut(&wait.name).statistics.grants += 1;
        token
    }

    /// Starts the timer of `max_hold`, if the hold has an end.
    pub(crate) fn limit_hold(&mut self, token: Token) {
        let hold = self.hold(token).expect("a known hold");
        let (session, after_ms) = (hold.session, hold.max_hold_ms);
        if after_ms > 0 {
            let set = self.set_timer(Timer::MaxHold(session, token), after_ms);
            self.hold_mut(token).timer = Some(set);
        }
    }

    /// What ended in this entry makes room in this entry, object by object in order of their names.
    pub(crate) fn settle(&mut self, before: &[(Name, i32)]) {
        let mut names: Vec<_> = self.objects.iter().map(|object| object.name.clone()).collect();
        names.sort();
        for name in names {
            self.serve(&name);
            self.tell_contended(&name, before);
        }
    }

    /// Grants to the first of the queue if nobody holds.
    fn serve(&mut self, name: &Name) {
        if self.holds_of(name).next().is_some() {
            return;
        }
        let Some(first) = self.queue(name).first().map(|wait| (*wait).clone()) else { return };
        let (session, seq) = (first.session, first.seq);
        self.waits.retain(|wait| (wait.session, wait.seq) != (session, seq));
        let token = self.grant(first);
        let waiting = self.queue_len(name);
        self.decided_later(session, seq, Outcome::Granted { token, waiting });
        self.events.push(Event::Granted { session, seq, name: name.clone(), token, waiting });
        self.limit_hold(token);
    }

    /// The objects that are waited for, with the highest priority among their waiters.
    pub(crate) fn highest_priorities(&self) -> Vec<(Name, i32)> {
        let objects = self.objects.iter();
        let highest = objects.map(|object| {
            (&object.name, self.queue(&object.name).first().map(|wait| wait.priority))
        });
        highest.filter_map(|(name, highest)| Some((name.clone(), highest?))).collect()
    }

    /// Tells who believes that it holds: the queue became empty or non-empty, or its highest priority rose.
    fn tell_contended(&mut self, name: &Name, before: &[(Name, i32)]) {
        let before = before.iter().find(|(other, _)| other == name).map(|(_, highest)| *highest);
        let now = self.queue(name).first().map(|wait| wait.priority);
        let worth_telling = match (before, now) {
            (None, None) => false,
            (Some(before), Some(now)) => now > before,
            (Some(_), None) | (None, Some(_)) => true,
        };
        if !worth_telling {
            return;
        }
        let waiting = self.queue_len(name);
        let holders = self.holds_of(name).filter(|hold| hold.state == HoldState::Held);
        let events: Vec<_> = holders
            .filter(|hold| !self.fresh.contains(&hold.token))
            .map(|hold| Event::Contended {
                session: hold.session,
                token: hold.token,
                waiting,
                highest_priority: now.unwrap_or(0),
            })
            .collect();
        self.events.extend(events);
    }

    /// A wait is over without a grant.
    pub(crate) fn end_wait(&mut self, session: SessionId, seq: Seq, end: WaitEnd) {
        let at = self.waits.iter().position(|wait| wait.session == session && wait.seq == seq);
        let name = self.waits.remove(at.expect("a known wait")).name;
        let statistics = &mut self.object_mut(&name).statistics;
        let outcome = match &end {
            WaitEnd::TimedOut(held_by) => {
                statistics.timeouts += 1;
                Outcome::TimedOut(held_by.clone())
            }
            WaitEnd::Cancelled | WaitEnd::SessionEnded(_) | WaitEnd::Fenced => {
                statistics.cancels += 1;
                Outcome::Cancelled
            }
        };
        self.decided_later(session, seq, outcome);
        self.events.push(Event::WaitEnded { session, seq, name, end });
    }

    /// Given back in good order.
    pub(crate) fn release(&mut self, token: Token) {
        let hold = self.remove_hold(token);
        self.object_mut(&hold.name).statistics.releases += 1;
    }

    /// Over in any other way.
    pub(crate) fn end_hold(&mut self, token: Token) {
        let hold = self.remove_hold(token);
        self.object_mut(&hold.name).statistics.losses += 1;
    }

    fn remove_hold(&mut self, token: Token) -> Hold {
        let at = self.holds.iter().position(|hold| hold.token == token).expect("a known hold");
        let hold = self.holds.remove(at);
        let (session, name) = (hold.session, hold.name.clone());
        self.events.push(Event::HoldEnded { session, name, token });
        hold
    }

    /// The session expired: the hold stays for its lock-delay, or ends at once if there is none.
    pub(crate) fn cool(&mut self, token: Token) {
        let hold = self.hold_mut(token);
        hold.timer = None;
        hold.unadopted = false;
        let session = hold.session;
        let lock_delay_ms = self.find(session).expect("a hold's session").lock_delay_ms;
        if lock_delay_ms == 0 {
            self.end_hold(token);
            return;
        }
        let set = self.set_timer(Timer::HoldEnd(session, token), lock_delay_ms);
        let hold = self.hold_mut(token);
        hold.state = HoldState::Cooling;
        hold.timer = Some(set);
    }

    /// Taken away from a client that may still believe: occupied until it is surely unused.
    pub(crate) fn revoke(&mut self, token: Token, reason: Option<LossReason>) {
        let hold = self.hold_mut(token);
        hold.state = HoldState::Revoked;
        hold.unadopted = false;
        hold.timer = None;
        let id = hold.session;
        if let Some(reason) = reason {
            self.lose(token, reason);
        }
        let session = self.find(id).expect("a hold's session");
        let after_ms = and_a_tenth(session.ttl_ms) + session.lock_delay_ms;
        let set = self.set_timer(Timer::HoldEnd(id, token), after_ms);
        self.hold_mut(token).timer = Some(set);
        self.settle_adoption(id);
    }

    /// The live session is told, until it confirms.
    fn lose(&mut self, token: Token, reason: LossReason) {
        let hold = self.hold(token).expect("a known hold");
        let (name, id) = (hold.name.clone(), hold.session);
        if self.live(id).is_none() {
            return;
        }
        let revision = Revision(self.revision);
        let session = self.session_mut(id);
        session.losses_told += 1;
        let number = LossNumber(session.losses_told);
        let loss = Loss { number, token, name, reason, revision };
        session.losses.push(loss.clone());
        self.events.push(Event::Lost { session: id, loss });
    }

    /// The adoption timer runs only while there is something to adopt.
    pub(crate) fn settle_adoption(&mut self, id: SessionId) {
        if !self.holds.iter().any(|hold| hold.session == id && hold.unadopted) {
            self.session_mut(id).adoption = None;
        }
    }

    pub(crate) fn max_hold_over(&mut self, token: Token) {
        self.revoke(token, Some(LossReason::MaxHold));
    }

    pub(crate) fn ack_stopped(
        &mut self,
        session: SessionId,
        secret: Secret,
        token: Token,
    ) -> Result<Outcome, Refusal> {
        // Without a hold its session may be forgotten; a repetition must not fail for that.
        let Some(known) = self.find(session) else { return Ok(Outcome::Stopped) };
        if known.secret != secret {
            return Err(Refusal::SessionExpired);
        }
        let Some(hold) = self.hold(token).filter(|hold| hold.session == session) else {
            return Ok(Outcome::Stopped);
        };
        if hold.state == HoldState::Held {
            return Err(Refusal::NotHolder);
        }
        self.end_hold(token);
        Ok(Outcome::Stopped)
    }

    pub(crate) fn force_release(
        &mut self,
        name: &Name,
        token: Token,
        now: bool,
        by: &str,
    ) -> Result<Outcome, Refusal> {
        let hold = self.hold(token).filter(|hold| hold.name == *name).ok_or(Refusal::NotFound)?;
        let (state, session) = (hold.state, hold.session);
        let reason = LossReason::ForceReleased { by: by.into() };
        if now {
            if state == HoldState::Held {
                self.lose(token, reason);
            }
            self.end_hold(token);
            self.settle_adoption(session);
            return Ok(Outcome::Forced { revoked: false });
        }
        if state == HoldState::Held {
            self.revoke(token, Some(reason));
        }
        Ok(Outcome::Forced { revoked: true })
    }

    /// All running timers, in no particular order.
    #[must_use]
    pub fn timers(&self) -> Vec<TimerSet> {
        let mut timers: Vec<_> = self.holds.iter().filter_map(|hold| hold.timer).collect();
        for session in self.sessions.iter().filter(|session| !session.ended) {
            timers.push(TimerSet {
                timer: Timer::Session(session.id),
                generation: session.generation,
                after_ms: and_a_tenth(session.ttl_ms),
            });
            if let Some(generation) = session.adoption {
                let timer = Timer::Adoption(session.id);
                timers.push(TimerSet { timer, generation, after_ms: session.ttl_ms });
            }
        }
        timers
    }

    /// `None`: it does not run.
    #[must_use]
    pub fn timer_generation(&self, timer: &Timer) -> Option<Generation> {
        self.timers().iter().find(|set| set.timer == *timer).map(|set| set.generation)
    }

    pub(crate) fn hold_mut(&mut self, token: Token) -> &mut Hold {
        self.holds.iter_mut().find(|hold| hold.token == token).expect("a known hold")
    }
}
