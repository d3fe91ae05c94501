//! Records of a snapshot.

use bytes::Bytes;
use conclave_machine::{
    Epoch, Generation, HeaderRecord, HeldBy, HoldRecord, HoldState, Holder, Kind as ObjectKind,
    Loss, LossNumber, LossReason, ObjectRecord, Record, Recorded, Revision, Seq, SessionId,
    SessionRecord, Statistics, Token, WaiterRecord, WindowRecord,
};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::loss_record::Reason as WireReason;
use conclave_proto::internal::v1::record::Record as Wire;
use conclave_proto::internal::v1::window_record::Answer as WireAnswer;

use super::parts::{
    bytes_of, demand, labels, name, nonce, number_bytes, owner, secret, text, wire_demand,
    wire_labels,
};
use super::{DecodeError, Kind, open_as, seal};

const EMPTY: wire::Empty = wire::Empty {};

#[must_use]
pub fn encode_record(record: &Record) -> Bytes {
    let wire = match record {
        Record::Header(header) => Wire::Header(wire_header(header)),
        Record::Session(session) => Wire::Session(wire_session(session)),
        Record::Window(window) => Wire::Window(wire_window(window)),
        Record::WindowHolder(holder) => Wire::WindowHolder(wire_holder(holder)),
        Record::Loss(loss) => Wire::Loss(wire_loss(loss)),
        Record::Object(object) => Wire::Object(wire_object(object)),
        Record::Hold(hold) => Wire::Hold(wire_hold(hold)),
        Record::Waiter(waiter) => Wire::Waiter(wire_waiter(waiter)),
    };
    seal(Kind::Record, &wire::Record { record: Some(wire) })
}

pub fn decode_record(bytes: &Bytes) -> Result<Record, DecodeError> {
    let message: wire::Record = open_as(Kind::Record, bytes)?;
    Ok(match message.record.ok_or(DecodeError::Missing { what: "a record" })? {
        Wire::Header(header) => Record::Header(decode_header(&header)),
        Wire::Session(session) => Record::Session(decode_session(&session)?),
        Wire::Window(window) => Record::Window(decode_window(window)?),
        Wire::WindowHolder(holder) => Record::WindowHolder(decode_holder(&holder)?),
        Wire::Loss(loss) => Record::Loss(decode_loss(loss)?),
        Wire::Object(object) => Record::Object(decode_object(&object)?),
        Wire::Hold(hold) => Record::Hold(decode_hold(&hold)?),
        Wire::Waiter(waiter) => Record::Waiter(decode_waiter(&waiter)?),
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
        generation: session.generation.get(),
        adoption: session.adoption.map(Generation::get),
        seen_through: session.seen_through.get(),
        seq_max: session.seq_max.get(),
        losses_counted: session.losses_counted,
        ended: session.ended,
        window_len: session.window_len,
        losses_len: session.losses_len,
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
        generation: Generation(wire.generation),
        adoption: wire.adoption.map(Generation),
        seen_through: Seq(wire.seen_through),
        seq_max: Seq(wire.seq_max),
        losses_counted: wire.losses_counted,
        ended: wire.ended,
        window_len: wire.window_len,
        losses_len: wire.losses_len,
    })
}

fn wire_window(window: &WindowRecord) -> wire::WindowRecord {
    let answer = match &window.answer {
        Recorded::Queued => WireAnswer::Queued(EMPTY),
        Recorded::Granted { token } => WireAnswer::Granted(token.get()),
        Recorded::Held(held) => WireAnswer::Held(wire_held_by(held)),
        Recorded::TimedOut(held) => WireAnswer::TimedOut(wire_held_by(held)),
        Recorded::Cancelled => WireAnswer::Cancelled(EMPTY),
        Recorded::Released => WireAnswer::Released(EMPTY),
        Recorded::NotHolder => WireAnswer::NotHolder(EMPTY),
        Recorded::AlreadyHeld { token } => WireAnswer::AlreadyHeld(token.get()),
        Recorded::WrongKind { kind } => WireAnswer::WrongKind(wire_kind(*kind)),
    };
    wire::WindowRecord {
        seq: window.seq.get(),
        fingerprint: window.fingerprint,
        holders_len: window.holders_len,
        answer: Some(answer),
    }
}

fn decode_window(wire: wire::WindowRecord) -> Result<WindowRecord, DecodeError> {
    let answer = match wire.answer.ok_or(DecodeError::Missing { what: "an answer" })? {
        WireAnswer::Queued(wire::Empty {}) => Recorded::Queued,
        WireAnswer::Granted(token) => Recorded::Granted { token: Token(token) },
        WireAnswer::Held(held) => Recorded::Held(Box::new(decode_held_by(&held)?)),
        WireAnswer::TimedOut(held) => Recorded::TimedOut(Box::new(decode_held_by(&held)?)),
        WireAnswer::Cancelled(wire::Empty {}) => Recorded::Cancelled,
        WireAnswer::Released(wire::Empty {}) => Recorded::Released,
        WireAnswer::NotHolder(wire::Empty {}) => Recorded::NotHolder,
        WireAnswer::AlreadyHeld(token) => Recorded::AlreadyHeld { token: Token(token) },
        WireAnswer::WrongKind(kind) => Recorded::WrongKind { kind: decode_kind(kind)? },
    };
    Ok(WindowRecord {
        seq: Seq(wire.seq),
        fingerprint: wire.fingerprint,
        answer,
        holders_len: wire.holders_len,
    })
}

fn wire_held_by(held: &HeldBy) -> wire::HeldByRecord {
    wire::HeldByRecord {
        holders: held.holders.iter().map(wire_holder).collect(),
        holders_total: held.holders_total,
        queue_len: held.queue_len,
    }
}

fn decode_held_by(wire: &wire::HeldByRecord) -> Result<HeldBy, DecodeError> {
    Ok(HeldBy {
        holders: wire.holders.iter().map(decode_holder).collect::<Result<_, _>>()?,
        holders_total: wire.holders_total,
        queue_len: wire.queue_len,
    })
}

fn wire_holder(holder: &Holder) -> wire::HolderRecord {
    wire::HolderRecord {
        session: holder.session.get(),
        session_name: bytes_of(holder.session_name.as_str()),
        labels: wire_labels(&holder.labels),
        token: holder.token.get(),
        state: wire_state(holder.state),
        owner: holder.owner.as_deref().map(bytes_of),
        metadata: wire_labels(&holder.metadata),
        since_stamp_ms: holder.since_stamp_ms,
    }
}

fn decode_holder(wire: &wire::HolderRecord) -> Result<Holder, DecodeError> {
    Ok(Holder {
        session: SessionId(wire.session),
        session_name: name(&wire.session_name)?,
        labels: labels(&wire.labels)?,
        token: Token(wire.token),
        state: decode_state(wire.state)?,
        owner: owner(wire.owner.as_ref())?,
        metadata: labels(&wire.metadata)?,
        since_stamp_ms: wire.since_stamp_ms,
    })
}

fn wire_loss(loss: &Loss) -> wire::LossRecord {
    let reason = match &loss.reason {
        LossReason::MaxHold => WireReason::MaxHold(EMPTY),
        LossReason::ForceReleased { by } => WireReason::ForceReleased(bytes_of(by)),
        LossReason::NotAdopted => WireReason::NotAdopted(EMPTY),
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
    };
    Ok(Loss {
        number: LossNumber(wire.number),
        token: Token(wire.token),
        name: name(&wire.name)?,
        reason,
        revision: Revision(wire.revision),
    })
}

fn wire_object(object: &ObjectRecord) -> wire::ObjectRecord {
    let Statistics { created_stamp_ms, grants, releases, timeouts, cancels, losses, queue_len_max } =
        object.statistics;
    wire::ObjectRecord {
        name: bytes_of(object.name.as_str()),
        kind: wire_kind(object.kind),
        created_stamp_ms,
        grants,
        releases,
        timeouts,
        cancels,
        losses,
        queue_len_max,
    }
}

fn decode_object(wire: &wire::ObjectRecord) -> Result<ObjectRecord, DecodeError> {
    let statistics = Statistics {
        created_stamp_ms: wire.created_stamp_ms,
        grants: wire.grants,
        releases: wire.releases,
        timeouts: wire.timeouts,
        cancels: wire.cancels,
        losses: wire.losses,
        queue_len_max: wire.queue_len_max,
    };
    Ok(ObjectRecord { name: name(&wire.name)?, kind: decode_kind(wire.kind)?, statistics })
}

fn wire_hold(hold: &HoldRecord) -> wire::HoldRecord {
    wire::HoldRecord {
        token: hold.token.get(),
        session: hold.session.get(),
        seq: hold.seq.get(),
        fingerprint: hold.fingerprint,
        demand: wire_demand(hold.demand),
        state: wire_state(hold.state),
        unadopted: hold.unadopted,
        max_hold_ms: hold.max_hold_ms,
        timer: hold.timer.map(Generation::get),
        owner: hold.owner.as_deref().map(bytes_of),
        metadata: wire_labels(&hold.metadata),
        since_stamp_ms: hold.since_stamp_ms,
    }
}

fn decode_hold(wire: &wire::HoldRecord) -> Result<HoldRecord, DecodeError> {
    Ok(HoldRecord {
        token: Token(wire.token),
        session: SessionId(wire.session),
        seq: Seq(wire.seq),
        fingerprint: wire.fingerprint,
        demand: demand(wire.demand.as_ref())?,
        state: decode_state(wire.state)?,
        unadopted: wire.unadopted,
        max_hold_ms: wire.max_hold_ms,
        timer: wire.timer.map(Generation),
        owner: owner(wire.owner.as_ref())?,
        metadata: labels(&wire.metadata)?,
        since_stamp_ms: wire.since_stamp_ms,
    })
}

fn wire_waiter(waiter: &WaiterRecord) -> wire::WaiterRecord {
    wire::WaiterRecord {
        session: waiter.session.get(),
        seq: waiter.seq.get(),
        fingerprint: waiter.fingerprint,
        demand: wire_demand(waiter.demand),
        priority: waiter.priority,
        arrival: waiter.arrival,
        max_hold_ms: waiter.max_hold_ms,
        owner: waiter.owner.as_deref().map(bytes_of),
        metadata: wire_labels(&waiter.metadata),
        since_stamp_ms: waiter.since_stamp_ms,
    }
}

fn decode_waiter(wire: &wire::WaiterRecord) -> Result<WaiterRecord, DecodeError> {
    Ok(WaiterRecord {
        session: SessionId(wire.session),
        seq: Seq(wire.seq),
        fingerprint: wire.fingerprint,
        demand: demand(wire.demand.as_ref())?,
        priority: wire.priority,
        arrival: wire.arrival,
        max_hold_ms: wire.max_hold_ms,
        owner: owner(wire.owner.as_ref())?,
        metadata: labels(&wire.metadata)?,
        since_stamp_ms: wire.since_stamp_ms,
    })
}

fn wire_state(state: HoldState) -> i32 {
    let wire = match state {
        HoldState::Held => wire::HoldState::Held,
        HoldState::Cooling => wire::HoldState::Cooling,
        HoldState::Revoked => wire::HoldState::Revoked,
    };
    wire.into()
}

fn decode_state(wire: i32) -> Result<HoldState, DecodeError> {
    match wire::HoldState::try_from(wire) {
        Ok(wire::HoldState::Held) => Ok(HoldState::Held),
        Ok(wire::HoldState::Cooling) => Ok(HoldState::Cooling),
        Ok(wire::HoldState::Revoked) => Ok(HoldState::Revoked),
        Ok(wire::HoldState::Unspecified) | Err(_) => {
            Err(DecodeError::Invalid { what: "the state of a hold" })
        }
    }
}

fn wire_kind(kind: ObjectKind) -> i32 {
    let wire = match kind {
        ObjectKind::Mutex => wire::Kind::Mutex,
    };
    wire.into()
}

fn decode_kind(wire: i32) -> Result<ObjectKind, DecodeError> {
    match wire::Kind::try_from(wire) {
        Ok(wire::Kind::Mutex) => Ok(ObjectKind::Mutex),
        Ok(wire::Kind::Unspecified) | Err(_) => {
            Err(DecodeError::Invalid { what: "the kind of an object" })
        }
    }
}
