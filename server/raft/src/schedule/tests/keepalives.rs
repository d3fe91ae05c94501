//! Session rule 1: nothing is acknowledged, and nobody refused, but by a confirmation that started after the keepalive arrived.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use conclave_machine::{Command, Epoch, LossNumber, Refusal, Revision, Secret, SessionKey, Term};

use super::stage::{ELECTION, PERIOD, SECOND, Stage, TERM};
use crate::answer::NotLeader;
use crate::keepalive::{KeepAliveAck, KeepAliveError, Losses};
use crate::quorum::Confirmed;
use crate::schedule::STEP;

#[test]
fn a_keepalive_is_acknowledged_only_by_a_confirmation_that_started_after_it_arrived() {
    let mut stage = Stage::leading();
    let (ann, bob) = (stage.open(), stage.open());
    let first = stage.keep_alive(ann);
    stage.look();
    let second = stage.keep_alive(bob);
    stage.look();
    assert_eq!(stage.confirmations.len(), 1, "the next batch gathers meanwhile");
    stage.confirm();
    assert!(stage.is_acknowledged(first));
    assert_eq!(stage.answer(second), None);
    stage.look();
    stage.confirm();
    assert!(stage.is_acknowledged(second));
}

#[test]
fn one_confirmation_serves_all_that_arrived_before_it() {
    let mut stage = Stage::leading();
    let keys: Vec<_> = (0..1000).map(|_| stage.open()).collect();
    let numbers: Vec<_> = keys.iter().map(|key| stage.keep_alive(*key)).collect();
    stage.look();
    stage.confirm();
    assert!(numbers.iter().all(|number| stage.is_acknowledged(*number)));
    assert_eq!(stage.counters.confirmations.load(Ordering::Relaxed), 1);
}

#[test]
fn one_confirmation_of_a_slow_majority_serves_everybody_who_waits() {
    let mut stage = Stage::leading();
    let keys: Vec<_> = (0..20_000).map(|_| stage.open()).collect();
    let asked_at = stage.now;
    let numbers: Vec<_> = keys.iter().map(|key| stage.keep_alive(*key)).collect();
    stage.look();
    stage.pass(ELECTION);
    stage.confirm();
    while stage.schedule.is_busy() {
        stage.look();
    }
    let acknowledged = stage.answers.iter().filter(|(_, answer)| answer.is_ok());
    let served: BTreeSet<_> = acknowledged.map(|(number, _)| *number).collect();
    assert_eq!(served, numbers.into_iter().collect());
    assert_eq!(stage.counters.confirmations.load(Ordering::Relaxed), 1);
    assert_eq!(stage.now - asked_at, ELECTION);
}

#[test]
fn a_keepalive_that_is_confirmed_and_not_judged_yet_stands_against_the_expiry() {
    let mut stage = Stage::leading();
    let keys: Vec<_> = (0..5000).map(|_| stage.open()).collect();
    stage.run(PERIOD - ELECTION);
    let numbers: Vec<_> = keys.iter().map(|key| stage.keep_alive(*key)).collect();
    stage.look();
    stage.pass(ELECTION);
    // All their periods are over, and only some are judged with the confirmation.
    stage.confirm();
    let judged = stage.answers.len();
    assert!(0 < judged && judged < numbers.len(), "{judged}");
    while stage.schedule.is_busy() {
        assert_eq!(stage.dues(), []);
        stage.look();
    }
    assert_eq!(stage.answers.len(), numbers.len());
    assert!(stage.answers.iter().all(|(_, answer)| answer.is_ok()));
    stage.run(PERIOD - STEP);
    assert!(keys.iter().all(|key| stage.lives(*key)));
}

#[test]
fn who_is_not_judged_when_the_leadership_ends_is_sent_on() {
    let mut stage = Stage::leading();
    let keys: Vec<_> = (0..5000).map(|_| stage.open()).collect();
    for key in &keys {
        stage.keep_alive(*key);
    }
    stage.look();
    stage.confirm();
    let judged = stage.answers.len();
    assert!(judged < keys.len());
    stage.lose_leadership();
    assert_eq!(stage.answers.len(), keys.len());
    let sent_on = Err(KeepAliveError::NotLeader { leader: None });
    assert!(stage.answers[judged..].iter().all(|(_, answer)| *answer == sent_on));
    assert!(!stage.schedule.is_busy());
}

#[test]
fn an_acknowledgement_names_the_revision_that_was_confirmed() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let number = stage.keep_alive(ann);
    stage.look();
    let confirmed = stage.revision();
    // The local machine is further than the majority was asked about.
    stage.open();
    stage.confirm_as(Ok(Confirmed { term: TERM, revision: confirmed }));
    assert_eq!(
        stage.answer(number),
        Some(&Ok(KeepAliveAck { revision: confirmed, losses: Losses::default() }))
    );
}

#[test]
fn a_session_that_is_kept_alive_never_expires_and_one_that_is_not_does() {
    let mut stage = Stage::leading();
    let (ann, bob) = (stage.open(), stage.open());
    for _ in 0..30 {
        let number = stage.keep_alive(ann);
        stage.run(2 * SECOND);
        assert!(stage.is_acknowledged(number));
    }
    assert!(stage.lives(ann));
    assert!(!stage.lives(bob));
}

#[test]
fn the_period_counts_from_the_processing_of_the_confirmation() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    stage.run(5 * SECOND);
    stage.keep_alive(ann);
    stage.look();
    stage.pass(ELECTION / 2);
    stage.confirm();
    stage.run(PERIOD - STEP);
    assert!(stage.lives(ann));
    stage.run(2 * STEP);
    assert!(!stage.lives(ann));
}

#[test]
fn a_failed_confirmation_acknowledges_nothing_and_names_the_leader() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let number = stage.keep_alive(ann);
    stage.look();
    stage.confirm_as(Err(NotLeader { leader: None }));
    let refused = Err(KeepAliveError::NotLeader { leader: None });
    assert_eq!(stage.answer(number), Some(&refused));
}

#[test]
fn a_confirmation_of_another_term_acknowledges_nothing() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let number = stage.keep_alive(ann);
    stage.look();
    stage.confirm_as(Ok(Confirmed { term: Term(5), revision: stage.revision() }));
    let refused = Err(KeepAliveError::NotLeader { leader: None });
    assert_eq!(stage.answer(number), Some(&refused));
}

#[test]
fn a_slow_confirmation_serves_those_who_asked_before_it_and_nobody_else() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let number = stage.keep_alive(ann);
    stage.look();
    stage.pass(4 * ELECTION);
    assert_eq!(stage.answer(number), None);
    // A later keepalive is gathered: the answer to the earlier question does not serve it.
    let later = stage.keep_alive(ann);
    stage.pass(2 * STEP);
    assert_eq!(stage.confirmations.len(), 1);
    stage.confirm();
    assert!(stage.is_acknowledged(number));
    assert_eq!(stage.answer(later), None);
    stage.settle();
    assert!(stage.is_acknowledged(later));
}

#[test]
fn confirmations_that_fail_are_not_repeated_without_pause() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let mut started = 0;
    for _ in 0..1000 {
        stage.keep_alive(ann);
        stage.look();
        while !stage.confirmations.is_empty() {
            started += 1;
            stage.confirm_as(Err(NotLeader { leader: None }));
        }
    }
    assert_eq!(started, 1);
    stage.pass(STEP);
    assert_eq!(stage.confirmations.len(), 1);
}

#[test]
fn a_node_that_does_not_lead_acknowledges_nothing_and_refuses_nobody_for_good() {
    let mut stage = Stage::following();
    let ann = stage.open();
    let known = stage.keep_alive(ann);
    let unknown = stage.keep_alive(SessionKey { secret: Secret(99), ..ann });
    for number in [known, unknown] {
        let sent_on = Err(KeepAliveError::NotLeader { leader: None });
        assert_eq!(stage.answer(number), Some(&sent_on));
    }
}

#[test]
fn a_deposed_leader_tells_no_session_that_it_is_gone() {
    let mut stage = Stage::leading();
    // Opened at a leader that this node has not heard of.
    let elsewhere = SessionKey { secret: Secret(7), epoch: Epoch(1), ..stage.open() };
    let number = stage.keep_alive(elsewhere);
    stage.look();
    assert_eq!(stage.answer(number), None);
    stage.confirm_as(Err(NotLeader { leader: None }));
    let sent_on = Err(KeepAliveError::NotLeader { leader: None });
    assert_eq!(stage.answer(number), Some(&sent_on));
}

#[test]
fn a_wrong_secret_is_refused_once_the_leadership_is_confirmed() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let number = stage.keep_alive(SessionKey { secret: Secret(99), ..ann });
    stage.settle();
    let refused = Err(KeepAliveError::Refused(Refusal::SessionExpired));
    assert_eq!(stage.answer(number), Some(&refused));
}

#[test]
fn a_session_that_ended_during_the_confirmation_is_not_acknowledged() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let number = stage.keep_alive(ann);
    stage.look();
    stage.apply(Command::Close { key: ann });
    stage.confirm();
    let refused = Err(KeepAliveError::Refused(Refusal::SessionExpired));
    assert_eq!(stage.answer(number), Some(&refused));
}

#[test]
fn losses_are_told_with_every_acknowledgement_until_they_are_confirmed() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 0);
    stage.force_release(token);
    for _ in 0..2 {
        let number = stage.keep_alive(ann);
        stage.settle();
        let Some(Ok(ack)) = stage.answer(number) else { panic!("not acknowledged") };
        assert_eq!(ack.losses.iter().map(|loss| loss.token).collect::<Vec<_>>(), [token]);
    }
    let number = stage.keep_alive_seen(ann, 1);
    stage.look();
    stage.confirm();
    let Some(Ok(ack)) = stage.answer(number) else { panic!("not acknowledged") };
    assert_eq!(*ack.losses, [], "it was heard");
    let through = LossNumber(1);
    let commands: Vec<_> = stage.proposals.iter().map(|(_, command)| command.clone()).collect();
    assert_eq!(commands, [Command::ConfirmLosses { session: ann.id, through }]);
    stage.settle();
    assert_eq!(stage.machine.losses(ann.id), []);
}

#[test]
fn keepalives_that_nobody_reads_the_answers_of_share_one_list_of_losses() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    for seq in 1..=5 {
        let token = stage.hold(ann, seq, 0);
        stage.force_release(token);
        stage.apply(Command::AckStopped { session: ann.id, secret: ann.secret, token });
    }
    let mut numbers = Vec::new();
    // In one confirmation and over several, whatever the client has seen so far.
    for seen in [0, 0, 3, 1, 0] {
        numbers.push(stage.keep_alive_seen(ann, seen));
        numbers.push(stage.keep_alive_seen(ann, seen));
        stage.look();
        stage.confirm();
    }
    let acks = numbers.iter().map(|number| match stage.answer(*number) {
        Some(Ok(ack)) => ack,
        other => panic!("not acknowledged: {other:?}"),
    });
    let lists: Vec<_> = acks.map(|ack| &ack.losses).collect();
    let lengths: Vec<_> = lists.iter().map(|list| list.len()).collect();
    assert_eq!(lengths, [5, 5, 5, 5, 2, 2, 4, 4, 5, 5], "each is told all that it has not seen");
    assert!(lists.iter().all(|list| list.share_memory(lists[0])));
    // Another loss makes another list, and no acknowledgement lacks it.
    let token = stage.hold(ann, 6, 0);
    stage.force_release(token);
    let number = stage.keep_alive(ann);
    stage.look();
    stage.confirm();
    let Some(Ok(ack)) = stage.answer(number) else { panic!("not acknowledged") };
    assert_eq!(ack.losses.len(), 6);
}

#[test]
fn a_loss_is_confirmed_by_one_proposal_at_a_time() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 0);
    stage.force_release(token);
    for _ in 0..3 {
        stage.keep_alive_seen(ann, 1);
        stage.look();
        stage.confirm();
    }
    assert_eq!(stage.proposals.len(), 1);
    stage.settle();
    stage.keep_alive_seen(ann, 1);
    stage.look();
    stage.confirm();
    assert_eq!(stage.proposals.len(), 0, "there is nothing left to confirm");
}

#[test]
fn an_acknowledgement_tells_only_losses_up_to_its_revision() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 0);
    let number = stage.keep_alive(ann);
    stage.look();
    let revision = stage.revision();
    stage.force_release(token);
    stage.confirm_as(Ok(Confirmed { term: TERM, revision }));
    assert_eq!(
        stage.answer(number),
        Some(&Ok(KeepAliveAck { revision, losses: Losses::default() }))
    );
    assert!(revision > Revision(0));
}

#[test]
fn an_acknowledgement_speaks_of_nothing_that_the_hub_has_still_to_tell() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 0);
    let number = stage.keep_alive(ann);
    stage.look();
    // Apply is in the midst of an entry: it is in the machine, and not told yet.
    let delivered = stage.hub.delivered();
    let (name, by) = (super::stage::name("lock"), "operator".into());
    let force = Command::ForceRelease { name, token, now: false, by };
    let context = conclave_machine::Context { term: TERM, stamp_ms: 0 };
    stage.machine.apply(&context, force, &mut Vec::new());
    assert!(stage.revision() > delivered);
    stage.confirm();
    assert_eq!(
        stage.answer(number),
        Some(&Ok(KeepAliveAck { revision: delivered, losses: Losses::default() }))
    );
}

#[test]
fn losses_that_came_with_a_snapshot_are_told_before_the_first_delivery() {
    let mut stage = Stage::leading();
    let ann = stage.open();
    let token = stage.hold(ann, 1, 0);
    stage.force_release(token);
    // Another node has the same state, but delivered nothing of it.
    let mut other = Stage::following();
    other.machine = stage.machine.clone();
    other.lead(Term(4));
    let number = other.keep_alive(ann);
    other.look();
    other.confirm();
    let Some(Ok(ack)) = other.answer(number) else { panic!("not acknowledged") };
    assert_eq!(ack.revision, other.revision());
    assert_eq!(ack.losses.iter().map(|loss| loss.token).collect::<Vec<_>>(), [token]);
}
