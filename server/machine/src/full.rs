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

fn acquire(machine: &mut Machine, seq: u64, name: &str, wait: bool) -> Outcome {
    let key = SessionKey { id: SessionId(1), secret: Secret(1), epoch: Epoch(1) };
    let request = Acquire::of(Name::new(name).expect("a name"), Demand::Mutex);
    let op = Op::Acquire(Acquire { wait, ..request });
    apply(machine, Command::Call(Call { key, seq: Seq(seq), seen_through: Seq(0), op }))
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
    assert!(machine.objects.get(&Name::new("new").expect("a name")).is_none());
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

/// A client that never confirms a loss is ended, in the entry of the loss that is one too many.
#[test]
fn a_session_with_too_many_unconfirmed_losses_is_ended() {
    let mut machine = machine();
    let name = Name::new("forced").expect("a name");
    let force = |machine: &mut Machine, seq: u64, seen: u64| {
        let key = SessionKey { id: SessionId(1), secret: Secret(1), epoch: Epoch(1) };
        let op = Op::Acquire(Acquire::of(name.clone(), Demand::Mutex));
        let call = Call { key, seq: Seq(seq), seen_through: Seq(seen), op };
        let Outcome::Granted { token, .. } = apply(machine, Command::Call(call)) else {
            panic!("the lock is free");
        };
        let by = "ops".into();
        apply(machine, Command::ForceRelease { name: name.clone(), token, now: true, by })
    };
    for seq in 2..limits::LOSSES_MAX as u64 + 2 {
        assert_eq!(force(&mut machine, seq, seq - 1), Outcome::Forced { revoked: false });
    }
    assert_eq!(machine.losses(SessionId(1)).len(), limits::LOSSES_MAX);
    machine.check_invariants().expect("as many as may be");
    let seq = limits::LOSSES_MAX as u64 + 2;
    assert_eq!(force(&mut machine, seq, seq - 1), Outcome::Forced { revoked: false });
    assert!(machine.epoch(SessionId(1)).is_none(), "it has ended");
    let held = machine.inspect(&Name::new("held").expect("a name"), 0).expect("it is kept");
    assert_eq!(held.holders[0].state, HoldState::Revoked);
    machine.check_invariants().expect("ended in good order");
}
