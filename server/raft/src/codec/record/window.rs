//! Recorded answers, the refusals among them.

use conclave_machine::{
    DeadlockEdge, Passed, Recorded, Refusal, Seq, SessionId, Token, Version, WindowRecord,
};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::refusal::Refusal as WireRefusal;
use conclave_proto::internal::v1::window_record::Answer as Wire;

use super::super::DecodeError;
use super::super::edit::{edited, wire_edited};
use super::super::parts::{EMPTY, bytes_of, kind, name, text, wire_kind};

pub(super) fn wire_window(window: &WindowRecord) -> wire::WindowRecord {
    let answer = match &window.answer {
        Recorded::Queued => Wire::Queued(EMPTY),
        Recorded::Granted { token } => Wire::Granted(token.get()),
        Recorded::Held { name } => Wire::Held(bytes_of(name.as_str())),
        Recorded::TimedOut { name } => Wire::TimedOut(bytes_of(name.as_str())),
        Recorded::Passed(Passed { version, index }) => {
            Wire::Passed(wire::Passed { version: version.get(), index: *index })
        }
        Recorded::Cancelled => Wire::Cancelled(EMPTY),
        Recorded::Released => Wire::Released(EMPTY),
        Recorded::Downgraded => Wire::Downgraded(EMPTY),
        Recorded::Proclaimed => Wire::Proclaimed(EMPTY),
        Recorded::EligibleSet => Wire::EligibleSet(EMPTY),
        Recorded::Completed { version } => Wire::Completed(version.get()),
        Recorded::Edited(edited) => Wire::Edited(wire_edited(edited)),
        Recorded::Refused(refusal) => Wire::Refused(wire_refusal(refusal)),
    };
    wire::WindowRecord {
        seq: window.seq.get(),
        fingerprint: window.fingerprint,
        answer: Some(answer),
    }
}

pub(super) fn decode_window(wire: &wire::WindowRecord) -> Result<WindowRecord, DecodeError> {
    let answer = match wire.answer.as_ref().ok_or(DecodeError::Missing { what: "an answer" })? {
        Wire::Queued(wire::Empty {}) => Recorded::Queued,
        Wire::Granted(token) => Recorded::Granted { token: Token(*token) },
        Wire::Held(of) => Recorded::Held { name: name(of)? },
        Wire::TimedOut(of) => Recorded::TimedOut { name: name(of)? },
        Wire::Passed(wire::Passed { version, index }) => {
            Recorded::Passed(Passed { version: Version(*version), index: *index })
        }
        Wire::Cancelled(wire::Empty {}) => Recorded::Cancelled,
        Wire::Released(wire::Empty {}) => Recorded::Released,
        Wire::Downgraded(wire::Empty {}) => Recorded::Downgraded,
        Wire::Proclaimed(wire::Empty {}) => Recorded::Proclaimed,
        Wire::EligibleSet(wire::Empty {}) => Recorded::EligibleSet,
        Wire::Completed(version) => Recorded::Completed { version: Version(*version) },
        Wire::Edited(wire) => Recorded::Edited(edited(wire)?),
        Wire::Refused(refusal) => Recorded::Refused(Box::new(decode_refusal(refusal)?)),
    };
    Ok(WindowRecord { seq: Seq(wire.seq), fingerprint: wire.fingerprint, answer })
}

/// Of those that the machine records; it never shows another one here.
fn wire_refusal(refusal: &Refusal) -> wire::Refusal {
    let wire = match refusal {
        Refusal::NotHolder => WireRefusal::NotHolder(EMPTY),
        Refusal::AlreadyHeld { token } => WireRefusal::AlreadyHeld(token.get()),
        Refusal::WrongKind { kind } => WireRefusal::WrongKind(wire_kind(*kind)),
        Refusal::NotFound => WireRefusal::NotFound(EMPTY),
        Refusal::Mismatch { object, request } => {
            WireRefusal::Mismatch(wire::Mismatch { object: *object, request: *request })
        }
        Refusal::Weight { weight, max } => {
            WireRefusal::Weight(wire::Weight { weight: *weight, max: *max })
        }
        Refusal::NotUpgradable => WireRefusal::NotUpgradable(EMPTY),
        Refusal::WouldDeadlock => WireRefusal::WouldDeadlock(EMPTY),
        Refusal::Deadlock { cycle } => {
            WireRefusal::Deadlock(wire::Deadlock { cycle: cycle.iter().map(wire_edge).collect() })
        }
        Refusal::Guard => WireRefusal::Guard(EMPTY),
        Refusal::BelowZero { remaining } => WireRefusal::BelowZero(*remaining),
        Refusal::Overflow { value } => WireRefusal::Overflow(*value),
        Refusal::Broken => WireRefusal::Broken(EMPTY),
        Refusal::AttemptsExhausted { attempts } => WireRefusal::AttemptsExhausted(*attempts),
        Refusal::HoldLost => WireRefusal::HoldLost(EMPTY),
        Refusal::SessionExpired
        | Refusal::Fenced { .. }
        | Refusal::SeqReused
        | Refusal::Gone
        | Refusal::Limit { .. }
        | Refusal::Conflict { .. }
        | Refusal::Busy
        | Refusal::Stale
        | Refusal::Invalid { .. } => unreachable!("no recorded answer: {refusal:?}"),
    };
    wire::Refusal { refusal: Some(wire) }
}

fn decode_refusal(wire: &wire::Refusal) -> Result<Refusal, DecodeError> {
    Ok(match wire.refusal.as_ref().ok_or(DecodeError::Missing { what: "a refusal" })? {
        WireRefusal::NotHolder(wire::Empty {}) => Refusal::NotHolder,
        WireRefusal::AlreadyHeld(token) => Refusal::AlreadyHeld { token: Token(*token) },
        WireRefusal::WrongKind(of) => Refusal::WrongKind { kind: kind(*of)? },
        WireRefusal::NotFound(wire::Empty {}) => Refusal::NotFound,
        WireRefusal::Mismatch(wire::Mismatch { object, request }) => {
            Refusal::Mismatch { object: *object, request: *request }
        }
        WireRefusal::Weight(wire::Weight { weight, max }) => {
            Refusal::Weight { weight: *weight, max: *max }
        }
        WireRefusal::NotUpgradable(wire::Empty {}) => Refusal::NotUpgradable,
        WireRefusal::WouldDeadlock(wire::Empty {}) => Refusal::WouldDeadlock,
        WireRefusal::Deadlock(wire::Deadlock { cycle }) => {
            Refusal::Deadlock { cycle: cycle.iter().map(edge).collect::<Result<_, _>>()? }
        }
        WireRefusal::Guard(wire::Empty {}) => Refusal::Guard,
        WireRefusal::BelowZero(remaining) => Refusal::BelowZero { remaining: *remaining },
        WireRefusal::Overflow(value) => Refusal::Overflow { value: *value },
        WireRefusal::Broken(wire::Empty {}) => Refusal::Broken,
        WireRefusal::AttemptsExhausted(attempts) => {
            Refusal::AttemptsExhausted { attempts: *attempts }
        }
        WireRefusal::HoldLost(wire::Empty {}) => Refusal::HoldLost,
    })
}

fn wire_edge(edge: &DeadlockEdge) -> wire::DeadlockEdge {
    wire::DeadlockEdge {
        session: edge.session.get(),
        session_name: bytes_of(edge.session_name.as_str()),
        owner: bytes_of(&edge.owner),
        name: bytes_of(edge.name.as_str()),
    }
}

fn edge(wire: &wire::DeadlockEdge) -> Result<DeadlockEdge, DecodeError> {
    Ok(DeadlockEdge {
        session: SessionId(wire.session),
        session_name: name(&wire.session_name)?,
        owner: text(&wire.owner, "an owner")?,
        name: name(&wire.name)?,
    })
}
