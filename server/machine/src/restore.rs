//! From the state to records and back. Writing is lazy and in canonical order; reading believes nothing: it never panics on
//! records that no machine wrote, and what it accepts keeps every invariant.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::iter;

use crate::digest;
use crate::ids::{Revision, SessionId};
use crate::machine::Machine;
use crate::name::Name;
use crate::object::Object;
use crate::outcome::{HeldBy, Holder, Loss};
use crate::queue::{Place, Queue};
use crate::record::{
    HeaderRecord, HoldRecord, ObjectRecord, RECORD_VERSION, Record, Recorded, RestoreError,
    SessionRecord, WaiterRecord, WindowRecord,
};
use crate::session::{Session, WaitsAt};
use crate::window::{Window, WindowEntry};

impl Machine {
    /// The state as records in canonical order, header first, made one by one as they are asked for.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let sessions = self.sessions.sorted().flat_map(|(_, session)| session_records(session));
        let objects = self.objects.sorted().flat_map(|(name, object)| object_records(name, object));
        iter::once(Record::Header(self.header())).chain(sessions).chain(objects)
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
            counter: self.counter,
            last_stamp_ms: self.last_stamp_ms,
            sessions: self.sessions.len(),
            objects: self.counts.objects,
            holds: self.counts.holds,
            waiters: self.counts.waiters,
        }
    }

    /// The machine that wrote these records.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Result<Self, RestoreError> {
        let mut records = records.into_iter();
        let Some(Record::Header(header)) = records.next() else {
            return Err(RestoreError::NoHeader);
        };
        if header.version != RECORD_VERSION {
            return Err(RestoreError::WrongVersion { version: header.version });
        }
        let mut reader = Reader::new(&header);
        for record in records {
            match record {
                Record::Header(_) => return Err(RestoreError::Misplaced { record: "header" }),
                Record::Session(session) => reader.session(session)?,
                Record::Window(window) => reader.window(window)?,
                Record::WindowHolder(holder) => reader.window_holder(holder)?,
                Record::Loss(loss) => reader.loss(loss)?,
                Record::Object(object) => reader.object(object)?,
                Record::Hold(hold) => reader.hold(hold)?,
                Record::Waiter(waiter) => reader.waiter(waiter)?,
            }
        }
        reader.finish(&header)
    }
}

fn session_records(session: &Session) -> impl Iterator<Item = Record> + '_ {
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
        generation: session.generation,
        adoption: session.adoption,
        seen_through: session.window.seen_through(),
        seq_max: session.window.seq_max(),
        losses_counted: session.losses_counted,
        ended: session.ended,
        window_len: session.window.len() as u32,
        losses_len: session.losses.len() as u32,
    };
    let window = session.window.iter().flat_map(|(seq, entry)| {
        let (answer, holders) = split(&entry.answer);
        let window = WindowRecord {
            seq,
            fingerprint: entry.fingerprint,
            answer,
            holders_len: holders.len() as u32,
        };
        iter::once(Record::Window(window)).chain(holders.iter().cloned().map(Record::WindowHolder))
    });
    let losses = session.losses.iter().cloned().map(Record::Loss);
    iter::once(Record::Session(facts)).chain(window).chain(losses)
}

/// The answer without the holders that it lists, and those.
fn split(answer: &Recorded) -> (Recorded, &[Holder]) {
    let bare = |held: &HeldBy| HeldBy {
        holders: alloc::vec![],
        holders_total: held.holders_total,
        queue_len: held.queue_len,
    };
    match answer {
        Recorded::Held(held) => (Recorded::Held(bare(held).into()), &held.holders),
        Recorded::TimedOut(held) => (Recorded::TimedOut(bare(held).into()), &held.holders),
        Recorded::Queued
        | Recorded::Granted { .. }
        | Recorded::Cancelled
        | Recorded::Released
        | Recorded::NotHolder
        | Recorded::AlreadyHeld { .. }
        | Recorded::WrongKind { .. } => (answer.clone(), &[]),
    }
}

fn object_records<'a>(name: &Name, object: &'a Object) -> impl Iterator<Item = Record> + 'a {
    let facts =
        ObjectRecord { name: name.clone(), kind: object.kind, statistics: object.statistics };
    let holds = object.holders.values().map(|hold| Record::Hold((**hold).clone()));
    let waiters = object.queue.iter().map(|waiter| Record::Waiter((**waiter).clone()));
    iter::once(Record::Object(facts)).chain(holds).chain(waiters)
}

/// Records read so far. What is being read is put together apart and stored when the next one begins.
struct Reader {
    machine: Machine,
    session: Option<OpenSession>,
    object: Option<(Name, Object)>,
}

struct OpenSession {
    session: Session,
    window_left: u32,
    losses_left: u32,
    /// Of the last window record.
    holders_left: u32,
}

impl Reader {
    fn new(header: &HeaderRecord) -> Self {
        let mut machine = Machine::new();
        machine.revision = Revision(header.revision);
        machine.counter = header.counter;
        machine.last_stamp_ms = header.last_stamp_ms;
        Self { machine, session: None, object: None }
    }

    fn session(&mut self, record: SessionRecord) -> Result<(), RestoreError> {
        let last = self.session.as_ref().map(|open| open.session.id);
        if self.object.is_some() || last.is_some_and(|last| last > record.id) {
            return Err(RestoreError::Misplaced { record: "session" });
        }
        if last == Some(record.id) {
            return Err(RestoreError::Duplicate { what: "session" });
        }
        self.close_session()?;
        let (window_left, losses_left) = (record.window_len, record.losses_len);
        let session = empty_session(record);
        self.session = Some(OpenSession { session, window_left, losses_left, holders_left: 0 });
        Ok(())
    }

    fn open(&mut self, record: &'static str) -> Result<&mut OpenSession, RestoreError> {
        if self.object.is_some() {
            return Err(RestoreError::Misplaced { record });
        }
        self.session.as_mut().ok_or(RestoreError::Misplaced { record })
    }

    fn window(&mut self, record: WindowRecord) -> Result<(), RestoreError> {
        let misplaced = RestoreError::Misplaced { record: "window" };
        let open = self.open("window")?;
        let last = open.session.window.last_seq();
        if open.holders_left > 0 || !open.session.losses.is_empty() || last > Some(record.seq) {
            return Err(misplaced);
        }
        if last == Some(record.seq) {
            return Err(RestoreError::Duplicate { what: "seq" });
        }
        let (bare, listed) = split(&record.answer);
        let lists = matches!(bare, Recorded::Held(_) | Recorded::TimedOut(_));
        if !listed.is_empty() || (record.holders_len > 0 && !lists) {
            return Err(misplaced);
        }
        open.window_left = open.window_left.checked_sub(1).ok_or(misplaced)?;
        open.holders_left = record.holders_len;
        let entry = WindowEntry { fingerprint: record.fingerprint, answer: record.answer };
        open.session.window.restore(record.seq, entry);
        Ok(())
    }

    fn window_holder(&mut self, holder: Holder) -> Result<(), RestoreError> {
        let misplaced = RestoreError::Misplaced { record: "window holder" };
        let open = self.open("window holder")?;
        open.holders_left = open.holders_left.checked_sub(1).ok_or(misplaced.clone())?;
        match open.session.window.last_answer() {
            Some(Recorded::Held(held) | Recorded::TimedOut(held)) => held.holders.push(holder),
            Some(_) | None => return Err(misplaced),
        }
        Ok(())
    }

    fn loss(&mut self, loss: Loss) -> Result<(), RestoreError> {
        let misplaced = RestoreError::Misplaced { record: "loss" };
        let open = self.open("loss")?;
        if open.window_left > 0 || open.holders_left > 0 {
            return Err(misplaced);
        }
        open.losses_left = open.losses_left.checked_sub(1).ok_or(misplaced)?;
        open.session.losses.push_back(loss);
        Ok(())
    }

    fn close_session(&mut self) -> Result<(), RestoreError> {
        let Some(open) = self.session.take() else { return Ok(()) };
        let left = u64::from(open.window_left)
            + u64::from(open.losses_left)
            + u64::from(open.holders_left);
        if left > 0 {
            let session = open.session;
            let found = session.window.len() as u64 + session.losses.len() as u64;
            let what = "records of a session";
            return Err(RestoreError::Incomplete { what, announced: found + left, found });
        }
        let session = open.session;
        if !session.ended {
            if self.machine.secrets.insert(session.secret, session.id).is_some() {
                return Err(RestoreError::Duplicate { what: "secret" });
            }
            self.machine.counts.sessions += 1;
        }
        self.machine.sessions.insert(session.id, session.into());
        Ok(())
    }

    fn object(&mut self, record: ObjectRecord) -> Result<(), RestoreError> {
        match &self.object {
            None => self.close_session()?,
            Some((last, _)) if *last == record.name => {
                return Err(RestoreError::Duplicate { what: "object" });
            }
            Some((last, _)) if *last > record.name => {
                return Err(RestoreError::Misplaced { record: "object" });
            }
            Some(_) => self.close_object(),
        }
        let object = Object {
            kind: record.kind,
            holders: BTreeMap::new(),
            queue: Queue::default(),
            statistics: record.statistics,
        };
        self.object = Some((record.name, object));
        Ok(())
    }

    fn hold(&mut self, hold: HoldRecord) -> Result<(), RestoreError> {
        let misplaced = RestoreError::Misplaced { record: "hold" };
        let (name, object) = self.object.as_mut().ok_or(misplaced.clone())?;
        let last = object.holders.last_key_value().map(|(token, _)| *token);
        if !object.queue.is_empty() || last > Some(hold.token) {
            return Err(misplaced);
        }
        let session = self
            .machine
            .sessions
            .edit(&hold.session)
            .ok_or(RestoreError::Dangling { session: hold.session })?;
        if session.holds.contains_key(&hold.token) {
            return Err(RestoreError::Duplicate { what: "token" });
        }
        if session.granted.contains_key(&hold.seq) {
            return Err(RestoreError::Duplicate { what: "seq" });
        }
        session.holds_now(name.clone(), hold.seq, hold.token);
        session.unadopted += u32::from(hold.unadopted);
        object.holders.insert(hold.token, hold.into());
        self.machine.counts.holds += 1;
        Ok(())
    }

    fn waiter(&mut self, waiter: WaiterRecord) -> Result<(), RestoreError> {
        let misplaced = RestoreError::Misplaced { record: "waiter" };
        let (name, object) = self.object.as_mut().ok_or(misplaced.clone())?;
        let place = Place::of(&waiter);
        match object.queue.last_place() {
            Some(last) if last > place => return Err(misplaced),
            Some(last) if last == place => {
                return Err(RestoreError::Duplicate { what: "place in a queue" });
            }
            Some(_) | None => {}
        }
        let session = live(&mut self.machine, waiter.session)?;
        if session.waits.insert(waiter.seq, WaitsAt { name: name.clone(), place }).is_some() {
            return Err(RestoreError::Duplicate { what: "seq" });
        }
        object.queue.insert(Arc::new(waiter));
        self.machine.counts.waiters += 1;
        Ok(())
    }

    fn close_object(&mut self) {
        if let Some((name, object)) = self.object.take() {
            self.machine.counts.objects += 1;
            self.machine.objects.insert(name, object.into());
        }
    }

    fn finish(mut self, header: &HeaderRecord) -> Result<Machine, RestoreError> {
        self.close_session()?;
        self.close_object();
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

fn live(machine: &mut Machine, id: SessionId) -> Result<&mut Session, RestoreError> {
    let session = machine.sessions.edit(&id).filter(|session| !session.ended);
    session.ok_or(RestoreError::Dangling { session: id })
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
        generation: record.generation,
        adoption: record.adoption,
        ended: record.ended,
        window: Window::new(record.seen_through, record.seq_max),
        waits: BTreeMap::new(),
        holds: BTreeMap::new(),
        granted: BTreeMap::new(),
        unadopted: 0,
        losses: VecDeque::new(),
        losses_counted: record.losses_counted,
    }
}
