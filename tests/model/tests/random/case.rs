//! One random case: the same commands to the machine and to the model, compared after every step; every so often the
//! machine is taken apart and put together again, and everything one may ask is asked.

use conclave_machine::{Command, Context, Event, Machine, Outcome, Record};
use conclave_model::{Generator, Model, Observer, Profile, Rng, Step};

use crate::{compare, spoil};

/// What happened, to know that it was not nothing.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) grants: u64,
    pub(crate) grants_queued: u64,
    pub(crate) losses: u64,
    pub(crate) sessions_ended: u64,
    pub(crate) restored: u64,
    /// The longest queue.
    pub(crate) queue_len_max: u32,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.grants += other.grants;
        self.grants_queued += other.grants_queued;
        self.losses += other.losses;
        self.sessions_ended += other.sessions_ended;
        self.restored += other.restored;
        self.queue_len_max = self.queue_len_max.max(other.queue_len_max);
    }

    fn count(&mut self, step: &Step) {
        self.steps += 1;
        self.grants += u64::from(matches!(step.outcome, Outcome::Granted { .. }));
        if let Outcome::Queued { position } = step.outcome {
            self.queue_len_max = self.queue_len_max.max(position);
        }
        for event in &step.events {
            match event {
                Event::Granted { .. } => {
                    self.grants += 1;
                    self.grants_queued += 1;
                }
                Event::Lost { .. } => self.losses += 1,
                Event::SessionEnded { .. } => self.sessions_ended += 1,
                Event::Passed { .. }
                | Event::WaitEnded { .. }
                | Event::Contended { .. }
                | Event::HoldEnded { .. }
                | Event::TimerSet(_)
                | Event::TimerStopped { .. }
                | Event::Noted { .. } => {}
            }
        }
    }
}

/// Where it went wrong, and the way there.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    /// The commands up to and with the one that failed.
    pub(crate) log: Vec<(Context, Command)>,
    /// What the model says to each.
    pub(crate) expected: Vec<Step>,
}

/// Changes what the machine did before it is compared: to plant a fault.
pub(crate) type Tamper = fn(&mut Step);

pub(crate) struct Case {
    tamper: Tamper,
    machine: Machine,
    /// Replays the same log from the start and is never restored.
    replayed: Machine,
    /// How far.
    replayed_len: usize,
    /// Shares what did not change since with `machine`, and must not change with it.
    earlier: (Machine, u64),
    model: Model,
    observer: Observer,
    generator: Generator,
    /// For the questions.
    rng: Rng,
    log: Vec<(Context, Command)>,
    expected: Vec<Step>,
    pub(crate) tally: Tally,
}

impl Case {
    /// The seeds of the steps of a case.
    pub(crate) fn seeds(number: u64, steps: usize) -> Vec<u64> {
        let mut rng = Rng::new(number);
        (0..steps).map(|_| rng.draw()).collect()
    }

    pub(crate) fn new(number: u64, tamper: Tamper) -> Self {
        let machine = Machine::new();
        let digest = machine.digest();
        Self {
            tamper,
            earlier: (machine.clone(), digest),
            replayed: Machine::new(),
            replayed_len: 0,
            machine,
            model: Model::new(),
            observer: Observer::new(),
            generator: Generator::new(Profile::draw(&mut Rng::new(!number))),
            rng: Rng::new(number),
            log: Vec::new(),
            expected: Vec::new(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn failed(self, what: String) -> Failure {
        Failure { what, log: self.log, expected: self.expected }
    }

    /// All steps, and a look at everything after every `period` of them and (unless the period is endless) at the end.
    pub(crate) fn run(&mut self, seeds: &[u64], period: usize) -> Result<(), String> {
        for (at, seed) in seeds.iter().enumerate() {
            self.step(*seed)?;
            if (at + 1) % period == 0 || (at + 1 == seeds.len() && period < usize::MAX) {
                self.look()?;
            }
        }
        Ok(())
    }

    fn step(&mut self, seed: u64) -> Result<(), String> {
        let (context, command) = self.generator.command(seed);
        self.log.push((context, command.clone()));
        let expected = self.model.apply(&context, &command);
        self.expected.push(expected.clone());
        let mut events = Vec::new();
        let (revision, outcome) = self.machine.apply(&context, command.clone(), &mut events);
        let mut step = Step { revision, outcome, events };
        (self.tamper)(&mut step);
        if step != expected {
            return Err(format!("the machine: {step:?}\nthe model:   {expected:?}"));
        }
        self.observer.observe(&command, &step.outcome, &step.events)?;
        self.generator.learn(&command, &step.outcome, &step.events);
        self.tally.count(&step);
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        self.machine.check_invariants()?;
        let digest = self.machine.digest();
        if self.earlier.0.digest() != self.earlier.1 {
            return Err("a clone changed with the machine it was taken from".to_owned());
        }
        for (context, command) in &self.log[self.replayed_len..] {
            self.replayed.apply(context, command.clone(), &mut Vec::new());
        }
        self.replayed_len = self.log.len();
        if self.replayed.digest() != digest {
            return Err("the same log gave another digest".to_owned());
        }
        compare::everything(&self.machine, &self.model, &self.generator, &mut self.rng)?;
        self.restore(digest)
    }

    /// Goes on with a machine that was put together from records.
    fn restore(&mut self, digest: u64) -> Result<(), String> {
        let records: Vec<Record> = self.machine.records().collect();
        spoil::misplace(&records, &mut self.rng)?;
        spoil::alter(&records, digest, &mut self.rng)?;
        let restored = Machine::from_records(records.clone());
        let restored = restored.map_err(|error| format!("not restored: {error}"))?;
        if restored.digest() != digest {
            return Err("the restored machine has another digest".to_owned());
        }
        if !restored.records().eq(records) {
            return Err("the restored machine has other records".to_owned());
        }
        restored.check_invariants()?;
        self.tally.restored += 1;
        self.machine = restored;
        self.earlier = (self.machine.clone(), digest);
        Ok(())
    }
}
