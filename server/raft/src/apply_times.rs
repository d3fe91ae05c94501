//! How long apply was held up, counted for metrics: by each entry, and by each cut for a snapshot. Only ever grows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the counted spans, in microseconds; 20 ms is what no pause should exceed.
const LIMITS_US: [u64; 8] = [100, 500, 1_000, 5_000, 10_000, 20_000, 50_000, 200_000];

/// Read at any time; no two figures are of the same instant.
#[derive(Debug, Default)]
pub struct ApplyTimes {
    /// Of each span alone; the last one has no end.
    spans: [AtomicU64; LIMITS_US.len() + 1],
    sum_us: AtomicU64,
}

impl ApplyTimes {
    pub(crate) fn record(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let span = LIMITS_US.partition_point(|&limit_us| limit_us < took_us);
        self.spans[span].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// Each limit, and how many were not above it; then all of them, with no limit.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let limits = LIMITS_US.map(|limit_us| Some(Duration::from_micros(limit_us)));
        let limits = limits.into_iter().chain([None]);
        limits.zip(&self.spans).scan(0, |sum, (limit, span)| {
            *sum += span.load(Ordering::Relaxed);
            Some((limit, *sum))
        })
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_below_each_limit_that_it_does_not_exceed() {
        let times = ApplyTimes::default();
        for micros in [100, 101, 20_000, 20_001, 9_000_000] {
            times.record(Duration::from_micros(micros));
        }
        let counts: Vec<_> = times.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 2, 2, 2, 3, 4, 4, 5]);
        assert_eq!(times.cumulative().last(), Some((None, 5)));
        assert_eq!(times.sum(), Duration::from_micros(9_040_202));
    }
}
