//! One machine and its clients, told what to do in words. Nothing but the stage touches the machine's API.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use conclave_machine::{
    Command, Context, Epoch, Event, Machine, Outcome, Record, Secret, SessionKey, Term, Timer,
    TimerSet,
};

use crate::render::{self, Names};
use crate::words::Words;

pub(crate) struct Client {
    pub(crate) key: SessionKey,
    pub(crate) next_seq: u64,
    /// Of its last attach; each attach has the next one.
    pub(crate) attach_number: u64,
}

impl Client {
    pub(crate) const fn new(key: SessionKey) -> Self {
        Self { key, next_seq: 1, attach_number: 0 }
    }
}

pub(crate) struct Stage {
    pub(crate) machine: Machine,
    pub(crate) context: Context,
    pub(crate) clients: BTreeMap<String, Client>,
    pub(crate) names: Names,
    /// What the leader's clock knows from events alone.
    pub(crate) timers: BTreeMap<Timer, TimerSet>,
    /// Whether the script asked to be shown what watchers are told.
    notes: bool,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            machine: Machine::new(),
            context: Context { term: Term(1), stamp_ms: 1_000 },
            clients: BTreeMap::new(),
            names: Names::default(),
            timers: BTreeMap::new(),
            notes: false,
        }
    }

    /// Does what the line says; what the machine said to it, a line each. `times N COMMAND` keeps the last answer, `each N
    /// COMMAND` all of them; `{n}` in the command counts from 1.
    pub(crate) fn run(&mut self, line: &str, at: &str) -> String {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let "times" | "each" = first {
            let (count, command) = rest.split_once(' ').expect("times N COMMAND");
            let count: u32 = count.parse().unwrap_or_else(|_| panic!("{at}: times N"));
            let mut said: Vec<_> = (1..=count)
                .map(|n| self.run(&command.replace("{n}", &n.to_string()), at))
                .collect();
            let kept = if first == "each" { 0 } else { said.len().saturating_sub(1) };
            return said.split_off(kept).concat();
        }
        let mut words = Words::new(line, at);
        let said = match words.next() {
            "clock" => {
                let back = words.ms("back").unwrap_or(0);
                let plus = words.ms("plus").unwrap_or(0);
                self.context.stamp_ms = (self.context.stamp_ms + plus).saturating_sub(back);
                String::new()
            }
            // Another leader, which has everything from a snapshot.
            "term" => {
                self.context.term = Term(words.next().parse().expect("a term"));
                self.machine = Machine::from_records(self.machine.records()).expect("a snapshot");
                String::new()
            }
            "notes" => {
                self.notes = words.next() == "on";
                String::new()
            }
            // Another machine, without anything.
            "anew" => {
                *self = Self { notes: self.notes, ..Self::new() };
                String::new()
            }
            // A new cluster with what is left of this one; its leader's clock knows what a snapshot knows.
            "reborn" => {
                let quiet_ms = words.ms("quiet").unwrap_or_else(|| self.machine.belief_ms());
                self.machine = self.machine.clone().reborn(quiet_ms);
                let timers = self.machine.timers().map(|set| (set.timer.clone(), set));
                self.timers = timers.collect();
                self.check(at);
                let timers = self.timers.values();
                timers.map(|set| format!("{}\n", render::timer(set, &self.names))).collect()
            }
            // Opens each, without telling.
            "sessions" => {
                while let Some(name) = words.next_if_any() {
                    let said = self.run(&format!("session open {name}"), at);
                    assert!(said.starts_with("opened"), "{at}: {said}");
                }
                String::new()
            }
            "look" => self.look(&mut words),
            verb => {
                let command = self.command(verb, &mut words);
                self.apply(command, at)
            }
        };
        words.done();
        said
    }

    fn apply(&mut self, command: Command, at: &str) -> String {
        let learns = match &command {
            Command::Open(open) => Some(open.secret),
            Command::Resume(resume) => Some(resume.secret),
            _ => None,
        };
        let mut events = Vec::new();
        let (_, outcome) = self.machine.apply(&self.context, command, &mut events);
        if let Some(secret) = learns {
            self.learn(secret, &outcome);
        }
        self.follow_timers(&events);
        self.check(at);
        let mut said = render::outcome(&outcome, &self.names);
        for event in &events {
            if self.notes || !matches!(event, Event::Noted { .. }) {
                writeln!(said, "  {}", render::event(event, &self.names)).expect("a string");
            }
        }
        said
    }

    /// What a client keeps of the answer to its open or resume.
    fn learn(&mut self, secret: Secret, outcome: &Outcome) {
        let newborn = |key: &SessionKey| key.epoch == Epoch(0) && key.secret == secret;
        let found = self.clients.iter_mut().find(|(_, client)| newborn(&client.key));
        let Some((name, client)) = found else { return };
        match outcome {
            Outcome::Opened { session, epoch, .. } => {
                client.key = SessionKey { id: *session, secret, epoch: *epoch };
                self.names.insert(*session, name);
            }
            Outcome::Resumed { epoch, next_seq, .. } => {
                client.key.epoch = *epoch;
                client.next_seq = next_seq.0;
            }
            _ => {
                let name = name.clone();
                self.clients.remove(&name);
            }
        }
    }

    fn follow_timers(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::TimerSet(set) => {
                    self.timers.insert(set.timer.clone(), set.clone());
                }
                Event::TimerStopped { timer } => {
                    self.timers.remove(timer);
                }
                _ => {}
            }
        }
    }

    /// What must hold after every single step.
    fn check(&self, at: &str) {
        self.machine.check_invariants().unwrap_or_else(|what| panic!("{at}: {what}"));
        let records: Vec<Record> = self.machine.records().collect();
        let restored =
            Machine::from_records(records.clone()).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(restored.records().collect::<Vec<_>>(), records, "{at}: records");
        assert_eq!(restored.digest(), self.machine.digest(), "{at}: digest");
        for set in self.machine.timers() {
            assert_eq!(self.timers.get(&set.timer), Some(&set), "{at}: a timer nobody heard of");
            let generation = self.machine.timer_generation(&set.timer);
            assert_eq!(generation, Some(set.generation), "{at}: {:?}", set.timer);
        }
        for (session, seq) in self.machine.waits() {
            let answer = self.machine.answer(session, seq);
            assert!(matches!(answer, Some(Outcome::Queued { .. })), "{at}: {answer:?}");
        }
    }
}
