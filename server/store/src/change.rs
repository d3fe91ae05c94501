//! One change of the log, on its way from the caller to the disk. Made by `rules`, so it can always be applied.

use crate::port::{LogEntry, LogPosition, StoredVote};

pub(crate) enum Change {
    Vote(StoredVote),
    Committed(LogPosition),
    Append(Vec<LogEntry>),
    /// Entries from `from` on go away; `keep` is the last position that stays.
    Truncate {
        from: u64,
        keep: Option<LogPosition>,
    },
    Purge(LogPosition),
    /// Changes nothing: somebody waits for what stands before it.
    Barrier,
}

impl Change {
    /// What it occupies in memory and on disk, at most, for limits.
    pub(crate) fn bytes(&self) -> usize {
        // Of a record beside the payload: kind, position, lengths and checksum.
        const RECORD_BYTES: usize = 96;
        match self {
            Change::Append(entries) => {
                entries.iter().map(|entry| entry.payload.len() + RECORD_BYTES).sum()
            }
            Change::Vote(_) | Change::Committed(_) | Change::Truncate { .. } => RECORD_BYTES,
            Change::Purge(_) => 2 * RECORD_BYTES,
            Change::Barrier => 0,
        }
    }

    /// Records that it becomes, at most.
    pub(crate) fn records(&self) -> usize {
        match self {
            Change::Append(entries) => entries.len(),
            Change::Vote(_) | Change::Committed(_) | Change::Truncate { .. } => 1,
            // An uncommitted end of a higher term is truncated first.
            Change::Purge(_) => 2,
            Change::Barrier => 0,
        }
    }

    /// The lowest index whose entry it replaces or adds.
    pub(crate) fn first_index(&self) -> Option<u64> {
        match self {
            Change::Append(entries) => entries.first().map(|entry| entry.position.index),
            Change::Truncate { from, keep: _ } => Some(*from),
            Change::Vote(_) | Change::Committed(_) | Change::Purge(_) | Change::Barrier => None,
        }
    }
}
