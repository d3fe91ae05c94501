//! The end of a session: everything is lost, everybody is answered, once and for good.

use std::collections::BTreeMap;

use conclave_proto::v1;

use crate::error::Refusal;
use crate::session::command::{Answer, Call, Op};
use crate::session::core::{Core, Release, tell};
use crate::session::shared::Identity;
use crate::state::{LostReason, SessionEnd};

/// What a close needs.
#[derive(Debug)]
pub(crate) struct Goodbye {
    pub(crate) ended: Option<SessionEnd>,
    pub(crate) key: v1::SessionKey,
}

impl Core {
    /// Whether the session is over, by whoever noticed first; then everything is told so, once. A close by this client is
    /// over only when its command comes, which is on its way: the cluster must hear of it.
    pub(crate) fn check_end(&mut self) -> bool {
        if !self.over
            && let Some(end) =
                self.shared.ended().filter(|end| **end != SessionEnd::Closed).cloned()
        {
            self.end(end);
        }
        self.over
    }

    /// The session is over: every guard is lost, every wait fails, nothing is granted any more.
    pub(crate) fn end(&mut self, end: SessionEnd) {
        if self.over {
            return;
        }
        self.over = true;
        self.connected = false;
        self.out.clear();
        let end = self.shared.end(end).clone();
        let now = self.now();
        for held in self.held.values() {
            held.core.lose(self.lost(LostReason::SessionEnded(end.clone()), now));
        }
        for (_, pending) in self.pending.drain() {
            if let Some(reply) = pending.call.reply {
                tell(reply, Answer::Ended(end.clone()));
            }
        }
        self.backlog.clear();
        // Their guards are gone, and whether their releases came in time is not known. A close frees its holds by itself.
        let releasing = self.held.extract_if(|_, held| held.releasing).map(|(token, _)| token);
        if end == SessionEnd::Closed {
            releasing.for_each(drop);
        } else {
            self.stopped.extend(releasing.map(|token| (token, None)));
        }
        self.publish(now);
        tracing::info!(session = %self.shared.identity.id, %end, "session ended");
    }

    /// Nobody holds on to this session any more, or somebody closed it.
    pub(crate) fn shared_end(&self, end: SessionEnd) {
        self.shared.end(end);
    }

    pub(crate) fn lease_is_alive(&self) -> bool {
        self.shared.lease.is_alive(self.now())
    }

    /// Ends the session on this side; what it takes to end it on the other, unless it ended otherwise before.
    pub(crate) fn goodbye(&mut self) -> Goodbye {
        self.end(SessionEnd::Closed);
        let ended = Some(self.ended()).filter(|end| *end != SessionEnd::Closed);
        Goodbye { ended, key: self.shared.key() }
    }

    /// How it ended; of a session that has not ended: expired, since its task asks only after the end.
    pub(crate) fn ended(&self) -> SessionEnd {
        self.shared.ended().cloned().unwrap_or(SessionEnd::Expired)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// Tokens of lost holds whose users stopped, not confirmed by the cluster.
    pub(crate) fn take_stopped(&mut self) -> BTreeMap<u64, Option<Release>> {
        std::mem::take(&mut self.stopped)
    }

    /// A call after the end is answered at once, unless it gives a lost hold back: then the token whose use has stopped, and whom
    /// to tell when the cluster has heard so.
    pub(crate) fn call_after_end(&mut self, call: Call) -> Option<(u64, Option<Release>)> {
        let reply = call.reply;
        let answer = match call.op {
            Op::Release { hold } => {
                self.held.remove(&hold.token());
                match hold.lost().cloned() {
                    None => Answer::Refused(Refusal::NotHolder),
                    // A close frees its holds by itself.
                    Some(lost)
                        if *lost.reason() == LostReason::SessionEnded(SessionEnd::Closed) =>
                    {
                        Answer::Lost(lost)
                    }
                    Some(lost) => return Some((hold.token(), reply.map(|reply| (reply, lost)))),
                }
            }
            Op::ReleasePart { hold, .. }
            | Op::Upgrade { hold, .. }
            | Op::Downgrade { hold, .. }
            | Op::Proclaim { hold, .. }
            | Op::Complete { hold, .. } => match hold.lost().cloned() {
                Some(lost) => Answer::Lost(lost),
                None => Answer::Ended(self.ended()),
            },
            Op::Acquire(_) | Op::Adopt { .. } | Op::SetEligible { .. } | Op::Edit(_) => {
                Answer::Ended(self.ended())
            }
        };
        if let Some(reply) = reply {
            tell(reply, answer);
        }
        None
    }
}
