//! Looking: what a reader may ask of the state at one revision. No query changes anything.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ids::{Epoch, Revision, Seq, SessionId, Token};
use crate::name::{Labels, Name};
use crate::outcome::{HoldState, Holder, Kind, Loss};

/// One object: holders, then the queue in the order in which it will be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectView {
    pub name: Name,
    pub kind: Kind,
    pub holders: Vec<Holder>,
    pub queue: Vec<WaiterView>,
    pub queue_len: u32,
    pub statistics: Statistics,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaiterView {
    pub session: SessionId,
    pub session_name: Name,
    pub labels: Labels,
    pub seq: Seq,
    pub priority: i32,
    /// Counts from 1.
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
    pub name: Name,
    pub kind: Kind,
    pub token: Token,
    pub state: HoldState,
    pub unadopted: bool,
    pub since_stamp_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionWait {
    pub name: Name,
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
}

/// A page of a list and where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Items in all that match, also those not on this page.
    pub total: u64,
    pub revision: Revision,
}
