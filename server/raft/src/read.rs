//! How a query is answered.

use conclave_machine::Revision;

use crate::answer::LeaderHint;

/// What a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// A majority confirmed, after the read began, that this node leads (ReadIndex). Only the leader can answer.
    Linearizable,
    /// This node's own state, however old: for looking at a cluster without a majority.
    Stale,
}

/// The answer of a query and the state it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAnswer<T> {
    pub revision: Revision,
    pub value: T,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    #[error("no majority answered")]
    NoQuorum,
    #[error("this node is stopping")]
    Stopped,
}
