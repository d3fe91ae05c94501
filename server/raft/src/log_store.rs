//! openraft's log over any `LogStore`. Entries were encoded by their proposer; here they only change their clothes.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use conclave_store::LogStore;
use futures::Stream;
use futures::stream::{self, StreamExt as _};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};

use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::appended::Appended;
use crate::growth::Growth;
use crate::planted::planted;
use crate::retention::Retained;
use crate::types::{
    Entry, LogId, TypeConfig, Vote, entry_of, log_entry, log_id_of, position_of, stored_vote,
    vote_of,
};

/// Entries sent or applied at once: bounded by bytes, because an entry may have a megabyte.
const READ_BYTES_MAX: usize = 2 << 20;

/// A cheap handle to the log.
#[derive(Debug, Clone)]
pub struct LogStorage<L> {
    log: L,
    retained: Retained,
    growth: Growth,
    appended: Appended,
    /// The term of this node's vote when this reader was handed out: of the leadership that it serves. None: of no vote.
    term: Option<u64>,
    /// Lets the node wait until the core has let go of the log. None: nobody waits.
    _open: Option<TaskTrackerToken>,
}

impl<L: LogStore> LogStorage<L> {
    /// Whatever `retained` still needs is not purged.
    #[must_use]
    pub fn new(log: L, retained: Retained) -> Self {
        Self {
            log,
            retained,
            growth: Growth::default(),
            appended: Appended::default(),
            term: None,
            _open: None,
        }
    }

    pub(crate) fn tracked(self, open: TaskTrackerToken) -> Self {
        Self { _open: Some(open), ..self }
    }

    pub(crate) fn growth(&self) -> Growth {
        self.growth.clone()
    }

    pub(crate) fn appended(&self) -> Appended {
        self.appended.clone()
    }

    fn term_of_vote(&self) -> Option<u64> {
        self.log.state().vote.map(|vote| vote.term)
    }

    fn read(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        self.log.read(start..end, max_bytes)?.into_iter().map(entry_of).collect()
    }

    /// As many entries from `start` as fit, at least one; an error when the log does not have it.
    fn read_some(&self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let entries = self.read(start, end, READ_BYTES_MAX)?;
        match entries.first() {
            Some(first) if first.log_id.index() == start => Ok(entries),
            None if start >= end => Ok(entries),
            Some(_) | None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the log has no entry {start} (asked for up to {end})"),
            )),
        }
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl<L: LogStore> RaftLogReader<TypeConfig> for LogStorage<L> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (start, end) = bounds(&range);
        self.read(start, end, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.log.state().vote.map(vote_of).transpose()
    }

    /// What replication reads. openraft looks only after this whether the leadership is over for which it does, and ends the node
    /// for an error: meanwhile another leader's snapshot or entries may have taken from the log what was to be sent. Nothing is
    /// the answer then, and is sent to nobody. The later vote is saved before anything is taken away for it, so as long as the
    /// vote is the same, what is missing is a hole.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        match self.read_some(start, end) {
            Err(_) if self.term_of_vote() != self.term => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// What apply reads. In pieces, so that a long way to catch up does not lie in memory as a whole.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        let state = (self.clone(), start, false);
        stream::unfold(state, move |(log, next, failed)| async move {
            if failed || next >= end {
                return None;
            }
            // What was never appended is no hole.
            if log.log.state().last.is_none_or(|last| last.index < next) {
                return None;
            }
            let piece = log.read_some(next, end);
            let failed = piece.is_err();
            let next = next + piece.as_ref().map_or(0, Vec::len) as u64;
            let items: Vec<_> = match piece {
                Ok(entries) => entries.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            Some((stream::iter(items), (log, next, failed)))
        })
        .flatten()
    }
}

impl<L: LogStore> RaftLogStorage<TypeConfig> for LogStorage<L> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state = self.log.state();
        Ok(LogState {
            last_purged_log_id: state.purged.map(log_id_of),
            last_log_id: state.last.map(log_id_of),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        Self { term: self.term_of_vote(), ..self.clone() }
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.log.save_vote(stored_vote(vote)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.log.save_committed(committed.as_ref().map(position_of))
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log.state().committed.map(log_id_of))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().map(|entry| log_entry(&entry)).collect();
        if let Some(last) = entries.last() {
            let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
            self.growth.appended(last.position.index, bytes as u64);
        }
        let end = entries.last().map(|last| last.position.index);
        if planted("acknowledged before it is durable") {
            callback.io_completed(Ok(()));
            return self.log.append(entries, Box::new(drop));
        }
        self.log.append(entries, Box::new(move |result| callback.io_completed(result)))?;
        // Behind it, for whoever hears of it reads.
        if let Some(end) = end {
            self.appended.up_to(end);
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.log.truncate_after(last.as_ref().map(position_of)).await
    }

    /// Removes less than it was asked to when the older of the kept snapshots needs more; the next purge comes again.
    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let last = self.log.state().last;
        match self.retained.purge_to(position_of(&upto), last) {
            Some(upto) => self.log.purge(upto).await,
            None => Ok(()),
        }
    }
}
