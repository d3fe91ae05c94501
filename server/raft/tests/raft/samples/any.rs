//! Arbitrary commands and records.

use conclave_machine::{
    Acquire, Attach, Call, Campaign, Change, Command, Demand, Due, Edit, Epoch, Expect, Generation,
    Guard, HeaderRecord, HoldRecord, Item, Items, Labels, Loss, LossNumber, Mode, Name, Nonce,
    ObjectRecord, Op, Open, Quiet, Record, Resume, Revision, Secret, Seq, SessionId, SessionKey,
    SessionRecord, Statistics, Term, Timer, Token, Value, Version, WaiterRecord, WindowRecord,
};
use proptest::prelude::*;

use super::{name, records};

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

fn any_value() -> impl Strategy<Value = Value> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::new(&bytes))
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(vec![Mode::Read, Mode::Upgradable, Mode::Write])
}

fn any_demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        Just(Demand::Mutex),
        any_mode().prop_map(Demand::RwLock),
        any::<(u32, u32)>().prop_map(|(weight, limit)| Demand::Permits { weight, limit }),
        Just(Demand::Lead),
        any::<u32>().prop_map(|attempts_max| Demand::Run { attempts_max }),
        Just(Demand::Latch),
        Just(Demand::Gate),
        any::<(u32, bool)>()
            .prop_map(|(parties, break_on_loss)| Demand::Arrive { parties, break_on_loss }),
    ]
}

fn any_items() -> impl Strategy<Value = Items> {
    let item = (any_name(), any_demand()).prop_map(|(name, demand)| Item { name, demand });
    prop::collection::vec(item, 1..4).prop_map(|items| Items::new(items).expect("one or more"))
}

fn any_campaign() -> impl Strategy<Value = Option<Campaign>> {
    let campaign = (any_value(), any::<(bool, Option<u64>)>()).prop_map(
        |(value, (eligible, preempt_after_ms))| Campaign { value, eligible, preempt_after_ms },
    );
    prop::option::of(campaign)
}

fn any_acquire() -> impl Strategy<Value = Acquire> {
    let numbers = any::<(bool, i32, u64, bool)>();
    (any_items(), numbers, prop::option::of(any_text()), any_labels(), any_campaign()).prop_map(
        |(items, (wait, priority, max_hold_ms, fail_on_deadlock), owner, metadata, campaign)| {
            Acquire {
                items,
                wait,
                priority,
                max_hold_ms,
                owner,
                metadata,
                fail_on_deadlock,
                campaign,
            }
        },
    )
}

fn any_expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        Just(Expect::Anything),
        Just(Expect::Absent),
        any::<u64>().prop_map(|version| Expect::Version(Version(version))),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<u64>().prop_map(|count| Change::CreateLatch { count }),
        (any::<u64>(), prop::option::of(any_text()))
            .prop_map(|(by, key)| Change::CountDown { by, key }),
        Just(Change::ResetLatch),
        any::<bool>().prop_map(|open| Change::SetGate { open }),
        (any_value(), any_expect(), any::<bool>())
            .prop_map(|(value, expect, bound)| Change::SetRegister { value, expect, bound }),
        any_expect().prop_map(|expect| Change::DeleteRegister { expect }),
        any::<i64>().prop_map(|delta| Change::AddCounter { delta }),
    ]
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let guard =
        (any_name(), any::<u64>()).prop_map(|(name, token)| Guard { name, token: Token(token) });
    (any_name(), prop::option::of(guard), any_change()).prop_map(|(name, guard, change)| Edit {
        name,
        guard,
        change,
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any_acquire().prop_map(Op::Acquire),
        1 => any::<(u64, u32)>()
            .prop_map(|(token, permits)| Op::Release { token: Token(token), permits }),
        1 => any::<u64>().prop_map(|token| Op::Adopt { token: Token(token) }),
        1 => (any::<u64>(), any_mode())
            .prop_map(|(token, to)| Op::Downgrade { token: Token(token), to }),
        1 => any::<(u64, bool)>()
            .prop_map(|(token, wait)| Op::Upgrade { token: Token(token), wait }),
        1 => (any::<u64>(), any_value())
            .prop_map(|(term, value)| Op::Proclaim { term: Token(term), value }),
        1 => any::<(u64, bool)>()
            .prop_map(|(seq, eligible)| Op::SetEligible { campaign: Seq(seq), eligible }),
        1 => (any::<(u64, u64)>(), any_value()).prop_map(|((token, retention_ms), value)| {
            Op::Complete { token: Token(token), value, retention_ms }
        }),
        2 => any_edit().prop_map(Op::Edit),
    ]
}

fn any_timer() -> impl Strategy<Value = Timer> {
    prop_oneof![
        any::<u64>().prop_map(|id| Timer::Session(SessionId(id))),
        any::<u64>().prop_map(|id| Timer::Adoption(SessionId(id))),
        any::<(u64, u64)>().prop_map(|(id, token)| Timer::HoldEnd(SessionId(id), Token(token))),
        any::<(u64, u64)>().prop_map(|(id, token)| Timer::MaxHold(SessionId(id), Token(token))),
        any::<(u64, u64)>().prop_map(|(id, token)| Timer::Preempt(SessionId(id), Token(token))),
        any_name().prop_map(Timer::Retention),
        Just(Timer::Quiet),
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
        (any_key(), numbers.clone(), numbers, any::<(u64, u64)>()).prop_map(
            |(key, held, waiting, (next, number))| {
                Command::Attach(Attach {
                    key,
                    held: held.into_iter().map(Token).collect(),
                    waiting: waiting.into_iter().map(Seq).collect(),
                    next_seq: Seq(next),
                    number,
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
        (any_name(), any::<(u32, u64)>(), any_text()).prop_map(|(name, (limit, version), by)| {
            Command::Resize { name, limit, version: Version(version), by }
        }),
        (any_name(), any::<(u64, u64)>(), any_text()).prop_map(|(name, (term, to), by)| {
            Command::Transfer { name, term: Token(term), to: SessionId(to), by }
        }),
        (any_name(), any_text()).prop_map(|(name, by)| Command::Delete { name, by }),
    ]
}

/// Records as a machine makes them, with other numbers and texts in them.
pub(crate) fn any_record() -> impl Strategy<Value = Record> {
    let sample = prop::sample::select(records());
    let texts = (any_name(), any_labels(), prop::option::of(any_text()));
    (sample, any::<[u64; 6]>(), any::<u32>(), texts, any_items(), any_campaign()).prop_map(
        |((_, record), n, small, (name, labels, owner), items, campaign)| {
            vary(record, Varied { n, small, name, labels, owner, items, campaign })
        },
    )
}

/// What is put in place of the sample's own.
struct Varied {
    n: [u64; 6],
    small: u32,
    name: Name,
    labels: Labels,
    owner: Option<Box<str>>,
    items: Items,
    campaign: Option<Campaign>,
}

fn vary(record: Record, varied: Varied) -> Record {
    let Varied { n, small, name, labels, owner, items, campaign } = varied;
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
            quiet: (n[1] % 2 == 0)
                .then_some(Quiet { generation: Generation(n[2]), after_ms: n[3] }),
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
        Record::End(end) => Record::End(WindowRecord { seq: Seq(n[0]), ..end }),
        Record::Window(window) => Record::Window(WindowRecord {
            seq: Seq(n[0]),
            fingerprint: window.fingerprint.map(|_| n[1]),
            ..window
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
                passes: n[0],
                queue_len_max: small,
            },
            ..object
        }),
        Record::ValuePart(_) => Record::ValuePart(Value::new(name.as_str().as_bytes())),
        Record::CountKey(_) => Record::CountKey(name.as_str().into()),
        Record::Hold(hold) => Record::Hold(HoldRecord {
            token: Token(n[0]),
            session: SessionId(n[1]),
            seq: Seq(n[2]),
            fingerprint: n[3],
            items,
            campaign,
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
            items,
            campaign,
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
