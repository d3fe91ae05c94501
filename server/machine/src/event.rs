//! What happened besides the answer: data for the hub and for the leader's clock. The machine calls nobody.

use crate::command::Timer;
use crate::demand::Demand;
use crate::edit::Edited;
use crate::ids::{Generation, Seq, SessionId, Token, Version};
use crate::name::Name;
use crate::outcome::{HeldBy, Kind, Loss, Passed, Refusal, SessionEnd};
use crate::value::Value;

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
    /// A queued wait of another command passed: nothing is held.
    Passed {
        session: SessionId,
        seq: Seq,
        /// The object.
        name: Name,
        passed: Passed,
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
    /// A hold is gone (released, ended, adopted or upgraded under another token, ...). `name` is its first object.
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
    /// A timer that was set has nothing left to do.
    TimerStopped {
        timer: Timer,
    },
    /// What whoever watches this name is told.
    Noted {
        name: Name,
        note: Note,
    },
}

/// What happened to an object, as watchers and observers see it. Of an election, a term begins with `Granted`, ends with
/// `Ended`, and what is between an `Ended` and the next `Granted` is a vacancy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A holder more. `value` is what a leader proclaims; none: no election.
    Granted {
        session: SessionId,
        session_name: Name,
        token: Token,
        demand: Demand,
        value: Option<Value>,
    },
    /// A holder less. `lost`: it did not let go by itself.
    Ended {
        session: SessionId,
        token: Token,
        lost: bool,
    },
    /// It was taken away from its holder, who may still believe: it ends later.
    Revoked {
        session: SessionId,
        token: Token,
    },
    /// The holder's session expired; it ends after the lock-delay.
    Cooling {
        session: SessionId,
        token: Token,
    },
    /// The hold goes on under this demand: a downgrade, a part of the permits released.
    Changed {
        token: Token,
        demand: Demand,
    },
    Proclaimed {
        term: Token,
        value: Value,
    },
    /// So many wait now (candidates that stand aside are not counted).
    Waiting {
        queue_len: u32,
    },
    Resized {
        limit: u32,
        version: Version,
    },
    Edited(Edited),
    /// All parties have arrived, the gate or latch let its waiters pass, or the once was done.
    Passed {
        version: Version,
        count: u32,
    },
    /// Deleted, forgotten (the result of a once), or gone with its session (a register). Vanishing for being idle is not told.
    Gone {
        kind: Kind,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// It cannot be fulfilled any more: `Weight`, `Broken`, `AttemptsExhausted`, `HoldLost`.
    Refused(Refusal),
}
