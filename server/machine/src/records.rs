//! From the state to records: lazy, in canonical order.

use alloc::vec::Vec;
use core::iter;

use crate::digest;
use crate::ids::Seq;
use crate::limits::VALUE_PART_BYTES;
use crate::machine::Machine;
use crate::name::Name;
use crate::object::Object;
use crate::planted::planted;
use crate::record::{
    DoneRecord, HeaderRecord, ObjectRecord, RECORD_VERSION, Record, SessionRecord, StateRecord,
    WindowRecord,
};
use crate::session::Session;
use crate::state::State;
use crate::value::Value;
use crate::window::WindowEntry;

impl Machine {
    /// The state as records in canonical order, header first, made one by one as they are asked for.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let objects = self.objects.sorted().flat_map(|(name, object)| object_records(name, object));
        let sessions = self.sessions.sorted().flat_map(|(_, session)| session_records(session));
        iter::once(Record::Header(self.header())).chain(objects).chain(sessions)
    }

    /// A hash over everything: equal states have equal digests, on every machine and in every version that writes the
    /// same records.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest::digest(self.records())
    }

    fn header(&self) -> HeaderRecord {
        HeaderRecord {
            version: RECORD_VERSION,
            revision: self.revision.0,
            counter: self
                .counter
                .saturating_sub(u64::from(planted("token reused after a snapshot"))),
            last_stamp_ms: self.last_stamp_ms,
            sessions: self.sessions.len(),
            objects: self.counts.objects,
            holds: self.counts.holds,
            waiters: self.counts.waiters,
            quiet: self.quiet,
        }
    }
}

fn session_records(session: &Session) -> impl Iterator<Item = Record> + '_ {
    let forgets = planted("replay window dropped in the snapshot");
    let facts = SessionRecord {
        id: session.id,
        secret: session.secret,
        name: session.name.clone(),
        labels: session.labels.clone(),
        ttl_ms: session.ttl_ms,
        lock_delay_ms: session.lock_delay_ms,
        opened_stamp_ms: session.opened_stamp_ms,
        epoch: session.epoch,
        nonce: session.nonce,
        attach_number: session.attach_number,
        generation: session.generation,
        adoption: session.adoption,
        seen_through: session.window.seen_through(),
        seq_max: session.window.seq_max(),
        losses_counted: session.losses_counted,
        ended: session.ended,
        window_len: if forgets { 0 } else { session.window.len() as u32 },
        ends_len: if forgets { 0 } else { session.window.ends().len() as u32 },
        losses_len: session.losses.len() as u32,
        holds_len: session.holds.len() as u32,
        waits_len: session.waits.len() as u32,
    };
    let answer = |(seq, entry): (Seq, &WindowEntry)| {
        let (fingerprint, answer) = (entry.fingerprint, entry.answer.clone());
        WindowRecord { seq, fingerprint, answer }
    };
    let window = session.window.iter().filter(move |_| !forgets);
    let window = window.map(move |entry| Record::Window(answer(entry)));
    let ends = session.window.ends().filter(move |_| !forgets);
    let ends = ends.map(move |entry| Record::End(answer(entry)));
    let losses = session.losses.iter().cloned().map(Record::Loss);
    let holds = session.holds.values().map(|hold| Record::Hold((**hold).clone()));
    let waits = session.waits.values().map(|wait| Record::Waiter((**wait).clone()));
    let answers = window.chain(ends).chain(losses);
    iter::once(Record::Session(facts)).chain(answers).chain(holds).chain(waits)
}

fn object_records<'a>(name: &Name, object: &'a Object) -> impl Iterator<Item = Record> + 'a {
    let state = object.state.record();
    let facts = ObjectRecord { name: name.clone(), state, statistics: object.statistics };
    let value = object.state.value().map_or(&[][..], Value::as_bytes);
    let parts = value.chunks(VALUE_PART_BYTES).map(|part| Record::ValuePart(Value::new(part)));
    let keys: Vec<Record> = match &object.state {
        State::Latch(latch) => latch.keys.iter().cloned().map(Record::CountKey).collect(),
        _ => Vec::new(),
    };
    iter::once(Record::Object(facts)).chain(parts).chain(keys)
}

impl State {
    fn record(&self) -> StateRecord {
        match self {
            Self::Mutex => StateRecord::Mutex,
            Self::RwLock => StateRecord::RwLock,
            Self::Semaphore(semaphore) => StateRecord::Semaphore {
                declared: semaphore.declared,
                limit: semaphore.limit,
                version: semaphore.version,
                resized: semaphore.resized,
            },
            Self::Election { successor } => StateRecord::Election { successor: *successor },
            Self::Once { attempts, done } => StateRecord::Once {
                attempts: *attempts,
                done: done.as_ref().map(|done| DoneRecord {
                    version: done.version,
                    timer: done.timer,
                    retention_ms: done.retention_ms,
                    bytes: done.value.len() as u32,
                }),
            },
            Self::Latch(latch) => StateRecord::Latch {
                count: latch.count,
                remaining: latch.remaining,
                round: latch.round,
                keys_len: latch.keys.len() as u32,
            },
            Self::Gate { open, version } => StateRecord::Gate { open: *open, version: *version },
            Self::Barrier { parties, break_on_loss } => {
                StateRecord::Barrier { parties: *parties, break_on_loss: *break_on_loss }
            }
            Self::Register(register) => StateRecord::Register {
                version: register.version,
                bound_to: register.bound_to,
                bytes: register.value.len() as u32,
            },
            Self::Counter { value } => StateRecord::Counter { value: *value },
        }
    }
}
