//! The cluster as one node sees it.

use conclave_machine::{Revision, Term};

use crate::answer::LeaderHint;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// None: the node is unformed.
    pub cluster_id: Option<u128>,
    /// The node that answers.
    pub id: u64,
    pub name: Box<str>,
    pub term: Term,
    /// None: no leader is known.
    pub leader: Option<LeaderHint>,
    /// Formed, recovered to what it knew before a restart, and a leader is known.
    pub ready: bool,
    /// Every node of the cluster, or before it is formed every listed one, by id.
    pub nodes: Vec<NodeStatus>,
    /// Commands that this node applied.
    pub revision: Revision,
    /// Index of the last entry in this node's log; zero: none.
    pub last_index: u64,
    /// Index of the last entry in this node's newest snapshot; zero: none.
    pub snapshot_index: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    pub id: u64,
    pub name: Box<str>,
    /// Empty: not known yet.
    pub client_address: Box<str>,
    pub peer_address: Box<str>,
    pub role: Role,
    /// Last applied log index of the answering node itself; of another node what the answering leader knows to be
    /// replicated there. None: not known here.
    pub applied: Option<u64>,
    /// Entries of the log of the answering node that it lacks, as far as is known here.
    pub behind: Option<u64>,
    pub state: MemberState,
    /// Heard from within two election timeouts, as far as the answering node can tell: a leader hears all, a follower only
    /// the leader.
    pub reachable: bool,
}

/// Whether something is still to come of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// A voter, or a learner that stays one until it is promoted.
    Settled,
    /// Its place is prepared; no node has taken it.
    Expected,
    /// It joined and becomes a voter by itself once it has caught up.
    Joining,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    Learner,
}
