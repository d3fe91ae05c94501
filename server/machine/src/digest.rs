//! FNV-1a over bytes that we lay out ourselves: the same on every machine and in every year, unlike `core::hash`.
//! It is a fingerprint against mistakes, not against an attacker.

use crate::demand::{Campaign, Demand, Items, Mode};
use crate::edit::Edited;
use crate::name::Labels;
use crate::outcome::{DeadlockEdge, HoldState, Invalid, Kind, Limit, Loss, LossReason, Refusal};
use crate::query::Statistics;
use crate::record::{
    HeaderRecord, HoldRecord, ObjectRecord, Record, Recorded, SessionRecord, StateRecord,
    WaiterRecord, WindowRecord,
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

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn tag(&mut self, tag: u8) {
        self.bytes(&[tag]);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(crate) fn numbers(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.number(*number);
        }
    }

    /// With its length before it, so that two texts never run into each other.
    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    pub(crate) fn optional_text(&mut self, text: Option<&str>) {
        self.tag(u8::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    pub(crate) fn optional_number(&mut self, number: Option<u64>) {
        self.tag(u8::from(number.is_some()));
        self.number(number.unwrap_or_default());
    }

    pub(crate) fn labels(&mut self, labels: &Labels) {
        self.number(labels.iter().count() as u64);
        for (key, value) in labels.iter() {
            self.text(key);
            self.text(value);
        }
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.tag(u8::from(flag));
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes(bytes);
    }

    pub(crate) fn mode(&mut self, mode: Mode) {
        self.tag(match mode {
            Mode::Read => 1,
            Mode::Upgradable => 2,
            Mode::Write => 3,
        });
    }

    pub(crate) fn demand(&mut self, demand: Demand) {
        match demand {
            Demand::Mutex => self.tag(1),
            Demand::RwLock(mode) => {
                self.tag(2);
                self.mode(mode);
            }
            Demand::Permits { weight, limit } => {
                self.tag(3);
                self.numbers(&[weight.into(), limit.into()]);
            }
            Demand::Lead => self.tag(4),
            Demand::Run { attempts_max } => {
                self.tag(5);
                self.number(attempts_max.into());
            }
            Demand::Latch => self.tag(6),
            Demand::Gate => self.tag(7),
            Demand::Arrive { parties, break_on_loss } => {
                self.tag(8);
                self.number(parties.into());
                self.flag(break_on_loss);
            }
        }
    }

    pub(crate) fn items(&mut self, items: &Items) {
        self.number(items.count() as u64);
        for item in items.iter() {
            self.text(item.name.as_str());
            self.demand(item.demand);
        }
    }

    pub(crate) fn campaign(&mut self, campaign: Option<&Campaign>) {
        self.flag(campaign.is_some());
        if let Some(Campaign { value, eligible, preempt_after_ms }) = campaign {
            self.blob(value.as_bytes());
            self.flag(*eligible);
            self.optional_number(*preempt_after_ms);
        }
    }

    fn kind(&mut self, kind: Kind) {
        self.tag(match kind {
            Kind::Mutex => 1,
            Kind::RwLock => 2,
            Kind::Semaphore => 3,
            Kind::Election => 4,
            Kind::Once => 5,
            Kind::Latch => 6,
            Kind::Gate => 7,
            Kind::Barrier => 8,
            Kind::Register => 9,
            Kind::Counter => 10,
        });
    }

    fn state(&mut self, state: HoldState) {
        self.tag(match state {
            HoldState::Held => 1,
            HoldState::Cooling => 2,
            HoldState::Revoked => 3,
        });
    }
}

/// Over all records in their order.
pub(crate) fn digest(records: impl Iterator<Item = Record>) -> u64 {
    let mut hash = Fnv::new();
    for record in records {
        match &record {
            Record::Header(header) => hash.header(header),
            Record::Session(session) => hash.session(session),
            Record::Window(window) => hash.window(3, window),
            Record::End(end) => hash.window(11, end),
            Record::Loss(loss) => hash.loss(loss),
            Record::Object(object) => hash.object(object),
            Record::ValuePart(part) => {
                hash.tag(9);
                hash.blob(part.as_bytes());
            }
            Record::CountKey(key) => {
                hash.tag(10);
                hash.text(key);
            }
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
            quiet,
        } = *header;
        self.tag(1);
        self.numbers(&[u64::from(version), revision, counter, last_stamp_ms]);
        self.numbers(&[sessions, objects, holds, waiters]);
        if let Some(quiet) = quiet {
            self.tag(9);
            self.numbers(&[quiet.generation.0, quiet.after_ms]);
        }
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
        self.numbers(&[session.attach_number, session.generation.0]);
        self.optional_number(session.adoption.map(|generation| generation.0));
        self.numbers(&[session.seen_through.0, session.seq_max.0, session.losses_counted]);
        self.tag(u8::from(session.ended));
        self.numbers(&[u64::from(session.window_len), u64::from(session.losses_len)]);
        self.numbers(&[u64::from(session.holds_len), u64::from(session.waits_len)]);
    }

    fn window(&mut self, tag: u8, window: &WindowRecord) {
        self.tag(tag);
        self.number(window.seq.0);
        self.optional_number(window.fingerprint);
        match &window.answer {
            Recorded::Queued => self.tag(1),
            Recorded::Granted { token } => {
                self.tag(2);
                self.number(token.0);
            }
            Recorded::Held { name } => {
                self.tag(3);
                self.text(name.as_str());
            }
            Recorded::TimedOut { name } => {
                self.tag(4);
                self.text(name.as_str());
            }
            Recorded::Passed(passed) => {
                self.tag(5);
                self.numbers(&[passed.version.0, passed.index.into()]);
            }
            Recorded::Cancelled => self.tag(6),
            Recorded::Released => self.tag(7),
            Recorded::Downgraded => self.tag(8),
            Recorded::Proclaimed => self.tag(9),
            Recorded::EligibleSet => self.tag(10),
            Recorded::Completed { version } => {
                self.tag(11);
                self.number(version.0);
            }
            Recorded::Edited(edited) => {
                self.tag(12);
                self.edited(edited);
            }
            Recorded::Refused(refusal) => {
                self.tag(13);
                self.refusal(refusal);
            }
        }
    }

    fn edited(&mut self, edited: &Edited) {
        match edited {
            Edited::Latch { round, remaining } => {
                self.tag(1);
                self.numbers(&[round.0, *remaining]);
            }
            Edited::Gate { open } => {
                self.tag(2);
                self.flag(*open);
            }
            Edited::Register { version } => {
                self.tag(3);
                self.number(version.0);
            }
            Edited::RegisterDeleted => self.tag(4),
            Edited::Conflict { version } => {
                self.tag(5);
                self.optional_number(version.map(|version| version.0));
            }
            Edited::Counter { value } => {
                self.tag(6);
                self.number(*value as u64);
            }
        }
    }

    fn refusal(&mut self, refusal: &Refusal) {
        let (tag, numbers): (u8, [u64; 2]) = match refusal {
            Refusal::SessionExpired => (1, [0, 0]),
            Refusal::Fenced { epoch } => (2, [epoch.0, 0]),
            Refusal::NotHolder => (3, [0, 0]),
            Refusal::AlreadyHeld { token } => (4, [token.0, 0]),
            Refusal::WrongKind { kind } => {
                self.kind(*kind);
                (5, [0, 0])
            }
            Refusal::SeqReused => (6, [0, 0]),
            Refusal::Gone => (7, [0, 0]),
            Refusal::Limit { what, max } => {
                self.limit(*what);
                (8, [*max, 0])
            }
            Refusal::NotFound => (9, [0, 0]),
            Refusal::Mismatch { object, request } => (10, [*object, *request]),
            Refusal::Weight { weight, max } => (11, [u64::from(*weight), u64::from(*max)]),
            Refusal::NotUpgradable => (12, [0, 0]),
            Refusal::WouldDeadlock => (13, [0, 0]),
            Refusal::Deadlock { cycle } => {
                cycle.iter().for_each(|edge| self.edge(edge));
                (14, [cycle.len() as u64, 0])
            }
            Refusal::Guard => (15, [0, 0]),
            Refusal::BelowZero { remaining } => (16, [*remaining, 0]),
            Refusal::Overflow { value } => (17, [*value as u64, 0]),
            Refusal::Broken => (18, [0, 0]),
            Refusal::AttemptsExhausted { attempts } => (19, [u64::from(*attempts), 0]),
            Refusal::HoldLost => (20, [0, 0]),
            Refusal::Conflict { version } => (21, [version.0, 0]),
            Refusal::Busy => (22, [0, 0]),
            Refusal::Stale => (23, [0, 0]),
            Refusal::Invalid { what } => {
                self.invalid(*what);
                (24, [0, 0])
            }
        };
        self.tag(tag);
        self.numbers(&numbers);
    }

    fn limit(&mut self, limit: Limit) {
        self.tag(match limit {
            Limit::Sessions => 1,
            Limit::Objects => 2,
            Limit::Holds => 3,
            Limit::OfSession => 4,
            Limit::WaitersOfObject => 5,
            Limit::Waiters => 6,
            Limit::Window => 7,
            Limit::Values => 8,
            Limit::CountKeys => 9,
        });
    }

    fn invalid(&mut self, invalid: Invalid) {
        self.tag(match invalid {
            Invalid::Ttl => 1,
            Invalid::LockDelay => 2,
            Invalid::MaxHold => 3,
            Invalid::Seq => 4,
            Invalid::Items => 5,
            Invalid::Campaign => 6,
            Invalid::Value => 7,
            Invalid::Zero => 8,
            Invalid::Retention => 9,
            Invalid::Mode => 10,
        });
    }

    fn edge(&mut self, edge: &DeadlockEdge) {
        self.number(edge.session.0);
        self.text(edge.session_name.as_str());
        self.text(&edge.owner);
        self.text(edge.name.as_str());
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
            LossReason::Preempted => self.tag(4),
            LossReason::Transferred { by } => {
                self.tag(5);
                self.text(by);
            }
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
            passes,
            queue_len_max,
        } = object.statistics;
        self.tag(6);
        self.text(object.name.as_str());
        self.object_state(&object.state);
        self.numbers(&[created_stamp_ms, grants, releases, timeouts, cancels, losses, passes]);
        self.number(u64::from(queue_len_max));
    }

    fn object_state(&mut self, state: &StateRecord) {
        match state {
            StateRecord::Mutex => self.kind(Kind::Mutex),
            StateRecord::RwLock => self.kind(Kind::RwLock),
            StateRecord::Semaphore { declared, limit, version, resized } => {
                self.kind(Kind::Semaphore);
                self.numbers(&[u64::from(*declared), u64::from(*limit), version.0]);
                self.flag(*resized);
            }
            StateRecord::Election { successor } => {
                self.kind(Kind::Election);
                self.optional_number(successor.map(|(session, _)| session.0));
                self.optional_number(successor.map(|(_, seq)| seq.0));
            }
            StateRecord::Once { attempts, done } => {
                self.kind(Kind::Once);
                self.number(u64::from(*attempts));
                self.flag(done.is_some());
                if let Some(done) = done {
                    self.numbers(&[done.version.0, done.timer.0, done.retention_ms]);
                    self.number(u64::from(done.bytes));
                }
            }
            StateRecord::Latch { count, remaining, round, keys_len } => {
                self.kind(Kind::Latch);
                self.numbers(&[*count, *remaining, round.0, u64::from(*keys_len)]);
            }
            StateRecord::Gate { open, version } => {
                self.kind(Kind::Gate);
                self.flag(*open);
                self.number(version.0);
            }
            StateRecord::Barrier { parties, break_on_loss } => {
                self.kind(Kind::Barrier);
                self.number(u64::from(*parties));
                self.flag(*break_on_loss);
            }
            StateRecord::Register { version, bound_to, bytes } => {
                self.kind(Kind::Register);
                self.numbers(&[version.0, u64::from(*bytes)]);
                self.optional_number(bound_to.map(|session| session.0));
            }
            StateRecord::Counter { value } => {
                self.kind(Kind::Counter);
                self.number(*value as u64);
            }
        }
    }

    fn hold(&mut self, hold: &HoldRecord) {
        self.tag(7);
        self.numbers(&[hold.token.0, hold.session.0, hold.seq.0, hold.fingerprint]);
        self.items(&hold.items);
        self.state(hold.state);
        self.flag(hold.unadopted);
        self.numbers(&[hold.priority as u64, hold.max_hold_ms]);
        self.optional_number(hold.timer.map(|generation| generation.0));
        self.optional_number(hold.preempt.map(|generation| generation.0));
        self.optional_text(hold.owner.as_deref());
        self.labels(&hold.metadata);
        self.campaign(hold.campaign.as_ref());
        self.number(hold.since_stamp_ms);
    }

    fn waiter(&mut self, waiter: &WaiterRecord) {
        self.tag(8);
        self.numbers(&[waiter.session.0, waiter.seq.0, waiter.fingerprint]);
        self.items(&waiter.items);
        self.optional_number(waiter.upgrades.map(|token| token.0));
        self.number(waiter.priority as u64);
        self.numbers(&[waiter.arrival, waiter.max_hold_ms]);
        self.optional_text(waiter.owner.as_deref());
        self.labels(&waiter.metadata);
        self.campaign(waiter.campaign.as_ref());
        self.number(waiter.since_stamp_ms);
    }
}
