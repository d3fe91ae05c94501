//! The one file that turns what went wrong into a gRPC status and into a `Problem` of a stream. The reason is the contract.
//!
//! Bytes that are no message at all never get here: tonic answers them with INTERNAL, and too long ones with OUT_OF_RANGE.

use std::collections::HashMap;

use conclave_machine::{Invalid, Kind, Limit, Refusal};
use conclave_proto::v1;
use conclave_raft::{KeepAliveError, LeaderHint, ProposeError, ReadError, StepDownError};
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
    /// No such voter to hand over to.
    NoSuchVoter { name: String },
    /// Nobody took over in time; this node may still lead.
    NotHandedOver,
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
    pub(crate) field: &'static str,
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
                metadata: vec![("field", (*field).to_owned())],
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
            Self::NoSuchVoter { name } => {
                let whom = if name.is_empty() { String::new() } else { format!(" {name:?}") };
                told(Code::NotFound, "NOT_FOUND", &format!("there is no other voter{whom}"))
            }
            Self::NotHandedOver => told(
                Code::Unavailable,
                "UNKNOWN_OUTCOME",
                "nobody took over in time; look at the status before asking again",
            ),
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
    let told = |code, reason, message: &str| Told {
        code,
        reason,
        message: message.to_owned(),
        metadata: Vec::new(),
        retry: false,
    };
    let failed = |reason, message: &str| told(Code::FailedPrecondition, reason, message);
    match refusal {
        Refusal::SessionExpired => {
            failed("SESSION_EXPIRED", "no such session, or it ended, or the secret is not its own")
        }
        Refusal::Fenced { epoch } => Told {
            metadata: vec![("epoch", epoch.to_string())],
            ..failed("SESSION_FENCED", FENCED)
        },
        Refusal::NotHolder => {
            failed("NOT_HOLDER", "the session holds nothing under this token (any more)")
        }
        Refusal::AlreadyHeld { token } => Told {
            metadata: vec![("token", token.to_string())],
            ..failed("ALREADY_HELD", "the same owner of this session already holds it")
        },
        Refusal::WrongKind { kind } => Told {
            metadata: vec![("kind", kind_name(*kind).to_owned())],
            ..failed("WRONG_KIND", &format!("the name stands for a {}", kind_name(*kind)))
        },
        Refusal::SeqReused => failed("SEQ_REUSED", "this seq was used for another request"),
        Refusal::Gone => {
            failed("SEQ_GONE", "this seq was answered before and stands for nothing any more")
        }
        Refusal::Limit { what, max } => Told {
            metadata: vec![("max", max.to_string())],
            retry: true,
            ..told(
                Code::ResourceExhausted,
                limit_reason(*what),
                &format!("no more than {max} {} at one time", limit_noun(*what)),
            )
        },
        Refusal::NotFound => told(Code::NotFound, "NOT_FOUND", "there is no such thing (any more)"),
        Refusal::Stale => told(Code::Internal, "UNEXPECTED", "an order of another time"),
        Refusal::Invalid { what } => {
            let (reason, field) = invalid(*what);
            Told {
                metadata: vec![("field", field.to_owned())],
                ..told(Code::InvalidArgument, reason, &format!("{field} is out of range"))
            }
        }
    }
}

pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Mutex => "mutex",
    }
}

fn limit_reason(limit: Limit) -> &'static str {
    match limit {
        Limit::Sessions => "LIMIT_SESSIONS",
        Limit::Objects => "LIMIT_OBJECTS",
        Limit::Holds => "LIMIT_HOLDS",
        Limit::WaitersOfObject => "LIMIT_WAITERS_OF_OBJECT",
        Limit::Waiters => "LIMIT_WAITERS",
        Limit::Window => "LIMIT_WINDOW",
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
    }
}

fn invalid(what: Invalid) -> (&'static str, &'static str) {
    match what {
        Invalid::Ttl => ("INVALID_TTL", "ttl_ms"),
        Invalid::LockDelay => ("INVALID_LOCK_DELAY", "lock_delay_ms"),
        Invalid::MaxHold => ("INVALID_MAX_HOLD", "max_hold_ms"),
        Invalid::Seq => ("INVALID_SEQ", "seq"),
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
mod tests {
    use super::*;
    use conclave_machine::{Epoch, Token};

    fn leader() -> LeaderHint {
        LeaderHint {
            id: 2,
            name: "b".into(),
            client_address: "h:7420".into(),
            peer_address: "h:7421".into(),
        }
    }

    /// A failure, its code, its reason, one item of its metadata (or none), and whether it says when to ask again.
    type Line = (Failure, Code, &'static str, Option<(&'static str, &'static str)>, bool);

    fn table() -> Vec<Line> {
        let refused = Failure::Refused;
        let limit = |what| Failure::Refused(Refusal::Limit { what, max: 7 });
        let invalid = |what| Failure::Refused(Refusal::Invalid { what });
        let (failed, none) = (Code::FailedPrecondition, None);
        let seven = Some(("max", "7"));
        vec![
            (refused(Refusal::SessionExpired), failed, "SESSION_EXPIRED", none, false),
            (
                refused(Refusal::Fenced { epoch: Epoch(2) }),
                failed,
                "SESSION_FENCED",
                Some(("epoch", "2")),
                false,
            ),
            (Failure::FencedWait, failed, "SESSION_FENCED", none, false),
            (refused(Refusal::NotHolder), failed, "NOT_HOLDER", none, false),
            (
                refused(Refusal::AlreadyHeld { token: Token(9) }),
                failed,
                "ALREADY_HELD",
                Some(("token", "9")),
                false,
            ),
            (
                refused(Refusal::WrongKind { kind: Kind::Mutex }),
                failed,
                "WRONG_KIND",
                Some(("kind", "mutex")),
                false,
            ),
            (refused(Refusal::SeqReused), failed, "SEQ_REUSED", none, false),
            (refused(Refusal::Gone), failed, "SEQ_GONE", none, false),
            (limit(Limit::Sessions), Code::ResourceExhausted, "LIMIT_SESSIONS", seven, true),
            (limit(Limit::Objects), Code::ResourceExhausted, "LIMIT_OBJECTS", seven, true),
            (limit(Limit::Holds), Code::ResourceExhausted, "LIMIT_HOLDS", seven, true),
            (
                limit(Limit::WaitersOfObject),
                Code::ResourceExhausted,
                "LIMIT_WAITERS_OF_OBJECT",
                seven,
                true,
            ),
            (limit(Limit::Waiters), Code::ResourceExhausted, "LIMIT_WAITERS", seven, true),
            (limit(Limit::Window), Code::ResourceExhausted, "LIMIT_WINDOW", seven, true),
            (refused(Refusal::NotFound), Code::NotFound, "NOT_FOUND", none, false),
            (
                invalid(Invalid::Ttl),
                Code::InvalidArgument,
                "INVALID_TTL",
                Some(("field", "ttl_ms")),
                false,
            ),
            (
                invalid(Invalid::Seq),
                Code::InvalidArgument,
                "INVALID_SEQ",
                Some(("field", "seq")),
                false,
            ),
            (
                Failure::NotLeader { leader: Some(leader()) },
                Code::Unavailable,
                "NOT_LEADER",
                Some(("leader_address", "h:7420")),
                false,
            ),
            (
                Failure::Moved { leader: Some(leader()) },
                Code::Unavailable,
                "NOT_LEADER",
                Some(("leader_name", "b")),
                false,
            ),
            (Failure::NotLeader { leader: None }, Code::Unavailable, "NOT_LEADER", none, false),
            (Failure::Unknown, Code::Unavailable, "UNKNOWN_OUTCOME", none, false),
            (Failure::NoQuorum, Code::Unavailable, "NO_QUORUM", none, false),
            (Failure::Overloaded, Code::ResourceExhausted, "OVERLOADED", none, true),
            (Failure::ShuttingDown, Code::Unavailable, "SHUTTING_DOWN", none, false),
        ]
    }

    #[test]
    fn each_failure_has_its_code_and_reason_on_both_edges() {
        for (failure, code, reason, metadata, retry) in table() {
            let status = failure.status();
            assert_eq!(status.code(), code, "{failure:?}");
            assert!(!status.message().is_empty(), "{failure:?}");
            let details = status.get_error_details();
            let info = details.error_info().expect("told");
            assert_eq!((info.domain.as_str(), info.reason.as_str()), (DOMAIN, reason));
            assert_eq!(details.retry_info().is_some(), retry, "{failure:?}");
            let problem = failure.problem();
            assert_eq!((problem.reason.as_str(), &problem.metadata), (reason, &info.metadata));
            match metadata {
                Some((key, value)) => {
                    assert_eq!(info.metadata.get(key).map(String::as_str), Some(value));
                }
                None => assert!(info.metadata.is_empty(), "{failure:?}"),
            }
        }
    }
}
