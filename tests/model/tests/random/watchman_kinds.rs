//! The observer put to the test on every kind: each thing that must never be seen is shown to it once.

use conclave_machine::{
    Acquire, Campaign, Change, Command, Demand, Due, Edit, Edited, Event, Expect, Generation,
    Guard, Mode, Note, Op, Outcome, Passed, Seq, SessionId, Term, Timer, TimerSet, Token, Value,
    Version, WaitEnd,
};
use conclave_model::Observer;

use crate::watchman::{call, cries, grant_event, granted, hold_ended, name, opened, queued};

const READ: Demand = Demand::RwLock(Mode::Read);
const WRITE: Demand = Demand::RwLock(Mode::Write);
const BARRIER: Demand = Demand::Arrive { parties: 2, break_on_loss: true };

fn asks(session: u64, seq: u64, demand: Demand) -> Command {
    call(session, seq, Op::Acquire(Acquire::of(name(), demand)))
}

/// Sessions 1 and 2; 1 holds token 5 so.
fn holding(demand: Demand) -> Observer {
    let mut observer = Observer::new();
    opened(&mut observer, 1);
    opened(&mut observer, 2);
    assert_eq!(observer.observe(&asks(1, 1, demand), &granted(5), &[]), Ok(()));
    observer
}

fn edit(change: Change, guard: Option<Guard>) -> Op {
    Op::Edit(Edit { name: name(), guard, change })
}

fn noted(note: Note) -> Event {
    Event::Noted { name: name(), note }
}

fn passed(version: u64, index: u32) -> Passed {
    Passed { version: Version(version), index }
}

fn sees(observer: &mut Observer, command: &Command, outcome: &Outcome, events: &[Event]) {
    assert_eq!(observer.observe(command, outcome, events), Ok(()));
}

#[test]
fn a_writer_beside_a_reader() {
    let cry = cries(&mut holding(READ), &asks(2, 1, WRITE), &granted(6), &[]);
    assert!(cry.contains("beside"), "{cry}");
}

#[test]
fn two_readers_and_one_upgradable_are_in_good_order() {
    let mut observer = holding(READ);
    sees(&mut observer, &asks(2, 1, READ), &granted(6), &[]);
    let upgradable = Demand::RwLock(Mode::Upgradable);
    sees(&mut observer, &asks(2, 2, upgradable), &granted(7), &[]);
    let cry = cries(&mut observer, &asks(2, 3, upgradable), &granted(8), &[]);
    assert!(cry.contains("beside"), "{cry}");
}

#[test]
fn a_reader_that_overtakes_a_writer() {
    let mut observer = holding(READ);
    sees(&mut observer, &asks(2, 1, WRITE), &queued(), &[]);
    let cry = cries(&mut observer, &asks(2, 2, READ), &granted(6), &[]);
    assert!(cry.contains("overtook"), "{cry}");
}

#[test]
fn more_permits_than_there_are() {
    let permits = |weight| Demand::Permits { weight, limit: 3 };
    let cry = cries(&mut holding(permits(2)), &asks(2, 1, permits(2)), &granted(6), &[]);
    assert!(cry.contains("permits"), "{cry}");
    let mut observer = holding(permits(2));
    let resize =
        Command::Resize { name: name(), limit: 2, version: Version(4), by: "operator".into() };
    let note = noted(Note::Resized { limit: 2, version: Version(6) });
    sees(&mut observer, &resize, &Outcome::Resized { version: Version(6) }, &[note]);
    let cry = cries(&mut observer, &asks(2, 1, permits(1)), &granted(7), &[]);
    assert!(cry.contains("permits"), "{cry}");
}

#[test]
fn a_light_request_that_overtakes_a_heavy_one() {
    let permits = |weight| Demand::Permits { weight, limit: 3 };
    let mut observer = holding(permits(2));
    sees(&mut observer, &asks(2, 1, permits(2)), &queued(), &[]);
    let cry = cries(&mut observer, &asks(1, 2, permits(1)), &granted(6), &[]);
    assert!(cry.contains("overtook"), "{cry}");
}

#[test]
fn a_hold_that_grows() {
    let note = noted(Note::Changed { token: Token(5), demand: WRITE });
    let downgrade = call(1, 2, Op::Downgrade { token: Token(5), to: Mode::Read });
    let cry = cries(&mut holding(READ), &downgrade, &Outcome::Downgraded, &[note]);
    assert!(cry.contains("changed from"), "{cry}");
}

#[test]
fn an_upgrade_beside_a_reader_or_without_an_end_of_the_old_token() {
    let mut observer = holding(READ);
    sees(&mut observer, &asks(2, 1, READ), &granted(6), &[]);
    let upgrade = call(1, 2, Op::Upgrade { token: Token(5), wait: false });
    let cry = cries(&mut observer, &upgrade, &granted(7), &[hold_ended(1, 5)]);
    assert!(cry.contains("beside"), "{cry}");
    let cry = cries(&mut holding(READ), &upgrade, &granted(7), &[]);
    assert!(cry.contains("replaced"), "{cry}");
    sees(&mut holding(READ), &upgrade, &granted(7), &[hold_ended(1, 5)]);
}

fn campaigns(session: u64, seq: u64, eligible: bool) -> Command {
    let campaign = Some(Campaign { value: Value::new(b"x"), eligible, preempt_after_ms: None });
    let acquire = Acquire { campaign, ..Acquire::of(name(), Demand::Lead) };
    call(session, seq, Op::Acquire(acquire))
}

#[test]
fn a_leader_who_stood_aside_or_a_second_one() {
    let mut observer = holding(Demand::Lead);
    let cry = cries(&mut observer, &campaigns(2, 1, true), &granted(6), &[]);
    assert!(cry.contains("beside"), "{cry}");
    let mut observer = holding(Demand::Lead);
    let aside = Outcome::Queued { position: 0 };
    sees(&mut observer, &campaigns(2, 1, false), &aside, &[]);
    let events = [hold_ended(1, 5), grant_event(2, 1, 6)];
    let release = call(1, 2, Op::Release { token: Token(5), permits: 0 });
    let cry = cries(&mut observer, &release, &Outcome::Released, &events);
    assert!(cry.contains("stands aside"), "{cry}");
}

/// Both sessions campaign behind the leader, whose term is handed over to session 2.
fn transferred() -> Observer {
    let mut observer = holding(Demand::Lead);
    for session in [1, 2] {
        sees(&mut observer, &campaigns(session, 3, true), &queued(), &[]);
    }
    let transfer =
        Command::Transfer { name: name(), term: Token(5), to: SessionId(2), by: "x".into() };
    sees(&mut observer, &transfer, &Outcome::Transferred, &[]);
    observer
}

#[test]
fn a_leader_by_transfer_who_is_not_the_named_one() {
    let timer = Timer::HoldEnd(SessionId(1), Token(5));
    let over = Command::Due(Due { timer, generation: Generation(6), term: Term(1) });
    let events = |session| [hold_ended(1, 5), grant_event(session, 3, 7)];
    sees(&mut transferred(), &over, &Outcome::Done, &events(2));
    let cry = cries(&mut transferred(), &over, &Outcome::Done, &events(1));
    assert!(cry.contains("was to lead"), "{cry}");
}

#[test]
fn a_guarded_edit_under_a_token_that_does_not_hold() {
    let guarded = |token| {
        let guard = Some(Guard { name: name(), token: Token(token) });
        call(2, 1, edit(Change::AddCounter { delta: 1 }, guard))
    };
    let done = Outcome::Edited(Edited::Counter { value: 1 });
    sees(&mut holding(WRITE), &guarded(5), &done, &[]);
    let cry = cries(&mut holding(WRITE), &guarded(4), &done, &[]);
    assert!(cry.contains("guard does not hold"), "{cry}");
    let mut observer = holding(WRITE);
    let force =
        Command::ForceRelease { name: name(), token: Token(5), now: false, by: "operator".into() };
    let timer = Timer::HoldEnd(SessionId(1), Token(5));
    let set = TimerSet { timer, generation: Generation(6), after_ms: 11_000 };
    sees(&mut observer, &force, &Outcome::Forced { revoked: true }, &[Event::TimerSet(set)]);
    let cry = cries(&mut observer, &guarded(5), &done, &[]);
    assert!(cry.contains("guard does not hold"), "revoked: {cry}");
}

#[test]
fn a_version_that_was_there_before() {
    let set =
        Change::SetRegister { value: Value::new(b"x"), expect: Expect::Anything, bound: false };
    let register = Edited::Register { version: Version(5) };
    let note = noted(Note::Edited(register.clone()));
    let command = call(2, 1, edit(set, None));
    let cry = cries(&mut holding(WRITE), &command, &Outcome::Edited(register), &[note]);
    assert!(cry.contains("was drawn after"), "{cry}");
}

#[test]
fn a_round_or_a_result_that_was_there_before() {
    let latch = Edited::Latch { round: Version(5), remaining: 1 };
    let note = noted(Note::Edited(latch.clone()));
    let command = call(2, 1, edit(Change::ResetLatch, None));
    let cry = cries(&mut holding(WRITE), &command, &Outcome::Edited(latch), &[note]);
    assert!(cry.contains("was drawn after"), "{cry}");
    let (value, retention_ms) = (Value::new(b"result"), 10_000);
    let complete = call(1, 2, Op::Complete { token: Token(5), value, retention_ms });
    let done = Outcome::Completed { version: Version(5) };
    let mut observer = holding(Demand::Run { attempts_max: 0 });
    let cry = cries(&mut observer, &complete, &done, &[hold_ended(1, 5)]);
    assert!(cry.contains("was drawn after"), "{cry}");
}

#[test]
fn a_pass_at_what_is_closed() {
    let mut observer = holding(WRITE);
    for demand in [Demand::Gate, Demand::Latch, Demand::Run { attempts_max: 0 }, Demand::Mutex] {
        let outcome = Outcome::Passed(passed(9, 0));
        let cry = cries(&mut observer, &asks(2, 1, demand), &outcome, &[]);
        assert!(cry.contains("closed"), "{demand:?}: {cry}");
        observer = holding(WRITE);
    }
}

#[test]
fn a_waiter_left_at_an_open_gate() {
    let mut observer = Observer::new();
    opened(&mut observer, 1);
    sees(&mut observer, &asks(1, 1, Demand::Gate), &queued(), &[]);
    let open = Edited::Gate { open: true };
    let note = noted(Note::Edited(open.clone()));
    let command = call(1, 2, edit(Change::SetGate { open: true }, None));
    let cry = cries(&mut observer, &command, &Outcome::Edited(open), &[note]);
    assert!(cry.contains("nobody holds"), "{cry}");
}

#[test]
fn a_run_of_what_is_done() {
    let mut observer = holding(Demand::Run { attempts_max: 0 });
    let (value, retention_ms) = (Value::new(b"result"), 10_000);
    let complete = call(1, 2, Op::Complete { token: Token(5), value, retention_ms });
    let done = Outcome::Completed { version: Version(6) };
    sees(&mut observer, &complete, &done, &[hold_ended(1, 5)]);
    let again = asks(2, 1, Demand::Run { attempts_max: 0 });
    let cry = cries(&mut observer, &again, &granted(7), &[]);
    assert!(cry.contains("is done"), "{cry}");
}

/// One of two parties waits.
fn half_a_barrier() -> Observer {
    let mut observer = Observer::new();
    opened(&mut observer, 1);
    sees(&mut observer, &asks(1, 1, BARRIER), &queued(), &[]);
    observer
}

#[test]
fn a_barrier_that_lets_some_pass_and_not_all() {
    let other = |seq, index| Event::Passed {
        session: SessionId(1),
        seq: Seq(seq),
        name: name(),
        passed: passed(9, index),
    };
    let tripped = Outcome::Passed(passed(9, 1));
    sees(&mut half_a_barrier(), &asks(1, 2, BARRIER), &tripped, &[other(1, 0)]);
    let cry = cries(&mut half_a_barrier(), &asks(1, 2, BARRIER), &tripped, &[]);
    assert!(cry.contains("at the barrier"), "{cry}");
    let twice = [other(1, 1)];
    let cry = cries(&mut half_a_barrier(), &asks(1, 2, BARRIER), &tripped, &twice);
    assert!(cry.contains("at the barrier"), "{cry}");
}

#[test]
fn a_party_that_waits_on_at_a_broken_barrier() {
    let of_three = Demand::Arrive { parties: 3, break_on_loss: true };
    let mut observer = Observer::new();
    opened(&mut observer, 1);
    for seq in [1, 2] {
        sees(&mut observer, &asks(1, seq, of_three), &queued(), &[]);
    }
    let cancel = Command::Cancel { key: crate::watchman::key(1), seq: Seq(1) };
    let (session, seq, end) = (SessionId(1), Seq(1), WaitEnd::Cancelled);
    let left = Event::WaitEnded { session, seq, name: name(), end };
    let cry = cries(&mut observer, &cancel, &Outcome::Cancelled, &[left]);
    assert!(cry.contains("broke"), "{cry}");
}

#[test]
fn a_holder_noted_who_does_not_hold() {
    let note = noted(Note::Granted {
        session: SessionId(1),
        session_name: name(),
        token: Token(6),
        demand: WRITE,
        value: None,
    });
    let downgrade = call(1, 2, Op::Downgrade { token: Token(5), to: Mode::Read });
    let cry = cries(&mut holding(WRITE), &downgrade, &Outcome::Downgraded, &[note]);
    assert!(cry.contains("noted as granted"), "{cry}");
}
