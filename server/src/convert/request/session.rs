//! What begins, takes over and ends a session, and what its client says besides its calls.

use std::time::Duration;

use conclave_machine::{
    Attach, Command, Epoch, Nonce, Open, Secret, Seq, SessionId, Token, limits,
};
use conclave_proto::v1;

use super::{key, labels, malformed, millis, name, seq, sixteen};
use crate::limits::ATTACH_ITEMS_MAX;
use crate::status::Malformed;

/// A resume as it was asked for; which epoch it raises is read from the state when zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResumeRequest {
    pub(crate) session: SessionId,
    pub(crate) secret: Secret,
    /// None: whatever the epoch is now.
    pub(crate) expected: Option<Epoch>,
    pub(crate) nonce: Nonce,
}

pub(crate) fn open(request: v1::OpenRequest, ttl_floor: Duration) -> Result<Open, Malformed> {
    let secret = Secret(sixteen(&request.secret, "INVALID_SECRET", "secret")?);
    let floor_ms = millis(ttl_floor).max(limits::TTL_MS_MIN);
    if !(floor_ms..=limits::TTL_MS_MAX).contains(&request.ttl_ms) {
        let range = format!("must be {floor_ms} to {} milliseconds", limits::TTL_MS_MAX);
        return Err(malformed("INVALID_TTL", "ttl_ms", range));
    }
    if request.lock_delay_ms > limits::LOCK_DELAY_MS_MAX {
        let range = format!("must be at most {} milliseconds", limits::LOCK_DELAY_MS_MAX);
        return Err(malformed("INVALID_LOCK_DELAY", "lock_delay_ms", range));
    }
    Ok(Open {
        secret,
        ttl_ms: request.ttl_ms,
        lock_delay_ms: request.lock_delay_ms,
        name: name(&request.name, "name")?,
        labels: labels(request.labels, "labels")?,
    })
}

pub(crate) fn attach(request: v1::AttachRequest) -> Result<Attach, Malformed> {
    for (items, field) in [(&request.held, "held"), (&request.waiting, "waiting")] {
        if items.len() > ATTACH_ITEMS_MAX {
            let text = format!("has {} items, at most {ATTACH_ITEMS_MAX}", items.len());
            return Err(malformed("INVALID_REQUEST", field, text));
        }
    }
    if request.waiting.contains(&0) {
        return Err(malformed("INVALID_SEQ", "waiting", "must be 1 or more"));
    }
    if request.number == 0 {
        return Err(malformed("INVALID_REQUEST", "number", "must be 1 or more"));
    }
    Ok(Attach {
        key: key(request.key)?,
        number: request.number,
        held: request.held.into_iter().map(Token).collect(),
        waiting: request.waiting.into_iter().map(Seq).collect(),
        next_seq: seq(request.next_seq, "next_seq")?,
    })
}

pub(crate) fn resume(request: &v1::ResumeRequest) -> Result<ResumeRequest, Malformed> {
    Ok(ResumeRequest {
        session: SessionId(request.session),
        secret: Secret(sixteen(&request.secret, "INVALID_SECRET", "secret")?),
        expected: (request.expected_epoch != 0).then_some(Epoch(request.expected_epoch)),
        nonce: Nonce(sixteen(&request.nonce, "INVALID_SECRET", "nonce")?),
    })
}

pub(crate) fn ack_stopped(request: &v1::AckStoppedRequest) -> Result<Command, Malformed> {
    Ok(Command::AckStopped {
        session: SessionId(request.session),
        secret: Secret(sixteen(&request.secret, "INVALID_SECRET", "secret")?),
        token: Token(request.token),
    })
}
