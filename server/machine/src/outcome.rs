//! What the machine answers: one outcome per command. What a client did wrong is a [`Refusal`], the same on every node.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ids::{Epoch, Generation, LossNumber, Revision, Seq, SessionId, Token};
use crate::name::{Labels, Name};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `Open`: the session, new or already opened by this secret.
    Opened {
        session: SessionId,
        epoch: Epoch,
        ttl_ms: u64,
        generation: Generation,
    },
    Attached(Standing),
    Resumed {
        epoch: Epoch,
        next_seq: Seq,
        ttl_ms: u64,
        standing: Standing,
    },
    /// `Close` and `Kill`.
    Ended,
    /// `waiting` stand behind this holder.
    Granted {
        token: Token,
        waiting: u32,
    },
    /// In the queue; `position` counts from 1. The answer comes later as an [`Event`](crate::Event).
    Queued {
        position: u32,
    },
    /// A try that did not get it.
    Held(HeldBy),
    TimedOut(HeldBy),
    Cancelled,
    Released,
    /// `AckStopped` ended the hold, or there was none left to end.
    Stopped,
    /// `ConfirmLosses`.
    Confirmed,
    /// `ForceRelease` took the hold away; `revoked` is false when it ended at once.
    Forced {
        revoked: bool,
    },
    /// A `Due` did what it was for.
    Done,
    Refused(Refusal),
}

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No such session, wrong secret, or it ended: final for this client.
    SessionExpired,
    /// A newer process resumed this session.
    Fenced { epoch: Epoch },
    /// The token does not belong to a hold of the session that may be released or adopted.
    NotHolder,
    /// The same owner of the same session already holds it.
    AlreadyHeld { token: Token },
    /// The name stands for an object of another kind.
    WrongKind { kind: Kind },
    /// The seq came again with another body.
    SeqReused,
    /// The seq is below `seen_through` and neither waits nor holds: it was answered before and is never run again.
    Gone,
    /// A limit was met; `what` names the constant of `limits`.
    Limit { what: Limit, max: u64 },
    /// No object, or no hold with that token (operator verbs).
    NotFound,
    /// A `Due` of an old generation or of another leader's term.
    Stale,
    /// A value that the edge should have refused (TTL out of range); the log holds it, so every node refuses it alike.
    Invalid { what: Invalid },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Sessions,
    Objects,
    Holds,
    WaitersOfObject,
    Waiters,
    Window,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    Ttl,
    LockDelay,
    MaxHold,
    Seq,
}

/// The kind of an object: one per name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Mutex,
}

/// Who holds, and how many wait: the answer of a try that failed and of a wait that timed out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeldBy {
    /// At most `HOLDERS_SHOWN_MAX`.
    pub holders: Vec<Holder>,
    pub holders_total: u32,
    pub queue_len: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    pub session: SessionId,
    pub session_name: Name,
    pub labels: Labels,
    pub token: Token,
    pub state: HoldState,
    pub owner: Option<Box<str>>,
    pub metadata: Labels,
    /// Display stamp (Unix ms) of the grant; subtract from a display clock for "held for".
    pub since_stamp_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldState {
    Held,
    /// Its session expired; occupied for the lock-delay.
    Cooling,
    /// Taken away; the client may still believe. Ends by `AckStopped` or by time.
    Revoked,
}

/// What stands for a session at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    pub holds: Vec<StandingHold>,
    pub waits: Vec<StandingWait>,
    /// Losses not confirmed yet.
    pub losses: Vec<Loss>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingHold {
    pub seq: Seq,
    pub token: Token,
    pub name: Name,
    pub state: HoldState,
    /// True after a resume until adopted.
    pub unadopted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingWait {
    pub seq: Seq,
    pub name: Name,
    pub position: u32,
}

/// A hold that a live session lost without releasing it; told until the client confirms it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Loss {
    pub number: LossNumber,
    pub token: Token,
    pub name: Name,
    pub reason: LossReason,
    pub revision: Revision,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LossReason {
    MaxHold,
    ForceReleased {
        by: Box<str>,
    },
    /// The session was resumed and the hold not adopted in time.
    NotAdopted,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionEnd {
    Closed,
    Expired,
    Killed { by: Box<str>, reason: Box<str> },
}
