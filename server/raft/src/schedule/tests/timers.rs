//! The timers of holds: exact to a step, in full after a leader change, never shorter.

use std::time::Duration;

use conclave_machine::{Check, Command, HoldState, Outcome, Resume, Term, Timer};

use super::stage::{PERIOD, SECOND, Stage, name};
use crate::answer::NotLeader;
use crate::schedule::STEP;

const MAX_HOLD: Duration = Duration::from_secs(3);

#[test]
fn a_hold_is_revoked_when_its_max_hold_is_over_and_not_before() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 3000);
    stage.run(MAX_HOLD - STEP);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::Held);
    stage.run(STEP);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::Revoked);
}

#[test]
fn a_released_hold_leaves_no_timer() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.hold(ann, 1, 3000);
    stage.apply(Command::Close { key: ann });
    stage.pass(2 * PERIOD);
    assert_eq!(stage.dues(), []);
}

#[test]
fn a_revoked_hold_is_kept_until_its_client_has_heard_or_expired() {
    let mut stage = Stage::leading();
    let (ann, bob) = (stage.open(), stage.open());
    let token = stage.hold(ann, 1, 0);
    stage.queue(bob, 1);
    let _feed = stage.hub.subscribe(bob.id);
    stage.force_release(token);
    for _ in 0..10 {
        stage.keep_alive(bob);
        stage.run(SECOND);
        assert_eq!(stage.machine.check(&name("lock"), token), Check::Revoked);
    }
    stage.keep_alive(bob);
    stage.run(SECOND);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::NotHeld);
    let answer = stage.machine.answer(bob.id, conclave_machine::Seq(1));
    assert!(matches!(answer, Some(Outcome::Granted { .. })), "{answer:?}");
}

#[test]
fn a_lock_delay_keeps_the_hold_of_a_dead_session() {
    let mut stage = Stage::leading();
    let ann = stage.open_with(10_000, 5000);
    let token = stage.hold(ann, 1, 0);
    stage.run(PERIOD);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::Cooling);
    stage.run(5 * SECOND - STEP);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::Cooling);
    stage.run(2 * STEP);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::NotHeld);
}

#[test]
fn a_new_leader_starts_every_timer_in_full() {
    let mut stage = Stage::leading();
    let (dead, live) = (stage.open_with(10_000, 5000), stage.open());
    let cooling = stage.hold(dead, 1, 0);
    stage.run(PERIOD - SECOND);
    stage.keep_alive(live);
    stage.run(SECOND);
    assert_eq!(stage.machine.check(&name("lock"), cooling), Check::Cooling);
    stage.run(4 * SECOND);
    stage.lose_leadership();
    stage.now = stage.now + SECOND;
    stage.lead(Term(4));
    stage.run(5 * SECOND - STEP);
    assert_eq!(stage.machine.check(&name("lock"), cooling), Check::Cooling, "in full again");
    stage.run(2 * STEP);
    assert_eq!(stage.machine.check(&name("lock"), cooling), Check::NotHeld);
}

#[test]
fn holds_that_nobody_adopts_are_revoked_after_a_ttl() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 0);
    let resume = Resume {
        session: ann.id,
        secret: ann.secret,
        expected: ann.epoch,
        nonce: conclave_machine::Nonce(1),
    };
    assert!(matches!(stage.apply(Command::Resume(resume)), Outcome::Resumed { .. }));
    stage.run(10 * SECOND - STEP);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::Held);
    stage.run(2 * STEP);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::Revoked);
}

#[test]
fn a_doubt_extends_what_waits_for_a_client_but_not_what_counts_from_a_revision() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 3000);
    stage.run(2 * SECOND);
    stage.keep_alive(ann);
    stage.look();
    stage.confirm_as(Err(NotLeader { leader: None }));
    stage.run(2 * STEP);
    stage.run(SECOND);
    assert_eq!(stage.machine.check(&name("lock"), token), Check::Revoked);
}

#[test]
fn nothing_is_proposed_in_doubt() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.hold(ann, 1, 3000);
    stage.run(MAX_HOLD - STEP);
    stage.stall(SECOND);
    stage.pass(SECOND);
    assert_eq!(stage.proposals, []);
    stage.confirmations.clear();
}

#[test]
fn a_short_timer_is_looked_at_in_time() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.hold(ann, 1, 5);
    let look = stage.schedule.next_look(stage.now);
    assert_eq!(look, stage.now + Duration::from_millis(5));
    stage.now = look;
    stage.look();
    let timers: Vec<_> = stage.dues().iter().map(|due| due.timer.clone()).collect();
    assert!(matches!(timers[..], [Timer::MaxHold(session, _)] if session == ann.id), "{timers:?}");
}

#[test]
fn a_timer_that_the_machine_stopped_is_forgotten() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 3000);
    // Revoked by hand: the max-hold no longer counts, and no event says so.
    stage.force_release(token);
    stage.run(MAX_HOLD + SECOND);
    assert_eq!(stage.dues(), []);
    let view = stage.machine.session(ann.id).expect("it lives");
    assert_eq!(view.holds[0].state, HoldState::Revoked);
}
