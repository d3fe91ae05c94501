//! What the cluster says, and what a session makes of it. A grant is believed only by a session that is alive when it arrives.

use conclave_proto::v1;
use conclave_proto::v1::stream_response::Message;

use crate::clock::Moment;
use crate::error::Refusal;
use crate::reason::{self, Hint, Verdict};
use crate::session::command::Answer;
use crate::session::core::{Core, Flow, tell};
use crate::session::hold::Contention;
use crate::state::{LostReason, SessionEnd};

impl Core {
    /// A stream is up whose first message was an open or a resume.
    pub(crate) fn on_opened(&mut self, now: Moment) {
        self.connected = true;
        self.keep_alive(now);
        self.publish(now);
    }

    /// One message of an established stream.
    pub(crate) fn on_message(&mut self, response: v1::StreamResponse, now: Moment) -> Flow {
        if self.check_end() {
            return Flow::Go;
        }
        let at = (response.revision, response.n);
        match response.message {
            Some(Message::Answer(answer)) => self.on_answer(at, answer, now),
            Some(Message::KeepAlive(ack)) => self.on_acknowledged(ack, now),
            Some(Message::Lost(loss)) => self.on_loss(loss, now),
            Some(Message::Contended(contended)) => {
                if let Some(held) = self.held.get(&contended.token) {
                    held.core.set_contention(Contention {
                        waiting: contended.waiting,
                        highest_priority: contended.highest_priority,
                    });
                }
            }
            Some(Message::StoppedToken(token)) => {
                if let Some(Some((reply, lost))) = self.stopped.remove(&token) {
                    tell(reply, Answer::Lost(lost));
                }
            }
            Some(Message::Ended(ended)) => self.end(end_from_wire(ended)),
            Some(Message::Moved(moved)) => return Flow::Reconnect(Hint::from_wire(moved.leader)),
            Some(Message::Refused(problem)) => return self.on_refused(problem),
            // Of another version, or not awaited on an established stream.
            Some(Message::Opened(_) | Message::Attached(_) | Message::Resumed(_)) | None => {}
        }
        Flow::Go
    }

    /// The stream is refused. Only an end that the cluster decided is one; anything else is tried again.
    fn on_refused(&mut self, problem: v1::Problem) -> Flow {
        let hint = match reason::of_problem(problem) {
            Verdict::Refused(refusal) => {
                self.on_stream_refused(&refusal);
                None
            }
            Verdict::Again(again) => again.leader,
        };
        if self.is_over() { Flow::Go } else { Flow::Reconnect(hint) }
    }

    /// An attach was refused.
    pub(crate) fn on_stream_refused(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::SessionExpired => self.end(SessionEnd::Expired),
            Refusal::SessionFenced => self.end(SessionEnd::Fenced),
            other => tracing::warn!(session = %self.shared.identity.id, "stream refused: {other}"),
        }
    }

    fn on_acknowledged(&mut self, ack: v1::KeepAliveResponse, now: Moment) {
        let sent = self.pulse.answered(ack.number, now);
        // Before the lease is renewed: this acknowledgement carries them, the one before did not.
        self.on_losses(ack.losses, now);
        if let Some(sent) = sent
            && !self.shared.lease.renew(sent, now)
        {
            self.end(SessionEnd::Expired);
            return;
        }
        self.publish(now);
    }

    /// All unconfirmed losses up to some revision.
    pub(super) fn on_losses(&mut self, losses: Vec<v1::Loss>, now: Moment) {
        let through = losses.iter().map(|loss| loss.number).max().unwrap_or(0);
        for loss in losses {
            self.on_loss(loss, now);
        }
        self.losses_seen_through = self.losses_seen_through.max(through);
    }

    fn on_loss(&mut self, loss: v1::Loss, now: Moment) {
        if loss.number <= self.losses_seen_through {
            return;
        }
        // A gap is filled by the next acknowledgement, which repeats all of them.
        if loss.number == self.losses_seen_through + 1 {
            self.losses_seen_through = loss.number;
        }
        let lost = self.lost(reason_from_wire(&loss), now);
        self.unadopted.remove(&loss.token);
        match self.held.get(&loss.token) {
            // If its release is on its way, the answer to that says that it came too late.
            Some(held) => held.core.lose(lost),
            None if self.pending.is_empty() => self.early_losses.clear(),
            None => {
                self.early_losses.insert(loss.token, lost);
            }
        }
    }
}

fn end_from_wire(ended: v1::SessionEnded) -> SessionEnd {
    match v1::session_ended::End::try_from(ended.end) {
        Ok(v1::session_ended::End::Closed) => SessionEnd::Closed,
        Ok(v1::session_ended::End::Killed) => {
            SessionEnd::Killed { by: ended.by, reason: ended.reason }
        }
        Ok(v1::session_ended::End::Fenced) => SessionEnd::Fenced,
        Ok(v1::session_ended::End::Expired | v1::session_ended::End::Unspecified) | Err(_) => {
            SessionEnd::Expired
        }
    }
}

fn reason_from_wire(loss: &v1::Loss) -> LostReason {
    match v1::LossReason::try_from(loss.reason) {
        Ok(v1::LossReason::MaxHold) => LostReason::MaxHold,
        Ok(v1::LossReason::ForceReleased) => LostReason::ForceReleased { by: loss.by.clone() },
        Ok(v1::LossReason::NotAdopted) => LostReason::NotAdopted,
        Ok(v1::LossReason::Preempted) => LostReason::Preempted,
        Ok(v1::LossReason::Transferred) => LostReason::Transferred { by: loss.by.clone() },
        Ok(v1::LossReason::Unspecified) | Err(_) => LostReason::Revoked,
    }
}
