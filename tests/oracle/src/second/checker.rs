//! Wing and Gong's search for a linearization, with Lowe's memory of what was tried (Testing for linearizability, 2017).
//!
//! The crate `porcupine-rs` does the same, but its release counts its benchmark tools (criterion, with C sources) among its
//! dependencies; a search of this size does not earn sixty crates.

use std::collections::HashSet;
use std::hash::Hash;

use crate::history::Micros;

/// An object as one client alone would know it.
pub(crate) trait Spec {
    type State: Clone + Eq + Hash + Default;
    type Operation: std::fmt::Debug;

    /// The state after it. None: it cannot have been answered like this in that state.
    fn step(state: &Self::State, operation: &Self::Operation) -> Option<Self::State>;
}

/// One operation as it was seen from outside.
#[derive(Debug, Clone)]
pub(crate) struct Seen<'a, O> {
    pub(crate) client: &'a str,
    pub(crate) operation: O,
    pub(crate) invoked_us: Micros,
    /// None: never answered. It may take effect at any time from its asking on, or not at all.
    pub(crate) returned_us: Option<Micros>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// There is an order in which all of it makes sense.
    Linearizable,
    /// There is none. How many could be put in order at best, and the first (by its return) that could not then.
    Impossible { ordered: usize, stuck: usize },
    /// The search was given up.
    Undecided,
}

/// Steps of a search: some seconds.
const STEPS_MAX: usize = 2_000_000;

struct Search<'a, S: Spec> {
    seen: &'a [Seen<'a, S::Operation>],
    done: Vec<bool>,
    /// All before this are done.
    low: usize,
    state: S::State,
    /// What was done, the state before it, and `low` before it.
    way: Vec<(usize, S::State, usize)>,
    tried: HashSet<(Vec<usize>, S::State)>,
}

/// `seen` in order of asking.
pub(crate) fn opinion<S: Spec>(seen: &[Seen<'_, S::Operation>]) -> Opinion {
    debug_assert!(seen.is_sorted_by_key(|one| one.invoked_us), "in order of asking");
    let mut search: Search<'_, S> = Search {
        seen,
        done: vec![false; seen.len()],
        low: 0,
        state: S::State::default(),
        way: Vec::new(),
        tried: HashSet::new(),
    };
    let mut best = (0, 0);
    let mut next = 0;
    for _ in 0..STEPS_MAX {
        let Some(stuck) = search.first_to_return() else { return Opinion::Linearizable };
        if search.way.len() >= best.0 {
            best = (search.way.len(), stuck);
        }
        let deadline = seen[stuck].returned_us.unwrap_or(Micros::MAX);
        next = match search.advance(next, deadline) {
            true => search.low,
            false => match search.back() {
                Some(next) => next,
                None => return Opinion::Impossible { ordered: best.0, stuck: best.1 },
            },
        };
    }
    Opinion::Undecided
}

impl<S: Spec> Search<'_, S> {
    /// Of what was answered and is not in order yet. None: everything is.
    fn first_to_return(&self) -> Option<usize> {
        let mut first: Option<(Micros, usize)> = None;
        for (at, one) in self.seen.iter().enumerate().skip(self.low) {
            // Whoever was asked after this returned, returns later still.
            if first.is_some_and(|(returned_us, _)| one.invoked_us > returned_us) {
                break;
            }
            let returned_us = one.returned_us.filter(|_| !self.done[at]);
            first = match (first, returned_us) {
                (Some(first), Some(returned_us)) => Some(first.min((returned_us, at))),
                (None, Some(returned_us)) => Some((returned_us, at)),
                (first, None) => first,
            };
        }
        first.map(|(_, at)| at)
    }

    /// Puts the next possible operation at or behind `from` in order; false: there is none.
    fn advance(&mut self, from: usize, deadline: Micros) -> bool {
        for at in from..self.seen.len() {
            if self.seen[at].invoked_us > deadline {
                return false;
            }
            if self.done[at] {
                continue;
            }
            let Some(state) = S::step(&self.state, &self.seen[at].operation) else { continue };
            let before = std::mem::replace(&mut self.state, state);
            let low = self.low;
            self.done[at] = true;
            while self.done.get(self.low) == Some(&true) {
                self.low += 1;
            }
            let some = self.done.iter().enumerate().skip(self.low).filter(|(_, done)| **done);
            // Everything before `low` is done, so this tells two sets apart.
            let set: Vec<_> = std::iter::once(self.low).chain(some.map(|(at, _)| at)).collect();
            if self.tried.insert((set, self.state.clone())) {
                self.way.push((at, before, low));
                return true;
            }
            (self.state, self.low) = (before, low);
            self.done[at] = false;
        }
        false
    }

    /// Takes the last one back; where to go on. None: nothing is left to try.
    fn back(&mut self) -> Option<usize> {
        let (at, state, low) = self.way.pop()?;
        (self.state, self.low) = (state, low);
        self.done[at] = false;
        Some(at + 1)
    }
}
