//! Time as the leader measures it: monotonic, from an arbitrary zero, never the wall clock. Tests drive it by hand.

use std::ops::{Add, Sub};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// An instant of one [`Clock`], in microseconds since its zero. Never compared with those of another clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    pub(crate) const ZERO: Self = Self(0);
    /// Never.
    pub(crate) const MAX: Self = Self(u64::MAX);
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        // 584,000 years of microseconds: saturation is "never".
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub for Moment {
    type Output = Duration;

    /// How long after `earlier`; zero if it is not later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Where the time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The monotonic clock of the system, as the runtime shows it.
    Real(RealClock),
    /// Stands still until it is told to move.
    Manual(ManualClock),
}

#[derive(Debug, Clone, Copy)]
pub struct RealClock {
    zero: Instant,
}

/// All clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Moment>,
}

impl Clock {
    #[must_use]
    pub fn real() -> Self {
        Self::Real(RealClock { zero: Instant::now() })
    }

    #[must_use]
    pub fn now(&self) -> Moment {
        match self {
            Self::Real(clock) => Moment::ZERO + clock.zero.elapsed(),
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Resolves at or after `moment`.
    pub async fn sleep_until(&self, moment: Moment) {
        match self {
            Self::Real(clock) => {
                let until = clock.zero + (moment - Moment::ZERO);
                tokio::time::sleep_until(until).await;
            }
            Self::Manual(clock) => {
                let mut now = clock.now.subscribe();
                // An error: the sender is gone, but it is in our hands.
                let _ = now.wait_for(|now| *now >= moment).await;
            }
        }
    }
}

impl ManualClock {
    #[must_use]
    pub fn new() -> Self {
        Self { now: watch::Sender::new(Moment::ZERO) }
    }

    #[must_use]
    pub fn now(&self) -> Moment {
        *self.now.borrow()
    }

    /// Lets time pass, in one step.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now = *now + duration);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let manual = ManualClock::new();
        let clock = Clock::Manual(manual.clone());
        assert_eq!(clock.now(), Moment::ZERO);
        manual.advance(SECOND);
        assert_eq!(clock.now() - Moment::ZERO, SECOND);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_at_its_moment_and_not_before() {
        let manual = ManualClock::new();
        let clock = Clock::Manual(manual.clone());
        let mut sleep = std::pin::pin!(clock.sleep_until(Moment::ZERO + 2 * SECOND));
        assert!(sleep.as_mut().now_or_never().is_none());
        manual.advance(SECOND);
        assert!(sleep.as_mut().now_or_never().is_none());
        manual.advance(SECOND);
        assert!(sleep.now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_real_clock_never_wakes_early() {
        let clock = Clock::real();
        let until = clock.now() + Duration::from_millis(5);
        clock.sleep_until(until).await;
        assert!(clock.now() >= until);
    }

    #[test]
    fn moments_saturate_instead_of_wrapping_into_the_past() {
        let far = Moment::ZERO + Duration::MAX;
        assert_eq!(far + SECOND, far);
        assert_eq!(Moment::ZERO - far, Duration::ZERO);
    }
}
