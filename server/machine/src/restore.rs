//! From records back to the state. Reading believes nothing: it never panics on records that no machine wrote, and what it
//! accepts keeps every invariant.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::ids::{Revision, SessionId};
use crate::machine::Machine;
use crate::name::Name;
use crate::object::{Holding, Object};
use crate::outcome::Loss;
use crate::queue::{Place, Waiting};
use crate::record::{
    HeaderRecord, HoldRecord, ObjectRecord, RECORD_VERSION, Record, RestoreError, SessionRecord,
    StateRecord, WaiterRecord, WindowRecord,
};
use crate::session::Session;
use crate::state::{Done, Latch, Register, Semaphore, State};
use crate::value::Value;
use crate::window::{Window, WindowEntry};

impl Machine {
    /// The machine that wrote these records.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Result<Self, RestoreError> {
        let mut records = records.into_iter();
        let Some(Record::Header(header)) = records.next() else {
            return Err(RestoreError::NoHeader);
        };
        if !(1..=RECORD_VERSION).contains(&header.version) {
            return Err(RestoreError::WrongVersion { version: header.version });
        }
        let mut reader = Reader::new(&header);
        for record in records {
            match record {
                Record::Header(_) => return Err(RestoreError::Misplaced { record: "header" }),
                Record::Object(object) => reader.object(object)?,
                Record::ValuePart(part) => reader.value_part(&part)?,
                Record::CountKey(key) => reader.count_key(key)?,
                Record::Session(session) => reader.session(session)?,
                Record::Window(window) => reader.window(window)?,
                Record::End(end) => reader.end(end)?,
                Record::Loss(loss) => reader.loss(loss)?,
                Record::Hold(hold) => reader.hold(hold)?,
                Record::Waiter(waiter) => reader.waiter(waiter)?,
            }
        }
        reader.finish(&header)
    }
}

/// Records read so far. What is being read is put together apart and stored when the next one begins.
struct Reader {
    machine: Machine,
    /// Registers by the session that they vanish with; taken out as the sessions are read.
    bound: BTreeMap<SessionId, BTreeSet<Name>>,
    object: Option<OpenObject>,
    session: Option<OpenSession>,
}

struct OpenObject {
    record: ObjectRecord,
    value: Vec<u8>,
    keys: BTreeSet<Box<str>>,
}

struct OpenSession {
    session: Session,
    window_left: u32,
    ends_left: u32,
    losses_left: u32,
    holds_left: u32,
    waits_left: u32,
}

impl OpenSession {
    /// Of those that come before holds and waits.
    const fn answers_left(&self) -> u32 {
        self.window_left.saturating_add(self.ends_left).saturating_add(self.losses_left)
    }

    /// Losses, holds or waits have come.
    fn is_past_answers(&self) -> bool {
        let Session { losses, holds, waits, .. } = &self.session;
        !losses.is_empty() || !holds.is_empty() || !waits.is_empty()
    }

    fn left(&self) -> u64 {
        [self.answers_left(), self.holds_left, self.waits_left].into_iter().map(u64::from).sum()
    }
}

const fn misplaced<T>(record: &'static str) -> Result<T, RestoreError> {
    Err(RestoreError::Misplaced { record })
}

/// One record less to come.
fn take_one(left: &mut u32, record: &'static str) -> Result<(), RestoreError> {
    *left = left.checked_sub(1).ok_or(RestoreError::Misplaced { record })?;
    Ok(())
}

impl Reader {
    fn new(header: &HeaderRecord) -> Self {
        let mut machine = Machine::new();
        machine.revision = Revision(header.revision);
        machine.counter = header.counter;
        machine.last_stamp_ms = header.last_stamp_ms;
        machine.quiet = header.quiet;
        Self { machine, bound: BTreeMap::new(), session: None, object: None }
    }

    fn object(&mut self, record: ObjectRecord) -> Result<(), RestoreError> {
        if self.session.is_some() {
            return misplaced("object");
        }
        match &self.object {
            Some(last) if last.record.name == record.name => {
                return Err(RestoreError::Duplicate { what: "object" });
            }
            Some(last) if last.record.name > record.name => return misplaced("object"),
            Some(_) | None => {}
        }
        self.close_object()?;
        self.object = Some(OpenObject { record, value: Vec::new(), keys: BTreeSet::new() });
        Ok(())
    }

    fn open_object(&mut self, record: &'static str) -> Result<&mut OpenObject, RestoreError> {
        self.object.as_mut().ok_or(RestoreError::Misplaced { record })
    }

    fn value_part(&mut self, part: &Value) -> Result<(), RestoreError> {
        let open = self.open_object("value part")?;
        let announced = bytes_of(&open.record.state);
        if part.is_empty() || open.value.len() + part.len() > announced as usize {
            return misplaced("value part");
        }
        open.value.extend_from_slice(part.as_bytes());
        Ok(())
    }

    fn count_key(&mut self, key: Box<str>) -> Result<(), RestoreError> {
        let open = self.open_object("count key")?;
        let StateRecord::Latch { keys_len, .. } = open.record.state else {
            return misplaced("count key");
        };
        if open.keys.len() >= keys_len as usize || open.keys.last() > Some(&key) {
            return misplaced("count key");
        }
        if !open.keys.insert(key) {
            return Err(RestoreError::Duplicate { what: "count key" });
        }
        Ok(())
    }

    fn close_object(&mut self) -> Result<(), RestoreError> {
        let Some(OpenObject { record, value, keys }) = self.object.take() else { return Ok(()) };
        let announced = u64::from(bytes_of(&record.state));
        let found = value.len() as u64;
        if announced != found {
            return Err(RestoreError::Incomplete { what: "bytes of a value", announced, found });
        }
        if let StateRecord::Latch { keys_len, .. } = record.state
            && keys.len() != keys_len as usize
        {
            let (announced, found) = (u64::from(keys_len), keys.len() as u64);
            return Err(RestoreError::Incomplete { what: "count keys", announced, found });
        }
        let state = state(record.state, Value::new(&value), keys);
        if let State::Register(Register { bound_to: Some(id), .. }) = &state {
            self.bound.entry(*id).or_default().insert(record.name.clone());
        }
        self.machine.add_object(record.name, Object::new(state, record.statistics));
        Ok(())
    }

    fn session(&mut self, record: SessionRecord) -> Result<(), RestoreError> {
        self.close_object()?;
        match self.session.as_ref().map(|open| open.session.id) {
            Some(last) if last > record.id => return misplaced("session"),
            Some(last) if last == record.id => {
                return Err(RestoreError::Duplicate { what: "session" });
            }
            Some(_) | None => {}
        }
        self.close_session()?;
        self.session = Some(OpenSession {
            window_left: record.window_len,
            ends_left: record.ends_len,
            losses_left: record.losses_len,
            holds_left: record.holds_len,
            waits_left: record.waits_len,
            session: empty_session(record),
        });
        Ok(())
    }

    fn open_session(&mut self, record: &'static str) -> Result<&mut OpenSession, RestoreError> {
        self.session.as_mut().ok_or(RestoreError::Misplaced { record })
    }

    fn window(&mut self, record: WindowRecord) -> Result<(), RestoreError> {
        let open = self.open_session("window")?;
        let last = open.session.window.last_seq();
        if open.session.window.ends().len() > 0 || open.is_past_answers() {
            return misplaced("window");
        }
        if last > Some(record.seq) {
            return misplaced("window");
        }
        if last == Some(record.seq) {
            return Err(RestoreError::Duplicate { what: "seq" });
        }
        take_one(&mut open.window_left, "window")?;
        let entry = WindowEntry { fingerprint: record.fingerprint, answer: record.answer };
        open.session.window.restore(record.seq, entry);
        Ok(())
    }

    fn end(&mut self, record: WindowRecord) -> Result<(), RestoreError> {
        let open = self.open_session("end")?;
        if open.window_left > 0 || open.is_past_answers() {
            return misplaced("end");
        }
        let window = &mut open.session.window;
        if window.ends().any(|(seq, _)| seq == record.seq) {
            return Err(RestoreError::Duplicate { what: "seq" });
        }
        take_one(&mut open.ends_left, "end")?;
        let entry = WindowEntry { fingerprint: record.fingerprint, answer: record.answer };
        window.restore_end(record.seq, entry);
        Ok(())
    }

    fn loss(&mut self, loss: Loss) -> Result<(), RestoreError> {
        let open = self.open_session("loss")?;
        let early = open.window_left > 0 || open.ends_left > 0;
        if early || !open.session.holds.is_empty() || !open.session.waits.is_empty() {
            return misplaced("loss");
        }
        take_one(&mut open.losses_left, "loss")?;
        open.session.losses.push_back(loss);
        Ok(())
    }

    fn hold(&mut self, hold: HoldRecord) -> Result<(), RestoreError> {
        let open = self.open_session("hold")?;
        let last = open.session.holds.last_key_value().map(|(token, _)| *token);
        let early = open.answers_left() > 0;
        if early || !open.session.waits.is_empty() || last > Some(hold.token) {
            return misplaced("hold");
        }
        take_one(&mut open.holds_left, "hold")?;
        let id = open.session.id;
        if hold.session != id {
            return Err(RestoreError::Dangling { session: hold.session });
        }
        if last == Some(hold.token) {
            return Err(RestoreError::Duplicate { what: "token" });
        }
        if open.session.granted.contains_key(&hold.seq) {
            return Err(RestoreError::Duplicate { what: "seq" });
        }
        let token = hold.token;
        for item in hold.items.iter() {
            let object = self.machine.objects.edit(&item.name);
            let object = object.ok_or(RestoreError::Dangling { session: id })?;
            if object.holders().contains_key(&token) {
                return Err(RestoreError::Duplicate { what: "token" });
            }
            object.admit(token, Holding { session: id, demand: item.demand });
        }
        self.open_session("hold")?.session.holds_now(hold);
        self.machine.counts.holds += 1;
        Ok(())
    }

    fn waiter(&mut self, waiter: WaiterRecord) -> Result<(), RestoreError> {
        let open = self.open_session("waiter")?;
        let last = open.session.waits.last_key_value().map(|(seq, _)| *seq);
        let early = open.answers_left() > 0 || open.holds_left > 0;
        if early || last > Some(waiter.seq) {
            return misplaced("waiter");
        }
        take_one(&mut open.waits_left, "waiter")?;
        let id = open.session.id;
        if waiter.session != id || open.session.ended {
            return Err(RestoreError::Dangling { session: waiter.session });
        }
        if last == Some(waiter.seq) {
            return Err(RestoreError::Duplicate { what: "seq" });
        }
        let place = Place::of(&waiter);
        for item in waiter.items.iter() {
            let object = self.machine.objects.edit(&item.name);
            let object = object.ok_or(RestoreError::Dangling { session: id })?;
            if object.queue.get(place).or(object.aside.get(place)).is_some() {
                return Err(RestoreError::Duplicate { what: "place in a queue" });
            }
            let line = if waiter.is_in_line() { &mut object.queue } else { &mut object.aside };
            line.insert(place, Waiting::of(&waiter, item.demand));
        }
        self.open_session("waiter")?.session.waits.insert(waiter.seq, Arc::new(waiter));
        self.machine.counts.waiters += 1;
        Ok(())
    }

    fn close_session(&mut self) -> Result<(), RestoreError> {
        let Some(open) = self.session.take() else { return Ok(()) };
        let left = open.left();
        let mut session = open.session;
        if left > 0 {
            let found = session.window.len() + session.window.ends().len();
            let found =
                (found + session.losses.len() + session.holds.len() + session.waits.len()) as u64;
            let what = "records of a session";
            return Err(RestoreError::Incomplete { what, announced: found + left, found });
        }
        if !session.ended {
            if self.machine.secrets.insert(session.secret, session.id).is_some() {
                return Err(RestoreError::Duplicate { what: "secret" });
            }
            self.machine.counts.sessions += 1;
        }
        session.bound = self.bound.remove(&session.id).unwrap_or_default();
        self.machine.sessions.insert(session.id, session.into());
        Ok(())
    }

    fn finish(mut self, header: &HeaderRecord) -> Result<Machine, RestoreError> {
        self.close_object()?;
        self.close_session()?;
        if let Some(id) = self.bound.keys().next() {
            return Err(RestoreError::Dangling { session: *id });
        }
        let counts = self.machine.counts();
        let announced = [
            ("sessions", header.sessions, self.machine.sessions.len()),
            ("objects", header.objects, counts.objects),
            ("holds", header.holds, counts.holds),
            ("waiters", header.waiters, counts.waiters),
        ];
        for (what, announced, found) in announced {
            if announced != found {
                return Err(RestoreError::Incomplete { what, announced, found });
            }
        }
        self.machine.check_invariants().map_err(|what| RestoreError::Inconsistent { what })?;
        Ok(self.machine)
    }
}

/// Bytes of the value that must follow.
const fn bytes_of(state: &StateRecord) -> u32 {
    match state {
        StateRecord::Register { bytes, .. } => *bytes,
        StateRecord::Once { done: Some(done), .. } => done.bytes,
        StateRecord::Once { done: None, .. }
        | StateRecord::Mutex
        | StateRecord::RwLock
        | StateRecord::Semaphore { .. }
        | StateRecord::Election { .. }
        | StateRecord::Latch { .. }
        | StateRecord::Gate { .. }
        | StateRecord::Barrier { .. }
        | StateRecord::Counter { .. } => 0,
    }
}

fn state(record: StateRecord, value: Value, keys: BTreeSet<Box<str>>) -> State {
    match record {
        StateRecord::Mutex => State::Mutex,
        StateRecord::RwLock => State::RwLock,
        StateRecord::Semaphore { declared, limit, version, resized } => {
            State::Semaphore(Semaphore { declared, limit, version, resized })
        }
        StateRecord::Election { successor } => State::Election { successor },
        StateRecord::Once { attempts, done } => State::Once {
            attempts,
            done: done.map(|done| Done {
                version: done.version,
                value,
                timer: done.timer,
                retention_ms: done.retention_ms,
            }),
        },
        StateRecord::Latch { count, remaining, round, keys_len: _ } => {
            State::Latch(Latch { count, remaining, round, keys })
        }
        StateRecord::Gate { open, version } => State::Gate { open, version },
        StateRecord::Barrier { parties, break_on_loss } => {
            State::Barrier { parties, break_on_loss }
        }
        StateRecord::Register { version, bound_to, bytes: _ } => {
            State::Register(Register { version, value, bound_to })
        }
        StateRecord::Counter { value } => State::Counter { value },
    }
}

/// Without what follows as records of its own.
fn empty_session(record: SessionRecord) -> Session {
    Session {
        id: record.id,
        secret: record.secret,
        name: record.name,
        labels: record.labels,
        ttl_ms: record.ttl_ms,
        lock_delay_ms: record.lock_delay_ms,
        opened_stamp_ms: record.opened_stamp_ms,
        epoch: record.epoch,
        nonce: record.nonce,
        attach_number: record.attach_number,
        generation: record.generation,
        adoption: record.adoption,
        ended: record.ended,
        window: Window::new(record.seen_through, record.seq_max),
        waits: BTreeMap::new(),
        holds: BTreeMap::new(),
        granted: BTreeMap::new(),
        unadopted: 0,
        bound: BTreeSet::new(),
        losses: VecDeque::new(),
        losses_counted: record.losses_counted,
    }
}
