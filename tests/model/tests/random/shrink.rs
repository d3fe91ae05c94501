//! Makes a failing case smaller by leaving steps out, and tells it so that a reader can follow and repeat it.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::case::{Case, Failure, Tamper};
use crate::{PERIOD, STEPS, run};

/// Long enough for a few dozen steps to remain; the seed alone reproduces in any case.
const SHRINK_AT_MOST: Duration = Duration::from_secs(40);

/// The story of the failure, as small as it gets.
pub(crate) struct Report {
    pub(crate) steps: usize,
    pub(crate) text: String,
}

pub(crate) fn report(number: u64, tamper: Tamper, first: Failure) -> Report {
    let mut seeds = Case::seeds(number, STEPS);
    seeds.truncate(first.log.len());
    let steps = seeds.len();
    // Without a look at everything it is told fastest; with one after each step soonest; if neither tells, keep the period.
    let tells = |period| run(number, tamper, &seeds, period).is_err();
    let period = [usize::MAX, 1].into_iter().find(|period| tells(*period)).unwrap_or(PERIOD);
    let smallest = shrink(number, tamper, seeds, period).unwrap_or(first);
    let mut text = format!("case {number} fails at step {steps}; a smaller case of it:\n");
    for ((context, command), step) in smallest.log.iter().zip(&smallest.expected) {
        let (term, stamp_ms) = (context.term, context.stamp_ms);
        let _ = writeln!(text, "* term {term}, stamp {stamp_ms}: {command:?}");
        let _ = writeln!(text, "    expected: {:?} {:?}", step.outcome, step.events);
    }
    let _ = writeln!(text, "{}", smallest.what);
    let _ = write!(
        text,
        "again: CONCLAVE_MODEL_FIRST={number} CONCLAVE_MODEL_CASES=1 cargo test -p conclave-model"
    );
    Report { steps: smallest.log.len(), text }
}

/// Leaves out halves, quarters, ... single steps, as long as the rest still fails. `None`: it does not fail again.
fn shrink(number: u64, tamper: Tamper, mut seeds: Vec<u64>, period: usize) -> Option<Failure> {
    let until = Instant::now() + SHRINK_AT_MOST;
    let mut smallest = run(number, tamper, &seeds, period).err()?;
    seeds.truncate(smallest.log.len());
    let mut chunk = seeds.len().div_ceil(2);
    loop {
        let before = seeds.len();
        let mut at = 0;
        while at < seeds.len() && Instant::now() < until {
            let mut fewer = seeds.clone();
            fewer.drain(at..(at + chunk).min(seeds.len()));
            match run(number, tamper, &fewer, period) {
                Err(failure) if !fewer.is_empty() => {
                    fewer.truncate(failure.log.len());
                    (seeds, smallest) = (fewer, failure);
                }
                Ok(_) | Err(_) => at += chunk,
            }
        }
        if Instant::now() >= until || (chunk == 1 && seeds.len() == before) {
            return Some(smallest);
        }
        chunk = chunk.div_ceil(2);
    }
}
