//! Keepalives: when the next one is due, which are unanswered, and when silence means that the stream is dead.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

#[derive(Debug)]
pub(crate) struct Pulse {
    every: Duration,
    /// An unanswered keepalive older than this: the node does not serve, try another one.
    overdue: Duration,
    number: u64,
    sent: Moment,
    /// Of this stream: acknowledgements never cross streams.
    unanswered: VecDeque<(u64, Moment)>,
}

impl Pulse {
    pub(crate) fn new(ttl: Duration, now: Moment) -> Self {
        Self {
            every: ttl / 5,
            overdue: (ttl / 4).clamp(Duration::from_millis(300), Duration::from_millis(2500)),
            number: 0,
            sent: now,
            unanswered: VecDeque::new(),
        }
    }

    pub(crate) fn is_due(&self, now: Moment) -> bool {
        now.since(self.sent) >= self.every
    }

    pub(crate) fn is_overdue(&self, now: Moment) -> bool {
        self.unanswered.front().is_some_and(|(_, sent)| now.since(*sent) >= self.overdue)
    }

    /// One is sent now: its number.
    pub(crate) fn beat(&mut self, now: Moment) -> u64 {
        self.number += 1;
        self.sent = now;
        self.unanswered.push_back((self.number, now));
        self.number
    }

    /// When the acknowledged keepalive was sent; none for a number that is not awaited.
    pub(crate) fn answered(&mut self, number: u64) -> Option<Moment> {
        let at = self.unanswered.iter().position(|(sent, _)| *sent == number)?;
        self.unanswered.drain(..=at).next_back().map(|(_, sent)| sent)
    }

    /// The stream is gone, and with it its acknowledgements.
    pub(crate) fn forget(&mut self) {
        self.unanswered.clear();
    }
}
