//! Answers to calls: of one seq the newest counts, and what is granted to nobody is given back.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;

use crate::clock::Moment;
use crate::error::Refusal;
use crate::heldby::HeldBy;
use crate::progress::Progress;
use crate::reason::{self, Verdict};
use crate::session::command::{Answer, Call, Op, WaitPlan, deadlock};
use crate::session::core::{Core, Held, Pending, tell};
use crate::session::hold::{Contention, Hold, HoldCore};
use crate::state::{Lost, LostReason, SessionEnd};

/// A call that met a busy or undecided server is sent again after this many milliseconds, unless the server says later.
const AGAIN_MS: u64 = 50;

impl Core {
    pub(super) fn on_answer(&mut self, at: (u64, u32), answer: v1::CallAnswer, now: Moment) {
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
            Some(Outcome::Passed(passed)) => Answer::Passed(passed),
            Some(Outcome::Held(held)) => Answer::Held(HeldBy::from(held)),
            Some(Outcome::TimedOut(held)) => Answer::TimedOut(HeldBy::from(held)),
            Some(Outcome::Deadlock(cycle)) => Answer::Refused(deadlock(cycle)),
            Some(
                Outcome::Released(_)
                | Outcome::Downgraded(_)
                | Outcome::Proclaimed(_)
                | Outcome::EligibleSet(_)
                | Outcome::Completed(_),
            ) => Answer::Done,
            Some(Outcome::Edited(v1::Edited { edited: Some(edited) })) => Answer::Edited(edited),
            Some(Outcome::Edited(v1::Edited { edited: None })) => {
                Answer::Refused(Refusal::unexpected())
            }
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
        match &pending.call.op {
            Op::Adopt { token: old } => {
                self.unadopted.remove(old);
            }
            Op::Upgrade { hold, from } => {
                let (hold, from) = (Arc::clone(hold), *from);
                self.on_upgraded(pending, &hold, from, granted, revision, now);
                return;
            }
            Op::Acquire(_)
            | Op::Release { .. }
            | Op::ReleasePart { .. }
            | Op::Downgrade { .. }
            | Op::Proclaim { .. }
            | Op::Complete { .. }
            | Op::SetEligible { .. }
            | Op::Edit(_) => {}
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
        self.held.insert(token, Held::new(Arc::clone(&core), revision));
        // If nobody takes it out of the channel, dropping the hold sends its release.
        self.answer(pending, Answer::Granted(Hold::new(core, handle)));
    }

    /// The same hold by another token. If nobody wants that any more, it becomes what it was; if its guard is gone, the release
    /// that is on its way finds the new token.
    fn on_upgraded(
        &mut self,
        pending: Pending,
        hold: &Arc<HoldCore>,
        from: v1::Mode,
        granted: &v1::Granted,
        revision: u64,
        now: Moment,
    ) {
        self.give_token(hold, granted.token, revision);
        if let Some(lost) = self.early_losses.remove(&granted.token) {
            hold.lose(lost.clone());
            self.answer(pending, Answer::Lost(lost));
            return;
        }
        let waiting = granted.waiting;
        hold.set_contention(Contention { waiting, ..hold.contention() });
        let is_wanted = pending.call.reply.is_some();
        let is_released = self.held.get(&granted.token).is_some_and(|held| held.releasing);
        self.answer(pending, Answer::Done);
        if !is_wanted && !is_released {
            self.ask_for_nobody(Op::Downgrade { hold: Arc::clone(hold), to: from }, now);
        }
    }

    /// An upgrade gave the hold another token.
    pub(super) fn give_token(&mut self, hold: &Arc<HoldCore>, token: u64, granted_at: u64) {
        let before = self.held.remove(&hold.token());
        hold.set_token(token);
        let releasing = before.is_some_and(|held| held.releasing);
        self.held.insert(token, Held { releasing, ..Held::new(Arc::clone(hold), granted_at) });
    }

    pub(super) fn answer(&self, pending: Pending, answer: Answer) {
        if let Some(reply) = pending.call.reply {
            tell(reply, answer);
        }
    }

    /// The cluster says that the hold is none (any more).
    fn not_held(&self, hold: &HoldCore, now: Moment) -> Lost {
        let lost = hold.lost().cloned().unwrap_or_else(|| self.lost(LostReason::Revoked, now));
        hold.lose(lost.clone());
        lost
    }

    /// The answer says what became of the hold.
    pub(super) fn settle(&mut self, hold: &HoldCore) {
        if let Some(held) = self.held.get_mut(&hold.token()) {
            held.settling = false;
        }
    }

    /// A final answer that is no grant.
    fn finish(&mut self, pending: Pending, answer: Answer, now: Moment) {
        let answer = match (&pending.call.op, answer) {
            (Op::Release { hold }, answer) => {
                let hold = Arc::clone(hold);
                self.finish_release(pending, &hold, answer, now);
                return;
            }
            (Op::ReleasePart { hold, .. }, Answer::Refused(Refusal::NotHolder)) => {
                // Of parts that are given back at the same time, the last one gives back all that is left.
                match self.held.get(&hold.token()) {
                    Some(held) if !held.releasing => Answer::Lost(self.not_held(hold, now)),
                    Some(_) | None => Answer::Done,
                }
            }
            (
                Op::Downgrade { hold, .. } | Op::Proclaim { hold, .. },
                Answer::Refused(Refusal::NotHolder),
            ) => Answer::Lost(self.not_held(hold, now)),
            (
                Op::ReleasePart { .. } | Op::Downgrade { .. } | Op::Proclaim { .. },
                Answer::Refused(Refusal::Gone),
            ) => Answer::Done,
            (Op::Upgrade { hold, .. } | Op::Complete { hold, .. }, answer) => {
                let hold = Arc::clone(hold);
                self.settle(&hold);
                match answer {
                    Answer::Refused(Refusal::NotHolder) => Answer::Lost(self.not_held(&hold, now)),
                    // Said before it is said why; unless its own user gave it up or made less of it.
                    Answer::Refused(Refusal::HoldLost) => match hold.lost() {
                        Some(lost) => Answer::Lost(lost.clone()),
                        None => Answer::Refused(Refusal::HoldLost),
                    },
                    Answer::Refused(Refusal::Gone) if pending.call.wait.is_over(now) => {
                        Answer::TimedOut(HeldBy::default())
                    }
                    // Of a completed run nothing is left to be released.
                    Answer::Done => {
                        self.held.remove(&hold.token());
                        Answer::Done
                    }
                    other => other,
                }
            }
            (Op::Adopt { token }, answer) => {
                self.unadopted.remove(token);
                answer
            }
            // The wait timed out while the stream was away, and its outcome was not kept.
            (Op::Acquire(_), Answer::Refused(Refusal::Gone)) if pending.call.wait.is_over(now) => {
                Answer::TimedOut(HeldBy::default())
            }
            (
                Op::Acquire(_)
                | Op::ReleasePart { .. }
                | Op::Downgrade { .. }
                | Op::Proclaim { .. }
                | Op::SetEligible { .. }
                | Op::Edit(_),
                answer,
            ) => answer,
        };
        self.answer(pending, answer);
    }

    fn finish_release(
        &mut self,
        pending: Pending,
        hold: &Arc<HoldCore>,
        answer: Answer,
        now: Moment,
    ) {
        let was_upgraded = pending.token().is_some_and(|sent| sent != hold.token());
        let reply = pending.call.reply;
        let answer = match answer {
            Answer::Refused(Refusal::NotHolder) if was_upgraded && hold.lost().is_none() => {
                let op = Op::Release { hold: Arc::clone(hold) };
                let seq = self.shared.take_seq();
                self.on_call(seq, Call { op, wait: WaitPlan::None, progress: None, reply }, now);
                return;
            }
            Answer::Refused(Refusal::NotHolder) => {
                // It was taken away before; its guard is gone, so its user stopped.
                let lost = self.not_held(hold, now);
                self.held.remove(&hold.token());
                self.stop_using(hold.token(), reply.map(|reply| (reply, lost)));
                return;
            }
            // Answered before, and not held any more.
            Answer::Done | Answer::Refused(Refusal::Gone) => Answer::Done,
            // Not claimed any more, so the next attach gives it back.
            answer => {
                tracing::warn!(token = hold.token(), "a release was refused: {answer:?}");
                answer
            }
        };
        self.held.remove(&hold.token());
        if let Some(reply) = reply {
            tell(reply, answer);
        }
    }
}
