//! What the clock did and what became of snapshots on their way, counted for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Only ever grows, except `timers`. Read at any time; no two figures are of the same instant.
#[derive(Debug, Default)]
pub struct ClockCounters {
    /// Quorum confirmations that served a batch of keepalives or settled a doubt.
    pub confirmations: AtomicU64,
    /// Confirmations that failed or were given up.
    pub confirmations_failed: AtomicU64,
    pub keepalives_acknowledged: AtomicU64,
    pub keepalives_refused: AtomicU64,
    /// Timers that were proposed as over.
    pub dues_proposed: AtomicU64,
    /// Those of them that were of sessions.
    pub expiries_proposed: AtomicU64,
    /// Times that everybody got a full period, since the clock came late or the quorum was out of reach.
    pub extensions: AtomicU64,
    /// Waits that were timed out since nobody was attached for a TTL.
    pub orphans_timed_out: AtomicU64,
    /// Timers that run now; zero unless this node leads.
    pub timers: AtomicU64,
}

/// Snapshots between nodes. Only ever grows. Read at any time; no two figures are of the same instant.
#[derive(Debug, Default)]
pub struct SnapshotCounters {
    /// Handed to another node as a whole, and taken by it.
    pub sent: AtomicU64,
    /// That were begun and not taken: broken off, given up, refused.
    pub sends_failed: AtomicU64,
    /// That came in as a whole and are on the disk.
    pub received: AtomicU64,
    /// That came in and were refused or broke off: nothing of them is left.
    pub refused: AtomicU64,
    /// That the state of this node was replaced by.
    pub installed: AtomicU64,
    /// Of its own, found damaged when they were to be sent.
    pub damaged: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
