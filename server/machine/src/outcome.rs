//! What the machine answers: one outcome per command. What a client did wrong is a [`Refusal`], the same on every node.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::demand::Demand;
use crate::edit::Edited;
use crate::ids::{Epoch, Generation, LossNumber, Revision, Seq, SessionId, Token, Version};
use crate::name::{Labels, Name};
use crate::value::Value;

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
    /// `waiting` stand behind this holder (of several objects: behind the most wanted one).
    Granted {
        token: Token,
        waiting: u32,
    },
    /// What was waited for came about and leaves nothing to hold: the latch or the gate is open, the barrier has tripped, the
    /// once was done.
    Passed(Passed),
    /// In the queue; `position` counts from 1 (in several queues: the farthest). Zero: a candidate that stands aside. The
    /// answer comes later as an [`Event`](crate::Event).
    Queued {
        position: u32,
    },
    /// A try that did not get it.
    Held(HeldBy),
    TimedOut(HeldBy),
    Cancelled,
    Released,
    Downgraded,
    Proclaimed,
    /// `SetEligible`.
    EligibleSet,
    /// `Complete`: the result is known under this version.
    Completed {
        version: Version,
    },
    Edited(Edited),
    /// `Resize`: the semaphore's new version.
    Resized {
        version: Version,
    },
    /// `Transfer`: the leader was revoked, the successor was named.
    Transferred,
    Deleted,
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

/// How a wait passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Passed {
    /// The round of the latch, the opening of the gate, the generation of the barrier, the result of the once.
    pub version: Version,
    /// Of a barrier: the how-manieth of its generation this was, from zero; the last one made it trip. Else zero.
    pub index: u32,
}

/// Why a command changed nothing, or why a wait ended that could not be fulfilled any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// The object was made for another limit, count or number of parties than this request expects.
    Mismatch { object: u64, request: u64 },
    /// The weight is zero, above the effective limit, or (of a release) above what the token stands for.
    Weight { weight: u32, max: u32 },
    /// Only an upgradable hold (that no upgrade is pending for) can wait to become a write hold.
    NotUpgradable,
    /// Two readers that wait for each other would wait for ever: release and ask for `write`.
    WouldDeadlock,
    /// The request would close this cycle of owners that wait for each other.
    Deadlock { cycle: Vec<DeadlockEdge> },
    /// The guard's token does not hold the guard's name any more.
    Guard,
    /// The latch has less left than was counted down.
    BelowZero { remaining: u64 },
    /// The counter has no room for the sum.
    Overflow { value: i64 },
    /// A party left; whoever waited in that generation of the barrier is told.
    Broken,
    /// So many runs of the once ended without a result.
    AttemptsExhausted { attempts: u32 },
    /// The hold that was to be upgraded is gone.
    HoldLost,
    /// `Resize` of another version than the semaphore has.
    Conflict { version: Version },
    /// `Delete` of what is held or waited for, or of a kind that goes by itself.
    Busy,
    /// A `Due` of an old generation or of another leader's term; an `Attach` that was overtaken by a later one.
    Stale,
    /// A value that the edge should have refused (TTL out of range); the log holds it, so every node refuses it alike.
    Invalid { what: Invalid },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    Sessions,
    Objects,
    Holds,
    /// Holds and waits of one session.
    OfSession,
    WaitersOfObject,
    Waiters,
    Window,
    /// Bytes of all registers and results.
    Values,
    CountKeys,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Invalid {
    Ttl,
    LockDelay,
    MaxHold,
    Seq,
    /// None, too many, a name twice, or a demand that does not go with others.
    Items,
    /// A campaign without `Lead`, or `Lead` without a campaign; out of its ranges; a candidate that stands aside and does not wait.
    Campaign,
    /// A value over its limit.
    Value,
    /// A count, a number of parties, or a weight of zero.
    Zero,
    Retention,
    /// A read hold cannot be downgraded, nor any to a stronger mode.
    Mode,
}

/// The kind of an object: one per name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Mutex,
    RwLock,
    Semaphore,
    Election,
    Once,
    Latch,
    Gate,
    Barrier,
    Register,
    Counter,
}

/// One step of a cycle: this request waits for the next one's owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeadlockEdge {
    pub session: SessionId,
    pub session_name: Name,
    pub owner: Box<str>,
    /// What it waits for.
    pub name: Name,
}

/// Who holds, and how many wait: the answer of a try that failed and of a wait that timed out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeldBy {
    /// The object that is in the way: the only one, or the first of several that could not be had.
    pub name: Name,
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
    /// What it holds of this object.
    pub demand: Demand,
    pub state: HoldState,
    pub owner: Option<Box<str>>,
    pub metadata: Labels,
    /// What a leader proclaims; none: no election.
    pub value: Option<Value>,
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
    /// The first object of the hold.
    pub name: Name,
    pub state: HoldState,
    /// True after a resume until adopted.
    pub unadopted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingWait {
    pub seq: Seq,
    /// The first object of the request.
    pub name: Name,
    pub position: u32,
}

/// A hold that a live session lost without releasing it; told until the client confirms it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Loss {
    pub number: LossNumber,
    pub token: Token,
    /// The first object of the hold.
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
    /// A higher priority waited for the leadership for longer than its leader wished to keep it.
    Preempted,
    /// An operator handed the leadership over.
    Transferred {
        by: Box<str>,
    },
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SessionEnd {
    Closed,
    Expired,
    Killed { by: Box<str>, reason: Box<str> },
}
