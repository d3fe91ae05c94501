//! Looking: what a reader may ask of the state at one revision. No query changes anything.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::demand::Demand;
use crate::ids::{Epoch, Revision, Seq, SessionId, Token, Version};
use crate::name::{Labels, Name};
use crate::outcome::{DeadlockEdge, HoldState, Holder, Kind, Loss};
use crate::value::Value;

/// One object: holders, then the queue in the order in which it will be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectView {
    pub name: Name,
    pub kind: Kind,
    pub holders: Vec<Holder>,
    pub queue: Vec<WaiterView>,
    pub queue_len: u32,
    /// Candidates that stand aside, in the order in which they would be served; no position.
    pub aside: Vec<WaiterView>,
    pub detail: Detail,
    /// A cycle of owners that one of the waiters is part of; empty: none was found.
    pub deadlock: Vec<DeadlockEdge>,
    pub statistics: Statistics,
}

/// What an object is besides its holders and its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Mutex, read-write lock.
    Plain,
    Semaphore {
        /// What it was created with and is matched by.
        declared: u32,
        /// What counts; zero: paused.
        limit: u32,
        /// Permits given out; above the limit while it drains.
        in_use: u64,
        version: Version,
        resized: bool,
    },
    Election {
        /// Who comes next by a transfer.
        successor: Option<SessionId>,
    },
    Once {
        /// Runs since it appeared that ended without a result.
        attempts: u32,
        /// None: not done.
        done: Option<Version>,
    },
    Latch {
        count: u64,
        remaining: u64,
        round: Version,
    },
    Gate {
        open: bool,
        version: Version,
    },
    Barrier {
        parties: u32,
        break_on_loss: bool,
    },
    Register {
        version: Version,
        bytes: u32,
        bound_to: Option<SessionId>,
    },
    Counter {
        value: i64,
    },
}

/// A value and what it is the value of: a register, the result of a once, a leader's proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueView {
    /// Of a leader: its term, as a number.
    pub version: Version,
    pub value: Value,
    /// The session that a register is bound to, or that leads.
    pub session: Option<SessionId>,
}

/// An election at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectionView {
    /// None: vacant.
    pub leader: Option<Holder>,
    /// Eligible ones by rank, then those that stand aside; at most as many as asked for.
    pub candidates: Vec<Candidate>,
    /// All of the eligible.
    pub queue_len: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub waiter: WaiterView,
    /// What it would proclaim.
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiterView {
    pub session: SessionId,
    pub session_name: Name,
    pub labels: Labels,
    pub seq: Seq,
    pub demand: Demand,
    pub priority: i32,
    /// Counts from 1; zero: it stands aside.
    pub position: u32,
    pub owner: Option<Box<str>>,
    pub since_stamp_ms: u64,
}

/// Counted since the object appeared; an idle mutex vanishes and starts anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Statistics {
    pub created_stamp_ms: u64,
    pub grants: u64,
    pub releases: u64,
    pub timeouts: u64,
    pub cancels: u64,
    /// Holds that ended by expiry, revocation or force.
    pub losses: u64,
    /// Waits that passed without a hold.
    pub passes: u64,
    pub queue_len_max: u32,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    pub name: Name,
    pub kind: Kind,
    pub holders: u32,
    pub queue_len: u32,
    /// Stamp of the first waiter's arrival; zero when nobody waits.
    pub longest_wait_stamp_ms: u64,
    /// The first holder, if any.
    pub holder: Option<Holder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Name,
    LongestWait,
    MostWaiters,
}

/// One session with all it holds and waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    pub id: SessionId,
    pub name: Name,
    pub labels: Labels,
    pub ttl_ms: u64,
    pub lock_delay_ms: u64,
    pub epoch: Epoch,
    pub opened_stamp_ms: u64,
    /// True when it ended and only its last holds are kept.
    pub ended: bool,
    pub holds: Vec<SessionHold>,
    pub waits: Vec<SessionWait>,
    pub losses: Vec<Loss>,
    /// Who stands in its way, and in theirs: breadth first, each session once, at most `CHAIN_MAX`.
    pub blocked_by: Vec<Blocker>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionHold {
    /// The first object of the hold.
    pub name: Name,
    /// How many objects there are besides.
    pub others: u32,
    pub kind: Kind,
    pub token: Token,
    pub state: HoldState,
    pub unadopted: bool,
    pub since_stamp_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionWait {
    /// The first object of the request.
    pub name: Name,
    /// How many objects there are besides.
    pub others: u32,
    pub kind: Kind,
    pub seq: Seq,
    pub position: u32,
    pub priority: i32,
    pub since_stamp_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    pub waiter: SessionId,
    pub name: Name,
    pub holder: SessionId,
    pub holder_name: Name,
    pub token: Token,
}

/// One line of a list of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSummary {
    pub id: SessionId,
    pub name: Name,
    pub labels: Labels,
    pub ttl_ms: u64,
    pub opened_stamp_ms: u64,
    pub holds: u32,
    pub waits: u32,
    pub ended: bool,
}

/// The answer of `check(token)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Holds and is not revoked.
    Held,
    Cooling,
    Revoked,
    /// No such hold (never was, released, ended), or of another name.
    NotHeld,
}

/// Sizes for metrics and status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub revision: u64,
    pub sessions: u64,
    pub objects: u64,
    pub holds: u64,
    pub waiters: u64,
    /// Bytes of all registers and results.
    pub value_bytes: u64,
}

/// A page of a list and where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Items in all that match, also those not on this page.
    pub total: u64,
    pub revision: Revision,
}
