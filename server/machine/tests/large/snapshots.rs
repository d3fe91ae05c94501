//! Clones, records and digests: a snapshot is a consistent cut, and nothing but a whole one is believed.

use std::time::Instant;

use crate::bench::{Bench, acquire, name, token};
use conclave_machine::{
    Acquire, Call, Command, Context, Demand, HoldState, Labels, Machine, Name, Nonce, Op, Open,
    Outcome, Record, Recorded, RestoreError, Resume, Secret, Seq, SessionId, Term, Token, limits,
};

/// A bit of everything: held, cooling, revoked, unadopted, queued by priority, losses, a window of many kinds.
fn rich() -> Machine {
    let mut bench = Bench::new();
    let slow = bench.open(1, 5_000);
    let quick = bench.open(2, 0);
    let old = bench.open(3, 0);
    for (index, key) in [slow, quick, old].into_iter().enumerate() {
        token(bench.acquire(key, 1, &name(&format!("own/{index}"))));
        token(bench.acquire(key, 2, &name(&format!("more/{index}"))));
    }
    for (seq, priority) in [(3, 0), (4, 9), (5, 0), (6, -9)] {
        bench.call(quick, seq, acquire(&name("own/0"), true, priority));
        bench.call(quick, seq + 4, acquire(&name("own/0"), false, priority));
    }
    let timeout = Command::TimeOut { session: quick.id, seq: Seq(3) };
    assert!(matches!(bench.apply(timeout), Outcome::TimedOut(_)));
    let unseen = |seq, op| Command::Call(Call { key: quick, seq, seen_through: Seq(0), op });
    for (seq, op) in [
        (Seq(20), acquire(&name("own/0"), false, 0)),
        (Seq(21), acquire(&name("own/2"), true, 0)),
        (Seq(22), Op::Release { token: Token(77) }),
        (Seq(23), acquire(&name("free"), true, 0)),
    ] {
        bench.apply(unseen(seq, op));
    }
    bench.apply(Command::Cancel { key: quick, seq: Seq(30) });
    let resume =
        Resume { session: old.id, secret: old.secret, expected: old.epoch, nonce: Nonce(5) };
    assert!(matches!(bench.apply(Command::Resume(resume)), Outcome::Resumed { .. }));
    let taken = bench.machine.inspect(&name("more/1"), 0).unwrap().holders[0].token;
    let by = "alice".into();
    bench.apply(Command::ForceRelease { name: name("more/1"), token: taken, now: false, by });
    bench.expire(slow.id);
    bench.machine.check_invariants().unwrap();
    bench.machine
}

#[test]
fn the_rich_state_has_a_bit_of_everything() {
    let records: Vec<_> = rich().records().collect();
    let states: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Hold(hold) => Some((hold.state, hold.unadopted)),
            _ => None,
        })
        .collect();
    for wanted in [
        (HoldState::Held, false),
        (HoldState::Held, true),
        (HoldState::Cooling, false),
        (HoldState::Revoked, false),
    ] {
        assert!(states.contains(&wanted), "{wanted:?} in {states:?}");
    }
    let answers = records.iter().filter_map(|record| match record {
        Record::Window(window) => Some(&window.answer),
        _ => None,
    });
    let (mut held, mut queued, mut cancelled, mut refused, mut granted) = (0, 0, 0, 0, 0);
    for answer in answers {
        match answer {
            Recorded::Held(_) | Recorded::TimedOut(_) => held += 1,
            Recorded::Queued => queued += 1,
            Recorded::Cancelled => cancelled += 1,
            Recorded::NotHolder => refused += 1,
            Recorded::Granted { .. } => granted += 1,
            other => panic!("not expected: {other:?}"),
        }
    }
    assert!([held, queued, cancelled, refused, granted].iter().all(|count| *count > 0));
    assert!(records.iter().any(|record| matches!(record, Record::WindowHolder(_))));
    assert!(records.iter().any(|record| matches!(record, Record::Loss(_))));
    assert!(records.iter().any(|record| matches!(record, Record::Waiter(_))));
}

#[test]
fn what_is_restored_goes_on_as_what_was_saved() {
    let mut saved = rich();
    let mut restored = Machine::from_records(saved.records()).unwrap();
    assert_eq!(saved.digest(), restored.digest());
    let context = Context { term: Term(1), stamp_ms: 9 };
    for set in saved.timers().collect::<Vec<_>>() {
        let due =
            conclave_machine::Due { timer: set.timer, generation: set.generation, term: Term(1) };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let said = saved.apply(&context, Command::Due(due), &mut left);
        assert_eq!(said, restored.apply(&context, Command::Due(due), &mut right));
        assert_eq!(left, right);
        assert_eq!(saved.digest(), restored.digest());
    }
}

/// A snapshot is taken of a clone while the original goes on: neither sees the other's writes.
#[test]
fn a_clone_stays_what_it_was() {
    let mut machine = rich();
    let snapshot = machine.clone();
    let (digest, records) = (snapshot.digest(), snapshot.records().collect::<Vec<_>>());
    let context = Context { term: Term(1), stamp_ms: 9 };
    for set in machine.timers().collect::<Vec<_>>() {
        let due =
            conclave_machine::Due { timer: set.timer, generation: set.generation, term: Term(1) };
        machine.apply(&context, Command::Due(due), &mut Vec::new());
        assert_ne!(machine.digest(), digest);
    }
    assert_eq!(snapshot.records().collect::<Vec<_>>(), records);
    snapshot.check_invariants().unwrap();
    machine.check_invariants().unwrap();
}

/// Every command raises the revision, so no two states of one log are alike; but equal logs give equal digests.
#[test]
fn the_digest_is_of_everything() {
    assert_eq!(rich().digest(), rich().digest());
    let records: Vec<_> = rich().records().collect();
    let mut met = std::collections::BTreeSet::from([rich().digest()]);
    let numbers = |change: &dyn Fn(&mut Record)| {
        let mut changed = records.clone();
        changed.iter_mut().for_each(change);
        changed
    };
    for changed in [
        numbers(&|record| {
            if let Record::Header(it) = record {
                it.revision += 1
            }
        }),
        numbers(&|record| {
            if let Record::Header(it) = record {
                it.counter += 1
            }
        }),
        numbers(&|record| {
            if let Record::Header(it) = record {
                it.last_stamp_ms += 1
            }
        }),
        numbers(&|record| {
            if let Record::Session(it) = record {
                it.ttl_ms += 1
            }
        }),
        numbers(&|record| {
            if let Record::Session(it) = record {
                it.secret.0 += 1 << 100
            }
        }),
        numbers(&|record| {
            if let Record::Session(it) = record {
                it.opened_stamp_ms += 1
            }
        }),
        numbers(&|record| {
            if let Record::Hold(it) = record {
                it.owner = Some("x".into())
            }
        }),
        numbers(&|record| {
            if let Record::Hold(it) = record {
                it.since_stamp_ms += 1
            }
        }),
        numbers(&|record| {
            if let Record::Waiter(it) = record {
                it.fingerprint += 1
            }
        }),
        numbers(&|record| {
            if let Record::Object(it) = record {
                it.statistics.cancels += 1
            }
        }),
        numbers(&|record| {
            if let Record::WindowHolder(it) = record {
                it.state = HoldState::Cooling
            }
        }),
        numbers(&|record| {
            if let Record::Loss(it) = record {
                it.name = name("other")
            }
        }),
    ] {
        assert_ne!(changed, records, "the change must change something");
        let machine = Machine::from_records(changed).expect("such a state could be");
        assert!(met.insert(machine.digest()), "a change that the digest does not see");
    }
}

#[test]
fn each_kind_of_bad_records_has_its_name() {
    let good: Vec<_> = rich().records().collect();
    let restore = |records: Vec<Record>| Machine::from_records(records).map(|_| ()).unwrap_err();
    let position = |wanted: fn(&Record) -> bool| good.iter().position(wanted).unwrap();
    let with = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = good.clone();
        change(&mut records);
        restore(records)
    };
    assert_eq!(restore(vec![]), RestoreError::NoHeader);
    assert_eq!(with(&|records| drop(records.remove(0))), RestoreError::NoHeader);
    let newer = with(&|records| {
        if let Record::Header(header) = &mut records[0] {
            header.version = 2;
        }
    });
    assert_eq!(newer, RestoreError::WrongVersion { version: 2 });
    let again = with(&|records| records.push(good[0].clone()));
    assert_eq!(again, RestoreError::Misplaced { record: "header" });

    let session = position(|record| matches!(record, Record::Session(_)));
    let twice = with(&|records| records.insert(session, good[session].clone()));
    assert!(matches!(twice, RestoreError::Duplicate { what: "session" }), "{twice:?}");
    let late = with(&|records| records.push(good[session].clone()));
    assert_eq!(late, RestoreError::Misplaced { record: "session" });

    let object = position(|record| matches!(record, Record::Object(_)));
    let twice = with(&|records| records.insert(object, good[object].clone()));
    assert!(matches!(twice, RestoreError::Duplicate { what: "object" }), "{twice:?}");

    let hold = position(|record| matches!(record, Record::Hold(_)));
    let nobody = with(&|records| {
        if let Record::Hold(hold) = &mut records[hold] {
            hold.session = SessionId(999);
        }
    });
    assert_eq!(nobody, RestoreError::Dangling { session: SessionId(999) });
    let orphan = with(&|records| records.swap(hold, object));
    assert_eq!(orphan, RestoreError::Misplaced { record: "hold" });

    let waiter = position(|record| matches!(record, Record::Waiter(_)));
    let missing = with(&|records| drop(records.remove(waiter)));
    assert!(matches!(missing, RestoreError::Incomplete { what: "waiters", .. }), "{missing:?}");
    let secret = with(&|records| {
        for record in records {
            if let Record::Session(session) = record {
                session.secret = Secret(1);
                session.ended = false;
            }
        }
    });
    assert_eq!(secret, RestoreError::Duplicate { what: "secret" });
    let future = with(&|records| {
        if let Record::Header(header) = &mut records[0] {
            header.counter = 1;
        }
    });
    assert!(matches!(future, RestoreError::Inconsistent { .. }), "{future:?}");
}

/// Whatever is left out, doubled or cut off is refused.
#[test]
fn no_incomplete_snapshot_is_believed() {
    let good: Vec<_> = rich().records().collect();
    for at in 0..good.len() {
        let mut without = good.clone();
        without.remove(at);
        assert!(Machine::from_records(without).is_err(), "without {:?}", good[at]);
        let mut doubled = good.clone();
        doubled.insert(at, good[at].clone());
        assert!(Machine::from_records(doubled).is_err(), "twice {:?}", good[at]);
        assert!(Machine::from_records(good[..at].to_vec()).is_err(), "cut before {:?}", good[at]);
    }
}

/// Swapped records are refused, or (two holds that change their objects) make a state that keeps every invariant.
#[test]
fn no_swapped_snapshot_panics() {
    let good: Vec<_> = rich().records().collect();
    let (mut refused, mut tried) = (0, 0);
    for at in 0..good.len() {
        for other in at + 1..good.len() {
            let mut swapped = good.clone();
            swapped.swap(at, other);
            tried += 1;
            match Machine::from_records(swapped) {
                Ok(machine) => machine.check_invariants().unwrap(),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused * 10 > tried * 9, "{refused} of {tried} refused");
}

/// Numbers at their ends in every field: refused or kept sound, and usable afterwards.
#[test]
fn no_number_out_of_range_panics() {
    let good: Vec<_> = rich().records().collect();
    let context = Context { term: Term(1), stamp_ms: 9 };
    for value in [0, 1, 2, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        for at in 0..good.len() {
            for field in 0..12 {
                let mut records = good.clone();
                put(&mut records[at], field, value);
                let Ok(mut machine) = Machine::from_records(records) else { continue };
                for set in machine.timers().collect::<Vec<_>>() {
                    let (timer, generation) = (set.timer, set.generation);
                    let due = conclave_machine::Due { timer, generation, term: Term(1) };
                    machine.apply(&context, Command::Due(due), &mut Vec::new());
                    machine.check_invariants().unwrap();
                }
            }
        }
    }
}

fn put(record: &mut Record, field: usize, value: u64) {
    let generation = Some(conclave_machine::Generation(value));
    match record {
        Record::Header(it) => {
            let fields = [&mut it.revision, &mut it.counter, &mut it.last_stamp_ms];
            if let Some(found) = fields.into_iter().nth(field) {
                *found = value;
            }
        }
        Record::Session(it) => match field {
            0 => it.id.0 = value,
            1 => it.ttl_ms = value,
            2 => it.lock_delay_ms = value,
            3 => it.epoch.0 = value,
            4 => it.generation.0 = value,
            5 => it.adoption = generation,
            6 => it.seen_through.0 = value,
            7 => it.seq_max.0 = value,
            8 => it.losses_counted = value,
            9 => it.window_len = value as u32,
            10 => it.losses_len = value as u32,
            _ => it.ended = !it.ended,
        },
        Record::Window(it) => match field {
            0 => it.seq.0 = value,
            1 => it.holders_len = value as u32,
            2 => it.answer = Recorded::Granted { token: Token(value) },
            3 => it.answer = Recorded::Queued,
            _ => it.fingerprint = None,
        },
        Record::WindowHolder(it) => it.token.0 = value,
        Record::Loss(it) => match field {
            0 => it.number.0 = value,
            1 => it.token.0 = value,
            _ => it.revision.0 = value,
        },
        Record::Object(it) => match field {
            0 => it.statistics.grants = value,
            1 => it.statistics.releases = value,
            2 => it.statistics.losses = value,
            _ => it.statistics.queue_len_max = value as u32,
        },
        Record::Hold(it) => match field {
            0 => it.token.0 = value,
            1 => it.session.0 = value,
            2 => it.seq.0 = value,
            3 => it.max_hold_ms = value,
            4 => it.timer = generation,
            5 => it.timer = None,
            6 => it.state = HoldState::Held,
            7 => it.state = HoldState::Cooling,
            8 => it.state = HoldState::Revoked,
            _ => it.unadopted = !it.unadopted,
        },
        Record::Waiter(it) => match field {
            0 => it.session.0 = value,
            1 => it.seq.0 = value,
            2 => it.arrival = value,
            3 => it.max_hold_ms = value,
            _ => it.priority = value as i32,
        },
    }
}

/// An upper bound of the encoded size: all text, four bytes for each length, eight for each of at most thirty numbers.
fn size(record: &Record) -> usize {
    let labels = |labels: &Labels| labels.iter().map(|(k, v)| k.len() + v.len() + 8).sum::<usize>();
    let text = match record {
        Record::Header(_) => 0,
        Record::Session(it) => it.name.as_str().len() + labels(&it.labels),
        Record::Window(it) => match &it.answer {
            Recorded::Held(held) | Recorded::TimedOut(held) => {
                assert!(held.holders.is_empty(), "holders are records of their own");
                0
            }
            _ => 0,
        },
        Record::WindowHolder(it) => {
            let owner = it.owner.as_ref().map_or(0, |owner| owner.len());
            it.session_name.as_str().len() + labels(&it.labels) + labels(&it.metadata) + owner
        }
        Record::Loss(it) => it.name.as_str().len() + limits::TEXT_BYTES_MAX,
        Record::Object(it) => it.name.as_str().len(),
        Record::Hold(it) => labels(&it.metadata) + it.owner.as_ref().map_or(0, |o| o.len()),
        Record::Waiter(it) => labels(&it.metadata) + it.owner.as_ref().map_or(0, |o| o.len()),
    };
    text + 30 * 8
}

#[test]
fn no_record_exceeds_64_kib_with_everything_at_its_largest() {
    let long = Name::new(&"n".repeat(limits::NAME_BYTES_MAX)).unwrap();
    // All keys of one and two bytes: the most pairs, so the most overhead.
    let keys = (1..0x800).map(|code| char::from_u32(code).unwrap());
    let labels = Labels::new(keys.map(|key| (key.to_string().into(), "".into()))).unwrap();
    let mut bench = Bench::new();
    let outcome = bench.apply(Command::Open(Open {
        secret: Secret(1),
        ttl_ms: limits::TTL_MS_MAX,
        lock_delay_ms: 0,
        name: long.clone(),
        labels: labels.clone(),
    }));
    let Outcome::Opened { session, epoch, .. } = outcome else { panic!("{outcome:?}") };
    let key = conclave_machine::SessionKey { id: session, secret: Secret(1), epoch };
    let acquire = |wait| {
        Op::Acquire(Acquire {
            name: long.clone(),
            demand: Demand::Mutex,
            wait,
            priority: 0,
            max_hold_ms: 0,
            owner: Some("o".repeat(limits::TEXT_BYTES_MAX).into()),
            metadata: labels.clone(),
        })
    };
    token(bench.call(key, 1, acquire(true)));
    let other = bench.open(2, 0);
    for (seq, wait) in [(1, true), (2, false)] {
        let (seq, seen_through) = (Seq(seq), Seq(0));
        bench.apply(Command::Call(Call { key: other, seq, seen_through, op: acquire(wait) }));
    }
    bench.apply(Command::TimeOut { session: other.id, seq: Seq(1) });
    let largest = bench.machine.records().map(|record| size(&record)).max().unwrap();
    assert!(largest > 2 * limits::LABELS_BYTES_MAX, "it should be large: {largest}");
    assert!(largest <= 64 * 1024, "{largest} bytes");
}

/// What a snapshot may cost apply: the clone, and the first write to each shard afterwards. Compared within one run with
/// what writing it all out costs, by minimum and median, so that a busy machine does not decide.
#[test]
fn a_clone_of_100_000_locks_does_not_stall_apply() {
    let mut bench = Bench::new();
    let key = bench.open(1, 0);
    let keys: Vec<_> = (2..102).map(|secret| bench.open(secret, 0)).collect();
    for index in 0..100_000_u64 {
        let key = keys[(index % 100) as usize];
        token(bench.acquire(key, 1 + index / 100, &name(&format!("lock/{index}"))));
    }
    let clone = || {
        let started = Instant::now();
        let snapshot = bench.machine.clone();
        (started.elapsed(), snapshot)
    };
    let (cloned, snapshot) = (0..5).map(|_| clone()).min_by_key(|(took, _)| *took).unwrap();
    let mut writes: Vec<_> = (0..2_000_u64)
        .map(|index| {
            let started = Instant::now();
            token(bench.acquire(key, 1 + index, &name(&format!("new/{index}"))));
            started.elapsed()
        })
        .collect();
    writes.sort_unstable();
    let median = writes[writes.len() / 2];
    let started = Instant::now();
    let records = snapshot.records().count();
    let written = started.elapsed();
    assert!(records > 200_000);
    assert!(cloned < written / 20, "cloned in {cloned:?}, written in {written:?}");
    assert!(median < written / 100, "a write took {median:?}, all of it {written:?}");
}
