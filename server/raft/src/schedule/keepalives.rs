//! The part of the [`Schedule`] that acknowledges: which keepalive waits for what, and how a doubt ends.

use conclave_machine::{Command, LossNumber, Machine, Revision, SessionId, Timer};

use super::{Action, LOSS_CONFIRMATIONS_MAX, Proposed, STEP, Schedule};
use crate::alarms::State;
use crate::clock::Moment;
use crate::counters::count;
use crate::keepalive::{KeepAliveAck, KeepAliveError, Losses};
use crate::vigil::{Asked, Batch};

/// Keepalives that are judged in one go: well under a millisecond, since apply waits meanwhile.
const JUDGED_MAX: usize = 1024;
/// Losses that are read from the machine in one go, and those of one session more; for the same reason.
const LOSSES_READ_MAX: usize = 4096;

impl<T> Schedule<T> {
    /// Held-back keepalives are considered anew.
    pub(super) fn release(&mut self, session: SessionId, machine: &Machine) {
        for asked in self.vigil.release(session) {
            self.keep_alive(asked, machine);
        }
    }

    /// A slow majority is waited for as long as the leadership lasts: whoever was sent away instead would have to ask again,
    /// and a majority that is steadily slow would acknowledge nobody.
    pub(super) fn watch_confirmation(&mut self, now: Moment) {
        let Some(started) = self.vigil.confirming_since() else { return };
        if now - started > self.election_timeout {
            self.doubt = Some(now);
        }
    }

    pub(super) fn start_confirmation(&mut self, now: Moment) {
        let wanted = self.vigil.is_gathering() || self.doubt.is_some();
        let possible = self.vigil.confirming_since().is_none() && now >= self.confirm_not_before;
        if wanted && possible {
            self.number += 1;
            self.vigil.start(now, self.number);
            self.actions.push(Action::Confirm { number: self.number });
        }
    }

    /// A confirmation that started at `started` succeeded.
    pub(super) fn settle_doubt(&mut self, now: Moment, started: Moment) {
        if now - started > self.election_timeout {
            self.doubt = Some(now);
        }
        if self.doubt.is_some_and(|since| since <= started) {
            self.doubt = None;
            self.alarms.extend_all(now);
            self.orphans.extend_all(now);
            count(&self.counters.extensions, 1);
        }
    }

    pub(super) fn unconfirmed(&mut self, now: Moment, batch: Batch<T>, error: KeepAliveError) {
        count(&self.counters.confirmations_failed, 1);
        self.doubt = Some(now);
        self.confirm_not_before = now + STEP;
        self.vigil.end(batch.asked, Err(error));
    }

    /// Answers some of those whose confirmation ended. Until then they stand against the expiry of their sessions.
    pub(super) fn judge_some(&mut self, now: Moment, machine: &Machine) {
        let read = self.told.read();
        for _ in 0..JUDGED_MAX {
            if self.told.read() - read > LOSSES_READ_MAX {
                return;
            }
            let Some((asked, verdict)) = self.vigil.next_ended() else { return };
            if asked.counted
                && let Some(slot) = self.alarms.slot(&Timer::Session(asked.key.id))
            {
                slot.asked -= 1;
            }
            match verdict {
                Ok(revision) => self.judge(now, asked, revision, machine),
                Err(error) => self.refuse(asked, error),
            }
        }
    }

    /// A keepalive whose confirmation succeeded: the machine is at or past `revision`.
    fn judge(&mut self, now: Moment, asked: Asked<T>, revision: Revision, machine: &Machine) {
        if let Err(refusal) = machine.authenticate(&asked.key) {
            return self.refuse(asked, KeepAliveError::Refused(refusal));
        }
        let session = asked.key.id;
        let state = self.alarms.slot(&Timer::Session(session)).map(|slot| slot.state);
        match state {
            Some(State::Running) => {}
            Some(State::Proposed) => return self.vigil.hold(asked),
            // Without a deadline it must not be promised anything; the client comes again.
            Some(State::Unknown) | None => {
                return self.refuse(asked, KeepAliveError::NotLeader { leader: None });
            }
        }
        self.alarms.renew(now, &Timer::Session(session));
        let seen = asked.losses_seen_through;
        let losses = self.told.losses(session, machine);
        if losses.first().is_some_and(|loss| loss.number <= seen) {
            self.confirm_losses(session, seen);
        }
        let losses = Losses::between(losses, seen, revision);
        count(&self.counters.keepalives_acknowledged, 1);
        let answer = Ok(KeepAliveAck { revision, losses });
        self.actions.push(Action::Answer { reply: asked.reply, answer });
    }

    pub(super) fn refuse(&mut self, asked: Asked<T>, error: KeepAliveError) {
        count(&self.counters.keepalives_refused, 1);
        self.actions.push(Action::Answer { reply: asked.reply, answer: Err(error) });
    }

    pub(super) fn confirm_losses(&mut self, session: SessionId, through: LossNumber) {
        if self.confirming_losses.len() < LOSS_CONFIRMATIONS_MAX
            && self.confirming_losses.insert(session)
        {
            self.propose(Proposed::Losses(session), Command::ConfirmLosses { session, through });
        }
    }
}
