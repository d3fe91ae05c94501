//! What looking shows, in types of this crate: made for printing, also as JSON, whose keys are the field names.

mod detail;
mod wire;

use std::collections::BTreeMap;

use conclave_proto::v1;
use serde::{Deserialize, Serialize};

pub use self::detail::Detail;
use crate::demand::Demand;
use crate::error::{DeadlockStep, Error};
use crate::heldby::{HoldState, Holder};
use crate::ids::{SessionId, Token, Version};

/// The kind of an object: one per name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A mutex.
    Mutex,
    /// A read-write lock.
    #[serde(rename = "rwlock")]
    RwLock,
    /// A semaphore.
    Semaphore,
    /// An election.
    Election,
    /// A once.
    Once,
    /// A latch.
    Latch,
    /// A gate.
    Gate,
    /// A barrier.
    Barrier,
    /// A register.
    Register,
    /// A counter.
    Counter,
    /// A kind that this version does not know.
    Unknown,
}

impl Kind {
    pub(crate) fn from_wire(kind: i32) -> Self {
        match v1::Kind::try_from(kind) {
            Ok(v1::Kind::Mutex) => Self::Mutex,
            Ok(v1::Kind::Rwlock) => Self::RwLock,
            Ok(v1::Kind::Semaphore) => Self::Semaphore,
            Ok(v1::Kind::Election) => Self::Election,
            Ok(v1::Kind::Once) => Self::Once,
            Ok(v1::Kind::Latch) => Self::Latch,
            Ok(v1::Kind::Gate) => Self::Gate,
            Ok(v1::Kind::Barrier) => Self::Barrier,
            Ok(v1::Kind::Register) => Self::Register,
            Ok(v1::Kind::Counter) => Self::Counter,
            Ok(v1::Kind::Unspecified) | Err(_) => Self::Unknown,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mutex => "mutex",
            Self::RwLock => "rwlock",
            Self::Semaphore => "semaphore",
            Self::Election => "election",
            Self::Once => "once",
            Self::Latch => "latch",
            Self::Gate => "gate",
            Self::Barrier => "barrier",
            Self::Register => "register",
            Self::Counter => "counter",
            Self::Unknown => "unknown",
        })
    }
}

/// What a node is to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Decides.
    Leader,
    /// Follows, and votes.
    Follower,
    /// Wants to lead.
    Candidate,
    /// Follows, without a vote.
    Learner,
    /// Not known to the node that answered.
    Unknown,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Unknown => "unknown",
        })
    }
}

/// Who leads, and where clients find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderView {
    /// The node's name.
    pub name: String,
    /// `HOST:PORT` for clients; empty when unknown.
    pub address: String,
}

/// The cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Drawn when the cluster formed.
    pub cluster_id: String,
    /// The name of the node that answered.
    pub node: String,
    /// The leader's name, when one is known.
    pub leader: Option<String>,
    /// The leader's client address, when it is known.
    pub leader_address: Option<String>,
    /// Of Raft.
    pub term: u64,
    /// The members.
    pub nodes: Vec<NodeView>,
    /// Commands applied on the node that answered.
    pub revision: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Objects that exist.
    pub objects: u64,
    /// Holds that exist.
    pub holds: u64,
    /// Waiters in all queues.
    pub waiters: u64,
    /// Of the node that answered.
    pub version: String,
}

/// One member, as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Never reused.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Last log index known to be applied (or, of others, replicated) there; zero when not known.
    pub applied: u64,
    /// `HOST:PORT` for peers.
    pub peer_address: String,
    /// `HOST:PORT` for clients.
    pub client_address: String,
    /// Whether it was heard from lately.
    pub reachable: bool,
}

/// What one configured endpoint answered.
#[derive(Debug, Clone)]
pub struct EndpointStatus {
    /// As configured.
    pub endpoint: String,
    /// Its view, or why there is none.
    pub status: Result<ClusterStatus, Error>,
}

/// One object: holders, then the queue in the order in which it will be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Who occupies it.
    pub holders: Vec<Holder>,
    /// Who waits, first to be served first; perhaps not all.
    pub queue: Vec<Waiter>,
    /// How many wait.
    pub queue_len: u32,
    /// Candidates that stand aside, in the order in which they would be served; perhaps not all.
    pub aside: Vec<Waiter>,
    /// What it is besides; `None`: nothing more.
    pub detail: Option<Detail>,
    /// A cycle of owners that one of the waiters is part of; empty: none was found.
    pub deadlock: Vec<DeadlockStep>,
    /// Since the object appeared.
    pub statistics: Statistics,
    /// Decided at.
    pub revision: u64,
}

/// One waiter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// Whose wait it is.
    pub session: SessionId,
    /// That session's name.
    pub session_name: String,
    /// That session's labels.
    pub labels: BTreeMap<String, String>,
    /// Higher goes first.
    pub priority: i32,
    /// Counts from 1; zero: it stands aside.
    pub position: u32,
    /// What it waits for.
    pub demand: Demand,
    /// Who within the session, if it said so.
    pub owner: Option<String>,
    /// For how long, in milliseconds, by the answering node's wall clock.
    pub waited_ms: u64,
}

/// Counted since an object appeared; an idle mutex vanishes and starts anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Since when, in milliseconds.
    pub age_ms: u64,
    /// Grants.
    pub grants: u64,
    /// Releases.
    pub releases: u64,
    /// Waits that timed out.
    pub timeouts: u64,
    /// Waits that were withdrawn.
    pub cancels: u64,
    /// Holds that ended by expiry, revocation or force.
    pub losses: u64,
    /// Waits and calls that passed without a hold.
    pub passes: u64,
    /// The longest queue.
    pub queue_len_max: u32,
}

/// In which order objects are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// By name.
    #[default]
    Name,
    /// The longest wait first.
    LongestWait,
    /// The longest queue first.
    MostWaiters,
}

impl Sort {
    pub(crate) const fn to_wire(self) -> v1::Sort {
        match self {
            Self::Name => v1::Sort::Name,
            Self::LongestWait => v1::Sort::LongestWait,
            Self::MostWaiters => v1::Sort::MostWaiters,
        }
    }
}

/// Objects, one line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectList {
    /// The lines.
    pub objects: Vec<ObjectLine>,
    /// How many match in all.
    pub total: u64,
    /// Decided at.
    pub revision: u64,
}

/// One object in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLine {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// How many occupy it.
    pub holders: u32,
    /// How many wait.
    pub queue_len: u32,
    /// In milliseconds; zero when nobody waits.
    pub longest_wait_ms: u64,
    /// The first holder, if any.
    pub holder: Option<Holder>,
}

/// Sessions, one line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionList {
    /// The lines.
    pub sessions: Vec<SessionLine>,
    /// How many match in all.
    pub total: u64,
    /// Decided at.
    pub revision: u64,
}

/// One session in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    /// Its number.
    pub session: SessionId,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its TTL, in milliseconds.
    pub ttl_ms: u64,
    /// Since it was opened, in milliseconds.
    pub age_ms: u64,
    /// How many holds it has.
    pub holds: u32,
    /// How many waits it has.
    pub waits: u32,
    /// It ended, and only its last holds are kept.
    pub ended: bool,
}

/// One session with all it holds and waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDetails {
    /// As in a list.
    #[serde(flatten)]
    pub line: SessionLine,
    /// How long its holds stay occupied after it expired, in milliseconds.
    pub lock_delay_ms: u64,
    /// Raised by each resume.
    pub epoch: u64,
    /// What it holds.
    pub held: Vec<SessionHold>,
    /// What it waits for.
    pub waiting: Vec<SessionWait>,
    /// Who stands in its way, and in theirs, nearest first.
    pub blocked_by: Vec<Blocker>,
    /// Decided at.
    pub revision: u64,
}

/// One hold of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionHold {
    /// Of its first object.
    pub name: String,
    /// How many objects it has besides.
    pub others: u32,
    /// Of the object.
    pub kind: Kind,
    /// Of the grant.
    pub token: Token,
    /// Whether it holds, or only still occupies.
    pub state: HoldState,
    /// For how long, in milliseconds.
    pub held_ms: u64,
}

/// One wait of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionWait {
    /// Of its first object.
    pub name: String,
    /// How many objects it has besides.
    pub others: u32,
    /// Of the object.
    pub kind: Kind,
    /// Counts from 1.
    pub position: u32,
    /// For how long, in milliseconds.
    pub waited_ms: u64,
    /// Higher goes first.
    pub priority: i32,
}

/// One link of a blocked-by chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The session that waits,
    pub waiter: SessionId,
    /// for this object,
    pub name: String,
    /// which this session occupies,
    pub holder: SessionId,
    /// whose name this is,
    pub holder_name: String,
    /// by this grant.
    pub token: Token,
}

/// What a force-release did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// It stays occupied until its client says that it stopped, or surely did; else it is free.
    pub revoked: bool,
    /// Decided at.
    pub revision: u64,
}

/// What a resize did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resized {
    /// The new one, for the next resize.
    pub version: Version,
    /// Decided at.
    pub revision: u64,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// It holds.
    pub held: bool,
    /// The state of the hold; `None` when there is none with that token.
    pub state: Option<HoldState>,
    /// Decided at.
    pub revision: u64,
}
