//! A wait keeps its place while somebody may come back for it: one TTL, counted anew by every leader and every attachment.

use std::sync::atomic::Ordering;
use std::time::Duration;

use conclave_machine::{Outcome, Seq, SessionKey, Term};

use super::stage::{PERIOD, SECOND, Stage, TTL_MS};
use crate::answer::{NotLeader, ProposeError};
use crate::hub::{Hub, WaitTicket};
use crate::schedule::{PROPOSALS_MAX, STEP};

const TTL: Duration = Duration::from_millis(TTL_MS);

/// A holder and a waiter with `waits` waits; nobody is attached.
fn waiting(waits: u64) -> (Stage, SessionKey) {
    let mut stage = Stage::leading();
    let (holder, waiter) = (stage.open(), stage.open());
    stage.hold(holder, 1, 0);
    for seq in 1..=waits {
        stage.queue(waiter, seq);
    }
    (stage, waiter)
}

impl Stage {
    /// Time passes, and every session is kept alive.
    fn run_alive(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            for key in self.opened.clone() {
                self.keep_alive(key);
            }
            self.run((until - self.now).min(SECOND));
        }
    }

    fn is_queued(&self, key: SessionKey, seq: u64) -> bool {
        matches!(self.machine.answer(key.id, Seq(seq)), Some(Outcome::Queued { .. }))
    }
}

fn ticket(hub: &Hub, key: SessionKey, seq: u64) -> WaitTicket {
    hub.attach(key.id, Seq(seq))
}

#[test]
fn a_wait_that_nobody_attached_for_a_ttl_is_timed_out() {
    let (mut stage, waiter) = waiting(1);
    drop(ticket(&stage.hub, waiter, 1));
    stage.run_alive(TTL - STEP);
    assert!(stage.is_queued(waiter, 1));
    stage.run_alive(2 * STEP);
    assert!(!stage.is_queued(waiter, 1));
    assert_eq!(stage.counters.orphans_timed_out.load(Ordering::Relaxed), 1);
    assert!(stage.lives(waiter), "only the wait is over");
}

#[test]
fn a_dropped_feed_detaches_all_waits_of_its_session() {
    let (mut stage, waiter) = waiting(3);
    let feed = stage.hub.subscribe(waiter.id);
    stage.run_alive(3 * TTL);
    assert!((1..=3).all(|seq| stage.is_queued(waiter, seq)), "a feed attaches them all");
    drop(feed);
    stage.run_alive(TTL - STEP);
    assert!((1..=3).all(|seq| stage.is_queued(waiter, seq)));
    stage.run_alive(2 * STEP);
    assert!((1..=3).all(|seq| !stage.is_queued(waiter, seq)));
}

#[test]
fn a_ticket_keeps_its_own_wait_only() {
    let (mut stage, waiter) = waiting(2);
    drop(stage.hub.subscribe(waiter.id));
    let _ticket = ticket(&stage.hub, waiter, 2);
    stage.run_alive(3 * TTL);
    assert!(!stage.is_queued(waiter, 1));
    assert!(stage.is_queued(waiter, 2));
}

#[test]
fn an_attachment_that_came_and_went_counts_anew() {
    let (mut stage, waiter) = waiting(1);
    drop(ticket(&stage.hub, waiter, 1));
    for _ in 0..5 {
        stage.run_alive(TTL - SECOND);
        drop(ticket(&stage.hub, waiter, 1));
    }
    stage.run_alive(TTL - STEP);
    assert!(stage.is_queued(waiter, 1));
    stage.run_alive(2 * STEP);
    assert!(!stage.is_queued(waiter, 1));
}

#[test]
fn a_ticket_after_a_feed_counts_from_the_ticket() {
    let (mut stage, waiter) = waiting(1);
    drop(stage.hub.subscribe(waiter.id));
    stage.run_alive(TTL - SECOND);
    drop(ticket(&stage.hub, waiter, 1));
    stage.run_alive(TTL - STEP);
    assert!(stage.is_queued(waiter, 1));
    stage.run_alive(2 * STEP);
    assert!(!stage.is_queued(waiter, 1));
}

#[test]
fn a_wait_that_is_born_after_its_ticket_was_dropped_is_no_ghost() {
    let (mut stage, waiter) = waiting(0);
    // The handler was dropped before its command was applied.
    drop(ticket(&stage.hub, waiter, 1));
    stage.queue(waiter, 1);
    stage.run_alive(TTL + STEP);
    assert!(!stage.is_queued(waiter, 1));
}

#[test]
fn for_a_new_leader_every_wait_counts_as_unattached_from_then_on() {
    let (mut stage, waiter) = waiting(2);
    let feed = stage.hub.subscribe(waiter.id);
    stage.run_alive(TTL);
    stage.lose_leadership();
    drop(feed);
    stage.lead(Term(4));
    let _ticket = ticket(&stage.hub, waiter, 2);
    stage.run_alive(TTL - STEP);
    assert!(stage.is_queued(waiter, 1), "its client has a full TTL to come back");
    stage.run_alive(2 * STEP);
    assert!(!stage.is_queued(waiter, 1));
    assert!(stage.is_queued(waiter, 2));
}

#[test]
fn a_hundred_unary_and_a_hundred_stream_waits_keep_their_places_over_a_leader_change() {
    let mut stage = Stage::leading();
    let (holder, unary, stream) = (stage.open(), stage.open(), stage.open());
    stage.hold(holder, 1, 0);
    for seq in 1..=100 {
        stage.queue(unary, seq);
        stage.queue(stream, seq);
    }
    stage.lose_leadership();
    stage.lead(Term(4));
    stage.run_alive(TTL / 2);
    let _feed = stage.hub.subscribe(stream.id);
    let _tickets: Vec<_> = (1..=100).map(|seq| ticket(&stage.hub, unary, seq)).collect();
    stage.run_alive(3 * TTL);
    assert!((1..=100).all(|seq| stage.is_queued(unary, seq) && stage.is_queued(stream, seq)));
    let position = |key: SessionKey, seq| match stage.machine.answer(key.id, Seq(seq)) {
        Some(Outcome::Queued { position }) => position,
        other => panic!("not queued: {other:?}"),
    };
    assert!((1..=100).all(|seq| u64::from(position(unary, seq)) == 2 * seq - 1));
}

#[test]
fn a_wait_that_was_attached_again_at_the_last_moment_is_not_timed_out() {
    let (mut stage, waiter) = waiting(1);
    drop(ticket(&stage.hub, waiter, 1));
    stage.run_alive(TTL - STEP);
    let _ticket = ticket(&stage.hub, waiter, 1);
    stage.run_alive(3 * TTL);
    assert!(stage.is_queued(waiter, 1));
}

#[test]
fn a_doubt_gives_waits_a_full_ttl_too() {
    let (mut stage, waiter) = waiting(1);
    drop(ticket(&stage.hub, waiter, 1));
    stage.run_alive(TTL - SECOND);
    stage.keep_alive(waiter);
    stage.look();
    stage.confirm_as(Err(NotLeader { leader: None }));
    stage.run_alive(TTL - STEP);
    assert!(stage.is_queued(waiter, 1));
    stage.run_alive(3 * STEP);
    assert!(!stage.is_queued(waiter, 1));
}

#[test]
fn a_time_out_that_failed_is_tried_again_a_ttl_later() {
    let (mut stage, waiter) = waiting(1);
    drop(ticket(&stage.hub, waiter, 1));
    stage.run_alive(TTL - STEP);
    stage.pass(STEP);
    assert_eq!(stage.timeouts(), [(waiter.id, Seq(1))]);
    stage.fail_proposal(ProposeError::Unknown { leader: None });
    stage.run_alive(TTL - STEP);
    assert!(stage.is_queued(waiter, 1));
    stage.run_alive(2 * STEP);
    assert!(!stage.is_queued(waiter, 1));
}

#[test]
fn many_orphans_are_timed_out_a_few_at_a_time() {
    let (mut stage, waiter) = waiting(1000);
    drop(stage.hub.subscribe(waiter.id));
    stage.run_alive(TTL - STEP);
    stage.pass(STEP);
    assert_eq!(stage.timeouts().len(), PROPOSALS_MAX);
    stage.settle();
    assert!((1..=1000).all(|seq| !stage.is_queued(waiter, seq)));
}

#[test]
fn orphans_of_a_session_that_expired_are_forgotten() {
    let (mut stage, waiter) = waiting(1);
    drop(ticket(&stage.hub, waiter, 1));
    drop(stage.hub.subscribe(waiter.id));
    stage.apply(conclave_machine::Command::Close { key: waiter });
    stage.run_alive(2 * PERIOD);
    assert_eq!(stage.counters.orphans_timed_out.load(Ordering::Relaxed), 0);
    assert_eq!(stage.schedule.orphans.next_look(), None);
}
