//! The only clock this crate decides by: it counts through suspend, so that a laptop lid or a paused machine never
//! makes a client believe in a lease that is over. Never the wall clock, never `std::time::Instant`.

#[cfg(test)]
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// An instant of a [`Clock`], in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn nanos(self) -> u64 {
        self.0
    }

    /// Saturates at the end of time (584 years after boot).
    pub(crate) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Zero when `earlier` is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Where the time comes from.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    /// CLOCK_BOOTTIME of this machine.
    Boot,
    /// The time of the runtime since that instant: of a simulation.
    Runtime(Instant),
    /// A clock that a test moves.
    #[cfg(test)]
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at 1,000 s until [`Clock::advance`].
    #[cfg(test)]
    pub(crate) fn manual() -> Self {
        Self::Manual(Arc::new(AtomicU64::new(1_000_000_000_000)))
    }

    #[cfg(test)]
    pub(crate) fn advance(&self, span: Duration) {
        match self {
            Self::Boot | Self::Runtime(_) => panic!("the machine's clock cannot be moved"),
            Self::Manual(nanos) => {
                nanos.fetch_add(
                    u64::try_from(span.as_nanos()).expect("a short span"),
                    Ordering::SeqCst,
                );
            }
        }
    }

    pub(crate) fn now(&self) -> Moment {
        match self {
            Self::Boot => {
                let time = clock_gettime(ClockId::Boottime);
                // Both parts are never negative on this clock.
                let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
                let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
                Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
            }
            Self::Runtime(zero) => Moment(0).plus(zero.elapsed()),
            #[cfg(test)]
            Self::Manual(nanos) => Moment(nanos.load(Ordering::SeqCst)),
        }
    }

    /// How often a session looks at this clock, given its TTL: every 100 ms, more often for the short TTLs of tests.
    pub(crate) fn tick(&self, ttl: Duration) -> Duration {
        match self {
            Self::Boot | Self::Runtime(_) => {
                (ttl / 50).clamp(Duration::from_millis(5), Duration::from_millis(100))
            }
            // A moved clock must be noticed at once.
            #[cfg(test)]
            Self::Manual(_) => Duration::from_millis(1),
        }
    }
}
