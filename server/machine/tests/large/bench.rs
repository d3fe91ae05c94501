//! A machine with plain words for the usual commands, for tests that say too much for a script.

use conclave_machine::{
    Acquire, Call, Campaign, Command, Context, Demand, Due, Event, Item, Items, Labels, Machine,
    Name, Op, Open, Outcome, Secret, Seq, SessionId, SessionKey, Term, Timer, Token, Value,
};

pub(crate) struct Bench {
    pub(crate) machine: Machine,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { machine: Machine::new(), events: Vec::new() }
    }

    /// The outcome; the events of this command alone stay in `events`.
    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
        self.events.clear();
        let context = Context { term: Term(1), stamp_ms: 1_000 };
        self.machine.apply(&context, command, &mut self.events).1
    }

    pub(crate) fn open(&mut self, secret: u128, lock_delay_ms: u64) -> SessionKey {
        let outcome = self.apply(Command::Open(Open {
            secret: Secret(secret),
            ttl_ms: 10_000,
            lock_delay_ms,
            name: name(&format!("s{secret}")),
            labels: Labels::default(),
        }));
        let Outcome::Opened { session, epoch, .. } = outcome else { panic!("{outcome:?}") };
        SessionKey { id: session, secret: Secret(secret), epoch }
    }

    pub(crate) fn call(&mut self, key: SessionKey, seq: u64, op: Op) -> Outcome {
        let (seq, seen_through) = (Seq(seq), Seq(seq - 1));
        self.apply(Command::Call(Call { key, seq, seen_through, op }))
    }

    pub(crate) fn acquire(&mut self, key: SessionKey, seq: u64, name: &Name) -> Outcome {
        self.call(key, seq, acquire(name, true, 0))
    }

    pub(crate) fn release(&mut self, key: SessionKey, seq: u64, token: Token) {
        let outcome = self.call(key, seq, Op::Release { token, permits: 0 });
        assert_eq!(outcome, Outcome::Released);
    }

    /// The leader says that the session was not kept alive.
    pub(crate) fn expire(&mut self, session: SessionId) {
        let timer = Timer::Session(session);
        let generation = self.machine.timer_generation(&timer).expect("a live session");
        let due = Due { timer, generation, term: Term(1) };
        assert_eq!(self.apply(Command::Due(due)), Outcome::Done);
    }

    /// `(session, token)` of each grant of the last command.
    pub(crate) fn granted(&self) -> Vec<(SessionId, Token)> {
        let granted = self.events.iter().filter_map(|event| match event {
            Event::Granted { session, token, .. } => Some((*session, *token)),
            _ => None,
        });
        granted.collect()
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn acquire(name: &Name, wait: bool, priority: i32) -> Op {
    let request = Acquire::of(name.clone(), Demand::Mutex);
    Op::Acquire(Acquire { wait, priority, ..request })
}

pub(crate) fn demand(name: &str, demand: Demand) -> Op {
    Op::Acquire(Acquire::of(self::name(name), demand))
}

/// A request for several objects.
pub(crate) fn all(items: &[(&str, Demand)]) -> Op {
    let items = items.iter().map(|(text, demand)| Item { name: name(text), demand: *demand });
    let items = Items::new(items.collect()).expect("several");
    let first = items.first().clone();
    Op::Acquire(Acquire { items, ..Acquire::of(first.name, first.demand) })
}

pub(crate) fn campaign(name: &str, priority: i32, eligible: bool) -> Op {
    let preempt_after_ms = Some(5_000);
    let campaign = Campaign { value: Value::new(b"here"), eligible, preempt_after_ms };
    let request = Acquire::of(self::name(name), Demand::Lead);
    Op::Acquire(Acquire { priority, campaign: Some(campaign), ..request })
}

pub(crate) fn token(outcome: Outcome) -> Token {
    match outcome {
        Outcome::Granted { token, .. } => token,
        other => panic!("not granted: {other:?}"),
    }
}
