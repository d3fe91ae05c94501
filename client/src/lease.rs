//! How long a client may believe: until the last acknowledged keepalive was *sent* plus 0.9 TTL. Once that moment was
//! passed and anybody noticed, it is over for good: no acknowledgement that arrives later brings it back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;
use crate::planted::planted;

/// The lease is over for good. Set in the same word as the time, so that noticing and renewing exclude each other.
const OVER: u64 = 1 << 63;

#[derive(Debug)]
pub(crate) struct Lease {
    /// Nanoseconds of the moment at which the last acknowledged keepalive was sent, and [`OVER`].
    renewed: AtomicU64,
    ttl: Duration,
}

impl Lease {
    pub(crate) fn new(sent: Moment, ttl: Duration) -> Self {
        Self { renewed: AtomicU64::new(sent.nanos() & !OVER), ttl }
    }

    /// From the send of the acknowledged keepalive to the end of belief; the server waits for 1.1 TTL.
    fn span(&self) -> Duration {
        if planted("early client deadline missing") {
            return 2 * self.ttl;
        }
        self.ttl / 10 * 9
    }

    /// Whether the client may still believe at `now`. The first `false` is final.
    pub(crate) fn is_alive(&self, now: Moment) -> bool {
        self.change(now, None)
    }

    /// An acknowledgement of what was sent at `sent` arrived. False, and nothing renewed, if the lease was over before.
    pub(crate) fn renew(&self, sent: Moment, now: Moment) -> bool {
        let sent = if planted("lease counts from the answer") { now } else { sent };
        self.change(now, Some(sent))
    }

    fn change(&self, now: Moment, sent: Option<Moment>) -> bool {
        let mut seen = self.renewed.load(Ordering::SeqCst);
        loop {
            if seen & OVER != 0 {
                return false;
            }
            let over = now >= Moment::from_nanos(seen).plus(self.span());
            let next = match (over, sent) {
                (true, _) => seen | OVER,
                (false, Some(sent)) => seen.max(sent.nanos() & !OVER),
                (false, None) => seen,
            };
            if next == seen {
                return true;
            }
            match self.renewed.compare_exchange(seen, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return !over,
                Err(other) => seen = other,
            }
        }
    }

    /// When the last acknowledged keepalive was sent; stays known after the end.
    pub(crate) fn renewed_at(&self) -> Moment {
        Moment::from_nanos(self.renewed.load(Ordering::SeqCst) & !OVER)
    }

    /// Time left until the local deadline; zero when it is over.
    pub(crate) fn left(&self, now: Moment) -> Duration {
        if self.is_alive(now) {
            self.renewed_at().plus(self.span()).since(now)
        } else {
            Duration::ZERO
        }
    }

    /// No acknowledgement for two thirds of the TTL.
    pub(crate) fn in_jeopardy(&self, now: Moment) -> bool {
        now.since(self.renewed_at()) >= self.ttl * 2 / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn at(seconds: f64) -> Moment {
        Moment::from_nanos(1_000_000_000).plus(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn believes_for_nine_tenths_of_the_ttl_after_the_send() {
        let lease = Lease::new(at(0.0), TTL);
        assert!(lease.is_alive(at(8.999)));
        assert_eq!(lease.left(at(8.0)), Duration::from_secs(1));
        assert!(!lease.is_alive(at(9.0)));
    }

    #[test]
    fn an_acknowledgement_counts_from_its_send_not_from_its_arrival() {
        let lease = Lease::new(at(0.0), TTL);
        assert!(lease.renew(at(2.0), at(8.0)));
        assert!(lease.is_alive(at(10.9)));
        assert!(!lease.is_alive(at(11.0)));
    }

    #[test]
    fn an_older_acknowledgement_shortens_nothing() {
        let lease = Lease::new(at(5.0), TTL);
        assert!(lease.renew(at(2.0), at(6.0)));
        assert_eq!(lease.renewed_at(), at(5.0));
    }

    #[test]
    fn the_end_is_final_even_if_only_the_acknowledgement_notices_it() {
        let lease = Lease::new(at(0.0), TTL);
        assert!(!lease.renew(at(8.0), at(9.0)));
        assert!(!lease.is_alive(at(8.0)), "not even for a clock that reads earlier");
        assert_eq!(lease.left(at(8.0)), Duration::ZERO);
        assert_eq!(lease.renewed_at(), at(0.0));
    }

    #[test]
    fn jeopardy_begins_at_two_thirds() {
        let lease = Lease::new(at(0.0), Duration::from_secs(9));
        assert!(!lease.in_jeopardy(at(5.999)));
        assert!(lease.in_jeopardy(at(6.0)));
    }
}
