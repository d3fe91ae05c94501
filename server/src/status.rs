//! The one file that turns what went wrong into a gRPC status and into a `Problem` of a stream. The reason is the contract.
//!
//! Bytes that are no message at all never get here: tonic answers them with INTERNAL, and too long ones with OUT_OF_RANGE.

mod member;

use std::borrow::Cow;
use std::collections::HashMap;

use conclave_machine::{DeadlockEdge, Invalid, Kind, Limit, Refusal, Revision};
use conclave_proto::v1;
use conclave_raft::{
    KeepAliveError, LeaderHint, MemberError, ProposeError, ReadError, StepDownError,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::limits::RETRY_AFTER;

/// The domain of every reason.
pub const DOMAIN: &str = "conclave.v1";

const FENCED: &str = "a newer process resumed this session";

/// Everything an answer can be that is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The machine decided so.
    Refused(Refusal),
    /// The edge did not take the request.
    Malformed(Malformed),
    /// A newer process resumed the session while this one waited.
    FencedWait,
    /// Surely not proposed. None: no leader is known.
    NotLeader { leader: Option<LeaderHint> },
    /// Queued, then this node stopped leading: the wait keeps its place, and the same seq waits on at the leader.
    Moved { leader: Option<LeaderHint> },
    /// It may have happened, or may yet happen.
    Unknown,
    /// No majority confirmed in time that this node still leads.
    NoQuorum,
    /// A queue is full; surely not proposed.
    Overloaded,
    /// This node has not applied yet what a watcher has seen elsewhere.
    Behind { applied: Revision },
    /// No such voter to hand over to.
    NoSuchVoter { name: String },
    /// Nobody took over in time; this node may still lead.
    NotHandedOver,
    /// The members were not changed.
    Member(MemberError),
    /// This node stops; surely not proposed.
    ShuttingDown,
    /// The machine answered a command with what does not belong to it: a bug, told to nobody as a decision.
    Unexpected { what: String },
}

/// A value that breaks a rule which needs no state to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) reason: &'static str,
    /// Path of the field in the request.
    pub(crate) field: Cow<'static, str>,
    pub(crate) message: String,
}

/// A failure as it is told.
struct Told {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: Vec<(&'static str, String)>,
    retry: bool,
}

impl Failure {
    pub(crate) fn status(&self) -> Status {
        let told = self.told();
        let metadata: HashMap<_, _> =
            told.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(told.reason, DOMAIN, metadata);
        if told.retry {
            details.set_retry_info(Some(RETRY_AFTER));
        }
        Status::with_error_details(told.code, told.message, details)
    }

    pub(crate) fn problem(&self) -> v1::Problem {
        let told = self.told();
        v1::Problem {
            reason: told.reason.to_owned(),
            message: told.message,
            metadata: told
                .metadata
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        }
    }

    fn told(&self) -> Told {
        let told = |code, reason, message: &str| Told {
            code,
            reason,
            message: message.to_owned(),
            metadata: Vec::new(),
            retry: false,
        };
        match self {
            Self::Refused(refusal) => of_refusal(refusal),
            Self::Malformed(Malformed { reason, field, message }) => Told {
                metadata: vec![("field", field.to_string())],
                ..told(Code::InvalidArgument, reason, &format!("{field} {message}"))
            },
            Self::FencedWait => told(Code::FailedPrecondition, "SESSION_FENCED", FENCED),
            Self::NotLeader { leader } | Self::Moved { leader } => not_leader(leader.as_ref()),
            Self::Unknown => told(
                Code::Unavailable,
                "UNKNOWN_OUTCOME",
                "no decision was heard of; it may have happened: ask again with the same seq",
            ),
            Self::NoQuorum => told(
                Code::Unavailable,
                "NO_QUORUM",
                "no majority of the nodes answers; ask again later",
            ),
            Self::Overloaded => Told {
                retry: true,
                ..told(Code::ResourceExhausted, "OVERLOADED", "too much at once; ask again shortly")
            },
            Self::Behind { applied } => Told {
                metadata: vec![("applied_revision", applied.to_string())],
                ..told(
                    Code::Unavailable,
                    "NODE_BEHIND",
                    "this node has not applied that revision; ask another one, or watch from 0",
                )
            },
            Self::NoSuchVoter { name } => {
                let whom = if name.is_empty() { String::new() } else { format!(" {name:?}") };
                told(Code::NotFound, "NOT_FOUND", &format!("there is no other voter{whom}"))
            }
            Self::NotHandedOver => told(
                Code::Unavailable,
                "UNKNOWN_OUTCOME",
                "nobody took over in time; look at the status before asking again",
            ),
            Self::Member(error) => member::told(error),
            Self::ShuttingDown => {
                told(Code::Unavailable, "SHUTTING_DOWN", "this node is stopping; ask another one")
            }
            Self::Unexpected { what } => told(Code::Internal, "UNEXPECTED", what),
        }
    }
}

fn not_leader(leader: Option<&LeaderHint>) -> Told {
    let (message, metadata) = match leader {
        Some(leader) => (
            format!("this node does not lead; {} does, at {}", leader.name, leader.client_address),
            vec![
                ("leader_name", leader.name.to_string()),
                ("leader_address", leader.client_address.to_string()),
            ],
        ),
        None => ("no leader is known; ask again shortly".to_owned(), Vec::new()),
    };
    Told { code: Code::Unavailable, reason: "NOT_LEADER", message, metadata, retry: false }
}

fn of_refusal(refusal: &Refusal) -> Told {
    let (code, reason) = reason_of(refusal);
    Told {
        code,
        reason,
        message: message_of(refusal),
        metadata: facts_of(refusal),
        retry: matches!(refusal, Refusal::Limit { .. }),
    }
}

fn reason_of(refusal: &Refusal) -> (Code, &'static str) {
    let failed = |reason| (Code::FailedPrecondition, reason);
    match refusal {
        Refusal::SessionExpired => failed("SESSION_EXPIRED"),
        Refusal::Fenced { .. } => failed("SESSION_FENCED"),
        Refusal::NotHolder => failed("NOT_HOLDER"),
        Refusal::AlreadyHeld { .. } => failed("ALREADY_HELD"),
        Refusal::WrongKind { .. } => failed("WRONG_KIND"),
        Refusal::SeqReused => failed("SEQ_REUSED"),
        Refusal::Gone => failed("SEQ_GONE"),
        Refusal::Limit { what, .. } => (Code::ResourceExhausted, limit_reason(*what)),
        Refusal::NotFound => (Code::NotFound, "NOT_FOUND"),
        Refusal::Mismatch { .. } => failed("MISMATCH"),
        Refusal::Weight { .. } => failed("WEIGHT_OVER_LIMIT"),
        Refusal::NotUpgradable => failed("NOT_UPGRADABLE"),
        Refusal::WouldDeadlock => failed("WOULD_DEADLOCK"),
        Refusal::Deadlock { .. } => failed("DEADLOCK"),
        Refusal::Guard => failed("GUARD"),
        Refusal::BelowZero { .. } => failed("BELOW_ZERO"),
        Refusal::Overflow { .. } => failed("OVERFLOW"),
        Refusal::Broken => failed("BROKEN"),
        Refusal::AttemptsExhausted { .. } => failed("ATTEMPTS_EXHAUSTED"),
        Refusal::HoldLost => failed("HOLD_LOST"),
        Refusal::Conflict { .. } => failed("CONFLICT"),
        Refusal::Busy => failed("BUSY"),
        Refusal::Stale => failed("STALE"),
        Refusal::Invalid { what } => (Code::InvalidArgument, invalid(*what).0),
    }
}

fn message_of(refusal: &Refusal) -> String {
    let text = match refusal {
        Refusal::SessionExpired => "no such session, or it ended, or the secret is not its own",
        Refusal::Fenced { .. } => FENCED,
        Refusal::NotHolder => "the session holds nothing under this token (any more)",
        Refusal::AlreadyHeld { .. } => "the same owner of this session already holds it",
        Refusal::WrongKind { kind } => {
            return format!("the name stands for a {}", kind_name(*kind));
        }
        Refusal::SeqReused => "this seq was used for another request",
        Refusal::Gone => "this seq was answered before and stands for nothing any more",
        Refusal::Limit { what, max } => {
            return format!("no more than {max} {} at one time", limit_noun(*what));
        }
        Refusal::NotFound => "there is no such thing (any more)",
        Refusal::Mismatch { object, request } => {
            return format!("it was made with {object}, not with {request}");
        }
        Refusal::Weight { weight, max } => return format!("the weight is {weight}, at most {max}"),
        Refusal::NotUpgradable => "only an upgradable hold, and once, may wait to write",
        Refusal::WouldDeadlock => {
            "others read too, and two readers would wait for each other: release, then ask for write"
        }
        Refusal::Deadlock { cycle } => return cycle_text(cycle),
        Refusal::Guard => "the guard's token does not hold its name (any more)",
        Refusal::BelowZero { remaining } => {
            return format!("the latch has only {remaining} left");
        }
        Refusal::Overflow { value } => {
            return format!("the counter stands at {value} and has no room for it");
        }
        Refusal::Broken => "a party left this generation of the barrier",
        Refusal::AttemptsExhausted { attempts } => {
            return format!("{attempts} runs ended without a result");
        }
        Refusal::HoldLost => "the hold that was to be upgraded is gone",
        Refusal::Conflict { version } => return format!("its version is {version} by now"),
        Refusal::Busy => "it is held or waited for, or of a kind that goes by itself",
        Refusal::Stale => "a later attempt came first",
        Refusal::Invalid { what } => return format!("{} is out of range", invalid(*what).1),
    };
    text.to_owned()
}

/// What a client may want as more than prose.
fn facts_of(refusal: &Refusal) -> Vec<(&'static str, String)> {
    match refusal {
        Refusal::Fenced { epoch } => vec![("epoch", epoch.to_string())],
        Refusal::AlreadyHeld { token } => vec![("token", token.to_string())],
        Refusal::WrongKind { kind } => vec![("kind", kind_name(*kind).to_owned())],
        Refusal::Limit { max, .. } => vec![("max", max.to_string())],
        Refusal::Mismatch { object, request } => {
            vec![("object", object.to_string()), ("request", request.to_string())]
        }
        Refusal::Weight { weight, max } => {
            vec![("weight", weight.to_string()), ("max", max.to_string())]
        }
        // The cycle itself is a result of its own; headers have no room for it.
        Refusal::Deadlock { cycle } => vec![("steps", cycle.len().to_string())],
        Refusal::BelowZero { remaining } => vec![("remaining", remaining.to_string())],
        Refusal::Overflow { value } => vec![("value", value.to_string())],
        Refusal::AttemptsExhausted { attempts } => vec![("attempts", attempts.to_string())],
        Refusal::Conflict { version } => vec![("version", version.to_string())],
        Refusal::Invalid { what } => vec![("field", invalid(*what).1.to_owned())],
        Refusal::SessionExpired
        | Refusal::NotHolder
        | Refusal::SeqReused
        | Refusal::Gone
        | Refusal::NotFound
        | Refusal::NotUpgradable
        | Refusal::WouldDeadlock
        | Refusal::Guard
        | Refusal::Broken
        | Refusal::HoldLost
        | Refusal::Busy
        | Refusal::Stale => Vec::new(),
    }
}

pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Mutex => "mutex",
        Kind::RwLock => "rwlock",
        Kind::Semaphore => "semaphore",
        Kind::Election => "election",
        Kind::Once => "once",
        Kind::Latch => "latch",
        Kind::Gate => "gate",
        Kind::Barrier => "barrier",
        Kind::Register => "register",
        Kind::Counter => "counter",
    }
}

/// Who waits for whom, in one line that fits into the headers of an answer.
fn cycle_text(cycle: &[DeadlockEdge]) -> String {
    const SHOWN: usize = 2;
    let step = |edge: &DeadlockEdge| format!("{} waits for {}", edge.owner, edge.name);
    let shown: Vec<_> = cycle.iter().take(SHOWN).map(step).collect();
    let dots = if cycle.len() > SHOWN { ", ..." } else { "" };
    format!("it would close a cycle of {}: {}{dots}", cycle.len(), shown.join(", "))
}

fn limit_reason(limit: Limit) -> &'static str {
    match limit {
        Limit::Sessions => "LIMIT_SESSIONS",
        Limit::Objects => "LIMIT_OBJECTS",
        Limit::Holds => "LIMIT_HOLDS",
        Limit::WaitersOfObject => "LIMIT_WAITERS_OF_OBJECT",
        Limit::Waiters => "LIMIT_WAITERS",
        Limit::Window => "LIMIT_WINDOW",
        Limit::OfSession => "LIMIT_OF_SESSION",
        Limit::Values => "LIMIT_VALUES",
        Limit::CountKeys => "LIMIT_COUNT_KEYS",
    }
}

fn limit_noun(limit: Limit) -> &'static str {
    match limit {
        Limit::Sessions => "sessions",
        Limit::Objects => "objects",
        Limit::Holds => "holds",
        Limit::WaitersOfObject => "waiters of one object",
        Limit::Waiters => "waiters",
        Limit::Window => "answers that the client has not seen",
        Limit::OfSession => "holds and waits of one session",
        Limit::Values => "bytes of registers and results",
        Limit::CountKeys => "keys of one round of a latch",
    }
}

fn invalid(what: Invalid) -> (&'static str, &'static str) {
    match what {
        Invalid::Ttl => ("INVALID_TTL", "ttl_ms"),
        Invalid::LockDelay => ("INVALID_LOCK_DELAY", "lock_delay_ms"),
        Invalid::MaxHold => ("INVALID_MAX_HOLD", "max_hold_ms"),
        Invalid::Seq => ("INVALID_SEQ", "seq"),
        Invalid::Items => ("INVALID_ITEMS", "acquire.items"),
        Invalid::Campaign => ("INVALID_REQUEST", "acquire.campaign"),
        Invalid::Value => ("INVALID_VALUE", "value"),
        Invalid::Zero => ("INVALID_REQUEST", "op"),
        Invalid::Retention => ("INVALID_RETENTION", "complete.retention_ms"),
        Invalid::Mode => ("INVALID_MODE", "downgrade.to"),
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { leader } => Self::NotLeader { leader },
            ProposeError::Unknown { leader: _ } => Self::Unknown,
            ProposeError::Overloaded => Self::Overloaded,
            ProposeError::Stopped => Self::ShuttingDown,
        }
    }
}

impl From<KeepAliveError> for Failure {
    fn from(error: KeepAliveError) -> Self {
        match error {
            KeepAliveError::Refused(refusal) => Self::Refused(refusal),
            KeepAliveError::NotLeader { leader } => Self::NotLeader { leader },
            KeepAliveError::Overloaded => Self::Overloaded,
            KeepAliveError::Stopped => Self::ShuttingDown,
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotLeader { leader } => Self::NotLeader { leader },
            ReadError::NoQuorum => Self::NoQuorum,
            ReadError::Stopped => Self::ShuttingDown,
        }
    }
}

impl From<StepDownError> for Failure {
    fn from(error: StepDownError) -> Self {
        match error {
            StepDownError::NotLeader { leader } => Self::NotLeader { leader },
            StepDownError::UnknownNode { name } => Self::NoSuchVoter { name },
            StepDownError::Alone => Self::NoSuchVoter { name: String::new() },
            StepDownError::TimedOut => Self::NotHandedOver,
            StepDownError::Stopped => Self::ShuttingDown,
        }
    }
}

#[cfg(test)]
mod tests;
