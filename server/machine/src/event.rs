//! What happened besides the answer: data for the hub and for the leader's clock. The machine calls nobody.

use crate::command::Timer;
use crate::ids::{Generation, Seq, SessionId, Token};
use crate::name::Name;
use crate::outcome::{HeldBy, Loss, SessionEnd};

/// The n-th event of a command stands at `(revision, n)`, n from 1; the outcome itself is n = 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A queued acquire of another command got its grant.
    Granted {
        session: SessionId,
        seq: Seq,
        name: Name,
        token: Token,
        waiting: u32,
    },
    /// A wait ended without a grant, by a command other than a `Cancel` or `TimeOut` that named it
    /// (and also by those: the waiter is told by event, the proposer by outcome).
    WaitEnded {
        session: SessionId,
        seq: Seq,
        name: Name,
        end: WaitEnd,
    },
    /// A live session lost a hold; also repeated by keepalive acknowledgements until confirmed.
    Lost {
        session: SessionId,
        loss: Loss,
    },
    /// The number of waiters behind a holder became non-zero, became zero, or a higher priority arrived.
    Contended {
        session: SessionId,
        token: Token,
        waiting: u32,
        highest_priority: i32,
    },
    /// A hold is gone (released, ended, adopted under another token, ...): for watchers.
    HoldEnded {
        session: SessionId,
        name: Name,
        token: Token,
    },
    SessionEnded {
        session: SessionId,
        end: SessionEnd,
    },
    /// Start, or start anew under this generation, a timer of `after_ms`. Session timers come with every open, attach and resume.
    TimerSet(TimerSet),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerSet {
    pub timer: Timer,
    pub generation: Generation,
    pub after_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitEnd {
    TimedOut(HeldBy),
    Cancelled,
    SessionEnded(SessionEnd),
    /// A new process resumed the session.
    Fenced,
}
