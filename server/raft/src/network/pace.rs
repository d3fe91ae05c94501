//! How long a snapshot on its way may take: it must never stand still for long, and altogether it has time by its size. One limit
//! for the whole would never let a large state through a slow link.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::sync::watch;

use crate::clock::Clock;

/// Bytes a second that any link and any disk manages.
const BYTES_A_SECOND_MIN: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    still_max: Duration,
    total_max: Duration,
    /// Changes with every part that was taken; closed: all were.
    taken: watch::Receiver<()>,
}

impl Pace {
    /// Watches over the parts of a snapshot of so many bytes while they are taken.
    pub(super) fn over<P: Send>(
        parts: impl Stream<Item = P> + Send,
        bytes: u64,
        still_max: Duration,
        clock: Clock,
    ) -> (impl Stream<Item = P> + Send, Self) {
        let (sender, taken) = watch::channel(());
        let parts = parts.inspect(move |_| {
            sender.send_replace(());
        });
        let total_max = still_max + Duration::from_secs(bytes / BYTES_A_SECOND_MIN);
        (parts, Self { clock, still_max, total_max, taken })
    }

    /// Resolves with the limit that was not kept.
    pub(super) async fn exceeded(mut self) -> Duration {
        let end = self.clock.now() + self.total_max;
        let mut all_taken = false;
        loop {
            let still_until = self.clock.now() + self.still_max;
            // When all is taken, it is being installed, of which nothing can be seen from here.
            let until = if all_taken { end } else { still_until.min(end) };
            tokio::select! {
                biased;
                taken = self.taken.changed(), if !all_taken => all_taken = taken.is_err(),
                () = self.clock.sleep_until(until) => {
                    return if until == end { self.total_max } else { self.still_max };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use futures::{FutureExt as _, stream};

    const STILL_MAX: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);
    const MEGABYTE: u64 = 1 << 20;

    #[test]
    fn a_large_snapshot_may_take_long_as_long_as_it_moves() {
        let clock = ManualClock::new();
        let parts = stream::iter(0..100);
        let (mut parts, pace) =
            Pace::over(parts, 3000 * MEGABYTE, STILL_MAX, Clock::Manual(clock.clone()));
        let mut exceeded = std::pin::pin!(pace.exceeded());
        for _ in 0..100 {
            assert_eq!(exceeded.as_mut().now_or_never(), None);
            assert!(parts.next().now_or_never().flatten().is_some());
            assert_eq!(exceeded.as_mut().now_or_never(), None);
            clock.advance(STILL_MAX - SECOND);
        }
        // All that is known of the rest is how long it may take altogether.
        drop(parts);
        assert_eq!(exceeded.as_mut().now_or_never(), None);
        clock.advance(100 * SECOND);
        assert_eq!(exceeded.as_mut().now_or_never(), None);
        clock.advance(30 * SECOND);
        assert_eq!(exceeded.as_mut().now_or_never(), Some(3030 * SECOND));
    }

    #[test]
    fn a_snapshot_that_stands_still_is_given_up() {
        let clock = ManualClock::new();
        let parts = stream::iter(0..100);
        let (mut parts, pace) =
            Pace::over(parts, 3000 * MEGABYTE, STILL_MAX, Clock::Manual(clock.clone()));
        let mut exceeded = std::pin::pin!(pace.exceeded());
        assert_eq!(exceeded.as_mut().now_or_never(), None);
        clock.advance(STILL_MAX - SECOND);
        assert!(parts.next().now_or_never().flatten().is_some());
        assert_eq!(exceeded.as_mut().now_or_never(), None);
        clock.advance(STILL_MAX - SECOND);
        assert_eq!(exceeded.as_mut().now_or_never(), None);
        clock.advance(SECOND);
        assert_eq!(exceeded.as_mut().now_or_never(), Some(STILL_MAX));
    }

    #[test]
    fn a_small_snapshot_that_trickles_is_given_up_in_time() {
        let clock = ManualClock::new();
        let parts = stream::iter(0..100);
        let (mut parts, pace) =
            Pace::over(parts, 5 * MEGABYTE, STILL_MAX, Clock::Manual(clock.clone()));
        let mut exceeded = std::pin::pin!(pace.exceeded());
        for _ in 0..34 {
            assert_eq!(exceeded.as_mut().now_or_never(), None);
            assert!(parts.next().now_or_never().flatten().is_some());
            clock.advance(SECOND);
        }
        assert_eq!(exceeded.as_mut().now_or_never(), None);
        clock.advance(SECOND);
        assert_eq!(exceeded.as_mut().now_or_never(), Some(35 * SECOND));
    }
}
