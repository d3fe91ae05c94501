//! From the wire to commands: every rule that needs no state is checked here and nowhere else.

mod acquire;
mod admin;
mod call;
mod edit;
mod session;
mod watch;

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use conclave_machine::{
    Epoch, Labels, Name, Secret, Seq, SessionId, SessionKey, Value, check_text, limits,
};
use conclave_proto::v1;

pub(crate) use admin::{delete, force_release, kill, list, page, resize, transfer};
pub(crate) use call::{call, unary_call};
pub(crate) use session::{ResumeRequest, ack_stopped, attach, open, resume};
pub(crate) use watch::{candidates_max, observe, watch};

use crate::limits::WAIT_MS_MAX;
use crate::status::Malformed;

/// Path of a field in its request.
type Field = Cow<'static, str>;

/// How long the client waits in the queue. No part of the machine: the edge that serves the wait measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    None,
    Forever,
    For(Duration),
}

pub(crate) fn key(key: Option<v1::SessionKey>) -> Result<SessionKey, Malformed> {
    let key = key.ok_or_else(|| missing("key"))?;
    Ok(SessionKey {
        id: SessionId(key.session),
        secret: Secret(sixteen(&key.secret, "INVALID_SECRET", "key.secret")?),
        epoch: Epoch(key.epoch),
    })
}

fn wait(wait: Option<v1::Wait>, field: &'static str) -> Result<Wait, Malformed> {
    match wait.and_then(|wait| wait.kind) {
        None | Some(v1::wait::Kind::None(_)) => Ok(Wait::None),
        Some(v1::wait::Kind::Forever(_)) => Ok(Wait::Forever),
        Some(v1::wait::Kind::Ms(ms)) if (1..=WAIT_MS_MAX).contains(&ms) => {
            Ok(Wait::For(Duration::from_millis(ms)))
        }
        Some(v1::wait::Kind::Ms(_)) => {
            let range = format!("must be 1 to {WAIT_MS_MAX} milliseconds");
            Err(malformed("INVALID_WAIT", field, range))
        }
    }
}

pub(crate) fn name(text: &str, field: impl Into<Field>) -> Result<Name, Malformed> {
    Name::new(text).map_err(|error| malformed("INVALID_NAME", field, error.to_string()))
}

pub(crate) fn seq(number: u64, field: &'static str) -> Result<Seq, Malformed> {
    match number {
        0 => Err(malformed("INVALID_SEQ", field, "must be 1 or more")),
        number => Ok(Seq(number)),
    }
}

fn text(text: &str, field: &'static str) -> Result<Box<str>, Malformed> {
    check_text(text, limits::TEXT_BYTES_MAX)
        .map_err(|error| malformed("INVALID_REQUEST", field, error.to_string()))?;
    Ok(text.into())
}

/// Bytes that a client leaves here.
fn value(bytes: &[u8], bytes_max: usize, field: &'static str) -> Result<Value, Malformed> {
    if bytes.len() > bytes_max {
        let text = format!("has {} bytes, at most {bytes_max}", bytes.len());
        return Err(malformed("INVALID_VALUE", field, text));
    }
    Ok(Value::new(bytes))
}

fn labels(pairs: HashMap<String, String>, field: &'static str) -> Result<Labels, Malformed> {
    let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into()));
    Labels::new(pairs).map_err(|error| {
        let text = format!(
            "has {} pairs with {} bytes, at most {} with {}",
            error.pairs,
            error.bytes,
            limits::LABELS_MAX,
            limits::LABELS_BYTES_MAX
        );
        malformed("INVALID_LABELS", field, text)
    })
}

fn sixteen(bytes: &[u8], reason: &'static str, field: &'static str) -> Result<u128, Malformed> {
    match bytes.try_into() {
        Ok(bytes) => Ok(u128::from_be_bytes(bytes)),
        Err(_) => Err(malformed(reason, field, format!("has {} bytes, must have 16", bytes.len()))),
    }
}

fn missing(field: impl Into<Field>) -> Malformed {
    malformed("INVALID_REQUEST", field, "is missing")
}

fn malformed(
    reason: &'static str,
    field: impl Into<Field>,
    message: impl Into<String>,
) -> Malformed {
    Malformed { reason, field: field.into(), message: message.into() }
}

/// A whole number of milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
