//! What each primitive promises, by the machine's own answers (and the model's, which must be the same).

use conclave_machine::{
    Acquire, Attach, Campaign, Change, Check, Command, DeadlockEdge, Demand, Edit, Edited, Event,
    Expect, Guard, Item, Items, LossReason, Mode, Name, Note, Op, Outcome, Passed, Refusal, Seq,
    SessionId, Timer, Token, Value, Version, WaitEnd,
};
use conclave_model::Step;

use crate::promises::{World, key, name, token};

const READ: Demand = Demand::RwLock(Mode::Read);
const UPGRADABLE: Demand = Demand::RwLock(Mode::Upgradable);
const WRITE: Demand = Demand::RwLock(Mode::Write);

fn of(demand: Demand) -> Op {
    Op::Acquire(Acquire::of(name(), demand))
}

fn tries(demand: Demand) -> Op {
    Op::Acquire(Acquire { wait: false, ..Acquire::of(name(), demand) })
}

const fn permits(weight: u32) -> Demand {
    Demand::Permits { weight, limit: 3 }
}

fn campaign(priority: i32, eligible: bool, preempt_after_ms: Option<u64>) -> Op {
    let value = Value::new(b"here");
    let campaign = Some(Campaign { value, eligible, preempt_after_ms });
    Op::Acquire(Acquire { priority, campaign, ..Acquire::of(name(), Demand::Lead) })
}

fn edit(change: Change) -> Op {
    Op::Edit(Edit { name: name(), guard: None, change })
}

fn release(token: Token) -> Op {
    Op::Release { token, permits: 0 }
}

fn other(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

/// Who was granted what they waited for, in order.
fn granted(step: &Step) -> Vec<(SessionId, Seq)> {
    let granted = step.events.iter().filter_map(|event| {
        if let Event::Granted { session, seq, .. } = event { Some((*session, *seq)) } else { None }
    });
    granted.collect()
}

fn ended(step: &Step) -> Vec<(Seq, WaitEnd)> {
    let ended = step.events.iter().filter_map(|event| {
        if let Event::WaitEnded { seq, end, .. } = event { Some((*seq, end.clone())) } else { None }
    });
    ended.collect()
}

fn version(outcome: &Outcome) -> Version {
    match outcome {
        Outcome::Resized { version }
        | Outcome::Completed { version }
        | Outcome::Passed(Passed { version, .. })
        | Outcome::Edited(Edited::Latch { round: version, .. } | Edited::Register { version }) => {
            *version
        }
        _ => panic!("no version: {outcome:?}"),
    }
}

fn is_queued(step: &Step, at: u32) {
    assert_eq!(step.outcome, Outcome::Queued { position: at }, "{step:?}");
}

#[test]
fn a_writer_excludes_readers_and_no_reader_overtakes_it() {
    let mut world = World::new();
    let reader = token(&world.calls(key(1), 1, of(READ)));
    is_queued(&world.calls(key(2), 1, of(WRITE)), 1);
    is_queued(&world.calls(key(1), 2, of(READ)), 2);
    is_queued(&world.calls(key(1), 3, of(READ)), 3);
    let step = world.calls(key(1), 4, release(reader));
    assert_eq!(granted(&step), [(key(2).id, Seq(1))], "alone");
    let writer = token(&world.calls(key(2), 1, of(WRITE)));
    let step = world.calls(key(2), 2, release(writer));
    assert_eq!(granted(&step), [(key(1).id, Seq(2)), (key(1).id, Seq(3))], "together");
}

#[test]
fn an_upgrade_waits_for_the_readers_that_are_there_and_goes_before_all_who_wait() {
    let mut world = World::new();
    let reader = token(&world.calls(key(1), 1, of(READ)));
    let held = token(&world.calls(key(2), 1, of(UPGRADABLE)));
    is_queued(&world.calls(key(1), 2, of(WRITE)), 1);
    is_queued(&world.calls(key(2), 2, Op::Upgrade { token: held, wait: true }), 1);
    assert!(matches!(world.calls(key(1), 3, tries(READ)).outcome, Outcome::Held(_)));
    let step = world.calls(key(1), 4, release(reader));
    assert_eq!(granted(&step), [(key(2).id, Seq(2))]);
    assert_eq!(world.machine.check(&name(), held), Check::NotHeld, "the old token is dead");
}

#[test]
fn two_readers_do_not_wait_for_each_other() {
    let mut world = World::new();
    let one = token(&world.calls(key(1), 1, of(READ)));
    let two = token(&world.calls(key(2), 1, of(READ)));
    let upgrade = Op::Upgrade { token: one, wait: false };
    let refused = world.calls(key(1), 2, upgrade.clone()).outcome;
    assert_eq!(refused, Outcome::Refused(Refusal::WouldDeadlock));
    world.calls(key(2), 2, release(two));
    let new = token(&world.calls(key(1), 3, upgrade));
    assert!(new > one);
    assert!(matches!(world.calls(key(2), 3, tries(READ)).outcome, Outcome::Held(_)));
}

#[test]
fn a_hold_that_is_lost_takes_its_upgrade_along() {
    let mut world = World::new();
    token(&world.calls(key(1), 1, of(READ)));
    let held = token(&world.calls(key(2), 1, of(UPGRADABLE)));
    is_queued(&world.calls(key(2), 2, Op::Upgrade { token: held, wait: true }), 1);
    let (now, by) = (false, "x".into());
    let step = world.does(Command::ForceRelease { name: name(), token: held, now, by });
    assert_eq!(ended(&step), [(Seq(2), WaitEnd::Refused(Refusal::HoldLost))]);
    assert!(granted(&step).is_empty());
}

#[test]
fn permits_never_exceed_the_limit_and_a_light_request_overtakes_no_heavy_one() {
    let mut world = World::new();
    let two = token(&world.calls(key(1), 1, of(permits(2))));
    is_queued(&world.calls(key(2), 1, of(permits(2))), 1);
    assert!(matches!(world.calls(key(1), 2, tries(permits(1))).outcome, Outcome::Held(_)));
    // One of the two comes back: there is room for the heavy one.
    let step = world.calls(key(1), 3, Op::Release { token: two, permits: 1 });
    assert_eq!((step.outcome.clone(), granted(&step).len()), (Outcome::Released, 1));
    assert!(matches!(world.calls(key(1), 4, tries(permits(1))).outcome, Outcome::Held(_)));
    let too_many = world.calls(key(1), 5, Op::Release { token: two, permits: 2 }).outcome;
    assert_eq!(too_many, Outcome::Refused(Refusal::Weight { weight: 2, max: 1 }));
}

#[test]
fn a_semaphore_shrinks_by_draining_and_tells_whom_it_can_serve_no_more() {
    let mut world = World::new();
    let three = token(&world.calls(key(1), 1, of(permits(3))));
    is_queued(&world.calls(key(2), 1, of(permits(2))), 1);
    is_queued(&world.calls(key(2), 2, of(permits(1))), 2);
    let resize = |world: &mut World, limit| {
        let version = world.machine.semaphore_version(&name()).expect("it is there");
        let by = "x".into();
        let step = world.does(Command::Resize { name: name(), limit, version, by });
        assert!(self::version(&step.outcome) > version);
        step
    };
    assert!(ended(&resize(&mut world, 0)).is_empty(), "a pause fails nobody");
    let step = resize(&mut world, 1);
    let refusal = Refusal::Weight { weight: 2, max: 1 };
    assert_eq!(ended(&step), [(Seq(1), WaitEnd::Refused(refusal))]);
    assert_eq!(world.machine.check(&name(), three), Check::Held, "nothing is taken away");
    let step = world.calls(key(1), 2, Op::Release { token: three, permits: 2 });
    assert!(granted(&step).is_empty(), "one of one is in use");
    let step = world.calls(key(1), 3, release(three));
    assert_eq!(granted(&step), [(key(2).id, Seq(2))]);
    let by = "x".into();
    let old = world.does(Command::Resize { name: name(), limit: 9, version: Version(1), by });
    assert!(matches!(old.outcome, Outcome::Refused(Refusal::Conflict { .. })));
}

#[test]
fn there_is_one_leader_and_who_stands_aside_is_none() {
    let mut world = World::new();
    is_queued(&world.calls(key(1), 1, campaign(9, false, None)), 0);
    let term = token(&world.calls(key(2), 1, campaign(0, true, None)));
    let set = Op::SetEligible { campaign: Seq(1), eligible: true };
    let step = world.calls(key(1), 2, set);
    assert_eq!((step.outcome.clone(), granted(&step)), (Outcome::EligibleSet, Vec::new()));
    let step = world.calls(key(2), 2, release(term));
    assert_eq!(granted(&step), [(key(1).id, Seq(1))]);
    let late = Op::Proclaim { term, value: Value::new(b"late") };
    let late = world.calls(key(2), 3, late).outcome;
    assert_eq!(late, Outcome::Refused(Refusal::NotHolder), "an old term");
}

#[test]
fn a_leader_gives_way_to_a_higher_priority_only_after_its_time_and_its_word() {
    let mut world = World::new();
    let term = token(&world.calls(key(1), 1, campaign(0, true, Some(50))));
    is_queued(&world.calls(key(2), 1, campaign(1, true, None)), 1);
    let step = world.timer_over(Timer::Preempt(key(1).id, term));
    let preempted = |event: &Event| matches!(event, Event::Lost { loss, .. } if loss.reason == LossReason::Preempted);
    assert!(step.events.iter().any(preempted), "{step:?}");
    assert!(granted(&step).is_empty(), "the old leader may still believe");
    let (session, secret) = (key(1).id, key(1).secret);
    let step = world.does(Command::AckStopped { session, secret, token: term });
    assert_eq!(granted(&step), [(key(2).id, Seq(1))]);
}

#[test]
fn a_transfer_names_the_next_leader_and_waits_for_the_old_one() {
    let mut world = World::new();
    let term = token(&world.calls(key(1), 1, campaign(0, true, None)));
    is_queued(&world.calls(key(1), 2, campaign(5, true, None)), 1);
    is_queued(&world.calls(key(2), 1, campaign(0, true, None)), 2);
    let by = "x".into();
    let step = world.does(Command::Transfer { name: name(), term, to: key(2).id, by });
    assert_eq!((step.outcome.clone(), granted(&step)), (Outcome::Transferred, Vec::new()));
    let step = world.timer_over(Timer::HoldEnd(key(1).id, term));
    assert_eq!(granted(&step), [(key(2).id, Seq(1))], "before the higher priority");
}

#[test]
fn a_barrier_lets_all_pass_together_or_breaks_for_all() {
    let arrive = of(Demand::Arrive { parties: 3, break_on_loss: true });
    let mut world = World::new();
    is_queued(&world.calls(key(1), 1, arrive.clone()), 1);
    is_queued(&world.calls(key(2), 1, arrive.clone()), 2);
    let step = world.does(Command::Cancel { key: key(1), seq: Seq(1) });
    let broken = WaitEnd::Refused(Refusal::Broken);
    assert_eq!(ended(&step), [(Seq(1), WaitEnd::Cancelled), (Seq(1), broken)]);
    is_queued(&world.calls(key(1), 2, arrive.clone()), 1);
    is_queued(&world.calls(key(1), 3, arrive.clone()), 2);
    let step = world.calls(key(2), 2, arrive);
    let Outcome::Passed(Passed { version, index: 2 }) = step.outcome else {
        panic!("the last one makes it trip: {step:?}")
    };
    let passed = step.events.iter().filter_map(|event| {
        if let Event::Passed { passed, .. } = event { Some(*passed) } else { None }
    });
    let expected = [Passed { version, index: 0 }, Passed { version, index: 1 }];
    assert_eq!(passed.collect::<Vec<_>>(), expected);
}

#[test]
fn a_once_runs_again_after_a_failure_and_never_after_its_result() {
    let run = of(Demand::Run { attempts_max: 2 });
    let mut world = World::new();
    let first = token(&world.calls(key(1), 1, run.clone()));
    is_queued(&world.calls(key(2), 1, run.clone()), 1);
    assert_eq!(granted(&world.calls(key(1), 2, release(first))), [(key(2).id, Seq(1))]);
    let second = token(&world.calls(key(2), 1, run.clone()));
    is_queued(&world.calls(key(1), 3, run.clone()), 1);
    let value = Value::new(b"result");
    let complete = Op::Complete { token: second, value: value.clone(), retention_ms: 0 };
    let step = world.calls(key(2), 2, complete);
    let done = version(&step.outcome);
    assert!(granted(&step).is_empty());
    let again = world.calls(key(1), 4, run.clone()).outcome;
    assert_eq!(again, Outcome::Passed(Passed { version: done, index: 0 }));
    assert_eq!(world.machine.once_value(&name()).map(|view| view.value), Some(value));
    world.timer_over(Timer::Retention(name()));
    assert!(token(&world.calls(key(1), 5, run)) > second, "forgotten, so it runs again");
}

#[test]
fn a_once_that_failed_too_often_is_run_by_nobody() {
    let run = of(Demand::Run { attempts_max: 1 });
    let mut world = World::new();
    let first = token(&world.calls(key(1), 1, run.clone()));
    is_queued(&world.calls(key(2), 1, run), 1);
    let step = world.calls(key(1), 2, release(first));
    let refusal = Refusal::AttemptsExhausted { attempts: 1 };
    assert_eq!(ended(&step), [(Seq(1), WaitEnd::Refused(refusal))]);
}

#[test]
fn a_guarded_edit_succeeds_only_while_its_token_holds() {
    let mut world = World::new();
    let lock = other("lock");
    let acquire = Op::Acquire(Acquire::of(lock.clone(), Demand::Mutex));
    let held = token(&world.calls(key(1), 1, acquire.clone()));
    let mut seq = 1;
    let mut writes = |world: &mut World, name: &str, token| {
        seq += 1;
        let guard = Some(Guard { name: other(name), token });
        let change = Change::AddCounter { delta: 1 };
        world.calls(key(2), seq, Op::Edit(Edit { name: other("count"), guard, change })).outcome
    };
    let refused = Outcome::Refused(Refusal::Guard);
    assert!(matches!(writes(&mut world, "lock", held), Outcome::Edited(_)));
    assert_eq!(writes(&mut world, "another", held), refused);
    assert_eq!(writes(&mut world, "lock", Token(held.get() + 1)), refused);
    let (later, next_seq) = world.resumes(key(1), 9);
    assert_eq!(writes(&mut world, "lock", held), refused, "nobody adopted it");
    let adopted = token(&world.calls(later, next_seq.get(), Op::Adopt { token: held }));
    assert_eq!(writes(&mut world, "lock", held), refused, "replaced");
    assert!(matches!(writes(&mut world, "lock", adopted), Outcome::Edited(_)));
    let (now, by) = (false, "x".into());
    world.does(Command::ForceRelease { name: lock, token: adopted, now, by });
    assert_eq!(writes(&mut world, "lock", adopted), refused, "revoked");
}

#[test]
fn a_bound_register_goes_with_its_session_and_an_expectation_is_kept() {
    let mut world = World::new();
    let set =
        |expect, bound| edit(Change::SetRegister { value: Value::new(b"member"), expect, bound });
    let first = version(&world.calls(key(1), 1, set(Expect::Absent, true)).outcome);
    let conflict = world.calls(key(2), 1, set(Expect::Absent, false)).outcome;
    assert_eq!(conflict, Outcome::Edited(Edited::Conflict { version: Some(first) }));
    let step = world.does(Command::Close { key: key(1) });
    let gone = |event: &Event| matches!(event, Event::Noted { note: Note::Gone { .. }, .. });
    assert!(step.events.iter().any(gone), "{step:?}");
    let second = version(&world.calls(key(2), 2, set(Expect::Absent, false)).outcome);
    assert!(second > first, "what vanished and came back repeats no version");
}

#[test]
fn a_latch_counts_a_key_once_and_a_new_round_is_another() {
    let mut world = World::new();
    let first = version(&world.calls(key(1), 1, edit(Change::CreateLatch { count: 2 })).outcome);
    is_queued(&world.calls(key(2), 1, of(Demand::Latch)), 1);
    let down = |by, key: Option<&str>| edit(Change::CountDown { by, key: key.map(Into::into) });
    let left = |remaining| Outcome::Edited(Edited::Latch { round: first, remaining });
    assert_eq!(world.calls(key(1), 2, down(1, Some("k"))).outcome, left(1));
    assert_eq!(world.calls(key(1), 3, down(1, Some("k"))).outcome, left(1));
    let below = world.calls(key(1), 4, down(2, None)).outcome;
    assert_eq!(below, Outcome::Refused(Refusal::BelowZero { remaining: 1 }));
    let step = world.calls(key(1), 5, down(1, None));
    let passed =
        |event: &Event| matches!(event, Event::Passed { passed, .. } if passed.version == first);
    assert!(step.events.iter().any(passed), "{step:?}");
    assert!(version(&world.calls(key(1), 6, edit(Change::ResetLatch)).outcome) > first);
    is_queued(&world.calls(key(2), 2, of(Demand::Latch)), 1);
}

#[test]
fn several_objects_are_had_all_or_none_and_hold_back_whoever_comes_later() {
    let items = [("a", Demand::Mutex), ("b", permits(2))];
    let items = items.map(|(name, demand)| Item { name: other(name), demand });
    let all = Acquire {
        items: Items::new(items.to_vec()).expect("two"),
        ..Acquire::of(name(), Demand::Mutex)
    };
    let mut world = World::new();
    let held = token(&world.calls(key(1), 1, of(Demand::Mutex)));
    is_queued(&world.calls(key(2), 1, Op::Acquire(all)), 1);
    let light = Acquire { wait: false, ..Acquire::of(other("b"), permits(1)) };
    let light = world.calls(key(1), 2, Op::Acquire(light)).outcome;
    assert!(matches!(light, Outcome::Held(_)), "free, but someone came earlier: {light:?}");
    let step = world.calls(key(1), 3, release(held));
    assert_eq!(granted(&step), [(key(2).id, Seq(1))]);
    let both = world.machine.inspect(&other("b"), 0).expect("held").holders[0].token;
    assert_eq!(world.machine.check(&name(), both), Check::Held, "one token for both");
    let step = world.calls(key(2), 2, release(both));
    assert_eq!(step.outcome, Outcome::Released);
    assert_eq!(world.machine.counts().objects, 0, "both are free and gone");
}

#[test]
fn owners_that_would_wait_for_each_other_are_refused_with_the_cycle() {
    let by = |lock: &str, owner: &str| {
        let owner = Some(owner.into());
        Op::Acquire(Acquire {
            owner,
            fail_on_deadlock: true,
            ..Acquire::of(other(lock), Demand::Mutex)
        })
    };
    let mut world = World::new();
    token(&world.calls(key(1), 1, by("a", "one")));
    token(&world.calls(key(2), 1, by("b", "two")));
    is_queued(&world.calls(key(1), 2, by("b", "one")), 1);
    let step = world.calls(key(2), 2, by("a", "two"));
    let edge = |session, owner: &str, waits_for| DeadlockEdge {
        session,
        session_name: name(),
        owner: owner.into(),
        name: other(waits_for),
    };
    let cycle = vec![edge(key(2).id, "two", "a"), edge(key(1).id, "one", "b")];
    assert_eq!(step.outcome, Outcome::Refused(Refusal::Deadlock { cycle }));
}

#[test]
fn nothing_is_granted_to_a_session_in_the_entry_that_ends_it() {
    let mut world = World::new();
    token(&world.calls(key(1), 1, of(WRITE)));
    is_queued(&world.calls(key(1), 2, of(READ)), 1);
    is_queued(&world.calls(key(2), 1, of(READ)), 2);
    let step = world.does(Command::Close { key: key(1) });
    assert_eq!(granted(&step), [(key(2).id, Seq(1))]);
}

#[test]
fn an_attach_that_was_overtaken_judges_nothing() {
    let mut world = World::new();
    let attach = |number, next_seq, held| {
        let (key, waiting) = (key(1), Vec::new());
        Command::Attach(Attach { key, number, held, waiting, next_seq: Seq(next_seq) })
    };
    let held = token(&world.calls(key(1), 1, of(Demand::Mutex)));
    world.does(attach(2, 2, vec![held]));
    let late = world.does(attach(1, 2, Vec::new())).outcome;
    assert_eq!(late, Outcome::Refused(Refusal::Stale));
    assert_eq!(world.machine.check(&name(), held), Check::Held);
}
