//! Everything that can go wrong, as types: refused (the cluster decided), not answered (nothing was learned), ended or
//! lost (it was held and is held no longer). Decoded from reasons, never from prose; no type of another crate inside.

use std::fmt;
use std::time::Duration;

use conclave_proto::v1;
use serde::{Deserialize, Serialize};

use crate::heldby::HeldBy;
use crate::ids::{SessionId, Token, Version};
use crate::state::{Lost, SessionEnd};

/// Why a call of this crate failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The session is over; whatever was asked of it was not granted. Final for this session: open another one.
    #[error("the session ended: {0}")]
    SessionEnded(SessionEnd),
    /// The cluster decided against it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No decision was learned in time: it may have happened or not. What a session asks is asked again by itself, and a
    /// grant that comes after this error is released by itself.
    #[error(transparent)]
    NotAnswered(#[from] NotAnswered),
    /// The hold was lost before this call could be made with it.
    #[error("the hold was lost: {0}")]
    Lost(Lost),
    /// The arguments cannot work: nothing was sent.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Error {
    /// Whether the same call may succeed later without changing anything (but perhaps on a new session).
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NotAnswered(_) => true,
            Self::Refused(refusal) => refusal.is_retryable(),
            Self::SessionEnded(_) | Self::Lost(_) | Self::Config(_) => false,
        }
    }
}

/// What the cluster answered instead of doing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No such session, or it ended, or the secret is wrong.
    #[error("the session has expired or never existed")]
    SessionExpired,
    /// A newer process resumed the session.
    #[error("a newer process resumed the session")]
    SessionFenced,
    /// No hold of the session with this token can be released or adopted.
    #[error("the token is not held")]
    NotHolder,
    /// The same owner of the same session holds it already.
    #[error("this owner already holds it with token {token}")]
    AlreadyHeld {
        /// The token it is held with.
        token: Token,
    },
    /// The name stands for another kind of object.
    #[error("the name is in use for a {kind}")]
    WrongKind {
        /// The kind it has.
        kind: String,
    },
    /// The number of this call came again with another body.
    #[error("the call's number was used for another call")]
    SeqReused,
    /// The wait ended and its outcome is no longer kept; it holds nothing.
    #[error("the wait ended and its outcome is no longer known")]
    Gone,
    /// The object was made with another limit, count or number of parties than the request expects.
    #[error("it was made with {object}, not with {request}")]
    Mismatch {
        /// What it was made with.
        object: u64,
        /// What the request expects.
        request: u64,
    },
    /// More than there can be: permits above the limit of the semaphore, or above what is held.
    #[error("the weight is {weight}, at most {max}")]
    Weight {
        /// What was asked for.
        weight: u64,
        /// What there is.
        max: u64,
    },
    /// Only an upgradable hold, and once, may wait to write.
    #[error("only an upgradable hold may wait to write")]
    NotUpgradable,
    /// Others read too; two readers that both wait to write would wait for each other. Release, then ask for write.
    #[error("others read too, and two readers would wait for each other")]
    WouldDeadlock,
    /// The request would have closed a cycle of owners that wait for each other.
    #[error("a deadlock: {}", cycle_text(cycle))]
    Deadlock {
        /// It begins with this request. Empty when it was not told.
        cycle: Vec<DeadlockStep>,
    },
    /// The guard of the write does not hold (any more): nothing was written.
    #[error("the guard does not hold any more")]
    Guard,
    /// The latch has fewer left to count down.
    #[error("the latch has only {remaining} left")]
    BelowZero {
        /// How many.
        remaining: u64,
    },
    /// The counter has no room for it.
    #[error("the counter stands at {value} and has no room for it")]
    Overflow {
        /// What it is.
        value: i64,
    },
    /// Another party left this generation of the barrier, which breaks when one is lost.
    #[error("a party left this generation of the barrier")]
    Broken,
    /// So many runs of the once ended without a result.
    #[error("{attempts} runs ended without a result")]
    AttemptsExhausted {
        /// How many.
        attempts: u64,
    },
    /// The hold that was to be upgraded is gone, or goes: its guard says why.
    #[error("the hold that was to be upgraded is gone")]
    HoldLost,
    /// It is not in the state that the caller relied upon: nothing was changed.
    #[error("it has changed meanwhile ({})", conflict_text(*version))]
    Conflict {
        /// Its version now; `None`: it does not exist.
        version: Option<Version>,
    },
    /// It is held or waited for, or of a kind that goes by itself.
    #[error("it is in use")]
    Busy,
    /// The members of the cluster were not changed.
    #[error("{message}")]
    Member {
        /// Why: `EXISTS`, `CHANGE_UNDER_WAY`, `VOTES_ALREADY`, `NOT_THERE`, `UNREACHABLE`, `LAGS`, `LAST_VOTER`, `QUORUM`, `TOO_MANY`,
        /// `INVALID`, `UNADDRESSED`, `NOT_HANDED_OVER`.
        what: String,
        /// The server's words, with what to do.
        message: String,
    },
    /// A limit was met.
    #[error("limit {what} of {max} is reached")]
    Limit {
        /// Which one: `SESSIONS`, `OBJECTS`, `HOLDS`, `OF_SESSION`, `WAITERS_OF_OBJECT`, `WAITERS`, `WINDOW`, `VALUES`, `COUNT_KEYS`.
        what: String,
        /// How many there may be; zero when the server did not say.
        max: u64,
    },
    /// No such object, hold or session.
    #[error("not found: {message}")]
    NotFound {
        /// The server's words.
        message: String,
    },
    /// A value that is never taken.
    #[error("invalid {field}: {message}")]
    Invalid {
        /// Which one.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A reason that this version does not know.
    #[error("refused ({reason}): {message}")]
    Other {
        /// UPPER_SNAKE.
        reason: String,
        /// The server's words.
        message: String,
    },
}

impl Refusal {
    /// Whether the same call may succeed later without changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Limit { .. }
                | Self::Gone
                | Self::WouldDeadlock
                | Self::Deadlock { .. }
                | Self::Broken
                | Self::Busy
        )
    }

    /// An answer to another question: the server does not speak this version.
    pub(crate) fn unexpected() -> Self {
        Self::Other {
            reason: "UNEXPECTED_ANSWER".to_owned(),
            message: "the server answered something else than what was asked".to_owned(),
        }
    }

    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), message: message.into() }
    }
}

/// One step of a deadlock: this owner waits for something that the next one has or wants first, and the last one for the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadlockStep {
    /// Whose request it is.
    pub session: SessionId,
    /// That session's name.
    pub session_name: String,
    /// Who within the session.
    pub owner: String,
    /// The object that it waits for.
    pub name: String,
}

impl fmt::Display for DeadlockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} waits for {}", self.owner, self.session_name, self.name)
    }
}

impl From<v1::DeadlockEdge> for DeadlockStep {
    fn from(edge: v1::DeadlockEdge) -> Self {
        let v1::DeadlockEdge { session, session_name, owner, name } = edge;
        Self { session: SessionId::new(session), session_name, owner, name }
    }
}

fn cycle_text(cycle: &[DeadlockStep]) -> String {
    cycle.iter().map(DeadlockStep::to_string).collect::<Vec<_>>().join(", ")
}

fn conflict_text(version: Option<Version>) -> String {
    version.map_or_else(|| "it does not exist".to_owned(), |version| format!("version {version}"))
}

/// No decision was learned in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnswered {
    pub(crate) after: Duration,
    pub(crate) last: String,
}

impl NotAnswered {
    /// How long it was tried.
    #[must_use]
    pub const fn after(&self) -> Duration {
        self.after
    }

    /// What the last attempt met, for people; empty when there was none.
    #[must_use]
    pub fn last(&self) -> &str {
        &self.last
    }
}

impl fmt::Display for NotAnswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer from the cluster for {:.1} s", self.after.as_secs_f64())?;
        if self.last.is_empty() { Ok(()) } else { write!(f, ": {}", self.last) }
    }
}

impl std::error::Error for NotAnswered {}

/// The configuration of a client cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No endpoint was given.
    #[error("no endpoint was given")]
    NoEndpoint,
    /// Not `HOST:PORT` (with or without `http://` before it).
    #[error("endpoint {endpoint:?} is not HOST:PORT")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
}

/// Why a `try_` has no guard.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TryLockError {
    /// Others hold it, or wait for it: who.
    #[error("held by {0}")]
    Held(HeldBy),
    /// It could not be asked or was refused.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl TryLockError {
    /// Whether the same call may succeed later without changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Held(_) => true,
            Self::Failed(error) => error.is_retryable(),
        }
    }
}

/// Why an acquire with a time has no guard.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LockTimeoutError {
    /// The time was over first, in the order of the cluster's log. Lists nobody if the connection was away when the cluster decided.
    #[error("timed out; held by {0}")]
    TimedOut(HeldBy),
    /// It could not be asked or was refused.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl LockTimeoutError {
    /// Whether the same call may succeed later without changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::Failed(error) => error.is_retryable(),
        }
    }
}
