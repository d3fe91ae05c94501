//! What a keepalive is answered with.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use conclave_machine::{Loss, LossNumber, Refusal, Revision};

use crate::answer::LeaderHint;

/// The session lives and its deadline was moved, as a majority confirmed after the keepalive arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAliveAck {
    /// The state that was confirmed; `losses` are complete up to it.
    pub revision: Revision,
    /// Losses that the client has not confirmed, those of this keepalive's `losses_seen_through` left out.
    pub losses: Losses,
}

/// A part of the losses of a session, in the order of their numbers. The whole is shared by all acknowledgements that tell of it.
#[derive(Clone, Default)]
pub struct Losses {
    all: Arc<[Loss]>,
    told: Range<usize>,
}

impl Losses {
    /// Those after `seen` and not after `revision`. In `all`, both only rise.
    pub(crate) fn between(all: Arc<[Loss]>, seen: LossNumber, revision: Revision) -> Self {
        let start = all.partition_point(|loss| loss.number <= seen);
        let end = all.partition_point(|loss| loss.revision <= revision);
        Self { told: start..end.max(start), all }
    }

    #[cfg(test)]
    pub(crate) fn share_memory(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.all, &other.all)
    }
}

impl Deref for Losses {
    type Target = [Loss];

    fn deref(&self) -> &[Loss] {
        &self.all[self.told.clone()]
    }
}

impl PartialEq for Losses {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Losses {}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Why a keepalive was not acknowledged. Only `Refused` is final for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepAliveError {
    /// `SessionExpired` or `Fenced`.
    #[error("the session is gone: {0:?}")]
    Refused(Refusal),
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    /// Too many keepalives wait already.
    #[error("too many keepalives wait")]
    Overloaded,
    #[error("this node is stopping")]
    Stopped,
}
