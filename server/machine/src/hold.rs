//! How a hold is lost and how it ends: release, revocation, cooling, acknowledgement, force.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::command::Timer;
use crate::event::Event;
use crate::ids::{Generation, LossNumber, Secret, SessionId, Token};
use crate::limits::LOSSES_MAX;
use crate::machine::{Entry, Machine, draw};
use crate::name::Name;
use crate::outcome::{HoldState, Loss, LossReason, Outcome, Refusal, SessionEnd};
use crate::record::HoldRecord;

/// How a hold ended, as the object counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client let go of it.
    Released,
    /// It expired, or was revoked or forced.
    Lost,
}

impl Machine {
    pub(crate) fn hold_of_session(&self, id: SessionId, token: Token) -> Option<&HoldRecord> {
        let held = self.sessions.get(&id)?.holds.get(&token)?;
        let object = self.objects.get(&held.name).expect("a hold's object exists");
        Some(&object.holders[&token])
    }

    /// Takes a hold away from its object and its session. An ended session leaves with its last hold.
    pub(crate) fn end_hold(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        end: End,
    ) {
        let session = self.sessions.edit(&id).expect("a hold's session is kept");
        let name = session.holds[&token].name.clone();
        session.holds_no_more(token);
        let object = self.objects.edit(&name).expect("a hold's object exists");
        entry.touch(&name, object);
        let hold = object.holders.remove(&token).expect("a hold is among the holders");
        match end {
            End::Released => object.statistics.releases += 1,
            End::Lost => object.statistics.losses += 1,
        }
        if hold.unadopted {
            session.one_unadopted_less();
        }
        self.counts.holds -= 1;
        let gone = session.ended && session.holds.is_empty();
        entry.events.push(Event::HoldEnded { session: id, name, token });
        if gone {
            self.sessions.remove(&id);
        }
    }

    /// The hold leaves the state `Held` but still occupies, until its new timer or an acknowledgement ends it.
    pub(crate) fn suspend(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        state: HoldState,
    ) {
        let session = self.sessions.edit(&id).expect("a hold's session is kept");
        let after_ms = match state {
            HoldState::Cooling => session.lock_delay_ms,
            HoldState::Revoked => session.revoked_ends_after_ms(),
            HoldState::Held => unreachable!("a hold never comes back"),
        };
        let generation = Generation(draw(&mut self.counter));
        let object = self.objects.edit(&session.holds[&token].name);
        let object = object.expect("a hold's object exists");
        let hold = Arc::make_mut(object.holders.get_mut(&token).expect("it is among the holders"));
        assert!(hold.state == HoldState::Held, "only a hold that is held can be suspended");
        if hold.unadopted {
            hold.unadopted = false;
            session.one_unadopted_less();
        }
        hold.state = state;
        hold.timer = Some(generation);
        entry.timer(Timer::HoldEnd(id, token), generation, after_ms);
    }

    /// Writes down, and tells, that a live session lost a hold; it is told again until the client confirms it.
    fn lose(&mut self, entry: &mut Entry<'_>, id: SessionId, token: Token, reason: LossReason) {
        let session = self.session_known(id);
        if session.ended {
            return;
        }
        let loss = Loss {
            number: session.next_loss(),
            token,
            name: session.holds[&token].name.clone(),
            reason,
            revision: entry.revision,
        };
        session.losses.push_back(loss.clone());
        entry.events.push(Event::Lost { session: id, loss });
    }

    /// Takes a hold away from a live session; the client may still believe in it for a while.
    pub(crate) fn revoke(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        reason: LossReason,
    ) {
        self.lose(entry, id, token, reason);
        self.suspend(entry, id, token, HoldState::Revoked);
    }

    /// A client that never confirms a loss hears nothing: its session ends before the list of losses grows without bound.
    pub(crate) fn end_if_deaf(&mut self, entry: &mut Entry<'_>, id: SessionId) {
        if self.live(id).is_some_and(|session| session.losses.len() > LOSSES_MAX) {
            let by = "conclave".into();
            let reason = "too many losses were never confirmed".into();
            self.end_session(entry, id, SessionEnd::Killed { by, reason });
        }
    }

    pub(crate) fn ack_stopped(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        secret: Secret,
        token: Token,
    ) -> Result<Outcome, Refusal> {
        let Some(session) = self.sessions.get(&id) else { return Ok(Outcome::Stopped) };
        if session.secret != secret {
            return Err(Refusal::SessionExpired);
        }
        match self.hold_of_session(id, token).map(|hold| hold.state) {
            None => Ok(Outcome::Stopped),
            Some(HoldState::Held) => Err(Refusal::NotHolder),
            Some(HoldState::Cooling | HoldState::Revoked) => {
                self.end_hold(entry, id, token, End::Lost);
                self.settle(entry);
                Ok(Outcome::Stopped)
            }
        }
    }

    pub(crate) fn confirm_losses(
        &mut self,
        id: SessionId,
        through: LossNumber,
    ) -> Result<Outcome, Refusal> {
        self.live(id).ok_or(Refusal::SessionExpired)?;
        self.session_known(id).confirm_losses(through);
        Ok(Outcome::Confirmed)
    }

    pub(crate) fn force_release(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        token: Token,
        now: bool,
        by: Box<str>,
    ) -> Result<Outcome, Refusal> {
        let object = self.objects.get(name).ok_or(Refusal::NotFound)?;
        let hold = object.holders.get(&token).ok_or(Refusal::NotFound)?;
        let (id, held) = (hold.session, hold.state == HoldState::Held);
        let reason = LossReason::ForceReleased { by };
        if now {
            if held {
                self.lose(entry, id, token, reason);
            }
            self.end_hold(entry, id, token, End::Lost);
        } else if held {
            self.revoke(entry, id, token, reason);
        }
        self.end_if_deaf(entry, id);
        self.settle(entry);
        Ok(Outcome::Forced { revoked: !now })
    }
}
