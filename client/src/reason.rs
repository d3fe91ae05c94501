//! The one place where reasons of the wire become types. A reason decides; a code only where there is no reason, prose never.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use conclave_proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::error::Refusal;
use crate::ids::{Token, Version};

/// What an answer that is no result means for the one who asked.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Decided, and final.
    Refused(Refusal),
    /// Not decided, or not known: ask again, with the same seq.
    Again(Again),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Again {
    /// Who leads, if the answer said so.
    pub(crate) leader: Option<Hint>,
    /// It may have happened all the same.
    pub(crate) may_have_happened: bool,
    /// The connection itself failed.
    pub(crate) connection_broken: bool,
    /// Not before this time has passed.
    pub(crate) not_before: Option<Duration>,
    /// For people.
    pub(crate) message: String,
}

/// Where a leader is said to be. One of the two may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) name: String,
    pub(crate) address: String,
}

impl Hint {
    pub(crate) fn new(name: &str, address: &str) -> Option<Self> {
        (!name.is_empty() || !address.is_empty())
            .then(|| Self { name: name.to_owned(), address: address.to_owned() })
    }

    pub(crate) fn from_wire(leader: Option<v1::Leader>) -> Option<Self> {
        leader.and_then(|leader| Self::new(&leader.name, &leader.address))
    }
}

pub(crate) fn of_problem(problem: v1::Problem) -> Verdict {
    of_reason(&problem.reason, problem.message, &problem.metadata)
}

pub(crate) fn of_status(status: &Status) -> Verdict {
    let message = format!("{}: {}", status.code(), status.message());
    if let Some(info) = status.get_details_error_info() {
        let verdict = of_reason(&info.reason, status.message().to_owned(), &info.metadata);
        return match verdict {
            Verdict::Again(mut again) => {
                again.not_before =
                    status.get_details_retry_info().and_then(|info| info.retry_delay);
                again.message = message;
                Verdict::Again(again)
            }
            refused @ Verdict::Refused(_) => refused,
        };
    }
    match status.code() {
        // Nothing of Conclave answers so without a reason: another server, a proxy, or an older version.
        Code::Unimplemented
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::InvalidArgument
        | Code::OutOfRange => Verdict::Refused(Refusal::Other {
            reason: format!("{:?}", status.code()),
            message: status.message().to_owned(),
        }),
        _ => Verdict::Again(Again {
            may_have_happened: true,
            connection_broken: true,
            message,
            ..Again::default()
        }),
    }
}

fn of_reason(reason: &str, message: String, metadata: &HashMap<String, String>) -> Verdict {
    let text = |key: &str| metadata.get(key).cloned().unwrap_or_default();
    let number = |key: &str| parsed(metadata, key).unwrap_or(0);
    let again = |may_have_happened, leader| {
        let message = if message.is_empty() { reason.to_owned() } else { message.clone() };
        Verdict::Again(Again { leader, may_have_happened, message, ..Again::default() })
    };
    let refusal = match reason {
        "NOT_LEADER" => {
            return again(false, Hint::new(&text("leader_name"), &text("leader_address")));
        }
        "UNKNOWN_OUTCOME" | "NO_QUORUM" | "NODE_BEHIND" => return again(true, None),
        // Refused before anything was proposed.
        "OVERLOADED" | "SHUTTING_DOWN" => return again(false, None),
        "SESSION_EXPIRED" => Refusal::SessionExpired,
        "SESSION_FENCED" => Refusal::SessionFenced,
        "NOT_HOLDER" => Refusal::NotHolder,
        "ALREADY_HELD" => Refusal::AlreadyHeld { token: Token::new(number("token")) },
        "WRONG_KIND" => Refusal::WrongKind { kind: text("kind") },
        "SEQ_REUSED" => Refusal::SeqReused,
        "SEQ_GONE" => Refusal::Gone,
        "NOT_FOUND" => Refusal::NotFound { message },
        "MISMATCH" => Refusal::Mismatch { object: number("object"), request: number("request") },
        "WEIGHT_OVER_LIMIT" => Refusal::Weight { weight: number("weight"), max: number("max") },
        "NOT_UPGRADABLE" => Refusal::NotUpgradable,
        "WOULD_DEADLOCK" => Refusal::WouldDeadlock,
        // The cycle is an answer of its own where there is room for it.
        "DEADLOCK" => Refusal::Deadlock { cycle: Vec::new() },
        "GUARD" => Refusal::Guard,
        "BELOW_ZERO" => Refusal::BelowZero { remaining: number("remaining") },
        "OVERFLOW" => Refusal::Overflow { value: parsed(metadata, "value").unwrap_or(0) },
        "BROKEN" => Refusal::Broken,
        "ATTEMPTS_EXHAUSTED" => Refusal::AttemptsExhausted { attempts: number("attempts") },
        "HOLD_LOST" => Refusal::HoldLost,
        "CONFLICT" => Refusal::Conflict { version: parsed(metadata, "version").map(Version::new) },
        "BUSY" => Refusal::Busy,
        _ if reason.starts_with("MEMBER_") => {
            let what = reason.strip_prefix("MEMBER_").unwrap_or_default().to_owned();
            Refusal::Member { what, message }
        }
        _ => match (reason.strip_prefix("LIMIT_"), reason.strip_prefix("INVALID_")) {
            (Some(what), _) => Refusal::Limit { what: what.to_owned(), max: number("max") },
            (_, Some(what)) => {
                let field = text("field");
                let field = if field.is_empty() { what.to_lowercase() } else { field };
                Refusal::Invalid { field, message }
            }
            (None, None) => Refusal::Other { reason: reason.to_owned(), message },
        },
    };
    Verdict::Refused(refusal)
}

fn parsed<T: FromStr>(metadata: &HashMap<String, String>, key: &str) -> Option<T> {
    metadata.get(key).and_then(|text| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(reason: &str, metadata: &[(&str, &str)]) -> Verdict {
        of_problem(v1::Problem {
            reason: reason.to_owned(),
            message: "prose".to_owned(),
            metadata: metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        })
    }

    #[test]
    fn reasons_become_types_with_their_fields() {
        let verdict = problem("LIMIT_WAITERS_OF_OBJECT", &[("max", "7")]);
        assert!(
            matches!(verdict, Verdict::Refused(Refusal::Limit { what, max: 7 }) if what == "WAITERS_OF_OBJECT")
        );
        let verdict = problem("INVALID_NAME", &[("field", "acquire.name")]);
        assert!(
            matches!(verdict, Verdict::Refused(Refusal::Invalid { field, .. }) if field == "acquire.name")
        );
        let verdict = problem("ALREADY_HELD", &[("token", "9")]);
        assert!(
            matches!(verdict, Verdict::Refused(Refusal::AlreadyHeld { token }) if token.get() == 9)
        );
        let verdict = problem("MEMBER_LAGS", &[]);
        assert!(
            matches!(verdict, Verdict::Refused(Refusal::Member { what, message }) if what == "LAGS" && message == "prose")
        );
        let verdict = problem("BRAND_NEW", &[]);
        assert!(
            matches!(verdict, Verdict::Refused(Refusal::Other { reason, .. }) if reason == "BRAND_NEW")
        );
    }

    #[test]
    fn unclear_reasons_are_asked_again_and_carry_the_leader() {
        let verdict = problem("NOT_LEADER", &[("leader_name", "b"), ("leader_address", "h:1")]);
        let Verdict::Again(again) = verdict else { panic!("{verdict:?}") };
        assert_eq!(again.leader, Hint::new("b", "h:1"));
        assert!(!again.may_have_happened);
        let verdict = problem("UNKNOWN_OUTCOME", &[]);
        assert!(matches!(verdict, Verdict::Again(again) if again.may_have_happened));
    }

    #[test]
    fn a_status_without_a_reason_is_unclear_unless_nothing_of_ours_answers_so() {
        let verdict = of_status(&Status::unavailable("tcp connect error"));
        assert!(
            matches!(verdict, Verdict::Again(again) if again.may_have_happened && again.connection_broken)
        );
        let verdict = of_status(&Status::unimplemented("what?"));
        assert!(matches!(verdict, Verdict::Refused(Refusal::Other { .. })));
    }
}
