//! Each failure, its code and its reason: the contract, as a table.

use super::*;
use conclave_machine::{Epoch, Token, Version};

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
        (limit(Limit::OfSession), Code::ResourceExhausted, "LIMIT_OF_SESSION", seven, true),
        (limit(Limit::Values), Code::ResourceExhausted, "LIMIT_VALUES", seven, true),
        (limit(Limit::CountKeys), Code::ResourceExhausted, "LIMIT_COUNT_KEYS", seven, true),
        (
            refused(Refusal::Mismatch { object: 5, request: 6 }),
            failed,
            "MISMATCH",
            Some(("object", "5")),
            false,
        ),
        (
            refused(Refusal::Weight { weight: 9, max: 8 }),
            failed,
            "WEIGHT_OVER_LIMIT",
            Some(("max", "8")),
            false,
        ),
        (refused(Refusal::NotUpgradable), failed, "NOT_UPGRADABLE", none, false),
        (refused(Refusal::WouldDeadlock), failed, "WOULD_DEADLOCK", none, false),
        (
            refused(Refusal::Deadlock { cycle: Vec::new() }),
            failed,
            "DEADLOCK",
            Some(("steps", "0")),
            false,
        ),
        (refused(Refusal::Guard), failed, "GUARD", none, false),
        (
            refused(Refusal::BelowZero { remaining: 1 }),
            failed,
            "BELOW_ZERO",
            Some(("remaining", "1")),
            false,
        ),
        (
            refused(Refusal::Overflow { value: -3 }),
            failed,
            "OVERFLOW",
            Some(("value", "-3")),
            false,
        ),
        (refused(Refusal::Broken), failed, "BROKEN", none, false),
        (
            refused(Refusal::AttemptsExhausted { attempts: 3 }),
            failed,
            "ATTEMPTS_EXHAUSTED",
            Some(("attempts", "3")),
            false,
        ),
        (refused(Refusal::HoldLost), failed, "HOLD_LOST", none, false),
        (
            refused(Refusal::Conflict { version: Version(4) }),
            failed,
            "CONFLICT",
            Some(("version", "4")),
            false,
        ),
        (refused(Refusal::Busy), failed, "BUSY", none, false),
        (refused(Refusal::Stale), failed, "STALE", none, false),
        (refused(Refusal::NotFound), Code::NotFound, "NOT_FOUND", none, false),
        (
            invalid(Invalid::Ttl),
            Code::InvalidArgument,
            "INVALID_TTL",
            Some(("field", "ttl_ms")),
            false,
        ),
        (
            invalid(Invalid::Mode),
            Code::InvalidArgument,
            "INVALID_MODE",
            Some(("field", "downgrade.to")),
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
        (
            Failure::Behind { applied: Revision(8) },
            Code::Unavailable,
            "NODE_BEHIND",
            Some(("applied_revision", "8")),
            false,
        ),
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

#[test]
fn a_cycle_is_told_in_a_line_that_fits_into_headers() {
    let long = "n".repeat(conclave_machine::limits::NAME_BYTES_MAX);
    let name = conclave_machine::Name::new(&long).expect("a name");
    let edge = || DeadlockEdge {
        session: conclave_machine::SessionId(1),
        session_name: name.clone(),
        owner: long.clone().into(),
        name: name.clone(),
    };
    let text = cycle_text(&[edge(), edge(), edge()]);
    assert!(text.starts_with("it would close a cycle of 3: nnn") && text.ends_with(", ..."));
    assert!(text.len() < 4 * 1024, "{} bytes", text.len());
}
