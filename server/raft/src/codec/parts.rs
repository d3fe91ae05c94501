//! The small parts that commands and records share.

use bytes::Bytes;
use conclave_machine::{Demand, Epoch, Labels, Name, Nonce, Secret, SessionId, SessionKey};
use conclave_proto::internal::v1 as wire;

use super::DecodeError;

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

pub(super) fn demand(wire: Option<&wire::Demand>) -> Result<Demand, DecodeError> {
    match wire.and_then(|wire| wire.demand.as_ref()) {
        Some(wire::demand::Demand::Mutex(wire::MutexDemand {})) => Ok(Demand::Mutex),
        None => Err(DecodeError::Missing { what: "a demand" }),
    }
}

pub(super) fn wire_demand(demand: Demand) -> Option<wire::Demand> {
    let wire = match demand {
        Demand::Mutex => wire::demand::Demand::Mutex(wire::MutexDemand {}),
    };
    Some(wire::Demand { demand: Some(wire) })
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
