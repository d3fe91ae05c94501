//! What a keepalive is answered with.

use conclave_machine::{Loss, Refusal, Revision};

use crate::answer::LeaderHint;

/// The session lives and its deadline was moved, as a majority confirmed after the keepalive arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAliveAck {
    /// The state that was confirmed; `losses` are complete up to it.
    pub revision: Revision,
    /// Losses that the client has not confirmed, those of this keepalive's `losses_seen_through` left out.
    pub losses: Vec<Loss>,
}

/// Why a keepalive was not acknowledged. Only `Refused` is final for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepAliveError {
    /// `SessionExpired` or `Fenced`.
    #[error("the session is gone: {0:?}")]
    Refused(Refusal),
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    /// No majority answered in time.
    #[error("no majority answered")]
    NoQuorum,
    /// Too many keepalives wait already.
    #[error("too many keepalives wait")]
    Overloaded,
    #[error("this node is stopping")]
    Stopped,
}
