//! Whatever happens in whatever order: no promise is broken. The promise of an acknowledgement is a full period from when it was
//! made; that of a new leader, and of an open or attach, is the same.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use conclave_machine::{Command, Outcome, SessionId, Term, Timer};

use super::stage::{SECOND, Stage};
use crate::answer::{NotLeader, ProposeError};
use crate::clock::Moment;
use crate::schedule::STEP;

/// Short, so that much happens within one: 1.1 TTL of `TTL_MS`.
const PERIOD: Duration = Duration::from_millis(1100);
const TTL_MS: u64 = 1000;

/// A small deterministic generator (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// What was promised, and what became of it.
struct Witness {
    stage: Stage,
    dice: Dice,
    alive_until: HashMap<SessionId, Moment>,
    /// Sessions with a `Due` in the log of this leadership, or perhaps in it.
    expiring: HashSet<SessionId>,
    /// Proposals answered as unknown; they may yet be applied.
    unknown: Vec<Command>,
    seen_answers: usize,
    acknowledged: u64,
    expired: u64,
}

impl Witness {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::leading();
        let until = stage.now + PERIOD;
        let alive_until = (0..8).map(|_| (stage.open_with(TTL_MS, 0).id, until)).collect();
        Self {
            stage,
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            alive_until,
            expiring: HashSet::new(),
            unknown: Vec::new(),
            seen_answers: 0,
            acknowledged: 0,
            expired: 0,
        }
    }

    fn step(&mut self) {
        match self.dice.roll(24) {
            0..=6 => {
                let steps = 1 + self.dice.roll(10);
                for _ in 0..steps {
                    self.stage.pass(STEP);
                    self.check();
                }
            }
            7 if self.dice.roll(4) == 0 => {
                let stall = Duration::from_millis(self.dice.roll(3000));
                self.stage.stall(stall);
            }
            8..=12 => {
                let key = self.stage.opened[self.dice.roll(8) as usize];
                self.stage.keep_alive(key);
            }
            13..=16 if !self.stage.confirmations.is_empty() => self.stage.confirm(),
            17 if !self.stage.confirmations.is_empty() && self.dice.roll(4) == 0 => {
                self.stage.confirm_as(Err(NotLeader { leader: None }));
            }
            18..=20 if !self.stage.proposals.is_empty() => self.decide(),
            21 if !self.stage.proposals.is_empty() && self.dice.roll(4) == 0 => {
                let command = self.stage.fail_proposal(ProposeError::Unknown { leader: None });
                self.unknown.push(command);
            }
            22 if !self.unknown.is_empty() => {
                // Behind whatever was decided: it was in the log all the time.
                let command = self.unknown.swap_remove(0);
                self.apply(command);
            }
            23 => match self.dice.roll(12) {
                0 => self.change_leader(),
                1 => self.attach(),
                2 => self.lose_majority_for_a_while(),
                _ => {}
            },
            _ => self.stage.look(),
        }
        self.check();
    }

    fn decide(&mut self) {
        let (_, command) = self.stage.proposals.front().expect("checked").clone();
        let outcome = self.stage.decide();
        self.was_applied(&command, &outcome);
    }

    fn apply(&mut self, command: Command) {
        let outcome = self.stage.apply(command.clone());
        self.was_applied(&command, &outcome);
    }

    fn was_applied(&mut self, command: &Command, outcome: &Outcome) {
        let Command::Due(due) = command else { return };
        let Timer::Session(session) = due.timer else { return };
        if *outcome == Outcome::Done {
            let until = self.alive_until[&session];
            let now = self.stage.now;
            assert!(now >= until, "expired {:?} too early", until - now);
            self.expired += 1;
        }
        self.forget_what_cannot_happen();
    }

    fn attach(&mut self) {
        let key = self.stage.opened[self.dice.roll(8) as usize];
        if self.stage.lives(key) {
            self.stage.attach(key);
            self.alive_until.insert(key.id, self.stage.now + PERIOD);
            self.forget_what_cannot_happen();
        }
    }

    /// The leadership is taken back and given again in the same term; the log keeps what was proposed.
    fn lose_majority_for_a_while(&mut self) {
        self.unknown.extend(self.stage.proposals.drain(..).map(|(_, command)| command));
        self.stage.lose_leadership();
        self.stage.confirmations.clear();
        self.stage.now = self.stage.now + Duration::from_millis(self.dice.roll(500));
        self.stage.lead(self.stage.term);
        let full = self.stage.now + PERIOD;
        let sure = |session: &SessionId| !self.expiring.contains(session);
        let promised = self.alive_until.iter_mut().filter(|(session, _)| sure(session));
        promised.for_each(|(_, until)| *until = full);
    }

    /// What was under way is committed by the next leader, or never.
    fn change_leader(&mut self) {
        let under_way: Vec<Command> =
            self.stage.proposals.drain(..).map(|(_, command)| command).collect();
        self.stage.lose_leadership();
        self.check();
        for command in under_way.into_iter().chain(std::mem::take(&mut self.unknown)) {
            if self.dice.roll(2) == 0 {
                self.apply(command);
            }
        }
        self.expiring.clear();
        self.stage.confirmations.clear();
        self.stage.now = self.stage.now + Duration::from_millis(self.dice.roll(3000));
        let term = Term(self.stage.term.get() + 1);
        self.stage.lead(term);
        let full = self.stage.now + PERIOD;
        for until in self.alive_until.values_mut() {
            *until = full;
        }
    }

    /// Takes note of what came out since the last check.
    fn check(&mut self) {
        for (_, command) in &self.stage.proposals {
            self.expiring.extend(self.expires(command));
        }
        let new = self.stage.answers[self.seen_answers..].to_vec();
        self.seen_answers = self.stage.answers.len();
        for (number, answer) in new {
            if answer.is_err() {
                continue;
            }
            self.acknowledged += 1;
            let session = self.asked_by(number);
            assert!(
                !self.expiring.contains(&session),
                "acknowledged while its expiry is under way"
            );
            self.alive_until.insert(session, self.stage.now + PERIOD);
        }
    }

    /// Expiries that were applied, or whose generation an attach left behind, end nobody.
    fn forget_what_cannot_happen(&mut self) {
        let proposed = self.stage.proposals.iter().map(|(_, command)| command);
        let possible = proposed.chain(&self.unknown);
        self.expiring = possible.filter_map(|command| self.expires(command)).collect();
    }

    /// The session that this command would end.
    fn expires(&self, command: &Command) -> Option<SessionId> {
        let Command::Due(due) = command else { return None };
        let Timer::Session(session) = due.timer else { return None };
        let current = self.stage.machine.timer_generation(&due.timer);
        (current == Some(due.generation)).then_some(session)
    }

    fn asked_by(&self, number: u32) -> SessionId {
        self.stage.asked_by[number as usize - 1]
    }
}

#[test]
fn no_promise_is_broken_in_any_order_of_happenings() {
    let (mut acknowledged, mut expired) = (0, 0);
    for seed in 1..=300 {
        let mut witness = Witness::new(seed);
        for _ in 0..600 {
            witness.step();
        }
        acknowledged += witness.acknowledged;
        expired += witness.expired;
    }
    // A run in which nothing happened proves nothing.
    assert!(acknowledged > 5000, "only {acknowledged} acknowledgements");
    assert!(expired > 500, "only {expired} expiries");
}

#[test]
fn everybody_gets_an_answer_and_the_dead_expire_once_the_cluster_is_well() {
    for seed in 1001..=1100 {
        let mut witness = Witness::new(seed);
        for _ in 0..300 {
            witness.step();
        }
        let mut stage = witness.stage;
        for command in witness.unknown {
            stage.apply(command);
        }
        stage.settle();
        // Twice: a lost expiry is proposed again only after a confirmed full period.
        stage.run(2 * PERIOD + SECOND);
        for number in 1..=stage.asked_by.len() as u32 {
            assert!(stage.answer(number).is_some(), "seed {seed}: {number} has no answer");
        }
        let alive: Vec<_> = stage.opened.iter().filter(|key| stage.lives(**key)).collect();
        assert!(alive.is_empty(), "seed {seed}: never expired: {alive:?}");
    }
}
