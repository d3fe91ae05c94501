//! raft-log's write side, and how much its open chunk still takes: making the next file waits for the disk, which only the
//! writer's own thread may do.

use std::io;

use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;

use crate::change::Change;
use crate::port::{LogEntry, LogPosition};
use crate::wal_codec::{WalPayload, WalTypes, WalVote};
use crate::wal_open::WalOptions;
use crate::wal_writer::Completion;

/// With less room than this the open chunk is measured, since room is counted down by what records are at most.
const LOW_RECORDS: usize = 1 << 10;
const LOW_BYTES: usize = 256 << 10;

pub(crate) struct Files {
    pub(crate) log: RaftLog<WalTypes>,
    options: WalOptions,
    /// Records and bytes that surely fit into the open chunk.
    room: (usize, usize),
}

impl Files {
    pub(crate) fn new(log: RaftLog<WalTypes>, options: WalOptions) -> Self {
        let mut files = Self { log, options, room: (0, 0) };
        files.measure();
        files
    }

    /// Whether these can be written without making a new file.
    pub(crate) fn takes(&self, records: usize, bytes: usize) -> bool {
        records < self.room.0 && bytes < self.room.1
    }

    /// Finds out how much room there is, if it may be little.
    pub(crate) fn measure(&mut self) {
        if self.takes(LOW_RECORDS, LOW_BYTES) {
            return;
        }
        let open = self.log.stat().open_chunk;
        let records = usize::try_from(open.records_count).unwrap_or(usize::MAX);
        let bytes = usize::try_from(open.size).unwrap_or(usize::MAX);
        let WalOptions { chunk_records_max, chunk_bytes_max } = self.options;
        self.room =
            (chunk_records_max.saturating_sub(records), chunk_bytes_max.saturating_sub(bytes));
    }

    /// In memory only. Returns the last index that raft-log now has.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) -> io::Result<Option<u64>> {
        for change in changes {
            self.room.0 = self.room.0.saturating_sub(change.records());
            self.room.1 = self.room.1.saturating_sub(change.bytes());
            apply(&mut self.log, change)?;
        }
        Ok(self.log.log_state().last().map(|last| last.index))
    }

    /// Lets raft-log's own thread write and sync, and tell the completion of it.
    pub(crate) fn flush(&mut self, completion: Completion) -> io::Result<()> {
        self.log.flush(true, Some(completion))
    }
}

fn apply(files: &mut RaftLog<WalTypes>, change: Change) -> io::Result<()> {
    match change {
        Change::Vote(vote) => files.save_vote(WalVote(vote)).map(drop),
        Change::Committed(position) => files.commit(position).map(drop),
        Change::Append(entries) => {
            let records = entries
                .into_iter()
                .map(|LogEntry { position, payload }| (position, WalPayload(payload)));
            files.append(records).map(drop)
        }
        Change::Truncate { from, keep: _ } => files.truncate(from).map(drop),
        Change::Purge(upto) => purge(files, upto),
        Change::Barrier => Ok(()),
    }
}

fn purge(files: &mut RaftLog<WalTypes>, upto: LogPosition) -> io::Result<()> {
    let state = files.log_state();
    let last = state.last().copied();
    // A snapshot of committed entries may replace a whole log whose uncommitted end is of a higher term.
    // raft-log orders by term first and would keep that end as its last position.
    if last.is_some_and(|last| last.index <= upto.index && last > upto) {
        let keep = state.committed().copied().max(state.purged().copied());
        files.truncate(keep.map_or(0, |keep| keep.index + 1))?;
    }
    files.purge(upto).map(drop)
}
