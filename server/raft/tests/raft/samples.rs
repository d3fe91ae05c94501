//! One of each command and record, and arbitrary ones.

use conclave_machine::limits::{LABELS_BYTES_MAX, NAME_BYTES_MAX};
use conclave_machine::{
    Acquire, Attach, Call, Command, Demand, Due, Epoch, Generation, HeaderRecord, HeldBy,
    HoldRecord, HoldState, Holder, Kind, Labels, Loss, LossNumber, LossReason, Name, Nonce,
    ObjectRecord, Op, Open, Record, Recorded, Resume, Revision, Secret, Seq, SessionId, SessionKey,
    SessionRecord, Statistics, Term, Timer, Token, WaiterRecord, WindowRecord,
};
use proptest::prelude::*;

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
    let acquire = Acquire {
        name: name("jobs/nightly"),
        demand: Demand::Mutex,
        wait: true,
        priority: -3,
        max_hold_ms: 60_000,
        owner: Some("worker 1".into()),
        metadata: labels(&[("why", "test")]),
    };
    let bare = Acquire {
        wait: false,
        priority: 0,
        max_hold_ms: 0,
        owner: None,
        metadata: Labels::default(),
        ..acquire.clone()
    };
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
        ("acquire", call(Op::Acquire(acquire))),
        ("acquire-bare", call(Op::Acquire(bare))),
        ("release", call(Op::Release { token: Token(7) })),
        ("adopt", call(Op::Adopt { token: Token(7) })),
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
    ]
}

fn holder() -> Holder {
    Holder {
        session: SessionId(3),
        session_name: name("host:1"),
        labels: labels(&[("host", "h")]),
        token: Token(7),
        state: HoldState::Cooling,
        owner: Some("worker 1".into()),
        metadata: labels(&[("why", "test")]),
        since_stamp_ms: 1_700_000_000_000,
    }
}

fn window(answer: Recorded, holders_len: u32) -> Record {
    Record::Window(WindowRecord {
        seq: Seq(5),
        fingerprint: Some(0x0123_4567_89ab_cdef),
        answer,
        holders_len,
    })
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
        generation: Generation(11),
        adoption: Some(Generation(12)),
        seen_through: Seq(4),
        seq_max: Seq(9),
        losses_counted: 2,
        ended: false,
        window_len: 3,
        losses_len: 1,
    }
}

fn hold() -> HoldRecord {
    HoldRecord {
        token: Token(7),
        session: SessionId(3),
        seq: Seq(5),
        fingerprint: 0x0123_4567_89ab_cdef,
        demand: Demand::Mutex,
        state: HoldState::Revoked,
        unadopted: true,
        max_hold_ms: 60_000,
        timer: Some(Generation(11)),
        owner: Some("worker 1".into()),
        metadata: labels(&[("why", "test")]),
        since_stamp_ms: 1_700_000_000_000,
    }
}

fn waiter() -> WaiterRecord {
    WaiterRecord {
        session: SessionId(3),
        seq: Seq(5),
        fingerprint: 0x0123_4567_89ab_cdef,
        demand: Demand::Mutex,
        priority: -3,
        arrival: 98,
        max_hold_ms: 60_000,
        owner: None,
        metadata: Labels::default(),
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
    };
    let ended = SessionRecord {
        nonce: None,
        adoption: None,
        ended: true,
        window_len: 0,
        losses_len: 0,
        ..session()
    };
    let held = || Box::new(HeldBy { holders: Vec::new(), holders_total: 2, queue_len: 6 });
    let listed = || Box::new(HeldBy { holders: vec![holder()], holders_total: 1, queue_len: 6 });
    let statistics = Statistics {
        created_stamp_ms: 1_700_000_000_000,
        grants: 9,
        releases: 5,
        timeouts: 1,
        cancels: 2,
        losses: 3,
        queue_len_max: 8,
    };
    let cancelled = Record::Window(WindowRecord {
        seq: Seq(6),
        fingerprint: None,
        answer: Recorded::Cancelled,
        holders_len: 0,
    });
    vec![
        ("header", Record::Header(header)),
        ("session", Record::Session(session())),
        ("session-ended", Record::Session(ended)),
        ("window-queued", window(Recorded::Queued, 0)),
        ("window-granted", window(Recorded::Granted { token: Token(7) }, 0)),
        ("window-held", window(Recorded::Held(held()), 2)),
        ("window-held-listed", window(Recorded::Held(listed()), 0)),
        ("window-timed-out", window(Recorded::TimedOut(held()), 1)),
        ("window-cancelled-unseen", cancelled),
        ("window-released", window(Recorded::Released, 0)),
        ("window-not-holder", window(Recorded::NotHolder, 0)),
        ("window-already-held", window(Recorded::AlreadyHeld { token: Token(7) }, 0)),
        ("window-wrong-kind", window(Recorded::WrongKind { kind: Kind::Mutex }, 0)),
        ("window-holder", Record::WindowHolder(holder())),
        ("loss-max-hold", loss(LossReason::MaxHold)),
        ("loss-force-released", loss(LossReason::ForceReleased { by: "ops".into() })),
        ("loss-not-adopted", loss(LossReason::NotAdopted)),
        (
            "object",
            Record::Object(ObjectRecord { name: name("job"), kind: Kind::Mutex, statistics }),
        ),
        ("hold", Record::Hold(hold())),
        (
            "hold-plain",
            Record::Hold(HoldRecord {
                state: HoldState::Held,
                unadopted: false,
                timer: None,
                owner: None,
                ..hold()
            }),
        ),
        ("waiter", Record::Waiter(waiter())),
    ]
}

/// Every record that grows with what clients send, as large as the limits let it become.
pub(crate) fn largest_records() -> Vec<(&'static str, Record)> {
    let long = || name(&"n".repeat(NAME_BYTES_MAX));
    let full = || {
        let pairs = (0..LABELS_BYTES_MAX / 4).map(|n| (format!("{n:04}").into(), "".into()));
        Labels::new(pairs).expect("just fits")
    };
    let owner = || Some("o".repeat(NAME_BYTES_MAX).into_boxed_str());
    let holder = Holder {
        session_name: long(),
        labels: full(),
        owner: owner(),
        metadata: full(),
        ..holder()
    };
    vec![
        ("session", Record::Session(SessionRecord { name: long(), labels: full(), ..session() })),
        ("window holder", Record::WindowHolder(holder)),
        ("hold", Record::Hold(HoldRecord { owner: owner(), metadata: full(), ..hold() })),
        ("waiter", Record::Waiter(WaiterRecord { owner: owner(), metadata: full(), ..waiter() })),
    ]
}

fn any_name() -> impl Strategy<Value = Name> {
    "[a-z/é]{1,40}".prop_map(|text| name(&text))
}
fn any_text() -> impl Strategy<Value = Box<str>> {
    "\\PC{0,20}".prop_map(String::into_boxed_str)
}
fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec((any_text(), any_text()), 0..4)
        .prop_map(|pairs| Labels::new(pairs).expect("few"))
}
fn any_key() -> impl Strategy<Value = SessionKey> {
    any::<(u64, u128, u64)>().prop_map(|(id, secret, epoch)| SessionKey {
        id: SessionId(id),
        secret: Secret(secret),
        epoch: Epoch(epoch),
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let acquire =
        (any_name(), any::<(bool, i32, u64)>(), prop::option::of(any_text()), any_labels())
            .prop_map(|(name, (wait, priority, max_hold_ms), owner, metadata)| {
                let demand = Demand::Mutex;
                Op::Acquire(Acquire { name, demand, wait, priority, max_hold_ms, owner, metadata })
            });
    prop_oneof![
        acquire,
        any::<u64>().prop_map(|token| Op::Release { token: Token(token) }),
        any::<u64>().prop_map(|token| Op::Adopt { token: Token(token) }),
    ]
}

fn any_timer() -> impl Strategy<Value = Timer> {
    prop_oneof![
        any::<u64>().prop_map(|id| Timer::Session(SessionId(id))),
        any::<u64>().prop_map(|id| Timer::Adoption(SessionId(id))),
        any::<(u64, u64)>().prop_map(|(id, token)| Timer::HoldEnd(SessionId(id), Token(token))),
        any::<(u64, u64)>().prop_map(|(id, token)| Timer::MaxHold(SessionId(id), Token(token))),
    ]
}

pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    let numbers = prop::collection::vec(any::<u64>(), 0..5);
    prop_oneof![
        (any::<(u128, u64, u64)>(), any_name(), any_labels()).prop_map(
            |((secret, ttl_ms, lock_delay_ms), name, labels)| {
                Command::Open(Open { secret: Secret(secret), ttl_ms, lock_delay_ms, name, labels })
            }
        ),
        (any_key(), numbers.clone(), numbers, any::<u64>()).prop_map(
            |(key, held, waiting, next)| {
                Command::Attach(Attach {
                    key,
                    held: held.into_iter().map(Token).collect(),
                    waiting: waiting.into_iter().map(Seq).collect(),
                    next_seq: Seq(next),
                })
            }
        ),
        any::<(u64, u128, u64, u128)>().prop_map(|(session, secret, expected, nonce)| {
            Command::Resume(Resume {
                session: SessionId(session),
                secret: Secret(secret),
                expected: Epoch(expected),
                nonce: Nonce(nonce),
            })
        }),
        any_key().prop_map(|key| Command::Close { key }),
        (any_key(), any::<(u64, u64)>(), any_op()).prop_map(|(key, (seq, seen), op)| {
            Command::Call(Call { key, seq: Seq(seq), seen_through: Seq(seen), op })
        }),
        (any_key(), any::<u64>()).prop_map(|(key, seq)| Command::Cancel { key, seq: Seq(seq) }),
        any::<(u64, u64)>().prop_map(|(session, seq)| Command::TimeOut {
            session: SessionId(session),
            seq: Seq(seq)
        }),
        any::<(u64, u128, u64)>().prop_map(|(session, secret, token)| Command::AckStopped {
            session: SessionId(session),
            secret: Secret(secret),
            token: Token(token)
        }),
        any::<(u64, u64)>().prop_map(|(session, through)| Command::ConfirmLosses {
            session: SessionId(session),
            through: LossNumber(through)
        }),
        (any_timer(), any::<(u64, u64)>()).prop_map(|(timer, (generation, term))| {
            Command::Due(Due { timer, generation: Generation(generation), term: Term(term) })
        }),
        (any::<u64>(), any_text(), any_text()).prop_map(|(session, by, reason)| Command::Kill {
            session: SessionId(session),
            by,
            reason
        }),
        (any_name(), any::<(u64, bool)>(), any_text()).prop_map(|(name, (token, now), by)| {
            Command::ForceRelease { name, token: Token(token), now, by }
        }),
    ]
}

/// Records as a machine makes them, with other numbers and texts in them.
pub(crate) fn any_record() -> impl Strategy<Value = Record> {
    let sample = prop::sample::select(records());
    (
        sample,
        any::<[u64; 6]>(),
        any::<u32>(),
        any_name(),
        any_labels(),
        prop::option::of(any_text()),
    )
        .prop_map(|((_, record), n, small, name, labels, owner)| {
            vary(record, n, small, name, labels, owner)
        })
}

fn vary(
    record: Record,
    n: [u64; 6],
    small: u32,
    name: Name,
    labels: Labels,
    owner: Option<Box<str>>,
) -> Record {
    match record {
        Record::Header(_) => Record::Header(HeaderRecord {
            version: small,
            revision: n[0],
            counter: n[1],
            last_stamp_ms: n[2],
            sessions: n[3],
            objects: n[4],
            holds: n[5],
            waiters: n[0],
        }),
        Record::Session(session) => Record::Session(SessionRecord {
            id: SessionId(n[0]),
            secret: Secret(u128::from(n[1]) << 64 | u128::from(n[2])),
            name,
            labels,
            ttl_ms: n[3],
            seen_through: Seq(n[4]),
            generation: Generation(n[5]),
            window_len: small,
            ..session
        }),
        Record::Window(window) => Record::Window(WindowRecord {
            seq: Seq(n[0]),
            fingerprint: window.fingerprint.map(|_| n[1]),
            holders_len: small,
            ..window
        }),
        Record::WindowHolder(holder) => Record::WindowHolder(Holder {
            session: SessionId(n[0]),
            session_name: name,
            labels,
            owner,
            token: Token(n[1]),
            since_stamp_ms: n[2],
            ..holder
        }),
        Record::Loss(loss) => Record::Loss(Loss {
            number: LossNumber(n[0]),
            token: Token(n[1]),
            name,
            revision: Revision(n[2]),
            ..loss
        }),
        Record::Object(object) => Record::Object(ObjectRecord {
            name,
            statistics: Statistics {
                grants: n[0],
                releases: n[1],
                timeouts: n[2],
                cancels: n[3],
                losses: n[4],
                created_stamp_ms: n[5],
                queue_len_max: small,
            },
            ..object
        }),
        Record::Hold(hold) => Record::Hold(HoldRecord {
            token: Token(n[0]),
            session: SessionId(n[1]),
            seq: Seq(n[2]),
            fingerprint: n[3],
            owner,
            metadata: labels,
            max_hold_ms: n[4],
            since_stamp_ms: n[5],
            ..hold
        }),
        Record::Waiter(waiter) => Record::Waiter(WaiterRecord {
            session: SessionId(n[0]),
            seq: Seq(n[1]),
            fingerprint: n[2],
            priority: small.cast_signed(),
            arrival: n[3],
            owner,
            metadata: labels,
            max_hold_ms: n[4],
            since_stamp_ms: n[5],
            ..waiter
        }),
    }
}
