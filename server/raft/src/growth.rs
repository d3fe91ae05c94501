//! How many bytes the log grew by and where, so that it can be bounded by bytes and not only by entries.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes between two marks: how exact the answers are.
const MARK_BYTES: u64 = 1 << 20;
/// Marks kept; older growth is forgotten, it was cut off long ago.
const MARKS_MAX: usize = 4096;

/// A cheap handle. Counts from the start of the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Growth {
    shared: Arc<Mutex<Counted>>,
}

#[derive(Debug, Default)]
struct Counted {
    total: u64,
    /// Index of an entry, and the bytes up to and with it.
    marks: VecDeque<(u64, u64)>,
}

impl Growth {
    pub(crate) fn appended(&self, last_index: u64, bytes: u64) {
        let mut counted = self.counted();
        counted.total += bytes;
        let total = counted.total;
        let marked = counted.marks.back().map_or(0, |(_, total)| *total);
        if total - marked >= MARK_BYTES {
            // A truncated tail was appended in vain; its marks must not stand above what replaced it.
            while counted.marks.back().is_some_and(|(index, _)| *index >= last_index) {
                counted.marks.pop_back();
            }
            counted.marks.push_back((last_index, total));
            if counted.marks.len() > MARKS_MAX {
                counted.marks.pop_front();
            }
        }
    }

    /// Bytes appended behind this entry, give or take a mark.
    pub(crate) fn behind(&self, index: u64) -> u64 {
        let counted = self.counted();
        let below = counted.marks.partition_point(|(marked, _)| *marked <= index);
        let before = below.checked_sub(1).map_or(0, |last| counted.marks[last].1);
        counted.total - before
    }

    /// The last entry behind which at least so many bytes were appended. None: the log has not grown by so much.
    pub(crate) fn cut(&self, keep_bytes: u64) -> Option<u64> {
        let counted = self.counted();
        let enough = |(_, total): &(u64, u64)| counted.total - total >= keep_bytes;
        let far = counted.marks.partition_point(enough);
        far.checked_sub(1).map(|last| counted.marks[last].0)
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(entries: u64) -> Growth {
        let growth = Growth::default();
        for index in 1..=entries {
            growth.appended(index, MARK_BYTES);
        }
        growth
    }

    #[test]
    fn growth_is_told_behind_an_entry() {
        let growth = grown(10);
        assert_eq!(growth.behind(0), 10 * MARK_BYTES);
        assert_eq!(growth.behind(7), 3 * MARK_BYTES);
        assert_eq!(growth.behind(100), 0);
    }

    #[test]
    fn a_cut_leaves_what_is_to_be_kept() {
        let growth = grown(10);
        assert_eq!(growth.cut(3 * MARK_BYTES), Some(7));
        assert_eq!(growth.cut(0), Some(10));
        assert_eq!(growth.cut(11 * MARK_BYTES), None);
    }

    #[test]
    fn small_entries_share_a_mark() {
        let growth = Growth::default();
        for index in 1..=3000 {
            growth.appended(index, 1024);
        }
        assert_eq!(growth.cut(MARK_BYTES), Some(1024));
        assert_eq!(growth.cut(3000 * 1024), None);
    }

    #[test]
    fn what_was_truncated_leaves_no_mark_above_its_place() {
        let growth = grown(10);
        growth.appended(5, MARK_BYTES);
        assert_eq!(growth.behind(5), 0);
        assert_eq!(growth.cut(MARK_BYTES), Some(4));
    }
}
