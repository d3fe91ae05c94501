//! Objects: what each is besides its holders and its queue.

use conclave_machine::{
    DoneRecord, Generation, ObjectRecord, Seq, SessionId, StateRecord, Statistics, Version,
};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::object_record::State as Wire;

use super::super::DecodeError;
use super::super::parts::{EMPTY, bytes_of, name};

pub(super) fn wire_object(object: &ObjectRecord) -> wire::ObjectRecord {
    wire::ObjectRecord {
        name: bytes_of(object.name.as_str()),
        statistics: Some(wire_statistics(&object.statistics)),
        state: Some(wire_state(&object.state)),
    }
}

pub(super) fn decode_object(wire: &wire::ObjectRecord) -> Result<ObjectRecord, DecodeError> {
    let statistics =
        wire.statistics.as_ref().ok_or(DecodeError::Missing { what: "the statistics" })?;
    let state = wire.state.as_ref().ok_or(DecodeError::Missing { what: "a state" })?;
    Ok(ObjectRecord {
        name: name(&wire.name)?,
        state: decode_state(state),
        statistics: decode_statistics(statistics),
    })
}

fn wire_state(state: &StateRecord) -> Wire {
    match *state {
        StateRecord::Mutex => Wire::Mutex(EMPTY),
        StateRecord::RwLock => Wire::Rwlock(EMPTY),
        StateRecord::Semaphore { declared, limit, version, resized } => {
            Wire::Semaphore(wire::SemaphoreState {
                declared,
                limit,
                version: version.get(),
                resized,
            })
        }
        StateRecord::Election { successor } => Wire::Election(wire::ElectionState {
            successor: successor
                .map(|(session, seq)| wire::Successor { session: session.get(), seq: seq.get() }),
        }),
        StateRecord::Once { attempts, done } => {
            Wire::Once(wire::OnceState { attempts, done: done.as_ref().map(wire_done) })
        }
        StateRecord::Latch { count, remaining, round, keys_len } => {
            Wire::Latch(wire::LatchRecord { count, remaining, round: round.get(), keys_len })
        }
        StateRecord::Gate { open, version } => {
            Wire::Gate(wire::GateState { open, version: version.get() })
        }
        StateRecord::Barrier { parties, break_on_loss } => {
            Wire::Barrier(wire::Arrival { parties, break_on_loss })
        }
        StateRecord::Register { version, bound_to, bytes } => Wire::Register(wire::RegisterState {
            version: version.get(),
            bound_to: bound_to.map(SessionId::get),
            bytes,
        }),
        StateRecord::Counter { value } => Wire::Counter(value),
    }
}

fn decode_state(wire: &Wire) -> StateRecord {
    match *wire {
        Wire::Mutex(wire::Empty {}) => StateRecord::Mutex,
        Wire::Rwlock(wire::Empty {}) => StateRecord::RwLock,
        Wire::Semaphore(wire::SemaphoreState { declared, limit, version, resized }) => {
            StateRecord::Semaphore { declared, limit, version: Version(version), resized }
        }
        Wire::Election(wire::ElectionState { successor }) => StateRecord::Election {
            successor: successor
                .map(|wire::Successor { session, seq }| (SessionId(session), Seq(seq))),
        },
        Wire::Once(wire::OnceState { attempts, ref done }) => {
            StateRecord::Once { attempts, done: done.as_ref().map(decode_done) }
        }
        Wire::Latch(wire::LatchRecord { count, remaining, round, keys_len }) => {
            StateRecord::Latch { count, remaining, round: Version(round), keys_len }
        }
        Wire::Gate(wire::GateState { open, version }) => {
            StateRecord::Gate { open, version: Version(version) }
        }
        Wire::Barrier(wire::Arrival { parties, break_on_loss }) => {
            StateRecord::Barrier { parties, break_on_loss }
        }
        Wire::Register(wire::RegisterState { version, bound_to, bytes }) => StateRecord::Register {
            version: Version(version),
            bound_to: bound_to.map(SessionId),
            bytes,
        },
        Wire::Counter(value) => StateRecord::Counter { value },
    }
}

fn wire_done(done: &DoneRecord) -> wire::DoneState {
    wire::DoneState {
        version: done.version.get(),
        timer: done.timer.get(),
        retention_ms: done.retention_ms,
        bytes: done.bytes,
    }
}

fn decode_done(wire: &wire::DoneState) -> DoneRecord {
    DoneRecord {
        version: Version(wire.version),
        timer: Generation(wire.timer),
        retention_ms: wire.retention_ms,
        bytes: wire.bytes,
    }
}

fn wire_statistics(statistics: &Statistics) -> wire::StatisticsRecord {
    let Statistics {
        created_stamp_ms,
        grants,
        releases,
        timeouts,
        cancels,
        losses,
        passes,
        queue_len_max,
    } = *statistics;
    wire::StatisticsRecord {
        created_stamp_ms,
        grants,
        releases,
        timeouts,
        cancels,
        losses,
        passes,
        queue_len_max,
    }
}

fn decode_statistics(wire: &wire::StatisticsRecord) -> Statistics {
    Statistics {
        created_stamp_ms: wire.created_stamp_ms,
        grants: wire.grants,
        releases: wire.releases,
        timeouts: wire.timeouts,
        cancels: wire.cancels,
        losses: wire.losses,
        passes: wire.passes,
        queue_len_max: wire.queue_len_max,
    }
}
