//! Waits that nobody is attached to, since when, and those whose TTL is over. A wait that somebody serves costs nothing here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use conclave_machine::{Seq, SessionId};

use crate::clock::Moment;

/// One wait, or (no seq) all waits of a session.
pub(crate) type Orphan = (SessionId, Option<Seq>);

#[derive(Debug, Default)]
pub(crate) struct Orphans {
    since: HashMap<Orphan, Moment>,
    /// Each key of `since` once; looked at when its time may be over.
    queue: BinaryHeap<Reverse<(Moment, Orphan)>>,
    /// Everybody counts as attached until here.
    extended_at: Moment,
    /// Waits to be timed out, as soon as there is room for proposals.
    over: VecDeque<(SessionId, Seq)>,
}

impl Orphans {
    /// The last reader is gone; a later one that came and went counts anew.
    pub(crate) fn detached(&mut self, now: Moment, orphan: Orphan, ttl: Duration) {
        if self.since.insert(orphan, now).is_none() {
            self.queue.push(Reverse((now + ttl, orphan)));
        }
    }

    pub(crate) fn extend_all(&mut self, now: Moment) {
        self.extended_at = self.extended_at.max(now);
    }

    /// The next orphan that was alone for its TTL, as far as is known here; `ttl` of none: its session is gone.
    pub(crate) fn next_due(
        &mut self,
        now: Moment,
        ttl: impl Fn(SessionId) -> Option<Duration>,
        looks_left: &mut u32,
    ) -> Option<Orphan> {
        while *looks_left > 0 {
            let &Reverse((look_at, orphan)) = self.queue.peek()?;
            if look_at > now {
                return None;
            }
            self.queue.pop();
            *looks_left -= 1;
            let (Some(&since), Some(ttl)) = (self.since.get(&orphan), ttl(orphan.0)) else {
                self.since.remove(&orphan);
                continue;
            };
            let due = since.max(self.extended_at) + ttl;
            if due > now {
                self.queue.push(Reverse((due, orphan)));
                continue;
            }
            self.since.remove(&orphan);
            return Some(orphan);
        }
        None
    }

    /// Is this wait counted by itself?
    pub(crate) fn counts(&self, session: SessionId, seq: Seq) -> bool {
        self.since.contains_key(&(session, Some(seq)))
    }

    pub(crate) fn push_over(&mut self, session: SessionId, seq: Seq) {
        self.over.push_back((session, seq));
    }

    pub(crate) fn pop_over(&mut self) -> Option<(SessionId, Seq)> {
        self.over.pop_front()
    }

    /// When the next look is due; `Moment::ZERO`: at once.
    pub(crate) fn next_look(&self) -> Option<Moment> {
        if !self.over.is_empty() {
            return Some(Moment::ZERO);
        }
        self.queue.peek().map(|&Reverse((moment, _))| moment)
    }
}
