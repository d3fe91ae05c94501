//! Keepalives: when the next one is due, which are unanswered, and when silence means that the stream should be replaced.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// Silence shorter than this says nothing, however little of the lease is left.
const SILENCE_MIN: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(crate) struct Pulse {
    every: Duration,
    /// An unanswered keepalive older than this is a reason to look for another stream,
    silence: Duration,
    /// twice this, four times, ... for each time that looking was futile: then the cluster is slow, and not the stream dead.
    futile: u32,
    number: u64,
    sent: Moment,
    /// Of this stream: acknowledgements never cross streams.
    unanswered: VecDeque<(u64, Moment)>,
}

impl Pulse {
    pub(crate) fn new(ttl: Duration, now: Moment) -> Self {
        Self {
            every: ttl / 5,
            silence: (ttl / 4).clamp(SILENCE_MIN, Duration::from_millis(2500)),
            futile: 0,
            number: 0,
            sent: now,
            unanswered: VecDeque::new(),
        }
    }

    pub(crate) fn is_due(&self, now: Moment) -> bool {
        now.since(self.sent) >= self.every
    }

    /// Whether the oldest unanswered keepalive has waited for too long; at the latest when `left`, what is left of the lease, is
    /// no more than it has waited already, so that there is time for another stream.
    pub(crate) fn is_overdue(&self, now: Moment, left: Duration) -> bool {
        let patience = self.silence.saturating_mul(1 << self.futile).min(left).max(SILENCE_MIN);
        self.unanswered.front().is_some_and(|(_, sent)| now.since(*sent) >= patience)
    }

    /// Whether looking for another stream was futile already, and nothing was answered quickly since.
    pub(crate) const fn was_futile(&self) -> bool {
        self.futile > 0
    }

    /// Another stream was looked for, and perhaps found: more patience with the next silence, until an answer is quick again.
    pub(crate) fn be_patient(&mut self) {
        self.futile = (self.futile + 1).min(8);
    }

    /// One is sent now: its number.
    pub(crate) fn beat(&mut self, now: Moment) -> u64 {
        self.number += 1;
        self.sent = now;
        self.unanswered.push_back((self.number, now));
        self.number
    }

    /// When the keepalive was sent that is acknowledged now; none for a number that is not awaited.
    pub(crate) fn answered(&mut self, number: u64, now: Moment) -> Option<Moment> {
        let at = self.unanswered.iter().position(|(sent, _)| *sent == number)?;
        let sent = self.unanswered.drain(..=at).next_back().map(|(_, sent)| sent)?;
        if now.since(sent) < self.silence {
            self.futile = 0;
        }
        Some(sent)
    }

    /// The stream is gone, and with it its acknowledgements.
    pub(crate) fn forget(&mut self) {
        self.unanswered.clear();
    }
}
