//! The waits that a stream serves and when their time is over. Measured here, at the edge; never part of the machine.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use conclave_machine::Seq;
use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug, Default)]
pub(super) struct Waits {
    /// None: forever, or its time is over and the log was asked.
    open: HashMap<Seq, Option<Instant>>,
    by_time: BTreeSet<(Instant, Seq)>,
    /// Set to the first of `by_time`.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Waits {
    /// The wait of `seq` stands, or stands under a new time.
    pub(super) fn begin(&mut self, seq: Seq, over_at: Option<Instant>) {
        self.end(seq);
        self.open.insert(seq, over_at);
        if let Some(over_at) = over_at {
            self.by_time.insert((over_at, seq));
        }
    }

    /// The wait of `seq` has its final answer.
    pub(super) fn end(&mut self, seq: Seq) {
        if let Some(Some(over_at)) = self.open.remove(&seq) {
            self.by_time.remove(&(over_at, seq));
        }
    }

    /// The log was asked and gave no answer: ask it again later, unless the wait ended.
    pub(super) fn again(&mut self, seq: Seq, at: Instant) {
        if self.open.contains_key(&seq) {
            self.begin(seq, Some(at));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The next wait whose time is over; told once. Pending also when there is none.
    pub(super) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<Seq> {
        let Some(&(over_at, seq)) = self.by_time.first() else {
            self.alarm = None;
            return Poll::Pending;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(over_at)));
        if alarm.deadline() != over_at {
            alarm.as_mut().reset(over_at);
        }
        ready!(alarm.as_mut().poll(context));
        self.by_time.remove(&(over_at, seq));
        self.open.insert(seq, None);
        Poll::Ready(seq)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    async fn over(waits: &mut Waits) -> (Seq, Instant) {
        let seq = poll_fn(|context| waits.poll_over(context)).await;
        (seq, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_over_in_the_order_of_their_times_and_not_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut waits = Waits::default();
        waits.begin(Seq(1), Some(at(300)));
        waits.begin(Seq(2), Some(at(100)));
        waits.begin(Seq(3), None);
        waits.begin(Seq(4), Some(at(200)));
        waits.end(Seq(4));
        assert_eq!(over(&mut waits).await, (Seq(2), at(100)));
        waits.again(Seq(2), at(150));
        waits.again(Seq(4), at(120));
        assert_eq!(over(&mut waits).await, (Seq(2), at(150)));
        // A retry of the call sets a new time.
        waits.begin(Seq(1), Some(at(500)));
        assert_eq!(over(&mut waits).await, (Seq(1), at(500)));
        waits.end(Seq(1));
        waits.end(Seq(2));
        assert!(!waits.is_empty());
        waits.end(Seq(3));
        assert!(waits.is_empty());
    }
}
