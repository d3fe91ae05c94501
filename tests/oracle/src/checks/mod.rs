//! One file for each thing that must hold.

mod answers;
mod beliefs;
mod bounded_expiry;
mod dead_sessions;
mod drained;
mod durable;
mod early_expiry;
mod fifo;
mod holders;
mod moments;
mod order;
mod reads;
mod replicas;
mod rules;
mod tokens;
mod watches;
mod witnesses;

use conclave_machine::{Machine, Revision};
use conclave_model::Model;

use crate::history::History;
use crate::replay::{Replay, Visitor};
use crate::verdict::Verdict;

/// What is looked at while the log is replayed.
pub(crate) struct Passing<'a> {
    history: &'a History,
    reads: reads::Reads<'a>,
    replicas: replicas::Replicas,
}

impl<'a> Passing<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        let (reads, replicas) = (reads::Reads::of(history), replicas::Replicas::of(history));
        Self { history, reads, replicas }
    }

    pub(crate) fn conclude(self, replay: &Replay, verdict: &mut Verdict) {
        self.reads.conclude(replay, verdict);
        self.replicas.conclude(self.history, verdict);
    }
}

impl Visitor for Passing<'_> {
    fn after(&mut self, revision: Revision, model: &Model) {
        self.reads.after(revision, model);
    }

    fn after_entry(&mut self, index: u64, revision: Revision, machine: &Machine) {
        self.replicas.after_entry(index, revision, machine);
    }
}

pub(crate) fn all(history: &History, replay: &Replay, verdict: &mut Verdict) {
    answers::check(history, replay, verdict);
    durable::check(history, replay, verdict);
    order::check(history, verdict);
    tokens::of_clients(history, verdict);
    dead_sessions::of_clients(history, &replay.steps, verdict);
    witnesses::by_rules(&replay.steps, verdict);
    witnesses::check(history, replay, verdict);
    early_expiry::check(history, replay, verdict);
    bounded_expiry::check(history, replay, verdict);
    drained::check(history, replay, verdict);
    watches::check(history, replay, verdict);
    beliefs::check(history, replay, verdict);
}
