//! What a session is in, how it ended, and why a hold was lost.

use std::fmt;
use std::time::Duration;

use crate::clock::{Clock, Moment};

/// The state of a session, as its client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionState {
    /// Connected, and the last acknowledgement is young.
    Active,
    /// The stream broke; nothing is lost, a new one is being made.
    Reconnecting,
    /// No acknowledgement for two thirds of the TTL: stop what cannot be stopped quickly.
    Jeopardy,
    /// Over for good: the local deadline passed, or the cluster ended the session. Every guard is lost.
    Expired,
    /// Closed by this client.
    Closed,
}

impl SessionState {
    /// Whether the session can never come back.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Expired | Self::Closed)
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Reconnecting => "reconnecting",
            Self::Jeopardy => "jeopardy",
            Self::Expired => "expired",
            Self::Closed => "closed",
        })
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// This client closed it.
    Closed,
    /// It was not kept alive: the local deadline passed, or the cluster says that it is gone.
    Expired,
    /// An operator ended it.
    Killed {
        /// Who did it.
        by: String,
        /// What they gave as the reason; may be empty.
        reason: String,
    },
    /// A newer process resumed it.
    Fenced,
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Expired => f.write_str("expired"),
            Self::Killed { by, reason } if reason.is_empty() => write!(f, "killed by {by}"),
            Self::Killed { by, reason } => write!(f, "killed by {by}: {reason}"),
            Self::Fenced => f.write_str("resumed by a newer process"),
        }
    }
}

/// Why a hold was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// Its session ended.
    SessionEnded(SessionEnd),
    /// It was held for longer than its `max_hold`.
    MaxHold,
    /// An operator took it away.
    ForceReleased {
        /// Who did it.
        by: String,
    },
    /// A higher priority waited for the leadership for longer than its leader wished to keep it.
    Preempted,
    /// An operator handed the leadership over.
    Transferred {
        /// Who did it.
        by: String,
    },
    /// The session was resumed and this hold was not adopted in time.
    NotAdopted,
    /// The cluster no longer lists it, or lists it as taken away without a reason this version knows.
    Revoked,
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionEnded(end) => write!(f, "its session ended ({end})"),
            Self::MaxHold => f.write_str("it was held longer than its max-hold"),
            Self::ForceReleased { by } => write!(f, "it was force-released by {by}"),
            Self::Preempted => f.write_str("a higher priority waited for it"),
            Self::Transferred { by } => write!(f, "it was transferred by {by}"),
            Self::NotAdopted => f.write_str("it was not adopted in time"),
            Self::Revoked => f.write_str("the cluster took it away"),
        }
    }
}

/// The end of a hold that was not released: why, and what a supervisor must know to stop in time.
#[derive(Debug, Clone)]
pub struct Lost {
    reason: LostReason,
    learned: Moment,
    unaware_ack_sent: Moment,
    clock: Clock,
}

impl Lost {
    pub(crate) const fn new(
        reason: LostReason,
        learned: Moment,
        unaware_ack_sent: Moment,
        clock: Clock,
    ) -> Self {
        Self { reason, learned, unaware_ack_sent, clock }
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> &LostReason {
        &self.reason
    }

    /// How long ago this client learned of it.
    #[must_use]
    pub fn learned_ago(&self) -> Duration {
        self.clock.now().since(self.learned)
    }

    /// How long ago the last acknowledged keepalive was sent whose acknowledgement did not yet carry this loss.
    /// The cluster gives the hold to nobody else before 1.1 TTL after that send have passed, unless it was taken away
    /// with `now`.
    #[must_use]
    pub fn last_unaware_ack_sent_ago(&self) -> Duration {
        self.clock.now().since(self.unaware_ack_sent)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason, f)
    }
}
