//! One of each command and record, and arbitrary ones.

mod any;
mod members;
mod ops;

use conclave_machine::limits::{
    DEADLOCK_SHOWN_MAX, ITEMS_MAX, LABELS_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX,
    PROPOSAL_BYTES_MAX, TEXT_BYTES_MAX, VALUE_PART_BYTES,
};
use conclave_machine::{
    Attach, Call, Campaign, Command, DeadlockEdge, Demand, DoneRecord, Due, Edited, Epoch,
    Generation, HeaderRecord, HoldRecord, HoldState, Item, Items, Kind, Labels, Loss, LossNumber,
    LossReason, Mode, Name, Nonce, ObjectRecord, Op, Open, Passed, Quiet, Record, Recorded,
    Refusal, Resume, Revision, Secret, Seq, SessionId, SessionKey, SessionRecord, StateRecord,
    Statistics, Term, Timer, Token, Value, Version, WaiterRecord, WindowRecord,
};

pub(crate) use any::{any_command, any_record};
pub(crate) use members::memberships;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}
fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    Labels::new(pairs).expect("few")
}
fn key() -> SessionKey {
    SessionKey {
        id: SessionId(3),
        secret: Secret(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        epoch: Epoch(2),
    }
}
fn call(op: Op) -> Command {
    Command::Call(Call { key: key(), seq: Seq(5), seen_through: Seq(4), op })
}
fn due(timer: Timer) -> Command {
    Command::Due(Due { timer, generation: Generation(11), term: Term(12) })
}

pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    vec![
        (
            "open",
            Command::Open(Open {
                secret: key().secret,
                ttl_ms: 10_000,
                lock_delay_ms: 1_000,
                name: name("host:1"),
                labels: labels(&[("host", "h"), ("pid", "1")]),
            }),
        ),
        (
            "attach",
            Command::Attach(Attach {
                key: key(),
                held: vec![Token(7), Token(300)],
                waiting: vec![Seq(9)],
                next_seq: Seq(10),
                number: 3,
            }),
        ),
        (
            "resume",
            Command::Resume(Resume {
                session: SessionId(3),
                secret: key().secret,
                expected: Epoch(2),
                nonce: Nonce(0xff),
            }),
        ),
        ("close", Command::Close { key: key() }),
        ("cancel", Command::Cancel { key: key(), seq: Seq(5) }),
        ("time-out", Command::TimeOut { session: SessionId(3), seq: Seq(5) }),
        (
            "ack-stopped",
            Command::AckStopped { session: SessionId(3), secret: key().secret, token: Token(7) },
        ),
        (
            "confirm-losses",
            Command::ConfirmLosses { session: SessionId(3), through: LossNumber(2) },
        ),
        ("due-session", due(Timer::Session(SessionId(3)))),
        ("due-adoption", due(Timer::Adoption(SessionId(3)))),
        ("due-hold-end", due(Timer::HoldEnd(SessionId(3), Token(7)))),
        ("due-max-hold", due(Timer::MaxHold(SessionId(3), Token(7)))),
        ("due-preempt", due(Timer::Preempt(SessionId(3), Token(7)))),
        ("due-retention", due(Timer::Retention(name("cache/1")))),
        ("due-quiet", due(Timer::Quiet)),
        ("kill", Command::Kill { session: SessionId(3), by: "ops".into(), reason: "stuck".into() }),
        (
            "force-release",
            Command::ForceRelease {
                name: name("jobs/nightly"),
                token: Token(7),
                now: true,
                by: "ops".into(),
            },
        ),
        (
            "resize",
            Command::Resize {
                name: name("batch"),
                limit: 12,
                version: Version(300),
                by: "ops".into(),
            },
        ),
        (
            "transfer",
            Command::Transfer {
                name: name("leader"),
                term: Token(7),
                to: SessionId(4),
                by: "ops".into(),
            },
        ),
        ("delete", Command::Delete { name: name("config"), by: "ops".into() }),
    ]
    .into_iter()
    .chain(ops::ops().into_iter().map(|(name, op)| (name, call(op))))
    .collect()
}

fn campaign() -> Campaign {
    Campaign { value: Value::new(b"10.0.0.1:80"), eligible: true, preempt_after_ms: Some(5_000) }
}

fn several() -> Items {
    let items = vec![
        Item { name: name("a"), demand: Demand::Mutex },
        Item { name: name("b"), demand: Demand::RwLock(Mode::Read) },
        Item { name: name("c"), demand: Demand::Permits { weight: 2, limit: 300 } },
    ];
    Items::new(items).expect("three")
}

fn window(answer: Recorded) -> Record {
    Record::Window(WindowRecord { seq: Seq(5), fingerprint: Some(0x0123_4567_89ab_cdef), answer })
}

fn loss(reason: LossReason) -> Record {
    Record::Loss(Loss {
        number: LossNumber(1),
        token: Token(7),
        name: name("job"),
        reason,
        revision: Revision(99),
    })
}

fn session() -> SessionRecord {
    SessionRecord {
        id: SessionId(3),
        secret: key().secret,
        name: name("host:1"),
        labels: labels(&[("host", "h")]),
        ttl_ms: 10_000,
        lock_delay_ms: 1_000,
        opened_stamp_ms: 1_700_000_000_000,
        epoch: Epoch(2),
        nonce: Some(Nonce(0xff)),
        attach_number: 8,
        generation: Generation(11),
        adoption: Some(Generation(12)),
        seen_through: Seq(4),
        seq_max: Seq(9),
        losses_counted: 2,
        ended: false,
        window_len: 3,
        ends_len: 0,
        losses_len: 1,
        holds_len: 2,
        waits_len: 4,
    }
}

fn hold() -> HoldRecord {
    HoldRecord {
        token: Token(7),
        session: SessionId(3),
        seq: Seq(5),
        fingerprint: 0x0123_4567_89ab_cdef,
        items: several(),
        state: HoldState::Revoked,
        unadopted: true,
        priority: -3,
        max_hold_ms: 60_000,
        timer: Some(Generation(11)),
        preempt: Some(Generation(12)),
        owner: Some("worker 1".into()),
        metadata: labels(&[("why", "test")]),
        campaign: Some(campaign()),
        since_stamp_ms: 1_700_000_000_000,
    }
}

fn waiter() -> WaiterRecord {
    WaiterRecord {
        session: SessionId(3),
        seq: Seq(5),
        fingerprint: 0x0123_4567_89ab_cdef,
        items: Items::one(Item { name: name("job"), demand: Demand::Mutex }),
        upgrades: None,
        priority: -3,
        arrival: 98,
        max_hold_ms: 60_000,
        owner: None,
        metadata: Labels::default(),
        campaign: None,
        since_stamp_ms: 1_700_000_000_000,
    }
}

pub(crate) fn records() -> Vec<(&'static str, Record)> {
    let header = HeaderRecord {
        version: 1,
        revision: 99,
        counter: 42,
        last_stamp_ms: 1_700_000_000_000,
        sessions: 1,
        objects: 2,
        holds: 3,
        waiters: 4,
        quiet: None,
    };
    let quiet = Quiet { generation: Generation(41), after_ms: 11_000 };
    let ended = SessionRecord {
        nonce: None,
        adoption: None,
        ended: true,
        window_len: 0,
        ends_len: 0,
        losses_len: 0,
        ..session()
    };
    let ops = || "ops".into();
    let plain = HoldRecord {
        items: Items::one(Item { name: name("job"), demand: Demand::Mutex }),
        state: HoldState::Held,
        unadopted: false,
        timer: None,
        preempt: None,
        owner: None,
        campaign: None,
        ..hold()
    };
    let upgrade = WaiterRecord {
        items: Items::one(Item { name: name("table"), demand: Demand::RwLock(Mode::Write) }),
        upgrades: Some(Token(7)),
        ..waiter()
    };
    let mut records = vec![
        ("header", Record::Header(header)),
        ("header-quiet", Record::Header(HeaderRecord { quiet: Some(quiet), ..header })),
        ("session", Record::Session(session())),
        ("session-ended", Record::Session(ended)),
        ("loss-max-hold", loss(LossReason::MaxHold)),
        ("loss-force-released", loss(LossReason::ForceReleased { by: ops() })),
        ("loss-not-adopted", loss(LossReason::NotAdopted)),
        ("loss-preempted", loss(LossReason::Preempted)),
        ("loss-transferred", loss(LossReason::Transferred { by: ops() })),
        ("value-part", Record::ValuePart(Value::new(&[0, 1, 255]))),
        ("count-key", Record::CountKey("part 1".into())),
        ("hold", Record::Hold(hold())),
        ("hold-cooling", Record::Hold(HoldRecord { state: HoldState::Cooling, ..hold() })),
        ("hold-plain", Record::Hold(plain)),
        ("waiter", Record::Waiter(waiter())),
        ("waiter-upgrade", Record::Waiter(upgrade)),
        (
            "waiter-campaign",
            Record::Waiter(WaiterRecord { campaign: Some(campaign()), ..waiter() }),
        ),
    ];
    records.extend(windows());
    records.extend(
        refusals()
            .into_iter()
            .map(|(name, refusal)| (name, window(Recorded::Refused(Box::new(refusal))))),
    );
    records.extend(objects());
    records
}

/// What the second version of the records brought.
pub(crate) fn records_since_2() -> Vec<(&'static str, Record)> {
    let passed = Recorded::Passed(Passed { version: Version(300), index: 2 });
    let Record::Window(end) = window(passed) else { unreachable!("made above") };
    let session = SessionRecord { ends_len: 1, ..session() };
    vec![("session-with-ends", Record::Session(session)), ("end", Record::End(end))]
}

fn windows() -> Vec<(&'static str, Record)> {
    let cancelled = Record::Window(WindowRecord {
        seq: Seq(6),
        fingerprint: None,
        answer: Recorded::Cancelled,
    });
    let edited = |what| window(Recorded::Edited(what));
    vec![
        ("window-queued", window(Recorded::Queued)),
        ("window-granted", window(Recorded::Granted { token: Token(7) })),
        ("window-held", window(Recorded::Held { name: name("job") })),
        ("window-timed-out", window(Recorded::TimedOut { name: name("job") })),
        ("window-passed", window(Recorded::Passed(Passed { version: Version(300), index: 2 }))),
        ("window-cancelled-unseen", cancelled),
        ("window-released", window(Recorded::Released)),
        ("window-downgraded", window(Recorded::Downgraded)),
        ("window-proclaimed", window(Recorded::Proclaimed)),
        ("window-eligible-set", window(Recorded::EligibleSet)),
        ("window-completed", window(Recorded::Completed { version: Version(300) })),
        ("window-latch", edited(Edited::Latch { round: Version(300), remaining: 2 })),
        ("window-gate", edited(Edited::Gate { open: true })),
        ("window-register", edited(Edited::Register { version: Version(300) })),
        ("window-register-deleted", edited(Edited::RegisterDeleted)),
        ("window-conflict", edited(Edited::Conflict { version: Some(Version(300)) })),
        ("window-conflict-absent", edited(Edited::Conflict { version: None })),
        ("window-counter", edited(Edited::Counter { value: -3 })),
    ]
}

fn refusals() -> Vec<(&'static str, Refusal)> {
    let edge = DeadlockEdge {
        session: SessionId(3),
        session_name: name("host:1"),
        owner: "worker 1".into(),
        name: name("job"),
    };
    let mut refusals = vec![
        ("refused-not-holder", Refusal::NotHolder),
        ("refused-already-held", Refusal::AlreadyHeld { token: Token(7) }),
        ("refused-not-found", Refusal::NotFound),
        ("refused-mismatch", Refusal::Mismatch { object: 5, request: 300 }),
        ("refused-weight", Refusal::Weight { weight: 9, max: 8 }),
        ("refused-not-upgradable", Refusal::NotUpgradable),
        ("refused-would-deadlock", Refusal::WouldDeadlock),
        ("refused-deadlock", Refusal::Deadlock { cycle: vec![edge.clone(), edge] }),
        ("refused-guard", Refusal::Guard),
        ("refused-below-zero", Refusal::BelowZero { remaining: 1 }),
        ("refused-overflow", Refusal::Overflow { value: i64::MIN }),
        ("refused-broken", Refusal::Broken),
        ("refused-attempts-exhausted", Refusal::AttemptsExhausted { attempts: 3 }),
        ("refused-hold-lost", Refusal::HoldLost),
    ];
    refusals.extend(
        [
            ("refused-kind-mutex", Kind::Mutex),
            ("refused-kind-rwlock", Kind::RwLock),
            ("refused-kind-semaphore", Kind::Semaphore),
            ("refused-kind-election", Kind::Election),
            ("refused-kind-once", Kind::Once),
            ("refused-kind-latch", Kind::Latch),
            ("refused-kind-gate", Kind::Gate),
            ("refused-kind-barrier", Kind::Barrier),
            ("refused-kind-register", Kind::Register),
            ("refused-kind-counter", Kind::Counter),
        ]
        .map(|(name, kind)| (name, Refusal::WrongKind { kind })),
    );
    refusals
}

fn objects() -> Vec<(&'static str, Record)> {
    let statistics = Statistics {
        created_stamp_ms: 1_700_000_000_000,
        grants: 9,
        releases: 5,
        timeouts: 1,
        cancels: 2,
        losses: 3,
        passes: 7,
        queue_len_max: 8,
    };
    let object = |state| Record::Object(ObjectRecord { name: name("job"), state, statistics });
    let version = Version(300);
    let semaphore =
        |resized| object(StateRecord::Semaphore { declared: 5, limit: 6, version, resized });
    let done = DoneRecord { version, timer: Generation(301), retention_ms: 60_000, bytes: 3 };
    let once = |done| object(StateRecord::Once { attempts: 2, done });
    let register = |bound_to| object(StateRecord::Register { version, bound_to, bytes: 3 });
    let successor = Some((SessionId(3), Seq(5)));
    vec![
        ("object-mutex", object(StateRecord::Mutex)),
        ("object-rwlock", object(StateRecord::RwLock)),
        ("object-semaphore", semaphore(false)),
        ("object-semaphore-resized", semaphore(true)),
        ("object-election", object(StateRecord::Election { successor: None })),
        ("object-election-successor", object(StateRecord::Election { successor })),
        ("object-once", once(None)),
        ("object-once-done", once(Some(done))),
        (
            "object-latch",
            object(StateRecord::Latch { count: 3, remaining: 1, round: version, keys_len: 2 }),
        ),
        ("object-gate", object(StateRecord::Gate { open: true, version })),
        ("object-barrier", object(StateRecord::Barrier { parties: 3, break_on_loss: true })),
        ("object-register", register(None)),
        ("object-register-bound", register(Some(SessionId(3)))),
        ("object-counter", object(StateRecord::Counter { value: -3 })),
    ]
}

/// Every record that grows with what clients send, as large as the limits let it become.
pub(crate) fn largest_records() -> Vec<(&'static str, Record)> {
    let long = || name(&"n".repeat(NAME_BYTES_MAX));
    let text = || "o".repeat(TEXT_BYTES_MAX).into_boxed_str();
    let full = || {
        let value = "v".repeat(LABELS_BYTES_MAX / LABELS_MAX - 4);
        let pairs = (0..LABELS_MAX).map(|n| (format!("{n:04}").into(), value.as_str().into()));
        Labels::new(pairs).expect("just fits")
    };
    let items = || {
        let item = |n| {
            let name = name(&format!("{n:0NAME_BYTES_MAX$}"));
            Item { name, demand: Demand::Permits { weight: u32::MAX, limit: u32::MAX } }
        };
        Items::new((0..ITEMS_MAX).map(item).collect()).expect("some")
    };
    let largest_campaign = || {
        let value = Value::new(&[7; PROPOSAL_BYTES_MAX]);
        Some(Campaign { value, ..campaign() })
    };
    let edge = DeadlockEdge {
        session: SessionId(u64::MAX),
        session_name: long(),
        owner: text(),
        name: long(),
    };
    let cycle = vec![edge; DEADLOCK_SHOWN_MAX];
    let refused = Recorded::Refused(Box::new(Refusal::Deadlock { cycle }));
    let hold = HoldRecord {
        items: items(),
        owner: Some(text()),
        metadata: full(),
        campaign: largest_campaign(),
        ..hold()
    };
    let waiter = WaiterRecord {
        items: items(),
        owner: Some(text()),
        metadata: full(),
        campaign: largest_campaign(),
        ..waiter()
    };
    vec![
        ("session", Record::Session(SessionRecord { name: long(), labels: full(), ..session() })),
        ("window", window(refused)),
        ("value part", Record::ValuePart(Value::new(&[7; VALUE_PART_BYTES]))),
        ("count key", Record::CountKey(text())),
        ("hold", Record::Hold(hold)),
        ("waiter", Record::Waiter(waiter)),
    ]
}
