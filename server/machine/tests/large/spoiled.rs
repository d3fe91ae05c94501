//! Nothing but a whole snapshot is believed, and none makes the machine panic.

use crate::rich::rich;
use conclave_machine::{
    Command, Context, Due, Generation, HoldState, Machine, RECORD_VERSION, Record, Recorded,
    RestoreError, Secret, Seq, SessionId, StateRecord, Term, Token, Version,
};

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
            header.version = RECORD_VERSION + 1;
        }
    });
    assert_eq!(newer, RestoreError::WrongVersion { version: RECORD_VERSION + 1 });
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
    assert!(
        matches!(missing, RestoreError::Incomplete { what: "records of a session", .. }),
        "{missing:?}"
    );
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
                    let due = Due { timer, generation, term: Term(1) };
                    machine.apply(&context, Command::Due(due), &mut Vec::new());
                    machine.check_invariants().unwrap();
                }
            }
        }
    }
}

fn put(record: &mut Record, field: usize, value: u64) {
    let generation = Some(Generation(value));
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
            11 => it.ends_len = value as u32,
            _ => it.ended = !it.ended,
        },
        Record::Window(it) | Record::End(it) => match field {
            0 => it.seq.0 = value,
            1 | 2 => it.answer = Recorded::Granted { token: Token(value) },
            3 => it.answer = Recorded::Queued,
            _ => it.fingerprint = None,
        },
        Record::Loss(it) => match field {
            0 => it.number.0 = value,
            1 => it.token.0 = value,
            _ => it.revision.0 = value,
        },
        Record::ValuePart(_) | Record::CountKey(_) => {}
        Record::Object(it) => match field {
            0 => it.statistics.grants = value,
            1 => it.statistics.releases = value,
            2 => it.statistics.losses = value,
            3 => it.statistics.queue_len_max = value as u32,
            _ => put_state(&mut it.state, field, value),
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
            9 => it.preempt = generation,
            10 => it.priority = value as i32,
            _ => it.unadopted = !it.unadopted,
        },
        Record::Waiter(it) => match field {
            0 => it.session.0 = value,
            1 => it.seq.0 = value,
            2 => it.arrival = value,
            3 => it.max_hold_ms = value,
            4 => it.upgrades = Some(Token(value)),
            5 => it.upgrades = None,
            _ => it.priority = value as i32,
        },
    }
}

fn put_state(state: &mut StateRecord, field: usize, value: u64) {
    let (number, version) = (value as u32, Version(value));
    match state {
        StateRecord::Mutex | StateRecord::RwLock => {}
        StateRecord::Semaphore { declared, limit, version: kept, resized } => match field {
            4 => *declared = number,
            5 => *limit = number,
            6 => *kept = version,
            _ => *resized = !*resized,
        },
        StateRecord::Election { successor } => *successor = Some((SessionId(value), Seq(value))),
        StateRecord::Once { attempts, done } => match (field, done) {
            (4, _) => *attempts = number,
            (5, Some(done)) => done.version = version,
            (6, Some(done)) => done.timer = Generation(value),
            (7, Some(done)) => done.retention_ms = value,
            (8, Some(done)) => done.bytes = number,
            (_, done) => *done = None,
        },
        StateRecord::Latch { count, remaining, round, keys_len } => match field {
            4 => *count = value,
            5 => *remaining = value,
            6 => *round = version,
            _ => *keys_len = number,
        },
        StateRecord::Gate { open, version: kept } => match field {
            4 => *open = !*open,
            _ => *kept = version,
        },
        StateRecord::Barrier { parties, break_on_loss } => match field {
            4 => *parties = number,
            _ => *break_on_loss = !*break_on_loss,
        },
        StateRecord::Register { version: kept, bound_to, bytes } => match field {
            4 => *kept = version,
            5 => *bound_to = Some(SessionId(value)),
            6 => *bound_to = None,
            _ => *bytes = number,
        },
        StateRecord::Counter { value: kept } => *kept = value as i64,
    }
}
