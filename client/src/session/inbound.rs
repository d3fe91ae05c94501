//! What the cluster says, and what a session makes of it. A grant is believed only by a session that is alive when it arrives.

use std::collections::HashSet;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use crate::clock::Moment;
use crate::error::Refusal;
use crate::heldby::{HeldBy, HoldState};
use crate::mutex::Progress;
use crate::reason::{self, Hint, Verdict};
use crate::session::command::{Answer, Op, WaitPlan};
use crate::session::core::{Core, Flow, Held, Pending};
use crate::session::hold::{Contention, Hold, HoldCore};
use crate::state::{LostReason, SessionEnd};

/// A call that met a busy or undecided server is sent again after this many milliseconds, unless the server says later.
const AGAIN_MS: u64 = 50;

impl Core {
    /// A stream is up whose first message was an open or a resume.
    pub(crate) fn on_opened(&mut self, now: Moment) {
        self.connected = true;
        self.keep_alive(now);
        self.publish(now);
    }

    /// What the cluster lists for a resumed session: holds to adopt, and losses.
    pub(crate) fn on_resumed(&mut self, standing: v1::Standing, now: Moment) {
        self.on_losses(standing.losses, now);
        self.unadopted =
            standing.holds.iter().filter(is_adoptable).map(|hold| hold.token).collect();
    }

    /// Another stream is up: whatever was granted by then and is not listed as held is lost, everything else goes on. An attach
    /// renews the session, so it counts as a keepalive that was sent when this attempt was made (docs/decisions/0004).
    pub(crate) fn on_attached(
        &mut self,
        revision: u64,
        standing: v1::Standing,
        sent: Moment,
        now: Moment,
    ) {
        if self.check_end() {
            return;
        }
        if self.connected {
            self.pulse.be_patient();
        }
        // What the stream before did not say is said again on this one, what it did not acknowledge is not awaited any more.
        self.connected = false;
        self.out.clear();
        self.pulse.forget();
        // All losses before the lease is renewed: this answer carries them, what was acknowledged before did not.
        self.on_losses(standing.losses, now);
        let listed: HashSet<u64> =
            standing.holds.iter().filter(is_held).map(|hold| hold.token).collect();
        for (token, held) in &self.held {
            let judged = held.granted_at <= revision && !held.releasing;
            if judged && !listed.contains(token) {
                held.core.lose(self.lost(LostReason::Revoked, now));
            }
        }
        self.unadopted =
            standing.holds.iter().filter(is_adoptable).map(|hold| hold.token).collect();
        self.on_unheard(&standing.holds, now);
        let stands = self.on_standing_waits(&standing.waits, now);
        if !self.shared.lease.renew(sent, now) {
            self.end(SessionEnd::Expired);
            return;
        }
        self.connected = true;
        // First, since it is what the deadline hangs on.
        self.keep_alive(now);
        let mut seqs: Vec<u64> = self.pending.keys().copied().collect();
        seqs.sort_unstable();
        for seq in seqs {
            if self.window.admits(seq) && !stands.contains(&seq) {
                self.send_call(seq, now);
            }
        }
        let stopped: Vec<u64> = self.stopped.keys().copied().collect();
        for token in stopped {
            self.send(Request::AckStoppedToken(token));
        }
        self.publish(now);
    }

    /// Waits that the cluster lists have been queued. Those that need not be sent again: without an end, and still wanted.
    fn on_standing_waits(&mut self, waits: &[v1::StandingWait], now: Moment) -> HashSet<u64> {
        let mut stands = HashSet::new();
        for wait in waits {
            let Some(pending) = self.pending.get(&wait.seq) else { continue };
            if let Some(progress) = &pending.call.progress {
                progress.send_replace(Progress::Queued { position: wait.position });
            }
            if pending.call.wait == WaitPlan::Forever && !pending.cancelled {
                stands.insert(wait.seq);
            }
            self.seen(wait.seq, now);
        }
        stands
    }

    /// Grants that this client never heard of and that were taken away meanwhile: no guard was made of them, so nobody uses them.
    fn on_unheard(&mut self, holds: &[v1::StandingHold], now: Moment) {
        for hold in holds {
            if HoldState::from_wire(hold.state) != Some(HoldState::Revoked) {
                continue;
            }
            if let Some(pending) = self.pending.remove(&hold.seq) {
                self.seen(hold.seq, now);
                let lost = self.early_losses.remove(&hold.token);
                let lost = lost.unwrap_or_else(|| self.lost(LostReason::Revoked, now));
                // Sent with the others below.
                self.stopped.insert(hold.token, None);
                self.answer(pending, Answer::Lost(lost));
            }
        }
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
                    let _ = reply.send(Answer::Lost(lost));
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
    fn on_losses(&mut self, losses: Vec<v1::Loss>, now: Moment) {
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

    fn on_answer(&mut self, at: (u64, u32), answer: v1::CallAnswer, now: Moment) {
        let seq = answer.seq;
        // A call that was finished already: the same answer once more.
        let Some(pending) = self.pending.get_mut(&seq) else { return };
        let is_late = at < pending.newest;
        if !matches!(answer.result, Some(Outcome::Problem(_))) {
            if is_late {
                return;
            }
            pending.newest = at;
        }
        let answer = match answer.result {
            Some(Outcome::Queued(queued)) => {
                if let Some(progress) = &pending.call.progress {
                    progress.send_replace(Progress::Queued { position: queued.position });
                }
                self.seen(seq, now);
                return;
            }
            Some(Outcome::Granted(granted)) => {
                if let Some(pending) = self.pending.remove(&seq) {
                    self.seen(seq, now);
                    self.on_granted(pending, &granted, at.0, now);
                }
                return;
            }
            Some(Outcome::Held(held)) => Answer::Held(HeldBy::from(held)),
            Some(Outcome::TimedOut(held)) => Answer::TimedOut(HeldBy::from(held)),
            Some(Outcome::Released(v1::Released {})) => Answer::Released,
            // Asked for by a cancel, of which nobody wants to know; else the cluster ended the wait by itself.
            Some(Outcome::Cancelled(v1::Cancelled {})) => Answer::Refused(Refusal::Gone),
            Some(Outcome::Problem(problem)) => match self.on_problem(seq, problem, now) {
                Some(refusal) if !is_late => Answer::Refused(refusal),
                // What decides nothing stands nowhere in the order.
                Some(_) | None => return,
            },
            None => return,
        };
        if let Some(pending) = self.pending.remove(&seq) {
            self.seen(seq, now);
            self.finish(pending, answer, now);
        }
    }

    /// The refusal, if it is a final one of this call.
    fn on_problem(&mut self, seq: u64, problem: v1::Problem, now: Moment) -> Option<Refusal> {
        let (not_before, message) = match reason::of_problem(problem) {
            Verdict::Refused(Refusal::SessionExpired) => {
                self.end(SessionEnd::Expired);
                return None;
            }
            Verdict::Refused(Refusal::SessionFenced) => {
                self.end(SessionEnd::Fenced);
                return None;
            }
            // The cluster has not heard yet what this client has seen.
            Verdict::Refused(Refusal::Limit { what, .. }) if what == "WINDOW" => (None, what),
            Verdict::Refused(refusal) => return Some(refusal),
            Verdict::Again(again) => (again.not_before, again.message),
        };
        let wait = not_before.unwrap_or(std::time::Duration::from_millis(AGAIN_MS));
        if let Some(pending) = self.pending.get_mut(&seq) {
            tracing::debug!(seq, "asked again: {message}");
            pending.again_at = Some(now.plus(wait));
        }
        None
    }

    fn on_granted(&mut self, pending: Pending, granted: &v1::Granted, revision: u64, now: Moment) {
        let token = granted.token;
        if let Op::Adopt { token: old } = pending.call.op {
            self.unadopted.remove(&old);
        }
        if let Some(lost) = self.early_losses.remove(&token) {
            self.stop_using(token, None);
            self.answer(pending, Answer::Lost(lost));
            return;
        }
        let owner = pending.call.reply.is_some().then(|| self.handle.upgrade()).flatten();
        let Some(handle) = owner else {
            self.give_back(token, revision, now);
            return;
        };
        let core = HoldCore::new(token, granted.waiting);
        let held = Held { core: core.clone(), granted_at: revision, releasing: false };
        self.held.insert(token, held);
        // If nobody takes it out of the channel, dropping the hold sends its release.
        self.answer(pending, Answer::Granted(Hold::new(core, handle)));
    }

    fn answer(&self, pending: Pending, answer: Answer) {
        if let Some(reply) = pending.call.reply {
            let _ = reply.send(answer);
        }
    }

    /// A final answer that is no grant.
    fn finish(&mut self, pending: Pending, answer: Answer, now: Moment) {
        let answer = match (&pending.call.op, answer) {
            (Op::Release { token }, Answer::Refused(Refusal::NotHolder)) => {
                // It was taken away before; its guard is gone, so its user stopped.
                let held = self.held.remove(token);
                let lost = held.and_then(|held| held.core.lost().cloned());
                let lost = lost.unwrap_or_else(|| self.lost(LostReason::Revoked, now));
                self.stop_using(*token, pending.call.reply.map(|reply| (reply, lost)));
                return;
            }
            // Answered before, and not held any more.
            (Op::Release { token }, Answer::Released | Answer::Refused(Refusal::Gone)) => {
                self.held.remove(token);
                Answer::Released
            }
            (Op::Release { token }, answer) => {
                // Not claimed any more, so the next attach gives it back.
                self.held.remove(token);
                tracing::warn!(token, "a release was refused: {answer:?}");
                answer
            }
            (Op::Adopt { token }, answer) => {
                self.unadopted.remove(token);
                answer
            }
            // The wait timed out while the stream was away, and its outcome was not kept.
            (Op::Acquire(_), Answer::Refused(Refusal::Gone)) if matches!(pending.call.wait, WaitPlan::Until(end) if end <= now) => {
                Answer::TimedOut(HeldBy::default())
            }
            (Op::Acquire(_), answer) => answer,
        };
        self.answer(pending, answer);
    }
}

fn is_held(hold: &&v1::StandingHold) -> bool {
    HoldState::from_wire(hold.state) == Some(HoldState::Held)
}

/// What was revoked cannot be adopted and need not be claimed.
fn is_adoptable(hold: &&v1::StandingHold) -> bool {
    hold.unadopted && is_held(hold)
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
        Ok(v1::LossReason::Unspecified) | Err(_) => LostReason::Revoked,
    }
}
