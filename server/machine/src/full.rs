//! Tests of the limits that take millions to reach: the counts are set, not counted up to.

use alloc::vec::Vec;

use crate::*;

fn apply(machine: &mut Machine, command: Command) -> Outcome {
    let context = Context { term: Term(1), stamp_ms: 1 };
    machine.apply(&context, command, &mut Vec::new()).1
}

fn open(machine: &mut Machine, secret: u128) -> Outcome {
    let name = Name::new("s").expect("a name");
    let secret = Secret(secret);
    let labels = Labels::default();
    let open = Open { secret, ttl_ms: 10_000, lock_delay_ms: 0, name, labels };
    apply(machine, Command::Open(open))
}

/// A call of the session 1, which has seen everything before it.
fn call(machine: &mut Machine, seq: u64, op: Op) -> Outcome {
    let key = SessionKey { id: SessionId(1), secret: Secret(1), epoch: Epoch(1) };
    apply(machine, Command::Call(Call { key, seq: Seq(seq), seen_through: Seq(seq - 1), op }))
}

fn named(name: &str) -> Name {
    Name::new(name).expect("a name")
}

fn ask(machine: &mut Machine, seq: u64, name: &str, demand: Demand) -> Outcome {
    call(machine, seq, Op::Acquire(Acquire::of(named(name), demand)))
}

fn acquire(machine: &mut Machine, seq: u64, name: &str, wait: bool) -> Outcome {
    let request = Acquire::of(named(name), Demand::Mutex);
    call(machine, seq, Op::Acquire(Acquire { wait, ..request }))
}

fn edit(machine: &mut Machine, seq: u64, name: &str, change: Change) -> Outcome {
    call(machine, seq, Op::Edit(Edit { name: named(name), guard: None, change }))
}

fn write(bytes: usize) -> Change {
    let value = Value::new(&alloc::vec![7; bytes]);
    Change::SetRegister { value, expect: Expect::Anything, bound: false }
}

const fn full(what: Limit, max: usize) -> Outcome {
    Outcome::Refused(Refusal::Limit { what, max: max as u64 })
}

/// One session that holds `held`.
fn machine() -> Machine {
    let mut machine = Machine::new();
    open(&mut machine, 1);
    assert!(matches!(acquire(&mut machine, 1, "held", true), Outcome::Granted { .. }));
    machine
}

#[test]
fn no_more_sessions_than_the_limit_but_the_known_are_answered() {
    let mut machine = machine();
    machine.counts.sessions = limits::SESSIONS_MAX as u64 - 1;
    assert!(matches!(open(&mut machine, 2), Outcome::Opened { .. }));
    assert_eq!(open(&mut machine, 3), full(Limit::Sessions, limits::SESSIONS_MAX));
    assert!(matches!(open(&mut machine, 2), Outcome::Opened { .. }));
}

#[test]
fn no_more_objects_than_the_limit_and_the_refused_seq_may_come_again() {
    let mut machine = machine();
    machine.counts.objects = limits::OBJECTS_MAX as u64;
    let refused = full(Limit::Objects, limits::OBJECTS_MAX);
    assert_eq!(acquire(&mut machine, 2, "new", true), refused);
    assert_eq!(acquire(&mut machine, 2, "new", false), refused);
    assert_eq!(acquire(&mut machine, 2, "held", true), Outcome::Queued { position: 1 });
}

#[test]
fn no_more_holds_than_the_limit_and_a_wait_is_none() {
    let mut machine = machine();
    machine.counts.holds = limits::HOLDS_MAX as u64;
    assert_eq!(acquire(&mut machine, 2, "new", true), full(Limit::Holds, limits::HOLDS_MAX));
    assert!(machine.objects.get(&named("new")).is_none());
    assert_eq!(acquire(&mut machine, 2, "held", true), Outcome::Queued { position: 1 });
    machine.counts.holds -= 1;
    assert!(matches!(acquire(&mut machine, 3, "new", true), Outcome::Granted { .. }));
}

#[test]
fn no_more_waiters_than_the_limit_and_a_try_is_none() {
    let mut machine = machine();
    machine.counts.waiters = limits::WAITERS_MAX as u64;
    assert_eq!(acquire(&mut machine, 2, "held", true), full(Limit::Waiters, limits::WAITERS_MAX));
    assert!(matches!(acquire(&mut machine, 2, "held", false), Outcome::Held(_)));
    machine.counts.waiters -= 1;
    assert_eq!(acquire(&mut machine, 3, "held", true), Outcome::Queued { position: 1 });
}

/// A request for several names needs room for all of them, and makes none of them without.
#[test]
fn no_more_objects_than_the_limit_whatever_makes_them() {
    let mut machine = machine();
    machine.counts.objects = limits::OBJECTS_MAX as u64 - 1;
    let refused = full(Limit::Objects, limits::OBJECTS_MAX);
    let item = |name, demand| Item { name: named(name), demand };
    let both = |demand| {
        let items = [item("held", Demand::Mutex), item("a", Demand::Mutex), item("b", demand)];
        let items = Items::new(items.into()).expect("three");
        Op::Acquire(Acquire { items, ..Acquire::of(named("held"), Demand::Mutex) })
    };
    assert_eq!(call(&mut machine, 2, both(Demand::Mutex)), refused);
    assert!(machine.kind(&named("a")).is_none());
    machine.counts.objects += 1;
    let changes = [
        Change::CreateLatch { count: 1 },
        Change::SetGate { open: true },
        write(1),
        Change::AddCounter { delta: 1 },
    ];
    for change in changes {
        assert_eq!(edit(&mut machine, 3, "new", change), refused);
    }
    let two = Demand::Arrive { parties: 2, break_on_loss: false };
    for demand in [Demand::Gate, two, Demand::RwLock(Mode::Read)] {
        assert_eq!(ask(&mut machine, 3, "new", demand), refused);
    }
    // A party that waits for nobody leaves nothing behind.
    let alone = Demand::Arrive { parties: 1, break_on_loss: false };
    assert!(matches!(ask(&mut machine, 3, "new", alone), Outcome::Passed(_)));
}

/// Passing takes no room, neither of the holds nor of the session's.
#[test]
fn a_full_machine_lets_pass_whoever_can() {
    let mut machine = machine();
    edit(&mut machine, 2, "door", Change::SetGate { open: true });
    machine.counts.holds = limits::HOLDS_MAX as u64;
    machine.counts.waiters = limits::WAITERS_MAX as u64;
    assert!(matches!(ask(&mut machine, 3, "door", Demand::Gate), Outcome::Passed(_)));
}

#[test]
fn no_more_holds_and_waits_of_one_session_than_the_limit() {
    let mut machine = machine();
    let max = limits::HOLDS_AND_WAITS_PER_SESSION_MAX;
    let permit = Demand::Permits { weight: 1, limit: u32::MAX };
    for seq in 2..max as u64 {
        assert!(matches!(ask(&mut machine, seq, "pool", permit), Outcome::Granted { .. }));
    }
    let seq = max as u64;
    let read = ask(&mut machine, seq, "map", Demand::RwLock(Mode::Upgradable));
    let Outcome::Granted { token, .. } = read else { panic!("{read:?}") };
    let refused = full(Limit::OfSession, max);
    assert_eq!(ask(&mut machine, seq + 1, "pool", permit), refused);
    assert_eq!(acquire(&mut machine, seq + 1, "held", true), refused);
    assert!(matches!(acquire(&mut machine, seq + 1, "held", false), Outcome::Held(_)));
    // An upgrade on the spot takes no room; one hold less makes some.
    let upgraded = call(&mut machine, seq + 2, Op::Upgrade { token, wait: true });
    let Outcome::Granted { token, .. } = upgraded else { panic!("{upgraded:?}") };
    let released = call(&mut machine, seq + 3, Op::Release { token, permits: 0 });
    assert_eq!(released, Outcome::Released);
    assert_eq!(acquire(&mut machine, seq + 4, "held", true), Outcome::Queued { position: 1 });
    assert_eq!(acquire(&mut machine, seq + 5, "held", true), refused);
    machine.check_invariants().expect("as many as may be");
}

#[test]
fn no_more_bytes_of_values_than_the_limit_and_a_run_goes_on() {
    let mut machine = machine();
    let run = ask(&mut machine, 2, "task", Demand::Run { attempts_max: 0 });
    let Outcome::Granted { token, .. } = run else { panic!("{run:?}") };
    edit(&mut machine, 3, "note", write(100));
    machine.counts.value_bytes = limits::VALUES_BYTES_MAX - 10;
    let max = limits::VALUES_BYTES_MAX;
    let refused = Outcome::Refused(Refusal::Limit { what: Limit::Values, max });
    assert_eq!(edit(&mut machine, 4, "note", write(111)), refused);
    assert_eq!(edit(&mut machine, 4, "other", write(11)), refused);
    let complete = |bytes| {
        let value = Value::new(&alloc::vec![7; bytes]);
        Op::Complete { token, value, retention_ms: 0 }
    };
    assert_eq!(call(&mut machine, 4, complete(11)), refused);
    assert_eq!(machine.check(&named("task"), token), Check::Held);
    // What is replaced makes room.
    assert!(matches!(edit(&mut machine, 4, "note", write(110)), Outcome::Edited(_)));
    assert!(matches!(edit(&mut machine, 5, "note", write(100)), Outcome::Edited(_)));
    assert!(matches!(call(&mut machine, 6, complete(10)), Outcome::Completed { .. }));
    assert_eq!(machine.counts.value_bytes, max);
}

#[test]
fn no_more_keys_of_one_round_than_the_limit() {
    let mut machine = machine();
    let max = limits::COUNT_KEYS_MAX as u64;
    edit(&mut machine, 2, "start", Change::CreateLatch { count: u64::MAX });
    let count = |machine: &mut Machine, seq: u64, key: Option<u64>| {
        let key = key.map(|key| alloc::format!("{key}").into());
        edit(machine, seq, "start", Change::CountDown { by: 1, key })
    };
    for key in 1..=max {
        assert!(matches!(count(&mut machine, 2 + key, Some(key)), Outcome::Edited(_)));
    }
    let refused = full(Limit::CountKeys, limits::COUNT_KEYS_MAX);
    assert_eq!(count(&mut machine, max + 3, Some(max + 1)), refused);
    // A known key is answered, and one without a key counts.
    assert!(matches!(count(&mut machine, max + 3, Some(1)), Outcome::Edited(_)));
    assert!(matches!(count(&mut machine, max + 4, None), Outcome::Edited(_)));
    edit(&mut machine, max + 5, "start", Change::ResetLatch);
    assert!(matches!(count(&mut machine, max + 6, Some(max + 1)), Outcome::Edited(_)));
}

/// A client that never confirms a loss is ended, in the entry of the loss that is one too many.
#[test]
fn a_session_with_too_many_unconfirmed_losses_is_ended() {
    let mut machine = machine();
    let force = |machine: &mut Machine, seq: u64| {
        let Outcome::Granted { token, .. } = acquire(machine, seq, "forced", true) else {
            panic!("the lock is free");
        };
        let by = "ops".into();
        apply(machine, Command::ForceRelease { name: named("forced"), token, now: true, by })
    };
    for seq in 2..limits::LOSSES_MAX as u64 + 2 {
        assert_eq!(force(&mut machine, seq), Outcome::Forced { revoked: false });
    }
    assert_eq!(machine.losses(SessionId(1)).len(), limits::LOSSES_MAX);
    machine.check_invariants().expect("as many as may be");
    let seq = limits::LOSSES_MAX as u64 + 2;
    assert_eq!(force(&mut machine, seq), Outcome::Forced { revoked: false });
    assert!(machine.epoch(SessionId(1)).is_none(), "it has ended");
    let held = machine.inspect(&named("held"), 0).expect("it is kept");
    assert_eq!(held.holders[0].state, HoldState::Revoked);
    machine.check_invariants().expect("ended in good order");
}
