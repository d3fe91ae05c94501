//! The timers of elections and of results: exact to a step, in full after a leader change, gone when nothing is left to do.

use std::time::Duration;

use conclave_machine::{
    Acquire, Campaign, Check, Command, Demand, Op, Outcome, Seq, SessionKey, Term, Timer, Token,
    Value,
};

use super::stage::{SECOND, Stage, name};
use crate::schedule::STEP;

const PREEMPT: Duration = Duration::from_secs(4);
const RETENTION: Duration = Duration::from_secs(60);
/// No session of these tests dies.
const LONG_TTL_MS: u64 = 600_000;

fn campaign(stage: &mut Stage, key: SessionKey, priority: i32) -> Outcome {
    let campaign =
        Campaign { value: Value::new(b"here"), eligible: true, preempt_after_ms: Some(4000) };
    let lead = Acquire::of(name("leader"), Demand::Lead);
    let op = Op::Acquire(Acquire { priority, campaign: Some(campaign), ..lead });
    stage.call(key, 1, op)
}

/// A leader of priority 0, a candidate of priority 5 behind it, and the leader's term.
fn contested() -> (Stage, Token, SessionKey) {
    let mut stage = Stage::leading();
    let (low, high) = (stage.open_with(LONG_TTL_MS, 0), stage.open_with(LONG_TTL_MS, 0));
    let Outcome::Granted { token, .. } = campaign(&mut stage, low, 0) else { panic!("leads") };
    stage.run(10 * PREEMPT);
    assert_eq!(stage.machine.check(&name("leader"), token), Check::Held, "nobody wants it");
    assert!(matches!(campaign(&mut stage, high, 5), Outcome::Queued { .. }));
    (stage, token, high)
}

#[test]
fn a_leader_that_a_higher_priority_waits_for_is_revoked_in_time_and_not_before() {
    let (mut stage, token, _) = contested();
    stage.run(PREEMPT - STEP);
    assert_eq!(stage.machine.check(&name("leader"), token), Check::Held);
    stage.run(STEP);
    assert_eq!(stage.machine.check(&name("leader"), token), Check::Revoked);
}

#[test]
fn a_new_leader_of_the_cluster_starts_the_preemption_in_full() {
    let (mut stage, token, _) = contested();
    stage.run(PREEMPT - SECOND);
    stage.lose_leadership();
    stage.lead(Term(4));
    stage.run(PREEMPT - STEP);
    assert_eq!(stage.machine.check(&name("leader"), token), Check::Held, "in full again");
    stage.run(STEP);
    assert_eq!(stage.machine.check(&name("leader"), token), Check::Revoked);
}

#[test]
fn a_candidate_that_leaves_takes_the_preemption_along() {
    let (mut stage, token, high) = contested();
    stage.run(PREEMPT - SECOND);
    let before = stage.schedule_len();
    let cancelled = stage.apply(Command::Cancel { key: high, seq: Seq(1) });
    assert_eq!(cancelled, Outcome::Cancelled);
    assert_eq!(stage.schedule_len(), before - 1, "the timer is forgotten at once");
    stage.run(2 * PREEMPT);
    assert_eq!(stage.machine.check(&name("leader"), token), Check::Held);
}

#[test]
fn a_leader_that_resigns_leaves_no_timer() {
    let (mut stage, token, high) = contested();
    let low = stage.opened[0];
    let released = stage.call(low, 2, Op::Release { token, permits: 0 });
    assert_eq!(released, Outcome::Released);
    let leads = stage.machine.answer(high.id, Seq(1));
    assert!(matches!(leads, Some(Outcome::Granted { .. })), "{leads:?}");
    // The sessions' own.
    assert_eq!(stage.schedule_len(), 2);
}

/// A once that was done just now.
fn done() -> Stage {
    let mut stage = Stage::leading();
    let ann = stage.open_with(LONG_TTL_MS, 0);
    let run = Op::Acquire(Acquire::of(name("cache"), Demand::Run { attempts_max: 0 }));
    let Outcome::Granted { token, .. } = stage.call(ann, 1, run) else { panic!("runs") };
    let retention_ms = 60_000;
    let complete = Op::Complete { token, value: Value::new(b"result"), retention_ms };
    assert!(matches!(stage.call(ann, 2, complete), Outcome::Completed { .. }));
    stage
}

#[test]
fn a_result_is_forgotten_when_its_retention_is_over_and_not_before() {
    let mut stage = done();
    stage.run(RETENTION - STEP);
    assert!(stage.machine.once_value(&name("cache")).is_some());
    stage.run(STEP);
    assert!(stage.machine.once_value(&name("cache")).is_none());
    assert_eq!(stage.schedule_len(), 1, "the session's own");
}

#[test]
fn a_new_leader_keeps_a_result_for_its_full_retention() {
    let mut stage = done();
    stage.run(RETENTION - SECOND);
    stage.lose_leadership();
    stage.lead(Term(4));
    stage.run(RETENTION - STEP);
    assert!(stage.machine.once_value(&name("cache")).is_some(), "in full again");
    stage.run(STEP);
    assert!(stage.machine.once_value(&name("cache")).is_none());
}

#[test]
fn a_deleted_result_leaves_no_timer_and_one_that_came_later_has_its_own() {
    let mut stage = done();
    stage.run(RETENTION - SECOND);
    let deleted = stage.apply(Command::Delete { name: name("cache"), by: "operator".into() });
    assert_eq!(deleted, Outcome::Deleted);
    assert_eq!(stage.schedule_len(), 1, "the timer is forgotten at once");
    let ann = stage.opened[0];
    let run = Op::Acquire(Acquire::of(name("cache"), Demand::Run { attempts_max: 0 }));
    let Outcome::Granted { token, .. } = stage.call(ann, 3, run) else { panic!("runs") };
    let complete = Op::Complete { token, value: Value::new(b"newer"), retention_ms: 60_000 };
    assert!(matches!(stage.call(ann, 4, complete), Outcome::Completed { .. }));
    stage.pass(RETENTION - STEP);
    assert_eq!(stage.dues(), []);
    stage.pass(STEP);
    let timers: Vec<_> = stage.dues().into_iter().map(|due| due.timer).collect();
    assert_eq!(timers, [Timer::Retention(name("cache"))]);
}
