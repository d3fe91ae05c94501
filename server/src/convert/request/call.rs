//! Calls: the mutations that count as exactly once, the same from a stream and as unary calls.

use conclave_machine::{Call, Mode, Op, Seq, SessionKey, Token, limits};
use conclave_proto::v1;
use conclave_proto::v1::call_request::Op as Wire;

use super::acquire::acquire;
use super::edit::edit;
use super::{Wait, key, malformed, missing, seq, value, wait};
use crate::status::Malformed;

/// The call of a stream, whose key was said when it was opened.
pub(crate) fn call(key: SessionKey, request: v1::CallRequest) -> Result<(Call, Wait), Malformed> {
    let (op, wait) = op(request.op.ok_or_else(|| missing("op"))?)?;
    let seq = seq(request.seq, "seq")?;
    Ok((Call { key, seq, seen_through: Seq(request.seen_through), op }, wait))
}

/// The same call as a request of its own; `field` is where its operation stands there.
pub(crate) fn unary_call(
    key_said: Option<v1::SessionKey>,
    seq: u64,
    seen_through: u64,
    op: Option<Wire>,
    field: &'static str,
) -> Result<(Call, Wait), Malformed> {
    let op = Some(op.ok_or_else(|| missing(field))?);
    call(key(key_said)?, v1::CallRequest { seq, seen_through, op })
}

fn op(op: Wire) -> Result<(Op, Wait), Malformed> {
    let op = match op {
        Wire::Acquire(op) => {
            let (acquire, wait) = acquire(op)?;
            return Ok((Op::Acquire(acquire), wait));
        }
        Wire::Upgrade(op) => {
            let time = wait(op.wait, "upgrade.wait.ms")?;
            let wait = time != Wait::None;
            return Ok((Op::Upgrade { token: Token(op.token), wait }, time));
        }
        Wire::Release(op) => Op::Release { token: Token(op.token), permits: op.permits },
        Wire::Adopt(op) => Op::Adopt { token: Token(op.token) },
        Wire::Downgrade(op) => downgrade(op)?,
        Wire::Proclaim(op) => Op::Proclaim {
            term: Token(op.term),
            value: value(&op.value, limits::PROPOSAL_BYTES_MAX, "proclaim.value")?,
        },
        Wire::SetEligible(op) => Op::SetEligible {
            campaign: seq(op.campaign_seq, "set_eligible.campaign_seq")?,
            eligible: op.eligible,
        },
        Wire::Complete(op) => complete(op)?,
        Wire::Edit(op) => Op::Edit(edit(op)?),
    };
    Ok((op, Wait::None))
}

fn downgrade(op: v1::DowngradeOp) -> Result<Op, Malformed> {
    let to = match mode(op.to) {
        Some(to @ (Mode::Read | Mode::Upgradable)) => to,
        Some(Mode::Write) | None => {
            let text = "must be read or upgradable";
            return Err(malformed("INVALID_MODE", "downgrade.to", text));
        }
    };
    Ok(Op::Downgrade { token: Token(op.token), to })
}

fn complete(op: v1::CompleteOp) -> Result<Op, Malformed> {
    if op.retention_ms > limits::RETENTION_MS_MAX {
        let range = format!("must be at most {} milliseconds", limits::RETENTION_MS_MAX);
        return Err(malformed("INVALID_RETENTION", "complete.retention_ms", range));
    }
    Ok(Op::Complete {
        token: Token(op.token),
        value: value(&op.value, limits::VALUE_BYTES_MAX, "complete.value")?,
        retention_ms: op.retention_ms,
    })
}

/// None: it was left out, or is not known here.
pub(super) fn mode(wire: i32) -> Option<Mode> {
    match v1::Mode::try_from(wire) {
        Ok(v1::Mode::Read) => Some(Mode::Read),
        Ok(v1::Mode::Upgradable) => Some(Mode::Upgradable),
        Ok(v1::Mode::Write) => Some(Mode::Write),
        Ok(v1::Mode::Unspecified) | Err(_) => None,
    }
}
