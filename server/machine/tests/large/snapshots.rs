//! Clones, records and digests: a snapshot is a consistent cut.

use std::time::Instant;

use crate::bench::{Bench, name, token};
use crate::rich::rich;
use conclave_machine::{Command, Context, Due, Machine, Record, StateRecord, Term, Value};

#[test]
fn what_is_restored_goes_on_as_what_was_saved() {
    let mut saved = rich();
    let mut restored = Machine::from_records(saved.records()).unwrap();
    assert_eq!(saved.digest(), restored.digest());
    let context = Context { term: Term(1), stamp_ms: 9 };
    for set in saved.timers().collect::<Vec<_>>() {
        let due = Due { timer: set.timer, generation: set.generation, term: Term(1) };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let said = saved.apply(&context, Command::Due(due.clone()), &mut left);
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
        let due = Due { timer: set.timer, generation: set.generation, term: Term(1) };
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
    for (index, change) in CHANGES.iter().enumerate() {
        let mut changed = records.clone();
        changed.iter_mut().for_each(change);
        assert_ne!(changed, records, "change {index} must change something");
        let machine = Machine::from_records(changed);
        let machine = machine.unwrap_or_else(|error| panic!("change {index}: {error}"));
        assert!(met.insert(machine.digest()), "change {index}, which the digest does not see");
    }
}

/// Each makes another state that could be.
const CHANGES: &[fn(&mut Record)] = &[
    |record| {
        if let Record::Header(it) = record {
            it.revision += 1;
        }
    },
    |record| {
        if let Record::Header(it) = record {
            it.counter += 1;
        }
    },
    |record| {
        if let Record::Header(it) = record {
            it.last_stamp_ms += 1;
        }
    },
    |record| {
        if let Record::Session(it) = record {
            it.ttl_ms += 1;
        }
    },
    |record| {
        if let Record::Session(it) = record {
            it.secret.0 += 1 << 100;
        }
    },
    |record| {
        if let Record::Session(it) = record {
            it.opened_stamp_ms += 1;
        }
    },
    |record| {
        if let Record::Session(it) = record {
            it.attach_number += 1;
        }
    },
    |record| {
        if let Record::Hold(it) = record {
            it.owner = Some("x".into());
        }
    },
    |record| {
        if let Record::Hold(it) = record {
            it.since_stamp_ms += 1;
        }
    },
    |record| {
        if let Record::Hold(it) = record
            && let Some(campaign) = &mut it.campaign
        {
            campaign.value = Value::new(b"elsewhere");
        }
    },
    |record| {
        if let Record::Waiter(it) = record {
            it.fingerprint += 1;
        }
    },
    |record| {
        if let Record::Waiter(it) = record
            && let Some(campaign) = &mut it.campaign
        {
            campaign.preempt_after_ms = None;
        }
    },
    |record| {
        if let Record::Object(it) = record {
            it.statistics.cancels += 1;
        }
    },
    |record| {
        if let Record::Object(it) = record {
            it.statistics.passes += 1;
        }
    },
    |record| {
        if let Record::Object(it) = record
            && let StateRecord::Counter { value } = &mut it.state
        {
            *value = i64::MIN;
        }
    },
    |record| {
        if let Record::Object(it) = record
            && let StateRecord::Latch { count, .. } = &mut it.state
        {
            *count += 1;
        }
    },
    |record| {
        if let Record::Object(it) = record
            && let StateRecord::Once { attempts, done: None } = &mut it.state
        {
            *attempts += 1;
        }
    },
    |record| {
        if let Record::Object(it) = record
            && let StateRecord::Election { successor } = &mut it.state
        {
            *successor = None;
        }
    },
    |record| {
        if let Record::CountKey(key) = record {
            *key = format!("{key}, counted").into();
        }
    },
    |record| {
        if let Record::ValuePart(part) = record {
            *part = Value::new(&vec![8; part.len()]);
        }
    },
    |record| {
        if let Record::Loss(it) = record {
            it.name = name("other");
        }
    },
];

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
