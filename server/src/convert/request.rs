//! From the wire to commands: every rule that needs no state is checked here and nowhere else.

use std::collections::HashMap;
use std::time::Duration;

use conclave_machine::{
    Acquire, Attach, Call, Command, Demand, Epoch, Labels, Name, Nonce, Op, Open, Secret, Seq,
    SessionId, SessionKey, Sort, Token, check_text, limits,
};
use conclave_proto::v1;

use crate::limits::{ATTACH_ITEMS_MAX, LIST_DEFAULT, LIST_MAX, WAIT_MS_MAX};
use crate::status::Malformed;

/// How long the client waits in the queue. No part of the machine: the edge that serves the wait measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    None,
    Forever,
    For(Duration),
}

/// A resume as it was asked for; which epoch it raises is read from the state when zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResumeRequest {
    pub(crate) session: SessionId,
    pub(crate) secret: Secret,
    /// None: whatever the epoch is now.
    pub(crate) expected: Option<Epoch>,
    pub(crate) nonce: Nonce,
}

/// Which lines of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListQuery {
    pub(crate) prefix: String,
    pub(crate) sort: Sort,
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
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
        return Err(malformed("INVALID_SEQ", "waiting", "must be 1 or more".to_owned()));
    }
    Ok(Attach {
        key: key(request.key)?,
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

pub(crate) fn key(key: Option<v1::SessionKey>) -> Result<SessionKey, Malformed> {
    let key = key.ok_or_else(|| missing("key"))?;
    Ok(SessionKey {
        id: SessionId(key.session),
        secret: Secret(sixteen(&key.secret, "INVALID_SECRET", "key.secret")?),
        epoch: Epoch(key.epoch),
    })
}

/// The call of a stream, whose key was said when it was opened.
pub(crate) fn call(
    key: SessionKey,
    request: v1::CallRequest,
) -> Result<(Command, Wait), Malformed> {
    let (op, wait) = match request.op.ok_or_else(|| missing("op"))? {
        v1::call_request::Op::Acquire(op) => {
            let (acquire, wait) = acquire(op)?;
            (Op::Acquire(acquire), wait)
        }
        v1::call_request::Op::Release(op) => (Op::Release { token: Token(op.token) }, Wait::None),
        v1::call_request::Op::Adopt(op) => (Op::Adopt { token: Token(op.token) }, Wait::None),
    };
    Ok((in_order(key, request.seq, request.seen_through, op)?, wait))
}

pub(crate) fn acquire_call(request: v1::AcquireRequest) -> Result<(Command, Wait), Malformed> {
    let (acquire, wait) = acquire(request.acquire.ok_or_else(|| missing("acquire"))?)?;
    let key = key(request.key)?;
    Ok((in_order(key, request.seq, request.seen_through, Op::Acquire(acquire))?, wait))
}

/// A mutation in its place among those of its session.
pub(crate) fn in_order(
    key: SessionKey,
    number: u64,
    seen_through: u64,
    op: Op,
) -> Result<Command, Malformed> {
    let seq = seq(number, "seq")?;
    Ok(Command::Call(Call { key, seq, seen_through: Seq(seen_through), op }))
}

fn acquire(op: v1::AcquireOp) -> Result<(Acquire, Wait), Malformed> {
    let demand = match op.demand.ok_or_else(|| missing("acquire.demand"))? {
        v1::acquire_op::Demand::Mutex(v1::MutexDemand {}) => Demand::Mutex,
    };
    let wait = wait(op.wait)?;
    if op.max_hold_ms > limits::MAX_HOLD_MS_MAX {
        let range = format!("must be at most {} milliseconds", limits::MAX_HOLD_MS_MAX);
        return Err(malformed("INVALID_MAX_HOLD", "acquire.max_hold_ms", range));
    }
    let acquire = Acquire {
        name: name(&op.name, "acquire.name")?,
        demand,
        wait: wait != Wait::None,
        priority: op.priority,
        max_hold_ms: op.max_hold_ms,
        owner: op.owner.map(|owner| text(&owner, "acquire.owner")).transpose()?,
        metadata: labels(op.metadata, "acquire.metadata")?,
    };
    Ok((acquire, wait))
}

fn wait(wait: Option<v1::Wait>) -> Result<Wait, Malformed> {
    match wait.and_then(|wait| wait.kind) {
        None | Some(v1::wait::Kind::None(_)) => Ok(Wait::None),
        Some(v1::wait::Kind::Forever(_)) => Ok(Wait::Forever),
        Some(v1::wait::Kind::Ms(ms)) if (1..=WAIT_MS_MAX).contains(&ms) => {
            Ok(Wait::For(Duration::from_millis(ms)))
        }
        Some(v1::wait::Kind::Ms(_)) => {
            let range = format!("must be 1 to {WAIT_MS_MAX} milliseconds");
            Err(malformed("INVALID_WAIT", "acquire.wait.ms", range))
        }
    }
}

pub(crate) fn ack_stopped(request: &v1::AckStoppedRequest) -> Result<Command, Malformed> {
    Ok(Command::AckStopped {
        session: SessionId(request.session),
        secret: Secret(sixteen(&request.secret, "INVALID_SECRET", "secret")?),
        token: Token(request.token),
    })
}

pub(crate) fn kill(request: &v1::KillSessionRequest) -> Result<Command, Malformed> {
    let reason =
        if request.reason.is_empty() { Box::default() } else { text(&request.reason, "reason")? };
    Ok(Command::Kill { session: SessionId(request.session), by: text(&request.by, "by")?, reason })
}

pub(crate) fn force_release(request: &v1::ForceReleaseRequest) -> Result<Command, Malformed> {
    Ok(Command::ForceRelease {
        name: name(&request.name, "name")?,
        token: Token(request.token),
        now: request.now,
        by: text(&request.by, "by")?,
    })
}

pub(crate) fn list(request: v1::ListRequest) -> Result<ListQuery, Malformed> {
    let sort = match v1::Sort::try_from(request.sort) {
        Ok(v1::Sort::Unspecified | v1::Sort::Name) => Sort::Name,
        Ok(v1::Sort::LongestWait) => Sort::LongestWait,
        Ok(v1::Sort::MostWaiters) => Sort::MostWaiters,
        Err(_) => {
            let text = format!("{} is not known", request.sort);
            return Err(malformed("INVALID_REQUEST", "sort", text));
        }
    };
    if !request.after.is_empty() && sort != Sort::Name {
        let text = "goes only with the order by name".to_owned();
        return Err(malformed("INVALID_REQUEST", "after", text));
    }
    Ok(ListQuery {
        prefix: request.prefix,
        sort,
        after: Some(request.after).filter(|after| !after.is_empty()),
        limit: page(request.limit, "limit")?,
    })
}

/// How many lines; zero: the default.
pub(crate) fn page(limit: u32, field: &'static str) -> Result<usize, Malformed> {
    match limit {
        0 => Ok(LIST_DEFAULT as usize),
        1..=LIST_MAX => Ok(limit as usize),
        _ => {
            let text = format!("must be 1 to {LIST_MAX}, or 0 for {LIST_DEFAULT}");
            Err(malformed("INVALID_REQUEST", field, text))
        }
    }
}

pub(crate) fn name(text: &str, field: &'static str) -> Result<Name, Malformed> {
    Name::new(text).map_err(|error| malformed("INVALID_NAME", field, error.to_string()))
}

pub(crate) fn seq(number: u64, field: &'static str) -> Result<Seq, Malformed> {
    match number {
        0 => Err(malformed("INVALID_SEQ", field, "must be 1 or more".to_owned())),
        number => Ok(Seq(number)),
    }
}

fn text(text: &str, field: &'static str) -> Result<Box<str>, Malformed> {
    check_text(text, limits::TEXT_BYTES_MAX)
        .map_err(|error| malformed("INVALID_REQUEST", field, error.to_string()))?;
    Ok(text.into())
}

fn labels(pairs: HashMap<String, String>, field: &'static str) -> Result<Labels, Malformed> {
    let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into()));
    Labels::new(pairs).map_err(|error| {
        let text = format!("has {} bytes, at most {}", error.bytes, limits::LABELS_BYTES_MAX);
        malformed("INVALID_LABELS", field, text)
    })
}

fn sixteen(bytes: &[u8], reason: &'static str, field: &'static str) -> Result<u128, Malformed> {
    match bytes.try_into() {
        Ok(bytes) => Ok(u128::from_be_bytes(bytes)),
        Err(_) => Err(malformed(reason, field, format!("has {} bytes, must have 16", bytes.len()))),
    }
}

fn missing(field: &'static str) -> Malformed {
    malformed("INVALID_REQUEST", field, "is missing".to_owned())
}

fn malformed(reason: &'static str, field: &'static str, message: String) -> Malformed {
    Malformed { reason, field, message }
}

/// A whole number of milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
