//! The newest entries of the log, in memory, so that they are readable as soon as `append` returned and readers
//! rarely meet the writer. Covers the indexes from `first` to the last one, without a hole.

use std::collections::VecDeque;

use crate::limits::{TAIL_BYTES, TAIL_ENTRIES};
use crate::port::{LogEntry, LogPosition};

pub(crate) struct Tail {
    first: u64,
    entries: VecDeque<LogEntry>,
    bytes: usize,
}

impl Tail {
    /// Empty; the next entry has index `first`.
    pub(crate) fn starting_at(first: u64) -> Self {
        Self { first, entries: VecDeque::new(), bytes: 0 }
    }

    /// Everything below this index must be asked of raft-log.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn push(&mut self, entry: LogEntry) {
        if self.entries.is_empty() {
            self.first = entry.position.index;
        }
        debug_assert_eq!(self.first + self.entries.len() as u64, entry.position.index);
        self.bytes += entry.payload.len();
        self.entries.push_back(entry);
    }

    pub(crate) fn position(&self, index: u64) -> Option<LogPosition> {
        let offset = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.entries.get(offset).map(|entry| entry.position)
    }

    /// Copies entries from `start` up to `end` until `budget` is used up.
    pub(crate) fn copy(&self, start: u64, end: u64, budget: &mut Budget, into: &mut Vec<LogEntry>) {
        let skip = start.saturating_sub(self.first);
        let count = end.saturating_sub(start.max(self.first));
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        for entry in self.entries.iter().skip(skip).take(count) {
            if !budget.take(entry.payload.len()) {
                return;
            }
            into.push(entry.clone());
        }
    }

    /// Removes every entry from index `from` on.
    pub(crate) fn truncate(&mut self, from: u64) {
        while let Some(last) = self.entries.back()
            && last.position.index >= from
        {
            self.bytes -= last.payload.len();
            self.entries.pop_back();
        }
        if self.entries.is_empty() {
            self.first = from.min(self.first);
        }
    }

    /// Removes every entry up to and with `upto`.
    pub(crate) fn purge(&mut self, upto: u64) {
        while self.entries.front().is_some_and(|first| first.position.index <= upto) {
            self.pop_first();
        }
        if self.entries.is_empty() {
            self.first = self.first.max(upto + 1);
        }
    }

    /// Forgets the oldest entries over the limits, but only those below `below`: the others are nowhere else yet.
    pub(crate) fn trim(&mut self, below: u64) {
        while (self.bytes > TAIL_BYTES || self.entries.len() > TAIL_ENTRIES) && self.first < below {
            self.pop_first();
        }
    }

    fn pop_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.bytes -= first.payload.len();
            self.first = first.position.index + 1;
        }
    }
}

/// How many bytes of payload a read may still collect. The first entry is always admitted.
pub(crate) struct Budget {
    left: usize,
    first: bool,
    exhausted: bool,
}

impl Budget {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { left: max_bytes, first: true, exhausted: false }
    }

    /// Whether an entry of that size may be taken; after a refusal nothing may be.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        if self.exhausted || (!self.first && bytes > self.left) {
            self.exhausted = true;
            return false;
        }
        self.first = false;
        self.left = self.left.saturating_sub(bytes);
        true
    }

    pub(crate) fn exhausted(&self) -> bool {
        self.exhausted
    }
}
