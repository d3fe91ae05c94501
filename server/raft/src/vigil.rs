//! Keepalives between their arrival and their answer: gathered, in the batch that is being confirmed, confirmed and still to be
//! judged, or held back while the expiry of their session is under way.

use std::collections::{HashMap, VecDeque};

use conclave_machine::{LossNumber, Revision, SessionId, SessionKey};

use crate::clock::Moment;
use crate::keepalive::KeepAliveError;

/// A keepalive; `reply` says where its answer goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<T> {
    pub(crate) key: SessionKey,
    pub(crate) losses_seen_through: LossNumber,
    pub(crate) reply: T,
    /// Its key fitted when it arrived, so it stands against the expiry of its session.
    pub(crate) counted: bool,
}

/// How a confirmation ended: the machine is at or past this revision, or nothing was confirmed.
pub(crate) type Verdict = Result<Revision, KeepAliveError>;

/// What one confirmation serves, however many: when the majority is slow, whoever was left out would wait twice as long. May be
/// empty, to settle a doubt.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) number: u64,
    pub(crate) started: Moment,
    pub(crate) asked: VecDeque<Asked<T>>,
}

#[derive(Debug)]
pub(crate) struct Vigil<T> {
    gathered: VecDeque<Asked<T>>,
    /// The confirmation under way.
    batch: Option<Batch<T>>,
    /// Whose confirmation ended, in its order; none is empty.
    ended: VecDeque<(VecDeque<Asked<T>>, Verdict)>,
    held: HashMap<SessionId, Vec<Asked<T>>>,
}

impl<T> Vigil<T> {
    pub(crate) fn new() -> Self {
        Self {
            gathered: VecDeque::new(),
            batch: None,
            ended: VecDeque::new(),
            held: HashMap::new(),
        }
    }

    /// Waits for a confirmation that starts later than now.
    pub(crate) fn gather(&mut self, asked: Asked<T>) {
        self.gathered.push_back(asked);
    }

    /// Waits until [`Self::release`].
    pub(crate) fn hold(&mut self, asked: Asked<T>) {
        self.held.entry(asked.key.id).or_default().push(asked);
    }

    pub(crate) fn release(&mut self, session: SessionId) -> Vec<Asked<T>> {
        self.held.remove(&session).unwrap_or_default()
    }

    pub(crate) fn is_gathering(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// When the confirmation under way started.
    pub(crate) fn confirming_since(&self) -> Option<Moment> {
        self.batch.as_ref().map(|batch| batch.started)
    }

    /// The gathered become the batch. Only while none is under way.
    pub(crate) fn start(&mut self, now: Moment, number: u64) {
        assert!(self.batch.is_none(), "one confirmation at a time");
        let asked = std::mem::take(&mut self.gathered);
        self.batch = Some(Batch { number, started: now, asked });
    }

    /// The batch of this number, if it is still the one under way.
    pub(crate) fn finish(&mut self, number: u64) -> Option<Batch<T>> {
        self.batch.take_if(|batch| batch.number == number)
    }

    /// The confirmation of these ended.
    pub(crate) fn end(&mut self, asked: VecDeque<Asked<T>>, verdict: Verdict) {
        if !asked.is_empty() {
            self.ended.push_back((asked, verdict));
        }
    }

    /// The next one whose confirmation ended.
    pub(crate) fn next_ended(&mut self) -> Option<(Asked<T>, Verdict)> {
        let (asked, verdict) = self.ended.front_mut()?;
        let next = asked.pop_front()?;
        let verdict = verdict.clone();
        if asked.is_empty() {
            self.ended.pop_front();
        }
        Some((next, verdict))
    }

    /// Some are still to be judged.
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// All that wait, wherever.
    pub(crate) fn into_all(self) -> impl Iterator<Item = Asked<T>> {
        let ended = self.ended.into_iter().flat_map(|(asked, _)| asked);
        let batch = self.batch.into_iter().flat_map(|batch| batch.asked);
        ended.chain(batch).chain(self.gathered).chain(self.held.into_values().flatten())
    }
}
