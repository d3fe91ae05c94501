//! When a command must be told to stop, and when it must be dead, counted from the last sign of life of the cluster.
//! Pure arithmetic on the clock that counts through suspend.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// An instant of CLOCK_BOOTTIME: time since boot, suspend included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Boot(Duration);

impl Boot {
    /// The clock never fails on Linux; if it did, everything would count as overdue, which is the safe side.
    pub(crate) fn now() -> Self {
        Self(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from))
    }

    #[cfg(test)]
    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub(crate) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    pub(crate) fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }

    /// Zero when `earlier` is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the supervisor knows of the lease: its length and when the last acknowledged keepalive was sent.
/// In this order lie: sent < jeopardy (2/3) < kill (0.85) < the client's own deadline (0.9) < the server's (1.1 TTL).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    ttl: Duration,
    sent: Boot,
}

impl Lease {
    pub(crate) const fn new(ttl: Duration, sent: Boot) -> Self {
        Self { ttl, sent }
    }

    /// A keepalive that was sent at `sent` was acknowledged. An older one changes nothing.
    pub(crate) fn renew(&mut self, sent: Boot) {
        self.sent = self.sent.max(sent);
    }

    /// The command is told to stop.
    pub(crate) fn jeopardy_at(&self) -> Boot {
        self.sent.plus(self.ttl * 2 / 3)
    }

    /// The whole group is killed, whatever it does.
    pub(crate) fn kill_at(&self) -> Boot {
        self.sent.plus(self.ttl * 85 / 100)
    }
}

/// The longest time between TERM and KILL that fits between jeopardy and the kill.
pub(crate) fn grace_max(ttl: Duration) -> Duration {
    ttl * 18 / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadlines_are_in_order_for_every_ttl() {
        for ttl_ms in [100, 101, 999, 4_800, 10_000, 600_000] {
            let ttl = Duration::from_millis(ttl_ms);
            let sent = Boot::from_millis(5_000);
            let lease = Lease::new(ttl, sent);
            assert!(sent < lease.jeopardy_at());
            assert!(lease.jeopardy_at().plus(grace_max(ttl)) <= lease.kill_at(), "{ttl_ms}");
            assert!(lease.kill_at() < sent.plus(ttl / 10 * 9), "before the client's deadline");
        }
    }

    #[test]
    fn ten_seconds_in_figures() {
        let lease = Lease::new(Duration::from_secs(9), Boot::from_millis(0));
        assert_eq!(lease.jeopardy_at(), Boot::from_millis(6_000));
        assert_eq!(lease.kill_at(), Boot::from_millis(7_650));
        assert_eq!(grace_max(Duration::from_secs(10)), Duration::from_millis(1_800));
    }

    #[test]
    fn an_older_acknowledgement_shortens_nothing() {
        let mut lease = Lease::new(Duration::from_secs(9), Boot::from_millis(5_000));
        lease.renew(Boot::from_millis(1_000));
        assert_eq!(lease.jeopardy_at(), Boot::from_millis(11_000));
    }

    #[test]
    fn the_clock_moves_forward() {
        let earlier = Boot::now();
        assert!(Boot::now() >= earlier);
        assert!(earlier > Boot::from_millis(0));
    }
}
