//! The observer itself is put to the test: each thing that must never be seen is shown to it once, and it must cry out.

use conclave_machine::{
    Acquire, Call, Command, Demand, Epoch, Event, Generation, Labels, Name, Op, Open, Outcome,
    Resume, Secret, Seq, SessionEnd, SessionId, SessionKey, Standing, Token,
};
use conclave_machine::{Nonce, Timer, TimerSet};
use conclave_model::Observer;

pub(crate) fn name() -> Name {
    Name::new("a").expect("a valid name")
}

pub(crate) fn key(session: u64) -> SessionKey {
    SessionKey { id: SessionId(session), secret: Secret(1), epoch: Epoch(1) }
}

pub(crate) fn opened(observer: &mut Observer, session: u64) {
    let open = Command::Open(Open {
        secret: Secret(1),
        ttl_ms: 10_000,
        lock_delay_ms: 0,
        name: name(),
        labels: Labels::default(),
    });
    let outcome = Outcome::Opened {
        session: SessionId(session),
        epoch: Epoch(1),
        ttl_ms: 10_000,
        generation: Generation(session + 1),
    };
    assert_eq!(observer.observe(&open, &outcome, &[]), Ok(()));
}

pub(crate) fn call(session: u64, seq: u64, op: Op) -> Command {
    Command::Call(Call { key: key(session), seq: Seq(seq), seen_through: Seq(0), op })
}

fn acquire(session: u64, seq: u64, priority: i32) -> Command {
    let op = Op::Acquire(Acquire { priority, ..Acquire::of(name(), Demand::Mutex) });
    call(session, seq, op)
}

pub(crate) fn granted(token: u64) -> Outcome {
    Outcome::Granted { token: Token(token), waiting: 0 }
}

pub(crate) fn grant_event(session: u64, seq: u64, token: u64) -> Event {
    let (session, seq, token) = (SessionId(session), Seq(seq), Token(token));
    Event::Granted { session, seq, name: name(), token, waiting: 0 }
}

pub(crate) fn hold_ended(session: u64, token: u64) -> Event {
    Event::HoldEnded { session: SessionId(session), name: name(), token: Token(token) }
}

fn release(session: u64, seq: u64, token: u64) -> Command {
    call(session, seq, Op::Release { token: Token(token), permits: 0 })
}

pub(crate) fn queued() -> Outcome {
    Outcome::Queued { position: 1 }
}

/// Sessions 1 and 2; 1 holds token 5 of the only mutex.
fn held() -> Observer {
    let mut observer = Observer::new();
    opened(&mut observer, 1);
    opened(&mut observer, 2);
    assert_eq!(observer.observe(&acquire(1, 1, 0), &granted(5), &[]), Ok(()));
    observer
}

/// ... and seqs 1 (priority 0), 2 (priority 0) and 3 (priority 1) of session 2 wait behind it.
fn waited_for() -> Observer {
    let mut observer = held();
    for (seq, priority) in [(1, 0), (2, 0), (3, 1)] {
        assert_eq!(observer.observe(&acquire(2, seq, priority), &queued(), &[]), Ok(()));
    }
    observer
}

pub(crate) fn cries(
    observer: &mut Observer,
    command: &Command,
    outcome: &Outcome,
    events: &[Event],
) -> String {
    observer.observe(command, outcome, events).expect_err("this must never be seen")
}

#[test]
fn good_order_is_no_reason_to_cry() {
    let mut observer = waited_for();
    let released = [hold_ended(1, 5), grant_event(2, 3, 6)];
    assert_eq!(observer.observe(&release(1, 2, 5), &Outcome::Released, &released), Ok(()));
    let released = [hold_ended(2, 6), grant_event(2, 1, 7)];
    assert_eq!(observer.observe(&release(2, 4, 6), &Outcome::Released, &released), Ok(()));
    assert_eq!(observer.observe(&acquire(2, 1, 0), &granted(7), &[]), Ok(()), "a repetition");
}

#[test]
fn two_holders() {
    let mut observer = held();
    let cry = cries(&mut observer, &acquire(2, 1, 0), &granted(6), &[]);
    assert!(cry.contains("beside"), "{cry}");
}

#[test]
fn a_token_that_does_not_rise() {
    let mut observer = held();
    let released = [hold_ended(1, 5)];
    assert_eq!(observer.observe(&release(1, 2, 5), &Outcome::Released, &released), Ok(()));
    let cry = cries(&mut observer, &acquire(2, 1, 0), &granted(5), &[]);
    assert!(cry.contains("after"), "{cry}");
}

#[test]
fn one_call_granted_twice() {
    let mut observer = held();
    let cry = cries(&mut observer, &acquire(1, 1, 0), &granted(6), &[]);
    assert!(cry.contains("and then"), "{cry}");
}

#[test]
fn a_place_in_the_queue_not_kept() {
    for overtaking in [1, 2] {
        let mut observer = waited_for();
        let released = [hold_ended(1, 5), grant_event(2, overtaking, 6)];
        let cry = cries(&mut observer, &release(1, 2, 5), &Outcome::Released, &released);
        assert!(cry.contains("before"), "{cry}");
    }
}

#[test]
fn a_new_call_that_overtakes_the_queue() {
    let mut observer = waited_for();
    let cry = cries(&mut observer, &acquire(1, 2, 0), &granted(6), &[]);
    assert!(cry.contains("overtook"), "{cry}");
}

#[test]
fn a_waiter_forgotten_when_the_mutex_became_free() {
    let mut observer = waited_for();
    let released = [hold_ended(1, 5)];
    let cry = cries(&mut observer, &release(1, 2, 5), &Outcome::Released, &released);
    assert!(cry.contains("nobody holds"), "{cry}");
}

#[test]
fn a_grant_to_a_session_that_ended() {
    let mut observer = held();
    let end = Event::SessionEnded { session: SessionId(2), end: SessionEnd::Closed };
    let close = Command::Close { key: key(2) };
    assert_eq!(observer.observe(&close, &Outcome::Ended, &[end]), Ok(()));
    let released = [hold_ended(1, 5)];
    assert_eq!(observer.observe(&release(1, 2, 5), &Outcome::Released, &released), Ok(()));
    let cry = cries(&mut observer, &acquire(2, 1, 0), &granted(6), &[]);
    assert!(cry.contains("does not live"), "{cry}");
}

#[test]
fn a_grant_to_a_session_in_the_entry_that_ends_it() {
    let mut observer = held();
    assert_eq!(observer.observe(&acquire(1, 2, 0), &queued(), &[]), Ok(()));
    let end = Event::SessionEnded { session: SessionId(1), end: SessionEnd::Closed };
    let events = [hold_ended(1, 5), grant_event(1, 2, 6), end];
    let cry = cries(&mut observer, &Command::Close { key: key(1) }, &Outcome::Ended, &events);
    assert!(cry.contains("in the entry that ended it"), "{cry}");
}

#[test]
fn a_killed_sessions_hold_that_ends_at_once() {
    let mut observer = held();
    let kill = Command::Kill { session: SessionId(1), by: "x".into(), reason: "y".into() };
    let cry = cries(&mut observer, &kill, &Outcome::Ended, &[hold_ended(1, 5)]);
    assert!(cry.contains("ended by"), "{cry}");
}

#[test]
fn the_hold_of_an_earlier_process_freed_by_the_close_of_a_later_one() {
    let mut observer = held();
    let resume = Command::Resume(Resume {
        session: SessionId(1),
        secret: Secret(1),
        expected: Epoch(1),
        nonce: Nonce(7),
    });
    let resumed = Outcome::Resumed {
        epoch: Epoch(2),
        next_seq: Seq(2),
        ttl_ms: 10_000,
        standing: Standing::default(),
    };
    let timer = Timer::Session(SessionId(1));
    let set = TimerSet { timer, generation: Generation(9), after_ms: 11_000 };
    assert_eq!(observer.observe(&resume, &resumed, &[Event::TimerSet(set)]), Ok(()));
    let close = Command::Close { key: key(1) };
    let cry = cries(&mut observer, &close, &Outcome::Ended, &[hold_ended(1, 5)]);
    assert!(cry.contains("ended by"), "{cry}");
}
