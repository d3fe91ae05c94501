//! FNV-1a over bytes that we lay out ourselves: the same on every machine and in every year, unlike `core::hash`.
//! It is a fingerprint against mistakes, not against an attacker.

use crate::command::{Demand, Op};
use crate::name::Labels;
use crate::outcome::{HeldBy, HoldState, Holder, Kind, Loss, LossReason};
use crate::query::Statistics;
use crate::record::{
    HeaderRecord, HoldRecord, ObjectRecord, Record, Recorded, SessionRecord, WaiterRecord,
    WindowRecord,
};

/// The hash so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// The hash of these bytes alone.
    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut hash = Self::new();
        hash.bytes(bytes);
        hash.finish()
    }

    pub(crate) const fn finish(self) -> u64 {
        self.0
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn tag(&mut self, tag: u8) {
        self.bytes(&[tag]);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn numbers(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.number(*number);
        }
    }

    /// With its length before it, so that two texts never run into each other.
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.tag(u8::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    fn optional_number(&mut self, number: Option<u64>) {
        self.tag(u8::from(number.is_some()));
        self.number(number.unwrap_or_default());
    }

    fn labels(&mut self, labels: &Labels) {
        self.number(labels.iter().count() as u64);
        for (key, value) in labels.iter() {
            self.text(key);
            self.text(value);
        }
    }

    fn demand(&mut self, demand: Demand) {
        match demand {
            Demand::Mutex => self.tag(1),
        }
    }

    fn kind(&mut self, kind: Kind) {
        match kind {
            Kind::Mutex => self.tag(1),
        }
    }

    fn state(&mut self, state: HoldState) {
        self.tag(match state {
            HoldState::Held => 1,
            HoldState::Cooling => 2,
            HoldState::Revoked => 3,
        });
    }
}

/// What a retried seq is compared by: everything of the operation but its `wait`.
pub(crate) fn fingerprint(op: &Op) -> u64 {
    let mut hash = Fnv::new();
    match op {
        Op::Acquire(acquire) => {
            hash.tag(1);
            hash.text(acquire.name.as_str());
            hash.demand(acquire.demand);
            hash.number(acquire.priority as u64);
            hash.number(acquire.max_hold_ms);
            hash.optional_text(acquire.owner.as_deref());
            hash.labels(&acquire.metadata);
        }
        Op::Release { token } => {
            hash.tag(2);
            hash.number(token.0);
        }
        Op::Adopt { token } => {
            hash.tag(3);
            hash.number(token.0);
        }
    }
    hash.finish()
}

/// Over all records in their order.
pub(crate) fn digest(records: impl Iterator<Item = Record>) -> u64 {
    let mut hash = Fnv::new();
    for record in records {
        match &record {
            Record::Header(header) => hash.header(header),
            Record::Session(session) => hash.session(session),
            Record::Window(window) => hash.window(window),
            Record::WindowHolder(holder) => hash.holder(holder),
            Record::Loss(loss) => hash.loss(loss),
            Record::Object(object) => hash.object(object),
            Record::Hold(hold) => hash.hold(hold),
            Record::Waiter(waiter) => hash.waiter(waiter),
        }
    }
    hash.finish()
}

impl Fnv {
    fn header(&mut self, header: &HeaderRecord) {
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
        self.tag(1);
        self.numbers(&[u64::from(version), revision, counter, last_stamp_ms]);
        self.numbers(&[sessions, objects, holds, waiters]);
    }

    fn session(&mut self, session: &SessionRecord) {
        self.tag(2);
        self.number(session.id.0);
        self.bytes(&session.secret.0.to_le_bytes());
        self.text(session.name.as_str());
        self.labels(&session.labels);
        self.numbers(&[session.ttl_ms, session.lock_delay_ms, session.opened_stamp_ms]);
        self.number(session.epoch.0);
        self.tag(u8::from(session.nonce.is_some()));
        self.bytes(&session.nonce.map_or(0, |nonce| nonce.0).to_le_bytes());
        self.number(session.generation.0);
        self.optional_number(session.adoption.map(|generation| generation.0));
        self.numbers(&[session.seen_through.0, session.seq_max.0, session.losses_counted]);
        self.tag(u8::from(session.ended));
        self.numbers(&[u64::from(session.window_len), u64::from(session.losses_len)]);
    }

    fn window(&mut self, window: &WindowRecord) {
        self.tag(3);
        self.number(window.seq.0);
        self.optional_number(window.fingerprint);
        match &window.answer {
            Recorded::Queued => self.tag(1),
            Recorded::Granted { token } => {
                self.tag(2);
                self.number(token.0);
            }
            Recorded::Held(held) => {
                self.tag(3);
                self.held_by(held);
            }
            Recorded::TimedOut(held) => {
                self.tag(4);
                self.held_by(held);
            }
            Recorded::Cancelled => self.tag(5),
            Recorded::Released => self.tag(6),
            Recorded::NotHolder => self.tag(7),
            Recorded::AlreadyHeld { token } => {
                self.tag(8);
                self.number(token.0);
            }
            Recorded::WrongKind { kind } => {
                self.tag(9);
                self.kind(*kind);
            }
        }
        self.number(u64::from(window.holders_len));
    }

    fn held_by(&mut self, held: &HeldBy) {
        self.numbers(&[u64::from(held.holders_total), u64::from(held.queue_len)]);
        for holder in &held.holders {
            self.holder(holder);
        }
    }

    fn holder(&mut self, holder: &Holder) {
        self.tag(4);
        self.number(holder.session.0);
        self.text(holder.session_name.as_str());
        self.labels(&holder.labels);
        self.number(holder.token.0);
        self.state(holder.state);
        self.optional_text(holder.owner.as_deref());
        self.labels(&holder.metadata);
        self.number(holder.since_stamp_ms);
    }

    fn loss(&mut self, loss: &Loss) {
        self.tag(5);
        self.numbers(&[loss.number.0, loss.token.0]);
        self.text(loss.name.as_str());
        match &loss.reason {
            LossReason::MaxHold => self.tag(1),
            LossReason::ForceReleased { by } => {
                self.tag(2);
                self.text(by);
            }
            LossReason::NotAdopted => self.tag(3),
        }
        self.number(loss.revision.0);
    }

    fn object(&mut self, object: &ObjectRecord) {
        let Statistics {
            created_stamp_ms,
            grants,
            releases,
            timeouts,
            cancels,
            losses,
            queue_len_max,
        } = object.statistics;
        self.tag(6);
        self.text(object.name.as_str());
        self.kind(object.kind);
        self.numbers(&[created_stamp_ms, grants, releases, timeouts, cancels, losses]);
        self.number(u64::from(queue_len_max));
    }

    fn hold(&mut self, hold: &HoldRecord) {
        self.tag(7);
        self.numbers(&[hold.token.0, hold.session.0, hold.seq.0, hold.fingerprint]);
        self.demand(hold.demand);
        self.state(hold.state);
        self.tag(u8::from(hold.unadopted));
        self.number(hold.max_hold_ms);
        self.optional_number(hold.timer.map(|generation| generation.0));
        self.optional_text(hold.owner.as_deref());
        self.labels(&hold.metadata);
        self.number(hold.since_stamp_ms);
    }

    fn waiter(&mut self, waiter: &WaiterRecord) {
        self.tag(8);
        self.numbers(&[waiter.session.0, waiter.seq.0, waiter.fingerprint]);
        self.demand(waiter.demand);
        self.number(waiter.priority as u64);
        self.numbers(&[waiter.arrival, waiter.max_hold_ms]);
        self.optional_text(waiter.owner.as_deref());
        self.labels(&waiter.metadata);
        self.number(waiter.since_stamp_ms);
    }
}
