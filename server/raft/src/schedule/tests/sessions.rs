//! Session rules 3 and 5: an expiry is fenced, goes behind every keepalive that came in time, and starves nobody.

use std::sync::atomic::Ordering;

use conclave_machine::{
    Command, Due, Epoch, Generation, Nonce, Outcome, Refusal, Resume, Secret, SessionKey, Term,
    Timer,
};

use super::stage::{PERIOD, SECOND, Stage, TERM};
use crate::answer::ProposeError;
use crate::keepalive::KeepAliveError;
use crate::schedule::{PROPOSALS_MAX, STEP};

/// A session whose expiry is under way.
fn expiring() -> (Stage, SessionKey) {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.pass(PERIOD);
    assert!(stage.is_expiring(ann));
    (stage, ann)
}

#[test]
fn a_silent_session_expires_after_its_period_and_not_before() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann));
    stage.run(STEP);
    assert!(!stage.lives(ann));
}

#[test]
fn a_keepalive_that_arrives_while_its_expiry_is_in_flight_is_not_acknowledged() {
    let (mut stage, ann) = expiring();
    let number = stage.keep_alive(ann);
    for _ in 0..10 {
        stage.pass(STEP);
        while !stage.confirmations.is_empty() {
            stage.confirm();
        }
        assert_eq!(stage.answer(number), None);
    }
    assert_eq!(stage.decide(), Outcome::Done);
    stage.settle();
    let refused = Err(KeepAliveError::Refused(Refusal::SessionExpired));
    assert_eq!(stage.answer(number), Some(&refused));
}

#[test]
fn a_keepalive_that_arrived_in_time_goes_before_the_expiry() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.pass(PERIOD - STEP);
    let number = stage.keep_alive(ann);
    stage.look();
    stage.pass(10 * STEP);
    assert!(!stage.is_expiring(ann), "the keepalive awaits its confirmation");
    stage.confirm();
    assert!(stage.is_acknowledged(number));
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann));
    stage.run(2 * STEP);
    assert!(!stage.lives(ann));
}

#[test]
fn a_keepalive_that_arrives_with_the_deadline_goes_before_the_expiry() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.pass(PERIOD - STEP);
    stage.now = stage.now + STEP;
    let number = stage.keep_alive(ann);
    stage.look();
    assert!(!stage.is_expiring(ann));
    stage.confirm();
    assert!(stage.is_acknowledged(number));
}

#[test]
fn a_key_that_became_valid_behind_an_expiry_in_flight_is_held_back_too() {
    let mut stage = Stage::leading();
    let ann = stage.open_with(100, 0);
    // Its resume is not applied yet, so it does not stand against an expiry.
    let resumed = SessionKey { epoch: Epoch(2), ..ann };
    let number = stage.keep_alive(resumed);
    stage.look();
    let (session, secret, expected) = (ann.id, ann.secret, ann.epoch);
    stage.apply(Command::Resume(Resume { session, secret, expected, nonce: Nonce(1) }));
    stage.pass(7 * STEP);
    assert!(stage.is_expiring(resumed));
    stage.confirm();
    assert_eq!(stage.answer(number), None);
    assert_eq!(stage.decide(), Outcome::Done);
    stage.settle();
    let refused = Err(KeepAliveError::Refused(Refusal::SessionExpired));
    assert_eq!(stage.answer(number), Some(&refused));
}

#[test]
fn a_stranger_cannot_hold_an_expiry_off() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let stranger = SessionKey { secret: Secret(99), ..ann };
    for _ in 0..PERIOD.as_millis() / STEP.as_millis() {
        stage.keep_alive(stranger);
        stage.run(STEP);
    }
    assert!(!stage.lives(ann));
}

#[test]
fn an_expiry_that_an_attach_overtook_does_nothing_and_the_keepalive_is_acknowledged_then() {
    let (mut stage, ann) = expiring();
    let number = stage.keep_alive(ann);
    // The attach stands before the expiry in the log.
    stage.attach(ann);
    assert_eq!(stage.answer(number), None, "it needs a confirmation of its own");
    assert_eq!(stage.decide(), Outcome::Refused(Refusal::Stale));
    stage.settle();
    assert!(stage.is_acknowledged(number));
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann));
}

#[test]
fn a_renewed_generation_is_waited_for_instead_of_proposing_in_vain() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.pass(PERIOD - STEP);
    // Applied, but the clock has not heard of it yet.
    let attach = conclave_machine::Attach {
        key: ann,
        number: 1,
        held: vec![],
        waiting: vec![],
        next_seq: conclave_machine::Seq(1),
    };
    stage.apply_in(TERM, Command::Attach(attach));
    stage.now = stage.now + STEP;
    stage.schedule.look(stage.now, &stage.machine, &stage.hub);
    assert!(stage.schedule.take_actions().is_empty());
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann));
    stage.run(2 * STEP);
    assert!(!stage.lives(ann));
}

#[test]
fn an_expiry_carries_the_term_and_the_generation_that_it_was_decided_by() {
    let (stage, ann) = expiring();
    let timer = Timer::Session(ann.id);
    let generation = stage.machine.timer_generation(&timer).expect("it runs");
    assert_eq!(stage.dues(), [Due { timer, generation, term: TERM }]);
}

#[test]
fn an_expiry_in_another_leaders_entry_does_nothing() {
    let (mut stage, ann) = expiring();
    stage.term = Term(4);
    assert_eq!(stage.decide(), Outcome::Refused(Refusal::Stale));
    assert!(stage.lives(ann));
    // Whatever this node still believes: nothing without a new confirmation, and nothing is proposed again at once.
    let number = stage.keep_alive(ann);
    stage.pass(5 * SECOND);
    assert!(!stage.is_acknowledged(number));
    assert_eq!(stage.dues(), []);
}

#[test]
fn the_end_of_the_leadership_answers_a_keepalive_that_an_expiry_held_back() {
    let (mut stage, ann) = expiring();
    let number = stage.keep_alive(ann);
    stage.lose_leadership();
    let sent_on = Err(KeepAliveError::NotLeader { leader: None });
    assert_eq!(stage.answer(number), Some(&sent_on));
}

#[test]
fn an_expiry_without_an_answer_is_not_repeated_and_nothing_is_acknowledged() {
    let (mut stage, ann) = expiring();
    let held = stage.keep_alive(ann);
    let unknown = stage.fail_proposal(ProposeError::Unknown { leader: None });
    let sent_on = Err(KeepAliveError::NotLeader { leader: None });
    assert_eq!(stage.answer(held), Some(&sent_on));
    // Confirmed again and again, but a confirmation does not see an entry in flight.
    for _ in 0..100 {
        let number = stage.keep_alive(ann);
        stage.run(STEP);
        assert_eq!(stage.answer(number), Some(&sent_on));
        assert!(stage.lives(ann), "no second attempt");
    }
    // It was in the log after all.
    stage.apply(unknown);
    stage.settle();
    let number = stage.keep_alive(ann);
    stage.settle();
    let refused = Err(KeepAliveError::Refused(Refusal::SessionExpired));
    assert_eq!(stage.answer(number), Some(&refused));
}

#[test]
fn an_expiry_that_got_lost_is_proposed_again_after_a_full_confirmed_period() {
    let (mut stage, ann) = expiring();
    stage.fail_proposal(ProposeError::Unknown { leader: None });
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann));
    stage.run(3 * STEP);
    assert!(!stage.lives(ann));
}

#[test]
fn an_expiry_that_was_surely_not_proposed_leaves_the_session_alive() {
    for error in [ProposeError::Overloaded, ProposeError::NotLeader { leader: None }] {
        let (mut stage, ann) = expiring();
        stage.fail_proposal(error);
        let number = stage.keep_alive(ann);
        stage.run(SECOND);
        assert!(stage.is_acknowledged(number));
        stage.run(PERIOD - SECOND - STEP);
        assert!(stage.lives(ann));
    }
}

#[test]
fn a_decision_of_an_earlier_leadership_is_ignored() {
    let (mut stage, ann) = expiring();
    stage.lose_leadership();
    stage.lead(Term(5));
    stage.pass(PERIOD - STEP);
    let number = stage.keep_alive(ann);
    stage.fail_proposal(ProposeError::Unknown { leader: None });
    stage.run(SECOND);
    assert!(stage.is_acknowledged(number), "the lost proposal was of the other leadership");
}

#[test]
fn mass_expiry_does_not_starve_keepalives() {
    let mut stage = Stage::leading();
    let dead: Vec<_> = (0..10_000).map(|_| stage.open()).collect();
    let live: Vec<_> = (0..100).map(|_| stage.open()).collect();
    stage.run(9 * SECOND);
    let numbers: Vec<_> = live.iter().map(|key| stage.keep_alive(*key)).collect();
    stage.run(2 * SECOND - STEP);
    assert!(numbers.iter().all(|number| stage.is_acknowledged(*number)));
    // All are over at once; the cluster decides ten proposals in each step.
    let mut steps = 0;
    while dead.iter().any(|key| stage.lives(*key)) {
        stage.now = stage.now + STEP / 100;
        let number = stage.keep_alive(live[steps % live.len()]);
        stage.look();
        assert!(stage.proposals.len() <= PROPOSALS_MAX, "{} under way", stage.proposals.len());
        while !stage.confirmations.is_empty() {
            stage.confirm();
        }
        assert!(stage.is_acknowledged(number), "acknowledged within its round");
        for _ in 0..stage.proposals.len().min(10) {
            stage.decide();
        }
        steps += 1;
        assert!(steps < 2000, "the expiry stands still");
    }
    assert!(live.iter().all(|key| stage.lives(*key)));
    assert_eq!(stage.counters.expiries_proposed.load(Ordering::Relaxed), 10_000);
}

#[test]
fn sessions_that_share_a_deadline_do_not_make_the_clock_late() {
    let mut stage = Stage::leading();
    for _ in 0..5000 {
        stage.open();
    }
    stage.pass(PERIOD);
    assert!(stage.proposals.len() == PROPOSALS_MAX);
    // As long as nothing is decided the clock need not hurry, and then it goes on at once.
    assert_eq!(stage.schedule.next_look(stage.now), stage.now + STEP);
    stage.decide();
    assert!(stage.schedule.next_look(stage.now) <= stage.now);
}

#[test]
fn a_closed_session_leaves_no_timer() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.apply(Command::Close { key: ann });
    stage.look();
    assert_eq!(stage.counters.timers.load(Ordering::Relaxed), 0);
    stage.pass(2 * PERIOD);
    assert_eq!(stage.dues(), []);
}

#[test]
fn an_old_generation_never_replaces_a_newer_one() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let timer = Timer::Session(ann.id);
    let set = conclave_machine::TimerSet { timer, generation: Generation(0), after_ms: 1 };
    let late = crate::inbox::Tiding::Timer(set);
    stage.schedule.tiding(stage.now, None, late, &stage.machine);
    stage.pass(PERIOD - STEP);
    assert_eq!(stage.dues(), []);
    stage.pass(STEP);
    assert!(stage.is_expiring(ann));
}
