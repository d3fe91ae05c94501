//! Session rules 2 and 4: a new leader, and one that was late or alone, gives everybody a full period first.

use std::sync::atomic::Ordering;

use conclave_machine::Term;

use super::stage::{ELECTION, PERIOD, SECOND, Stage};
use crate::answer::NotLeader;
use crate::keepalive::KeepAliveError;
use crate::schedule::STEP;

#[test]
fn a_new_leader_gives_every_session_a_full_period() {
    let mut stage = Stage::following();
    let (ann, bob) = (stage.open(), stage.open());
    // Long after both would have been over.
    stage.now = stage.now + 10 * PERIOD;
    stage.lead(Term(9));
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann) && stage.lives(bob));
    stage.run(STEP);
    assert!(!stage.lives(ann) && !stage.lives(bob));
}

#[test]
fn a_dead_session_expires_one_period_after_the_last_leader_change() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    for term in 4..=10 {
        stage.run(PERIOD / 2);
        stage.lose_leadership();
        stage.now = stage.now + SECOND;
        stage.lead(Term(term));
    }
    assert!(stage.lives(ann));
    stage.run(PERIOD);
    assert!(!stage.lives(ann));
}

#[test]
fn live_sessions_survive_one_leader_change_after_another() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    for term in 4..=20 {
        stage.run(SECOND);
        let number = stage.keep_alive(ann);
        stage.look();
        stage.lose_leadership();
        assert!(!stage.is_acknowledged(number));
        stage.confirmations.clear();
        stage.now = stage.now + SECOND;
        stage.lead(Term(term));
        let number = stage.keep_alive(ann);
        stage.settle();
        assert!(stage.is_acknowledged(number));
    }
    assert!(stage.lives(ann));
}

#[test]
fn a_node_that_stopped_leading_proposes_nothing() {
    let mut stage = Stage::leading();
    stage.open();
    stage.pass(PERIOD - STEP);
    stage.lose_leadership();
    stage.pass(10 * PERIOD);
    assert_eq!(stage.proposals, []);
    assert!(stage.confirmations.is_empty());
}

#[test]
fn a_leadership_taken_back_and_given_again_in_one_term_remembers_an_expiry_in_flight() {
    let mut stage = Stage::leading();
    let (ann, bob) = (stage.open(), stage.open());
    stage.pass(PERIOD - SECOND);
    stage.attach(bob);
    stage.pass(SECOND);
    assert!(stage.is_expiring(ann));
    // The majority is silent for a while, but elects nobody else. The leader calls itself one again, in the same term.
    stage.lose_leadership();
    stage.lose_leadership();
    stage.lead(stage.term);
    let (numbers, others) = (stage.keep_alive(ann), stage.keep_alive(bob));
    stage.look();
    stage.confirm();
    assert!(!stage.is_acknowledged(numbers), "its expiry is still in the log");
    assert!(stage.is_acknowledged(others));
    let (_, command) = stage.proposals.pop_front().expect("it was proposed");
    assert_eq!(stage.apply(command), conclave_machine::Outcome::Done);
    assert!(!stage.lives(ann));
}

#[test]
fn an_expiry_of_an_earlier_term_cannot_happen_any_more_once_this_node_leads() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.pass(PERIOD);
    assert!(stage.is_expiring(ann));
    stage.lose_leadership();
    stage.lead(Term(5));
    let number = stage.keep_alive(ann);
    stage.look();
    stage.confirm();
    assert!(stage.is_acknowledged(number));
}

#[test]
fn an_attach_settles_what_a_leadership_taken_back_left_open() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.pass(PERIOD);
    stage.lose_leadership();
    // Applied while this node calls itself no leader.
    stage.attach(ann);
    stage.lead(stage.term);
    let number = stage.keep_alive(ann);
    stage.look();
    stage.confirm();
    assert!(stage.is_acknowledged(number));
}

#[test]
fn what_was_gathered_for_one_leadership_is_not_acknowledged_by_the_next() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let number = stage.keep_alive(ann);
    stage.look();
    stage.lead(Term(5));
    let sent_on = Err(KeepAliveError::NotLeader { leader: None });
    assert_eq!(stage.answer(number), Some(&sent_on));
    // The answer of the old question comes in the new term.
    stage.confirm();
    assert_eq!(stage.answer(number), Some(&sent_on));
}

#[test]
fn what_was_read_from_the_machine_is_not_told_a_second_time() {
    let mut stage = Stage::leading();
    stage.hub.inbox().open();
    let ann = stage.open();
    stage.run(PERIOD - SECOND);
    // The clock reads the machine, and finds an older tiding in its inbox afterwards.
    let set = stage.machine.timers().next().expect("the session's");
    let (older, tiding) = (stage.revision(), crate::inbox::Tiding::Timer(set));
    stage.schedule.reread(stage.now, &stage.machine);
    stage.run(PERIOD - SECOND);
    stage.schedule.tiding(stage.now, Some(older), tiding, &stage.machine);
    stage.run(SECOND);
    assert!(!stage.lives(ann), "the old tiding must not extend it");
}

#[test]
fn lost_tidings_are_made_up_for_by_reading_everything_anew() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let gone = stage.open();
    stage.run(5 * SECOND);
    let unheard = {
        stage.hub.inbox().close();
        let key = stage.open();
        stage.apply(conclave_machine::Command::Close { key: gone });
        stage.hub.inbox().open();
        key
    };
    stage.schedule.reread(stage.now, &stage.machine);
    stage.look();
    assert_eq!(stage.counters.timers.load(Ordering::Relaxed), 2);
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann) && stage.lives(unheard), "both have a full period from the reading");
    stage.run(2 * STEP);
    assert!(!stage.lives(ann) && !stage.lives(unheard));
}

#[test]
fn reading_anew_keeps_what_is_under_way() {
    let mut stage = Stage::leading();
    let (ann, bob) = (stage.open(), stage.open());
    stage.pass(PERIOD - SECOND);
    let waiting = stage.keep_alive(bob);
    stage.look();
    stage.pass(SECOND / 4);
    stage.confirm();
    assert!(stage.is_acknowledged(waiting));
    stage.pass(SECOND);
    assert!(stage.is_expiring(ann));
    stage.schedule.reread(stage.now, &stage.machine);
    let held = stage.keep_alive(ann);
    let kept = stage.keep_alive(bob);
    stage.look();
    stage.confirm();
    assert_eq!(stage.answer(held), None, "its expiry is still in flight");
    assert!(stage.is_acknowledged(kept));
}

#[test]
fn a_late_loop_extends_everyone_first() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.run(PERIOD - SECOND);
    stage.stall(2 * SECOND);
    assert_eq!(stage.dues(), []);
    stage.pass(5 * STEP);
    assert_eq!(stage.dues(), [], "not before the leadership is confirmed");
    stage.confirm();
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann), "a full period from the confirmation");
    stage.run(2 * STEP);
    assert!(!stage.lives(ann));
    assert_eq!(stage.counters.extensions.load(Ordering::Relaxed), 1);
}

#[test]
fn a_loop_that_is_late_by_less_than_half_an_election_timeout_goes_on() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.run(PERIOD - STEP);
    stage.stall(STEP + ELECTION / 2);
    stage.settle();
    assert!(!stage.lives(ann));
}

#[test]
fn a_doubt_ends_only_with_a_confirmation_that_started_after_it() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.run(PERIOD - SECOND);
    stage.keep_alive(ann);
    stage.look();
    // The question was put before the process stood still: it says nothing about the time since.
    stage.stall(ELECTION);
    let extensions = |stage: &Stage| stage.counters.extensions.load(Ordering::Relaxed);
    stage.confirm();
    assert_eq!(extensions(&stage), 0);
    stage.look();
    stage.confirm();
    assert_eq!(extensions(&stage), 1);
}

#[test]
fn a_slow_confirmation_is_a_lost_contact() {
    let mut stage = Stage::leading();
    let (ann, bob) = (stage.open(), stage.open());
    stage.run(PERIOD - ELECTION - 5 * STEP);
    let number = stage.keep_alive(ann);
    stage.look();
    stage.pass(ELECTION + 10 * STEP);
    assert!(!stage.is_expiring(bob), "its time is over, but the quorum is out of reach");
    stage.confirm();
    assert!(stage.is_acknowledged(number), "late is not never");
    stage.settle();
    assert!(stage.lives(bob));
    stage.run(PERIOD - STEP);
    assert!(stage.lives(bob));
    stage.run(2 * STEP);
    assert!(!stage.lives(bob));
}

#[test]
fn a_confirmation_that_was_slow_between_two_looks_is_a_lost_contact_too() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.keep_alive(ann);
    stage.look();
    stage.pass(ELECTION);
    assert_eq!(stage.confirmations.len(), 1);
    stage.now = stage.now + STEP / 2;
    stage.confirm();
    stage.look();
    assert_eq!(stage.confirmations.len(), 1, "the leader asks again, for itself");
}

#[test]
fn a_failed_confirmation_extends_everyone_first() {
    let mut stage = Stage::leading();
    let (ann, bob) = (stage.open(), stage.open());
    stage.run(PERIOD - 5 * STEP);
    stage.keep_alive(ann);
    stage.look();
    stage.confirm_as(Err(NotLeader { leader: None }));
    stage.pass(10 * STEP);
    assert!(!stage.is_expiring(bob));
    stage.run(PERIOD - STEP);
    assert!(stage.lives(bob));
    stage.run(5 * STEP);
    assert!(!stage.lives(bob));
}

#[test]
fn a_deposed_leader_stuck_in_fsync_expires_nobody_and_acknowledges_nothing() {
    let mut stage = Stage::leading();
    let (ann, bob) = (stage.open(), stage.open());
    stage.run(SECOND);
    let number = stage.keep_alive(ann);
    stage.look();
    // Nothing comes back from now on, and nobody says that the leadership is over.
    stage.pass(10 * PERIOD);
    assert_eq!(stage.dues(), []);
    assert_eq!(stage.answer(number), None);
    assert!(stage.lives(ann) && stage.lives(bob));
}

#[test]
fn a_process_that_was_stopped_for_longer_than_any_period_expires_nobody_by_itself() {
    let mut stage = Stage::leading();
    let keys: Vec<_> = (0..100).map(|_| stage.open()).collect();
    stage.run(SECOND);
    stage.stall(20 * PERIOD);
    let numbers: Vec<_> = keys.iter().map(|key| stage.keep_alive(*key)).collect();
    stage.pass(SECOND);
    assert_eq!(stage.dues(), []);
    stage.confirm_as(Err(NotLeader { leader: None }));
    assert!(numbers.iter().all(|number| !stage.is_acknowledged(*number)));
    assert_eq!(stage.dues(), []);
}
