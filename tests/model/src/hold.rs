//! Holds: granted, renewed under another token, lost, ended. Whatever ends a hold grants the next in the same entry.

use conclave_machine::{
    Demand, Event, HoldState, Loss, LossNumber, LossReason, Name, Note, Op, Outcome, Refusal,
    Revision, Secret, Seq, SessionId, Timer, Token, WaitEnd,
};

use crate::model::{Model, and_a_tenth};
use crate::object::State;
use crate::request::{Hold, Request};

impl Model {
    /// Makes the request a hold, on the spot. The answer is the caller's.
    pub(crate) fn grant(&mut self, request: Request) -> Token {
        let token = self.begin_hold(request);
        self.tell_granted(token);
        self.limit_hold(token);
        token
    }

    fn begin_hold(&mut self, request: Request) -> Token {
        let token = Token(self.draw());
        self.fresh.push(token);
        for item in &request.items {
            self.object_mut(&item.name).statistics.grants += 1;
        }
        self.holds.push(Hold {
            request: Request { since_stamp_ms: self.stamp_ms, ..request },
            token,
            state: HoldState::Held,
            unadopted: false,
            timer: None,
            preempt: None,
        });
        token
    }

    /// Watchers of each of its objects hear of a holder more.
    fn tell_granted(&mut self, token: Token) {
        let hold = self.hold(token).expect("a known hold").clone();
        for item in &hold.items {
            let note = self.note_of_grant(&hold, item.demand);
            self.note(&item.name, note);
        }
    }

    fn note_of_grant(&self, hold: &Hold, demand: Demand) -> Note {
        let session = self.find(hold.session).expect("a hold's session");
        Note::Granted {
            session: session.id,
            session_name: session.name.clone(),
            token: hold.token,
            demand,
            value: hold.campaign.as_ref().map(|campaign| campaign.value.clone()),
        }
    }

    /// Starts the timer of `max_hold`, if the hold has an end.
    fn limit_hold(&mut self, token: Token) {
        let hold = self.hold(token).expect("a known hold");
        let (session, after_ms) = (hold.session, hold.max_hold_ms);
        if after_ms > 0 {
            let set = self.set_timer(Timer::MaxHold(session, token), after_ms);
            self.hold_mut(token).timer = Some(set);
        }
    }

    /// Out of the queue.
    pub(crate) fn grant_wait(&mut self, session: SessionId, seq: Seq) {
        let wait = self.leave(session, seq);
        let name = wait.name().clone();
        let token = match wait.upgrades {
            None => self.begin_hold(wait.request.clone()),
            Some(old) => self.renew_hold(old, seq, wait.body.clone(), Some(wait.items[0].demand)),
        };
        let waiting = self.longest_queue(&wait.items);
        self.decided_later(session, seq, Outcome::Granted { token, waiting });
        self.events.push(Event::Granted { session, seq, name, token, waiting });
        match wait.upgrades {
            None => self.tell_granted(token),
            Some(old) => self.tell_renewed(old, token),
        }
        self.limit_hold(token);
    }

    /// The hold goes on under a new token, as the hold of this seq: adopted, or upgraded to another demand.
    fn renew_hold(&mut self, old: Token, seq: Seq, body: Op, demand: Option<Demand>) -> Token {
        let at = self.holds.iter().position(|hold| hold.token == old).expect("a known hold");
        let mut hold = self.holds.remove(at);
        let token = Token(self.draw());
        self.fresh.push(token);
        hold.token = token;
        hold.seq = seq;
        hold.body = body;
        hold.unadopted = false;
        hold.timer = None;
        hold.preempt = None;
        if let Some(demand) = demand {
            hold.items[0].demand = demand;
        }
        self.holds.push(hold);
        token
    }

    fn tell_renewed(&mut self, old: Token, new: Token) {
        let hold = self.hold(new).expect("a known hold").clone();
        let (session, name) = (hold.session, hold.name().clone());
        self.events.push(Event::HoldEnded { session, name, token: old });
        for item in &hold.items {
            self.note(&item.name, Note::Ended { session, token: old, lost: false });
            let note = self.note_of_grant(&hold, item.demand);
            self.note(&item.name, note);
        }
    }

    /// On the spot: adopted, or upgraded to another demand.
    pub(crate) fn go_on(
        &mut self,
        old: Token,
        seq: Seq,
        body: Op,
        demand: Option<Demand>,
    ) -> Outcome {
        let token = self.renew_hold(old, seq, body, demand);
        self.tell_renewed(old, token);
        self.limit_hold(token);
        let items = self.hold(token).expect("a known hold").items.clone();
        Outcome::Granted { token, waiting: self.longest_queue(&items) }
    }

    /// A hold that changes for the worse takes its pending upgrade along.
    pub(crate) fn drop_upgrade(&mut self, token: Token) {
        let upgrade = self.waits.iter().find(|wait| wait.upgrades == Some(token));
        if let Some((session, seq)) = upgrade.map(|wait| (wait.session, wait.seq)) {
            self.end_wait(session, seq, WaitEnd::Refused(Refusal::HoldLost));
        }
    }

    /// Given back in good order.
    pub(crate) fn release(&mut self, token: Token) {
        self.remove_hold(token, false);
    }

    /// Over in any other way.
    pub(crate) fn end_hold(&mut self, token: Token) {
        self.remove_hold(token, true);
    }

    fn remove_hold(&mut self, token: Token, lost: bool) {
        self.drop_upgrade(token);
        let at = self.holds.iter().position(|hold| hold.token == token).expect("a known hold");
        let hold = self.holds.remove(at);
        self.touch(&hold.items);
        let (session, name) = (hold.session, hold.name().clone());
        self.events.push(Event::HoldEnded { session, name, token });
        for item in &hold.items {
            let object = self.object_mut(&item.name);
            if lost {
                object.statistics.losses += 1;
            } else {
                object.statistics.releases += 1;
            }
            // A run without a result, as far as is known here.
            if let State::Once { attempts, .. } = &mut object.state {
                *attempts = attempts.saturating_add(1);
            }
            self.note(&item.name, Note::Ended { session, token, lost });
        }
    }

    /// The session expired: the hold stays for its lock-delay, or ends at once if there is none.
    pub(crate) fn cool(&mut self, token: Token) {
        let session = self.hold(token).expect("a known hold").session;
        let lock_delay_ms = self.find(session).expect("a hold's session").lock_delay_ms;
        if lock_delay_ms == 0 {
            self.end_hold(token);
        } else {
            self.drop_upgrade(token);
            self.suspend(token, HoldState::Cooling, lock_delay_ms);
        }
    }

    /// Taken away from a client that may still believe: occupied until it is surely unused.
    pub(crate) fn revoke(&mut self, token: Token, reason: Option<LossReason>) {
        self.drop_upgrade(token);
        if let Some(reason) = reason {
            self.lose(token, reason);
        }
        let id = self.hold(token).expect("a known hold").session;
        let session = self.find(id).expect("a hold's session");
        let after_ms = and_a_tenth(session.ttl_ms) + session.lock_delay_ms;
        self.suspend(token, HoldState::Revoked, after_ms);
        self.settle_adoption(id);
    }

    /// It still occupies its place, until that time.
    fn suspend(&mut self, token: Token, state: HoldState, after_ms: u64) {
        let session = self.hold(token).expect("a known hold").session;
        if self.hold_mut(token).preempt.take().is_some() {
            self.events.push(Event::TimerStopped { timer: Timer::Preempt(session, token) });
        }
        let set = self.set_timer(Timer::HoldEnd(session, token), after_ms);
        let hold = self.hold_mut(token);
        hold.state = state;
        hold.unadopted = false;
        hold.timer = Some(set);
        for item in hold.items.clone() {
            let note = match state {
                HoldState::Cooling => Note::Cooling { session, token },
                HoldState::Revoked => Note::Revoked { session, token },
                HoldState::Held => unreachable!("a hold is suspended to another state"),
            };
            self.note(&item.name, note);
        }
    }

    /// The live session is told, until it confirms.
    fn lose(&mut self, token: Token, reason: LossReason) {
        let hold = self.hold(token).expect("a known hold");
        let (name, id) = (hold.name().clone(), hold.session);
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

    pub(crate) fn preempt_over(&mut self, token: Token) {
        self.revoke(token, Some(LossReason::Preempted));
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
        let hold = self.hold(token).filter(|hold| hold.wants(name)).ok_or(Refusal::NotFound)?;
        let (state, session) = (hold.state, hold.session);
        let reason = LossReason::ForceReleased { by: by.into() };
        if now {
            self.drop_upgrade(token);
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

    pub(crate) fn hold(&self, token: Token) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.token == token)
    }

    pub(crate) fn hold_mut(&mut self, token: Token) -> &mut Hold {
        self.holds.iter_mut().find(|hold| hold.token == token).expect("a known hold")
    }

    /// A hold that its session has in its hands: held, and adopted if it was resumed.
    pub(crate) fn own_hold(&self, id: SessionId, token: Token) -> Result<&Hold, Refusal> {
        let hold = self.hold(token).filter(|hold| hold.session == id && hold.is_own());
        hold.ok_or(Refusal::NotHolder)
    }
}
