//! The small parts that commands and records share.

use bytes::Bytes;
use conclave_machine::{Epoch, Kind, Labels, Name, Nonce, Secret, SessionId, SessionKey, Value};
use conclave_proto::internal::v1 as wire;

use super::DecodeError;

pub(super) const EMPTY: wire::Empty = wire::Empty {};

pub(super) fn bytes_of(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn text(bytes: &Bytes, what: &'static str) -> Result<Box<str>, DecodeError> {
    std::str::from_utf8(bytes).map(Box::from).map_err(|_| DecodeError::Invalid { what })
}

pub(super) fn name(bytes: &Bytes) -> Result<Name, DecodeError> {
    let invalid = DecodeError::Invalid { what: "a name" };
    let text = std::str::from_utf8(bytes).map_err(|_| invalid.clone())?;
    Name::new(text).map_err(|_| invalid)
}

pub(super) fn number(bytes: &Bytes, what: &'static str) -> Result<u128, DecodeError> {
    let array = <[u8; 16]>::try_from(&bytes[..]).map_err(|_| DecodeError::Invalid { what })?;
    Ok(u128::from_be_bytes(array))
}

pub(super) fn number_bytes(number: u128) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

pub(super) fn secret(bytes: &Bytes) -> Result<Secret, DecodeError> {
    number(bytes, "a secret").map(Secret)
}

pub(super) fn nonce(bytes: &Bytes) -> Result<Nonce, DecodeError> {
    number(bytes, "a nonce").map(Nonce)
}

pub(super) fn owner(bytes: Option<&Bytes>) -> Result<Option<Box<str>>, DecodeError> {
    bytes.map(|bytes| text(bytes, "an owner")).transpose()
}

pub(super) fn labels(wire: &[wire::Label]) -> Result<Labels, DecodeError> {
    let mut pairs = Vec::with_capacity(wire.len());
    for label in wire {
        pairs.push((text(&label.key, "a label")?, text(&label.value, "a label")?));
    }
    Labels::new(pairs).map_err(|_| DecodeError::Invalid { what: "labels" })
}

pub(super) fn wire_labels(labels: &Labels) -> Vec<wire::Label> {
    let wire = |(key, value)| wire::Label { key: bytes_of(key), value: bytes_of(value) };
    labels.iter().map(wire).collect()
}

pub(super) fn value(bytes: &Bytes) -> Value {
    Value::new(bytes)
}

pub(super) fn wire_value(value: &Value) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

pub(super) fn kind(wire: i32) -> Result<Kind, DecodeError> {
    Ok(match wire::Kind::try_from(wire) {
        Ok(wire::Kind::Mutex) => Kind::Mutex,
        Ok(wire::Kind::Rwlock) => Kind::RwLock,
        Ok(wire::Kind::Semaphore) => Kind::Semaphore,
        Ok(wire::Kind::Election) => Kind::Election,
        Ok(wire::Kind::Once) => Kind::Once,
        Ok(wire::Kind::Latch) => Kind::Latch,
        Ok(wire::Kind::Gate) => Kind::Gate,
        Ok(wire::Kind::Barrier) => Kind::Barrier,
        Ok(wire::Kind::Register) => Kind::Register,
        Ok(wire::Kind::Counter) => Kind::Counter,
        Ok(wire::Kind::Unspecified) | Err(_) => {
            return Err(DecodeError::Invalid { what: "the kind of an object" });
        }
    })
}

pub(super) fn wire_kind(kind: Kind) -> i32 {
    let wire = match kind {
        Kind::Mutex => wire::Kind::Mutex,
        Kind::RwLock => wire::Kind::Rwlock,
        Kind::Semaphore => wire::Kind::Semaphore,
        Kind::Election => wire::Kind::Election,
        Kind::Once => wire::Kind::Once,
        Kind::Latch => wire::Kind::Latch,
        Kind::Gate => wire::Kind::Gate,
        Kind::Barrier => wire::Kind::Barrier,
        Kind::Register => wire::Kind::Register,
        Kind::Counter => wire::Kind::Counter,
    };
    wire.into()
}

pub(super) fn key(wire: Option<wire::SessionKey>) -> Result<SessionKey, DecodeError> {
    let wire = wire.ok_or(DecodeError::Missing { what: "a session key" })?;
    Ok(SessionKey {
        id: SessionId(wire.session),
        secret: secret(&wire.secret)?,
        epoch: Epoch(wire.epoch),
    })
}

pub(super) fn wire_key(key: &SessionKey) -> Option<wire::SessionKey> {
    Some(wire::SessionKey {
        session: key.id.get(),
        secret: number_bytes(key.secret.0),
        epoch: key.epoch.get(),
    })
}
