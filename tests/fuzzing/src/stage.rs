//! A machine in which most of what a request may name exists, and the model beside it.

use std::sync::OnceLock;

use conclave_machine::{
    Acquire, Call, Campaign, Change, Command, Context, Demand, Edit, Epoch, Event, Expect, Labels,
    Machine, Mode, Name, Op, Open, Outcome, Refusal, Secret, Seq, SessionId, SessionKey, Term,
    Value,
};
use conclave_model::Model;

use crate::Reached;

/// Of the session that the seeds of the wire speak for: the first of all numbers.
pub(crate) const KEY: SessionKey =
    SessionKey { id: SessionId(1), secret: Secret(1), epoch: Epoch(1) };
const CONTEXT: Context = Context { term: Term(1), stamp_ms: 1_700_000_000_000 };

#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) machine: Machine,
    model: Model,
}

impl Stage {
    /// Always the same one.
    pub(crate) fn set() -> Self {
        static SET: OnceLock<Stage> = OnceLock::new();
        SET.get_or_init(Self::furnish).clone()
    }

    pub(crate) fn empty() -> Self {
        Self { machine: Machine::new(), model: Model::new() }
    }

    fn furnish() -> Self {
        let mut stage = Self::empty();
        for (secret, named) in [(1, "ann"), (2, "bob")] {
            let open = Command::Open(Open {
                secret: Secret(secret),
                ttl_ms: 10_000,
                lock_delay_ms: 0,
                name: name(named),
                labels: Labels::default(),
            });
            stage.apply(&open);
        }
        let demands = [
            ("mutex", Demand::Mutex),
            ("rwlock", Demand::RwLock(Mode::Upgradable)),
            ("semaphore", Demand::Permits { weight: 2, limit: 5 }),
            ("election", Demand::Lead),
            ("once", Demand::Run { attempts_max: 0 }),
            ("barrier", Demand::Arrive { parties: 2, break_on_loss: true }),
        ];
        for (seq, (of, demand)) in (1..).zip(demands) {
            let acquire = Acquire { campaign: campaign(demand), ..Acquire::of(name(of), demand) };
            stage.apply(&call(KEY, seq, Op::Acquire(acquire)));
        }
        let changes = [
            ("latch", Change::CreateLatch { count: 3 }),
            ("gate", Change::SetGate { open: false }),
            ("counter", Change::AddCounter { delta: 7 }),
            (
                "register",
                Change::SetRegister {
                    value: Value::new(b"value"),
                    expect: Expect::Anything,
                    bound: false,
                },
            ),
        ];
        for (seq, (of, change)) in (7..).zip(changes) {
            stage.apply(&call(KEY, seq, Op::Edit(Edit { name: name(of), guard: None, change })));
        }
        stage
    }

    /// Applies a command that got this far, and checks all that must hold after any.
    pub(crate) fn apply(&mut self, command: &Command) -> Reached {
        let mut again = self.machine.clone();
        let mut events: Vec<Event> = Vec::new();
        let (revision, outcome) = self.machine.apply(&CONTEXT, command.clone(), &mut events);
        self.machine.check_invariants().expect("the state is sound after every command");
        let (mut events_again, digest) = (Vec::new(), self.machine.digest());
        let second = again.apply(&CONTEXT, command.clone(), &mut events_again);
        assert_eq!((revision, &outcome, &events), (second.0, &second.1, &events_again));
        assert_eq!(digest, again.digest(), "the same command twice gives two states");
        // The model leaves out the limits that take thousands.
        let limited = matches!(outcome, Outcome::Refused(Refusal::Limit { .. }));
        if !limited {
            let step = self.model.apply(&CONTEXT, command);
            assert_eq!((&outcome, &events), (&step.outcome, &step.events), "machine and model");
        }
        let refused = matches!(outcome, Outcome::Refused(_));
        if let Some(told) = conclave_server::fuzzing::answer(outcome) {
            crate::wire::check_status(&told);
        }
        if refused { Reached::Declined } else { Reached::Accepted }
    }
}

fn campaign(demand: Demand) -> Option<Campaign> {
    let plain = Campaign { value: Value::new(b"here"), eligible: true, preempt_after_ms: None };
    (demand == Demand::Lead).then_some(plain)
}

pub(crate) fn call(key: SessionKey, seq: u64, op: Op) -> Command {
    Command::Call(Call { key, seq: Seq(seq), seen_through: Seq(0), op })
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

impl Stage {
    /// A machine that came out of bytes goes on as any other.
    pub(crate) fn used(mut machine: Machine) -> Reached {
        let open = Command::Open(Open {
            secret: Secret(u128::MAX),
            ttl_ms: 10_000,
            lock_delay_ms: 0,
            name: name("eve"),
            labels: Labels::default(),
        });
        machine.apply(&CONTEXT, open, &mut Vec::new());
        Reached::Accepted
    }
}
