//! What the machine and the model must both mean, on a handful of commands each: the places where a plausible reading would
//! be unsafe.

use conclave_machine::{
    Acquire, Attach, Call, Check, Command, Context, Demand, Due, Epoch, Event, HoldState, Labels,
    Machine, Name, Nonce, Op, Open, Outcome, Refusal, Resume, Secret, Seq, SessionId, SessionKey,
    Term, Timer, Token,
};
use conclave_model::{Model, Step};

const TERM: Term = Term(1);

/// A machine and a model that must say the same.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) model: Model,
    /// What every further call of the session says to have seen.
    seen_through: u64,
}

impl World {
    /// Two sessions, `key(1)` and `key(2)`, with a lock-delay of a second.
    pub(crate) fn new() -> Self {
        let (machine, model) = (Machine::new(), Model::new());
        let mut world = Self { machine, model, seen_through: 0 };
        for secret in [1, 2] {
            let open = Open {
                secret: Secret(secret),
                ttl_ms: 10_000,
                lock_delay_ms: 1_000,
                name: name(),
                labels: Labels::default(),
            };
            assert!(matches!(world.does(Command::Open(open)).outcome, Outcome::Opened { .. }));
        }
        world
    }

    pub(crate) fn does(&mut self, command: Command) -> Step {
        let context = Context { term: TERM, stamp_ms: 5 };
        let expected = self.model.apply(&context, &command);
        let mut events = Vec::new();
        let (revision, outcome) = self.machine.apply(&context, command, &mut events);
        let step = Step { revision, outcome, events };
        assert_eq!(step, expected, "the machine and the model");
        step
    }

    pub(crate) fn calls(&mut self, key: SessionKey, seq: u64, op: Op) -> Step {
        let seen_through = Seq(self.seen_through);
        self.does(Command::Call(Call { key, seq: Seq(seq), seen_through, op }))
    }

    fn acquires(&mut self, key: SessionKey, seq: u64) -> Step {
        self.calls(key, seq, acquire(0))
    }

    /// Of the mutex: who holds it with what state.
    fn holder(&self) -> Option<(SessionId, Token, HoldState)> {
        let view = self.machine.inspect(&name(), 0)?;
        view.holders.first().map(|holder| (holder.session, holder.token, holder.state))
    }

    pub(crate) fn timer_over(&mut self, timer: Timer) -> Step {
        let generation = self.machine.timer_generation(&timer).expect("it runs");
        self.does(Command::Due(Due { timer, generation, term: TERM }))
    }

    pub(crate) fn resumes(&mut self, key: SessionKey, nonce: u128) -> (SessionKey, Seq) {
        let (session, secret, expected) = (key.id, key.secret, key.epoch);
        let nonce = Nonce(nonce);
        match self.does(Command::Resume(Resume { session, secret, expected, nonce })).outcome {
            Outcome::Resumed { epoch, next_seq, .. } => (SessionKey { epoch, ..key }, next_seq),
            other => panic!("not resumed: {other:?}"),
        }
    }
}

pub(crate) fn name() -> Name {
    Name::new("a").expect("a valid name")
}

/// Session 1 has id 1 and generation 2, session 2 has id 3.
pub(crate) fn key(secret: u128) -> SessionKey {
    let id = SessionId(u64::try_from(2 * secret - 1).expect("small"));
    SessionKey { id, secret: Secret(secret), epoch: Epoch(1) }
}

fn acquire(priority: i32) -> Op {
    Op::Acquire(Acquire { priority, ..Acquire::of(name(), Demand::Mutex) })
}

pub(crate) fn token(step: &Step) -> Token {
    match step.outcome {
        Outcome::Granted { token, .. } => token,
        _ => panic!("not granted: {step:?}"),
    }
}

#[test]
fn numbers_are_drawn_in_the_documented_order() {
    let mut world = World::new();
    // 1 and 2, 3 and 4 are the sessions and their generations.
    assert_eq!(token(&world.acquires(key(1), 1)), Token(5));
}

#[test]
fn a_killed_sessions_hold_stays_until_its_client_says_that_it_stopped() {
    let mut world = World::new();
    let held = token(&world.acquires(key(1), 1));
    assert_eq!(world.acquires(key(2), 1).outcome, Outcome::Queued { position: 1 });
    let (by, reason) = ("x".into(), "y".into());
    let step = world.does(Command::Kill { session: key(1).id, by, reason });
    assert!(!step.events.iter().any(|event| matches!(event, Event::Granted { .. })), "{step:?}");
    assert_eq!(world.machine.check(&name(), held), Check::Revoked);
    let (session, secret) = (key(1).id, key(1).secret);
    let step = world.does(Command::AckStopped { session, secret, token: held });
    assert!(step.events.iter().any(|event| matches!(event, Event::Granted { .. })), "{step:?}");
    let step = world.does(Command::AckStopped { session, secret, token: held });
    assert_eq!(step.outcome, Outcome::Stopped, "a repetition after the session was forgotten");
}

#[test]
fn an_expired_sessions_hold_cools_for_the_lock_delay() {
    let mut world = World::new();
    let held = token(&world.acquires(key(1), 1));
    assert_eq!(world.acquires(key(2), 1).outcome, Outcome::Queued { position: 1 });
    world.timer_over(Timer::Session(key(1).id));
    assert_eq!(world.holder(), Some((key(1).id, held, HoldState::Cooling)));
    world.timer_over(Timer::HoldEnd(key(1).id, held));
    let (session, new, state) = world.holder().expect("granted to the waiter");
    assert_eq!((session, state), (key(2).id, HoldState::Held));
    assert!(new > held);
}

#[test]
fn what_an_earlier_process_holds_is_freed_by_no_word_of_a_later_one() {
    let mut world = World::new();
    let held = token(&world.acquires(key(1), 1));
    let (later, next_seq) = world.resumes(key(1), 9);
    let release = world.calls(later, next_seq.get(), Op::Release { token: held, permits: 0 });
    assert_eq!(release.outcome, Outcome::Refused(Refusal::NotHolder));
    let (held_none, waiting) = (Vec::new(), Vec::new());
    world.does(Command::Attach(Attach {
        key: later,
        number: 1,
        held: held_none,
        waiting,
        next_seq: Seq(next_seq.get() + 1),
    }));
    assert_eq!(world.holder(), Some((key(1).id, held, HoldState::Held)));
    world.does(Command::Close { key: later });
    assert_eq!(world.holder(), Some((key(1).id, held, HoldState::Revoked)));
}

#[test]
fn a_resumed_process_gets_a_hold_back_only_by_adopting_it() {
    let mut world = World::new();
    let held = token(&world.acquires(key(1), 1));
    let (later, next_seq) = world.resumes(key(1), 9);
    assert_eq!(world.acquires(later, 1).outcome, Outcome::Refused(Refusal::Gone));
    let new = token(&world.calls(later, next_seq.get(), Op::Adopt { token: held }));
    assert!(new > held);
    assert_eq!(world.machine.check(&name(), held), Check::NotHeld);
    assert_eq!(world.machine.check(&name(), new), Check::Held);
    assert_eq!(world.machine.timer_generation(&Timer::Adoption(key(1).id)), None);
    let again = world.acquires(key(1), 2).outcome;
    assert_eq!(again, Outcome::Refused(Refusal::Fenced { epoch: later.epoch }));
}

#[test]
fn what_was_not_adopted_is_revoked_not_freed() {
    let mut world = World::new();
    let held = token(&world.acquires(key(1), 1));
    world.resumes(key(1), 9);
    let step = world.timer_over(Timer::Adoption(key(1).id));
    assert!(step.events.iter().any(|event| matches!(event, Event::Lost { .. })), "{step:?}");
    assert_eq!(world.holder(), Some((key(1).id, held, HoldState::Revoked)));
}

#[test]
fn a_retry_finds_its_wait_then_its_hold_and_is_never_run_again() {
    let mut world = World::new();
    let held = token(&world.acquires(key(1), 1));
    assert_eq!(world.acquires(key(2), 1).outcome, Outcome::Queued { position: 1 });
    world.seen_through = 1;
    assert_eq!(world.acquires(key(2), 1).outcome, Outcome::Queued { position: 1 });
    let other = world.calls(key(2), 1, acquire(7)).outcome;
    assert_eq!(other, Outcome::Refused(Refusal::SeqReused));
    world.calls(key(1), 2, Op::Release { token: held, permits: 0 });
    let granted = token(&world.acquires(key(2), 1));
    world.calls(key(2), 2, Op::Release { token: granted, permits: 0 });
    assert_eq!(world.acquires(key(2), 1).outcome, Outcome::Refused(Refusal::Gone));
    assert_eq!(world.holder(), None);
}

#[test]
fn a_due_of_another_leader_does_nothing() {
    let mut world = World::new();
    let timer = Timer::Session(key(1).id);
    let generation = world.machine.timer_generation(&timer).expect("it runs");
    let due = Due { timer, generation, term: Term(2) };
    assert_eq!(world.does(Command::Due(due)).outcome, Outcome::Refused(Refusal::Stale));
    assert_eq!(world.machine.epoch(key(1).id), Some(Epoch(1)));
}
