//! What comes back from Raft: who leads, what was decided, and why there is no decision.

use conclave_machine::{Outcome, Revision, Term};

/// Where the leader is, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderHint {
    pub id: u64,
    pub name: Box<str>,
    /// The address that it advertises to clients.
    pub client_address: Box<str>,
    /// The address that it advertises to peers.
    pub peer_address: Box<str>,
}

/// This node's view of who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    pub term: Term,
    /// This node leads, and an entry of its own term is applied: it may serve.
    pub leading: bool,
    /// Counts how often this node began to serve: it may lose its majority and find it again within one term, between two looks
    /// of somebody else.
    pub serving: u64,
    /// Who leads in `term`; none: nobody known.
    pub leader: Option<LeaderHint>,
}

impl Leadership {
    /// Nothing was heard yet.
    pub(crate) fn unknown() -> Self {
        Self { term: Term(0), leading: false, serving: 0, leader: None }
    }
}

/// A command was applied: at which revision, and what the machine answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    pub revision: Revision,
    pub outcome: Outcome,
}

/// This node does not lead (any more).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead")]
pub struct NotLeader {
    /// None: no leader is known.
    pub leader: Option<LeaderHint>,
}

/// Why a proposal has no decision. Only `Unknown` may still happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Surely not proposed.
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    /// Proposed, but not heard of since: it may have happened or may yet happen.
    #[error("proposed without an answer; it may still be applied")]
    Unknown { leader: Option<LeaderHint> },
    /// The proposal queue is full. Surely not proposed.
    #[error("the proposal queue is full")]
    Overloaded,
    /// The node stops or its Raft core died. Surely not proposed by this call.
    #[error("this node is stopping")]
    Stopped,
}
