//! Cycles and errors of the clients of one session.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Three digits are more than a busy machine repeats.
const DIGITS: u8 = 3;

#[derive(Debug)]
pub(super) struct Tally {
    /// In microseconds. Locked for a few nanoseconds by tasks that share few threads.
    cycles: Mutex<Histogram<u64>>,
    errors: AtomicU64,
}

fn empty() -> Histogram<u64> {
    // Three is a valid number of digits; the range grows by itself.
    Histogram::new(DIGITS).expect("a valid precision")
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { cycles: Mutex::new(empty()), errors: AtomicU64::new(0) }
    }

    pub(super) fn cycle(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut cycles = self.cycles.lock().unwrap_or_else(PoisonError::into_inner);
        // Only a value beyond what 64 bits can index fails: 292,000 years.
        let _never = cycles.record(micros.max(1));
    }

    pub(super) fn error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.cycles.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// All together.
pub(super) fn sum(tallies: &[Arc<Tally>]) -> (Histogram<u64>, u64) {
    let mut all = empty();
    let mut errors = 0;
    for tally in tallies {
        let cycles = tally.cycles.lock().unwrap_or_else(PoisonError::into_inner);
        // Both grow by themselves and have the same precision.
        let _never = all.add(&*cycles);
        errors += tally.errors.load(Ordering::Relaxed);
    }
    (all, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_all_cycles_and_errors() {
        let tallies = [Arc::new(Tally::new()), Arc::new(Tally::new())];
        for micros in 1..=99 {
            tallies[0].cycle(Duration::from_micros(micros));
        }
        tallies[1].cycle(Duration::from_secs(70));
        tallies[1].error();
        let (all, errors) = sum(&tallies);
        assert_eq!((all.len(), errors), (100, 1));
        assert_eq!(all.value_at_quantile(0.5), 50);
        assert!(all.max().abs_diff(70_000_000) < 70_000, "{}", all.max());
        assert_eq!(tallies[0].count(), 99);
    }
}
