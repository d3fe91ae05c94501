//! A state with a bit of everything, for the tests of snapshots: every kind of object, every state of a hold, every answer.

use std::collections::BTreeSet;

use crate::bench::{Bench, acquire, all, campaign, demand, name, token};
use conclave_machine::{
    Call, Change, Command, Demand, Edit, Expect, HoldState, Machine, Mode, Nonce, Op, Outcome,
    Record, Recorded, Resume, Seq, SessionKey, StateRecord, Token, Value,
};

pub(crate) fn rich() -> Machine {
    let mut bench = Bench::new();
    let crew = [bench.open(1, 5_000), bench.open(2, 0), bench.open(3, 0)];
    locks(&mut bench, crew);
    let pair = [bench.open(4, 0), bench.open(5, 0)];
    shared(&mut bench, pair);
    elections(&mut bench, pair);
    nothing_to_hold(&mut bench, pair);
    bench.machine.check_invariants().unwrap();
    bench.machine
}

/// Held, cooling, revoked, unadopted, queued by priority, losses, a window of many kinds.
fn locks(bench: &mut Bench, [slow, quick, old]: [SessionKey; 3]) {
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
    for (seq, op) in [
        (20, acquire(&name("own/0"), false, 0)),
        (21, acquire(&name("own/2"), true, 0)),
        (22, Op::Release { token: Token(77), permits: 0 }),
        (23, acquire(&name("free"), true, 0)),
        (24, acquire(&name("own/2"), true, 0)),
    ] {
        unseen(bench, quick, seq, op);
    }
    bench.apply(Command::TimeOut { session: quick.id, seq: Seq(24) });
    bench.apply(Command::Cancel { key: quick, seq: Seq(30) });
    let resume =
        Resume { session: old.id, secret: old.secret, expected: old.epoch, nonce: Nonce(5) };
    assert!(matches!(bench.apply(Command::Resume(resume)), Outcome::Resumed { .. }));
    let taken = bench.machine.inspect(&name("more/1"), 0).unwrap().holders[0].token;
    let by = "alice".into();
    bench.apply(Command::ForceRelease { name: name("more/1"), token: taken, now: false, by });
    bench.expire(slow.id);
}

/// Readers, an upgrade that waits, permits that drain, holds and waits over several objects.
fn shared(bench: &mut Bench, [one, two]: [SessionKey; 2]) {
    let lock = |mode| demand("map", Demand::RwLock(mode));
    let permits = |weight| Demand::Permits { weight, limit: 10 };
    token(unseen(bench, one, 1, lock(Mode::Read)));
    let held = token(unseen(bench, two, 1, lock(Mode::Upgradable)));
    let upgrade = Op::Upgrade { token: held, wait: true };
    assert_eq!(unseen(bench, two, 2, upgrade), Outcome::Queued { position: 1 });
    assert_eq!(unseen(bench, one, 2, lock(Mode::Read)), Outcome::Queued { position: 2 });
    let writes = token(unseen(bench, one, 3, demand("log", Demand::RwLock(Mode::Write))));
    let down = Op::Downgrade { token: writes, to: Mode::Upgradable };
    assert_eq!(unseen(bench, one, 4, down), Outcome::Downgraded);
    token(unseen(bench, one, 5, demand("pool", permits(4))));
    let version = bench.machine.semaphore_version(&name("pool")).expect("a semaphore");
    let resize = Command::Resize { name: name("pool"), limit: 3, version, by: "ops".into() };
    assert!(matches!(bench.apply(resize), Outcome::Resized { .. }));
    let waits = unseen(bench, two, 3, demand("pool", permits(2)));
    assert_eq!(waits, Outcome::Queued { position: 1 });
    let several = [("both/a", Demand::Mutex), ("both/b", Demand::RwLock(Mode::Read))];
    token(unseen(bench, one, 6, all(&several)));
    let waits = unseen(bench, two, 4, all(&[several[1], several[0], ("pool", permits(1))]));
    assert_eq!(waits, Outcome::Queued { position: 2 });
}

/// A leader that has to give way, candidates in line and aside, and one that comes next by a transfer.
fn elections(bench: &mut Bench, [one, two]: [SessionKey; 2]) {
    let term = token(unseen(bench, one, 10, campaign("boss", 0, true)));
    let proclaim = Op::Proclaim { term, value: Value::new(b"there") };
    assert_eq!(unseen(bench, one, 11, proclaim), Outcome::Proclaimed);
    unseen(bench, two, 10, campaign("boss", 5, true));
    unseen(bench, two, 11, campaign("boss", 9, false));
    let aside = Op::SetEligible { campaign: Seq(11), eligible: false };
    assert_eq!(unseen(bench, two, 12, aside), Outcome::EligibleSet);
    let term = token(unseen(bench, one, 12, campaign("chair", 0, true)));
    unseen(bench, one, 13, campaign("chair", 0, true));
    unseen(bench, two, 13, campaign("chair", 0, true));
    let (name, by) = (name("chair"), "ops".into());
    let transfer = Command::Transfer { name, term, to: two.id, by };
    assert_eq!(bench.apply(transfer), Outcome::Transferred);
}

/// Onces, latches, gates, barriers, registers, counters.
fn nothing_to_hold(bench: &mut Bench, [one, two]: [SessionKey; 2]) {
    let once = || demand("run", Demand::Run { attempts_max: 3 });
    let attempt = token(unseen(bench, one, 20, once()));
    unseen(bench, two, 20, once());
    let give_up = Op::Release { token: attempt, permits: 0 };
    assert_eq!(unseen(bench, one, 21, give_up), Outcome::Released);
    unseen(bench, one, 22, once());
    let run = token(unseen(bench, one, 23, demand("done", Demand::Run { attempts_max: 0 })));
    let value = Value::new(&[7; 40 * 1024]);
    let complete = Op::Complete { token: run, value: value.clone(), retention_ms: 60_000 };
    assert!(matches!(unseen(bench, one, 24, complete), Outcome::Completed { .. }));
    let edits = [
        ("start", Change::CreateLatch { count: 5 }),
        ("start", Change::CountDown { by: 1, key: Some("a".into()) }),
        ("start", Change::CountDown { by: 1, key: Some("b".into()) }),
        ("door", Change::SetGate { open: false }),
        ("yard", Change::SetGate { open: true }),
        ("note", Change::SetRegister { value, expect: Expect::Anything, bound: true }),
        ("note", Change::DeleteRegister { expect: Expect::Absent }),
        ("hits", Change::AddCounter { delta: -7 }),
    ];
    for (seq, (text, change)) in (30..).zip(edits) {
        let edit = Edit { name: name(text), guard: None, change };
        let outcome = unseen(bench, one, seq, Op::Edit(edit));
        assert!(matches!(outcome, Outcome::Edited(_)), "{text}: {outcome:?}");
    }
    let arrive = Demand::Arrive { parties: 3, break_on_loss: true };
    let waits = [("start", Demand::Latch), ("door", Demand::Gate), ("meet", arrive)];
    for (seq, (text, wanted)) in (40..).zip(waits) {
        assert_eq!(unseen(bench, two, seq, demand(text, wanted)), Outcome::Queued { position: 1 });
    }
    assert!(matches!(unseen(bench, two, 43, demand("yard", Demand::Gate)), Outcome::Passed(_)));
    let many =
        unseen(bench, two, 44, demand("meet", Demand::Arrive { parties: 9, break_on_loss: true }));
    assert!(matches!(many, Outcome::Refused(_)), "{many:?}");
}

/// A call whose answer stays in the window.
fn unseen(bench: &mut Bench, key: SessionKey, seq: u64, op: Op) -> Outcome {
    bench.apply(Command::Call(Call { key, seq: Seq(seq), seen_through: Seq(0), op }))
}

#[test]
fn it_has_every_state_of_a_hold() {
    let records: Vec<_> = rich().records().collect();
    let holds: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Hold(hold) => Some(hold),
            _ => None,
        })
        .collect();
    let states: Vec<_> = holds.iter().map(|hold| (hold.state, hold.unadopted)).collect();
    for wanted in [
        (HoldState::Held, false),
        (HoldState::Held, true),
        (HoldState::Cooling, false),
        (HoldState::Revoked, false),
    ] {
        assert!(states.contains(&wanted), "{wanted:?} in {states:?}");
    }
    assert!(holds.iter().any(|hold| hold.preempt.is_some()), "a leader that has to give way");
    assert!(holds.iter().any(|hold| hold.items.count() > 1), "a hold over several objects");
    let waits = |wanted: fn(&conclave_machine::WaiterRecord) -> bool| {
        records.iter().any(|record| matches!(record, Record::Waiter(waiter) if wanted(waiter)))
    };
    assert!(waits(|waiter| waiter.upgrades.is_some()));
    assert!(waits(|waiter| waiter.items.count() > 1));
    assert!(waits(|waiter| waiter.campaign.as_ref().is_some_and(|campaign| !campaign.eligible)));
    assert!(records.iter().any(|record| matches!(record, Record::Loss(_))));
    assert!(records.iter().any(|record| matches!(record, Record::ValuePart(_))));
    assert!(records.iter().any(|record| matches!(record, Record::CountKey(_))));
}

#[test]
fn it_has_every_kind_of_object() {
    let machine = rich();
    let kinds: BTreeSet<_> = machine
        .records()
        .filter_map(|record| match record {
            Record::Object(object) => machine.kind(&object.name),
            _ => None,
        })
        .collect();
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    let succeeds = machine.records().any(|record| {
        let Record::Object(object) = record else { return false };
        matches!(object.state, StateRecord::Election { successor: Some(_) })
    });
    assert!(succeeds, "somebody comes next by a transfer");
}

#[test]
fn it_has_every_recorded_answer() {
    let mut met = BTreeSet::new();
    for record in rich().records() {
        let Record::Window(window) = record else { continue };
        met.insert(match window.answer {
            Recorded::Queued => "queued",
            Recorded::Granted { .. } => "granted",
            Recorded::Held { .. } => "held",
            Recorded::TimedOut { .. } => "timed out",
            Recorded::Passed(_) => "passed",
            Recorded::Cancelled => "cancelled",
            Recorded::Released => "released",
            Recorded::Downgraded => "downgraded",
            Recorded::Proclaimed => "proclaimed",
            Recorded::EligibleSet => "eligible set",
            Recorded::Completed { .. } => "completed",
            Recorded::Edited(_) => "edited",
            Recorded::Refused(_) => "refused",
        });
    }
    assert_eq!(met.len(), 13, "{met:?}");
}
