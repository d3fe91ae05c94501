//! Records of a snapshot.

mod hold;
mod object;
mod window;

use bytes::Bytes;
use conclave_machine::{
    Epoch, Generation, HeaderRecord, Loss, LossNumber, LossReason, Quiet, Record, Revision, Seq,
    SessionId, SessionRecord, Token,
};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::loss_record::Reason as WireReason;
use conclave_proto::internal::v1::record::Record as Wire;

use super::parts::{
    EMPTY, bytes_of, labels, name, nonce, number_bytes, secret, text, value, wire_labels,
    wire_value,
};
use super::{DecodeError, Kind, open_as, seal};

#[must_use]
pub fn encode_record(record: &Record) -> Bytes {
    let wire = match record {
        Record::Header(header) => Wire::Header(wire_header(header)),
        Record::Session(session) => Wire::Session(wire_session(session)),
        Record::Window(window) => Wire::Window(window::wire_window(window)),
        Record::End(end) => Wire::End(window::wire_window(end)),
        Record::Loss(loss) => Wire::Loss(wire_loss(loss)),
        Record::Object(object) => Wire::Object(object::wire_object(object)),
        Record::ValuePart(part) => Wire::ValuePart(wire_value(part)),
        Record::CountKey(key) => Wire::CountKey(bytes_of(key)),
        Record::Hold(hold) => Wire::Hold(hold::wire_hold(hold)),
        Record::Waiter(waiter) => Wire::Waiter(hold::wire_waiter(waiter)),
    };
    seal(Kind::Record, &wire::Record { record: Some(wire) })
}

pub fn decode_record(bytes: &Bytes) -> Result<Record, DecodeError> {
    let message: wire::Record = open_as(Kind::Record, bytes)?;
    Ok(match message.record.ok_or(DecodeError::Missing { what: "a record" })? {
        Wire::Header(header) => Record::Header(decode_header(&header)),
        Wire::Session(session) => Record::Session(decode_session(&session)?),
        Wire::Window(window) => Record::Window(window::decode_window(&window)?),
        Wire::End(end) => Record::End(window::decode_window(&end)?),
        Wire::Loss(loss) => Record::Loss(decode_loss(loss)?),
        Wire::Object(object) => Record::Object(object::decode_object(&object)?),
        Wire::ValuePart(part) => Record::ValuePart(value(&part)),
        Wire::CountKey(key) => Record::CountKey(text(&key, "a key")?),
        Wire::Hold(hold) => Record::Hold(hold::decode_hold(&hold)?),
        Wire::Waiter(waiter) => Record::Waiter(hold::decode_waiter(&waiter)?),
    })
}

fn wire_header(header: &HeaderRecord) -> wire::HeaderRecord {
    let HeaderRecord {
        version,
        revision,
        counter,
        last_stamp_ms,
        sessions,
        objects,
        holds,
        waiters,
        quiet,
    } = *header;
    wire::HeaderRecord {
        version,
        revision,
        counter,
        last_stamp_ms,
        sessions,
        objects,
        holds,
        waiters,
        quiet: quiet.map(|quiet| wire::QuietRecord {
            generation: quiet.generation.get(),
            after_ms: quiet.after_ms,
        }),
    }
}

fn decode_header(wire: &wire::HeaderRecord) -> HeaderRecord {
    HeaderRecord {
        version: wire.version,
        revision: wire.revision,
        counter: wire.counter,
        last_stamp_ms: wire.last_stamp_ms,
        sessions: wire.sessions,
        objects: wire.objects,
        holds: wire.holds,
        waiters: wire.waiters,
        quiet: wire.quiet.map(|quiet| Quiet {
            generation: Generation(quiet.generation),
            after_ms: quiet.after_ms,
        }),
    }
}

fn wire_session(session: &SessionRecord) -> wire::SessionRecord {
    wire::SessionRecord {
        id: session.id.get(),
        secret: number_bytes(session.secret.0),
        name: bytes_of(session.name.as_str()),
        labels: wire_labels(&session.labels),
        ttl_ms: session.ttl_ms,
        lock_delay_ms: session.lock_delay_ms,
        opened_stamp_ms: session.opened_stamp_ms,
        epoch: session.epoch.get(),
        nonce: session.nonce.map(|nonce| number_bytes(nonce.0)),
        attach_number: session.attach_number,
        generation: session.generation.get(),
        adoption: session.adoption.map(Generation::get),
        seen_through: session.seen_through.get(),
        seq_max: session.seq_max.get(),
        losses_counted: session.losses_counted,
        ended: session.ended,
        window_len: session.window_len,
        ends_len: session.ends_len,
        losses_len: session.losses_len,
        holds_len: session.holds_len,
        waits_len: session.waits_len,
    }
}

fn decode_session(wire: &wire::SessionRecord) -> Result<SessionRecord, DecodeError> {
    Ok(SessionRecord {
        id: SessionId(wire.id),
        secret: secret(&wire.secret)?,
        name: name(&wire.name)?,
        labels: labels(&wire.labels)?,
        ttl_ms: wire.ttl_ms,
        lock_delay_ms: wire.lock_delay_ms,
        opened_stamp_ms: wire.opened_stamp_ms,
        epoch: Epoch(wire.epoch),
        nonce: wire.nonce.as_ref().map(nonce).transpose()?,
        attach_number: wire.attach_number,
        generation: Generation(wire.generation),
        adoption: wire.adoption.map(Generation),
        seen_through: Seq(wire.seen_through),
        seq_max: Seq(wire.seq_max),
        losses_counted: wire.losses_counted,
        ended: wire.ended,
        window_len: wire.window_len,
        ends_len: wire.ends_len,
        losses_len: wire.losses_len,
        holds_len: wire.holds_len,
        waits_len: wire.waits_len,
    })
}

fn wire_loss(loss: &Loss) -> wire::LossRecord {
    let reason = match &loss.reason {
        LossReason::MaxHold => WireReason::MaxHold(EMPTY),
        LossReason::ForceReleased { by } => WireReason::ForceReleased(bytes_of(by)),
        LossReason::NotAdopted => WireReason::NotAdopted(EMPTY),
        LossReason::Preempted => WireReason::Preempted(EMPTY),
        LossReason::Transferred { by } => WireReason::Transferred(bytes_of(by)),
    };
    wire::LossRecord {
        number: loss.number.get(),
        token: loss.token.get(),
        name: bytes_of(loss.name.as_str()),
        revision: loss.revision.get(),
        reason: Some(reason),
    }
}

fn decode_loss(wire: wire::LossRecord) -> Result<Loss, DecodeError> {
    let reason = match wire.reason.ok_or(DecodeError::Missing { what: "a reason" })? {
        WireReason::MaxHold(wire::Empty {}) => LossReason::MaxHold,
        WireReason::ForceReleased(by) => {
            LossReason::ForceReleased { by: text(&by, "an operator")? }
        }
        WireReason::NotAdopted(wire::Empty {}) => LossReason::NotAdopted,
        WireReason::Preempted(wire::Empty {}) => LossReason::Preempted,
        WireReason::Transferred(by) => LossReason::Transferred { by: text(&by, "an operator")? },
    };
    Ok(Loss {
        number: LossNumber(wire.number),
        token: Token(wire.token),
        name: name(&wire.name)?,
        reason,
        revision: Revision(wire.revision),
    })
}
