//! Timers: which of them run, and what happens when the leader says that one is over.

use crate::command::{Due, Timer};
use crate::event::TimerSet;
use crate::hold::End;
use crate::ids::{Generation, Token};
use crate::machine::{Entry, Machine};
use crate::outcome::{HoldState, LossReason, Outcome, Refusal, SessionEnd};
use crate::record::HoldRecord;
use crate::session::Session;

impl Machine {
    /// Does what the timer is for, if it still runs under that generation and its leader wrote this entry (etcd#12528).
    pub(crate) fn due(&mut self, entry: &mut Entry<'_>, due: &Due) -> Result<Outcome, Refusal> {
        if due.term != entry.context.term
            || self.timer_generation(&due.timer) != Some(due.generation)
        {
            return Err(Refusal::Stale);
        }
        match due.timer.clone() {
            Timer::Session(id) => self.end_session(entry, id, SessionEnd::Expired),
            Timer::HoldEnd(id, token) => self.end_hold(entry, id, token, End::Lost),
            Timer::MaxHold(id, token) => {
                self.revoke(entry, id, token, LossReason::MaxHold);
                self.end_if_deaf(entry, id);
            }
            Timer::Preempt(id, token) => {
                self.revoke(entry, id, token, LossReason::Preempted);
                self.end_if_deaf(entry, id);
            }
            Timer::Retention(name) => self.forget(entry, &name),
            Timer::Quiet => self.end_quiet(entry),
            Timer::Adoption(id) => {
                let session = self.live(id).expect("its timer runs");
                let unadopted = session.holds.values().filter(|hold| hold.unadopted);
                let unadopted: alloc::vec::Vec<Token> = unadopted.map(|hold| hold.token).collect();
                for token in unadopted {
                    self.revoke(entry, id, token, LossReason::NotAdopted);
                }
                self.end_if_deaf(entry, id);
            }
        }
        self.settle(entry);
        Ok(Outcome::Done)
    }

    /// The generation under which the timer runs; none: it does not run (any more).
    #[must_use]
    pub fn timer_generation(&self, timer: &Timer) -> Option<Generation> {
        match timer {
            Timer::Session(id) => Some(self.live(*id)?.generation),
            Timer::Adoption(id) => self.live(*id)?.adoption,
            Timer::Preempt(id, token) => self.hold_of_session(*id, *token)?.preempt,
            Timer::Retention(name) => Some(self.retention_of(name)?.timer),
            Timer::Quiet => Some(self.quiet?.generation),
            Timer::HoldEnd(id, token) => {
                self.hold_of_session(*id, *token).filter(|hold| ends_by_time(hold))?.timer
            }
            Timer::MaxHold(id, token) => {
                self.hold_of_session(*id, *token).filter(|hold| !ends_by_time(hold))?.timer
            }
        }
    }

    /// All timers that run, with their full durations, in no particular order: a new leader starts each anew.
    pub fn timers(&self) -> impl Iterator<Item = TimerSet> + '_ {
        let sessions = self.sessions.iter().map(|(_, session)| session);
        let sessions = sessions.filter(|session| !session.ended).flat_map(|session| {
            let alive = TimerSet {
                timer: Timer::Session(session.id),
                generation: session.generation,
                after_ms: session.expires_after_ms(),
            };
            let adoption = session.adoption.map(|generation| TimerSet {
                timer: Timer::Adoption(session.id),
                generation,
                after_ms: session.ttl_ms,
            });
            core::iter::once(alive).chain(adoption)
        });
        let holds = self.sessions.iter().flat_map(|(_, session)| {
            session.holds.values().flat_map(move |hold| timers_of(session, hold))
        });
        let results = self.objects.iter().filter_map(|(name, _)| {
            let done = self.retention_of(name)?;
            let timer = Timer::Retention(name.clone());
            Some(TimerSet { timer, generation: done.timer, after_ms: done.retention_ms })
        });
        sessions.chain(holds).chain(results).chain(self.quiet())
    }
}

fn timers_of(session: &Session, hold: &HoldRecord) -> impl Iterator<Item = TimerSet> + use<> {
    let ends = Timer::HoldEnd(hold.session, hold.token);
    let (timer, after_ms) = match hold.state {
        HoldState::Held => (Timer::MaxHold(hold.session, hold.token), hold.max_hold_ms),
        HoldState::Cooling => (ends, session.lock_delay_ms),
        HoldState::Revoked => (ends, session.revoked_ends_after_ms()),
    };
    let own = hold.timer.map(|generation| TimerSet { timer, generation, after_ms });
    let timer = Timer::Preempt(hold.session, hold.token);
    let after_ms = hold.campaign.as_ref().and_then(|campaign| campaign.preempt_after_ms);
    let preempt = hold.preempt.zip(after_ms);
    let preempt = preempt.map(|(generation, after_ms)| TimerSet { timer, generation, after_ms });
    own.into_iter().chain(preempt)
}

/// Its timer is the one that ends it, not the one that revokes it.
const fn ends_by_time(hold: &HoldRecord) -> bool {
    match hold.state {
        HoldState::Held => false,
        HoldState::Cooling | HoldState::Revoked => true,
    }
}
