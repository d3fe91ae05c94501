//! How a hold is lost and how it ends: release, revocation, cooling, acknowledgement, force.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::command::Timer;
use crate::event::{Event, Note};
use crate::ids::{Generation, LossNumber, Secret, SessionId, Token};
use crate::limits::LOSSES_MAX;
use crate::machine::{Entry, Machine, draw};
use crate::name::Name;
use crate::outcome::{HoldState, Loss, LossReason, Outcome, Refusal, SessionEnd};
use crate::record::HoldRecord;
use crate::state::State;

/// How a hold ended, as the object counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client let go of it.
    Released,
    /// It expired, or was revoked or forced.
    Lost,
    /// A once is done.
    Completed,
}

impl Machine {
    pub(crate) fn hold_of_session(&self, id: SessionId, token: Token) -> Option<&HoldRecord> {
        self.sessions.get(&id)?.holds.get(&token).map(|hold| &**hold)
    }

    /// Takes a hold away from its objects and its session. An ended session leaves with its last hold.
    pub(crate) fn end_hold(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        end: End,
    ) {
        let first = self.first_name(id, token);
        self.end_upgrade(entry, &first, token);
        let session = self.sessions.edit(&id).expect("a hold's session is kept");
        let hold = session.holds_no_more(token);
        let gone = session.ended && session.holds.is_empty();
        entry.events.push(Event::HoldEnded { session: id, name: first, token });
        for item in hold.items.iter() {
            let object = self.objects.edit(&item.name).expect("a hold's object exists");
            entry.touch(&item.name, object);
            object.dismiss(token);
            match end {
                End::Released | End::Completed => object.statistics.releases += 1,
                End::Lost => object.statistics.losses += 1,
            }
            if let State::Once { attempts, .. } = &mut object.state
                && end != End::Completed
            {
                *attempts = attempts.saturating_add(1);
            }
            let lost = end == End::Lost;
            entry.note(&item.name, Note::Ended { session: id, token, lost });
        }
        self.counts.holds -= 1;
        if gone {
            self.sessions.remove(&id);
        }
    }

    /// The first object of a hold.
    pub(crate) fn first_name(&self, id: SessionId, token: Token) -> Name {
        let session = self.sessions.get(&id).expect("a hold's session is kept");
        session.holds[&token].items.first().name.clone()
    }

    /// The hold leaves the state `Held` but still occupies, until its new timer or an acknowledgement ends it.
    pub(crate) fn suspend(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        state: HoldState,
    ) {
        let first = self.first_name(id, token);
        self.end_upgrade(entry, &first, token);
        let session = self.sessions.edit(&id).expect("a hold's session is kept");
        let (after_ms, note) = match state {
            HoldState::Cooling => (session.lock_delay_ms, Note::Cooling { session: id, token }),
            HoldState::Revoked => {
                (session.revoked_ends_after_ms(), Note::Revoked { session: id, token })
            }
            HoldState::Held => unreachable!("a hold never comes back"),
        };
        let generation = Generation(draw(&mut self.counter));
        let hold = Arc::make_mut(session.holds.get_mut(&token).expect("its session knows it"));
        assert!(hold.state == HoldState::Held, "only a hold that is held can be suspended");
        let unadopted = core::mem::take(&mut hold.unadopted);
        hold.state = state;
        hold.timer = Some(generation);
        if hold.preempt.take().is_some() {
            entry.events.push(Event::TimerStopped { timer: Timer::Preempt(id, token) });
        }
        entry.timer(Timer::HoldEnd(id, token), generation, after_ms);
        for item in hold.items.iter() {
            entry.note(&item.name, note.clone());
        }
        if unadopted {
            session.one_unadopted_less();
        }
    }

    /// Writes down, and tells, that a live session lost a hold; it is told again until the client confirms it.
    fn lose(&mut self, entry: &mut Entry<'_>, id: SessionId, token: Token, reason: LossReason) {
        let first = self.first_name(id, token);
        self.end_upgrade(entry, &first, token);
        let session = self.session_known(id);
        if session.ended {
            return;
        }
        let loss = Loss {
            number: session.next_loss(),
            token,
            name: session.holds[&token].items.first().name.clone(),
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
        let id = object.holders().get(&token).ok_or(Refusal::NotFound)?.session;
        let hold = self.hold_of_session(id, token).expect("a hold is known to its session");
        let held = hold.state == HoldState::Held;
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
