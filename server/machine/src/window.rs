//! The replay window of a session: the answers that its client has not seen yet, so that a retry is answered and never
//! run again. What is recorded and what is not stands in RULES.md.

use alloc::collections::{BTreeMap, VecDeque};

use crate::ids::Seq;
use crate::limits::{ENDS_MAX, WINDOW_MAX};
use crate::record::Recorded;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowEntry {
    /// None: cancelled before it was seen, whatever its body is.
    pub(crate) fingerprint: Option<u64>,
    pub(crate) answer: Recorded,
}

#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// Only seqs above `seen_through`.
    entries: BTreeMap<Seq, WindowEntry>,
    /// How the last waits passed, failed or ran out of time, the latest at the back. Beside the entries, since a client confirms a seq when it
    /// hears that it was queued, and may be away when the wait ends: it asks again, and must not be told that nobody knows.
    ends: VecDeque<(Seq, WindowEntry)>,
    /// Zero: nothing was seen.
    seen_through: Seq,
    /// Zero: nothing was recorded.
    seq_max: Seq,
}

impl Window {
    pub(crate) fn new(seen_through: Seq, seq_max: Seq) -> Self {
        Self { entries: BTreeMap::new(), ends: VecDeque::new(), seen_through, seq_max }
    }

    pub(crate) const fn seen_through(&self) -> Seq {
        self.seen_through
    }

    pub(crate) const fn seq_max(&self) -> Seq {
        self.seq_max
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= WINDOW_MAX
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<&WindowEntry> {
        self.entries.get(&seq).or_else(|| self.end(seq))
    }

    fn end(&self, seq: Seq) -> Option<&WindowEntry> {
        self.ends.iter().find(|(of, _)| *of == seq).map(|(_, end)| end)
    }

    /// Not confirmed yet.
    pub(crate) fn is_recorded(&self, seq: Seq) -> bool {
        self.entries.contains_key(&seq)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Seq, &WindowEntry)> {
        self.entries.iter().map(|(seq, entry)| (*seq, entry))
    }

    /// In the order in which they ended.
    pub(crate) fn ends(&self) -> impl ExactSizeIterator<Item = (Seq, &WindowEntry)> {
        self.ends.iter().map(|(seq, entry)| (*seq, entry))
    }

    /// The client saw everything up to and with `seq`; it never unsees anything.
    pub(crate) fn see_through(&mut self, seq: Seq) {
        if seq <= self.seen_through {
            return;
        }
        self.seen_through = seq;
        while let Some(first) = self.entries.first_entry() {
            if *first.key() > seq {
                break;
            }
            first.remove();
        }
    }

    /// The answer of a new seq.
    pub(crate) fn record(&mut self, seq: Seq, fingerprint: Option<u64>, answer: Recorded) {
        self.seq_max = self.seq_max.max(seq);
        self.entries.insert(seq, WindowEntry { fingerprint, answer });
    }

    /// Puts back what a snapshot remembers.
    pub(crate) fn restore(&mut self, seq: Seq, entry: WindowEntry) {
        self.entries.insert(seq, entry);
    }

    /// The highest seq of the window; none: it is empty.
    pub(crate) fn last_seq(&self) -> Option<Seq> {
        self.entries.last_key_value().map(|(seq, _)| *seq)
    }

    /// A wait was granted. From here on the hold answers for it.
    pub(crate) fn granted(&mut self, seq: Seq, answer: Recorded) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.answer = answer;
        }
    }

    /// A wait ended without a grant. What its own client did to it (cancelled) is nothing to be remembered for it.
    pub(crate) fn ended(&mut self, seq: Seq, fingerprint: u64, answer: Recorded) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.answer = answer.clone();
        }
        if answer == Recorded::Cancelled {
            return;
        }
        if self.ends.len() == ENDS_MAX {
            self.ends.pop_front();
        }
        self.restore_end(seq, WindowEntry { fingerprint: Some(fingerprint), answer });
    }

    /// Puts back what a snapshot remembers.
    pub(crate) fn restore_end(&mut self, seq: Seq, entry: WindowEntry) {
        self.ends.push_back((seq, entry));
    }

    /// The client says what it still waits for: it has heard how everything else ended.
    pub(crate) fn forget_ends(&mut self, heard: impl Fn(Seq) -> bool) {
        self.ends.retain(|(seq, _)| !heard(*seq));
    }

    /// The client that could ask for these answers is fenced out: its seqs are all over.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
        self.ends.clear();
        self.seen_through = self.seen_through.max(self.seq_max);
    }

    /// The first seq that was never used. Seqs and `seen_through` are below `u64::MAX`.
    pub(crate) fn next_seq(&self) -> Seq {
        Seq(self.seen_through.max(self.seq_max).0 + 1)
    }
}
