//! The log in real files: `LogStore` over raft-log, with one flush outstanding.
//!
//! Callers change memory under a short lock and queue; how that comes to raft-log and to the disk is `wal_writer`'s matter.
//! A failed write or fsync ends the log for good: nothing here may ever retry one.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use raft_log::RaftLog;
use tokio::sync::{oneshot, watch};

use crate::change::Change;
use crate::failure::LogFailure;
use crate::limits::UNSYNCED_BYTES_MAX;
use crate::planted::planted;
use crate::port::{LogEntry, LogPosition, LogState, LogStore, OnDurable, StoredVote};
use crate::rules;
use crate::wal_codec::WalTypes;
use crate::wal_files::Files;
use crate::wal_open::WalOptions;
use crate::wal_tail::{Budget, Tail};
use crate::wal_writer::{at_once, hand_over, is_in_callback};

/// A durable log. Clones share it; the last one to go flushes, stops the writer and releases the directory.
#[derive(Clone)]
pub struct Wal {
    owner: Arc<Owner>,
}

/// Joins the writer when the last handle goes.
struct Owner {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    /// Released last.
    _lock: File,
}

/// What the handles and the writer share. Lock order: `memory`, then `files`.
pub(crate) struct Shared {
    memory: Mutex<Memory>,
    /// The writer waits here for work.
    pub(crate) work: Condvar,
    /// Appenders wait here for room.
    room: Condvar,
    /// None: closed, which no handle sees.
    pub(crate) files: RwLock<Option<Files>>,
    failed: watch::Sender<Option<LogFailure>>,
}

/// The log as its callers see it, and what the writer has yet to do.
pub(crate) struct Memory {
    pub(crate) state: LogState,
    pub(crate) tail: Tail,
    /// The first index present; of an empty log, what the first one would be if it must follow `last`.
    first: u64,
    /// Raised by every truncate and purge: a read that spans one starts over.
    generation: u64,
    pub(crate) queue: Vec<Job>,
    /// Bytes queued or being written.
    pub(crate) unsynced_bytes: usize,
    /// A batch is on its way to the disk.
    pub(crate) writing: bool,
    /// Somebody waits for a flush.
    pub(crate) flush_wanted: bool,
    pub(crate) closing: bool,
    pub(crate) failure: Option<LogFailure>,
}

pub(crate) struct Job {
    pub(crate) change: Change,
    pub(crate) done: Option<OnDurable>,
}

impl Shared {
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> RwLockReadGuard<'_, Option<Files>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_for_work<'a>(
        &self,
        memory: MutexGuard<'a, Memory>,
    ) -> MutexGuard<'a, Memory> {
        self.work.wait(memory).unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch ended, everything up to `last` is on disk: makes room for more, and lets the next batch go.
    pub(crate) fn written(&self, bytes: usize, last: Option<u64>) {
        let mut memory = self.memory();
        memory.writing = false;
        memory.unsynced_bytes -= bytes;
        // What is queued behind a truncation may have indexes that raft-log still knows as other entries.
        let queued = memory.queue.iter().filter_map(|job| job.change.first_index()).min();
        let below = last.map_or(0, |last| last + 1).min(queued.unwrap_or(u64::MAX));
        memory.tail.trim(below);
        let has_more = memory.flush_wanted || memory.closing;
        drop(memory);
        if has_more {
            self.work.notify_one();
        }
        self.room.notify_all();
    }

    /// Records the first failure and hands out what still waits.
    pub(crate) fn fail(&self, failure: &LogFailure) -> Vec<Job> {
        let mut memory = self.memory();
        if memory.failure.is_none() {
            memory.failure = Some(failure.clone());
        }
        memory.writing = false;
        memory.flush_wanted = false;
        let waiting = std::mem::take(&mut memory.queue);
        drop(memory);
        // It may be waiting for the end of what failed to close the log.
        self.work.notify_one();
        self.failed.send_if_modified(|seen| {
            let first = seen.is_none();
            if first {
                *seen = Some(failure.clone());
            }
            first
        });
        self.room.notify_all();
        waiting
    }
}

impl Memory {
    /// Everything queued, to be handed over; the caller has seen that nothing is on its way.
    pub(crate) fn take_batch(&mut self) -> Vec<Job> {
        let jobs = std::mem::take(&mut self.queue);
        self.flush_wanted = false;
        self.writing = !jobs.is_empty();
        jobs
    }
}

impl Wal {
    /// Takes over an opened raft-log and starts the writer.
    pub(crate) fn start(
        files: RaftLog<WalTypes>,
        options: &WalOptions,
        lock: File,
    ) -> io::Result<Self> {
        let found = files.log_state();
        let last = found.last().copied();
        let first = match files.read(0, u64::MAX).next().transpose()? {
            Some((position, _)) => position.index,
            None => last.map_or(0, |last| last.index + 1),
        };
        let state = LogState {
            vote: found.vote().map(|vote| vote.0),
            committed: found.committed().copied(),
            purged: found.purged().copied(),
            last,
        };
        let memory = Memory {
            state,
            tail: Tail::starting_at(last.map_or(0, |last| last.index + 1)),
            first,
            generation: 0,
            queue: Vec::new(),
            unsynced_bytes: 0,
            writing: false,
            flush_wanted: false,
            closing: false,
            failure: None,
        };
        let shared = Arc::new(Shared {
            memory: Mutex::new(memory),
            work: Condvar::new(),
            room: Condvar::new(),
            files: RwLock::new(Some(Files::new(files, options.clone()))),
            failed: watch::Sender::new(None),
        });
        let writer = crate::wal_writer::spawn(Arc::clone(&shared))?;
        Ok(Self { owner: Arc::new(Owner { shared, writer: Some(writer), _lock: lock }) })
    }

    /// Becomes `Some` when a write or an fsync failed; it never becomes `None` again. The node must stop.
    pub fn failed(&self) -> watch::Receiver<Option<LogFailure>> {
        self.shared().failed.subscribe()
    }

    /// Bytes of log on disk, purged entries of chunks that are still in use included.
    pub fn disk_bytes(&self) -> u64 {
        self.shared().files().as_ref().map_or(0, |files| files.log.on_disk_size())
    }

    fn shared(&self) -> &Shared {
        &self.owner.shared
    }

    /// Changes memory by the rules and queues the same change for the disk.
    fn submit(
        &self,
        mut memory: MutexGuard<'_, Memory>,
        make: impl FnOnce(&mut Memory) -> io::Result<Change>,
        done: OnDurable,
    ) -> io::Result<()> {
        if let Some(failure) = &memory.failure {
            return Err(failure.to_io());
        }
        let change = make(&mut memory)?;
        memory.unsynced_bytes += change.bytes();
        memory.queue.push(Job { change, done: Some(done) });
        memory.flush_wanted = true;
        if memory.writing {
            // Its end finds that there is more.
            return Ok(());
        }
        let shared = &self.owner.shared;
        match at_once(shared, &memory) {
            Some(files) => {
                let jobs = memory.take_batch();
                drop(memory);
                hand_over(shared, files, jobs);
            }
            None => shared.work.notify_one(),
        }
        Ok(())
    }

    fn submit_and_wait(
        &self,
        make: impl FnOnce(&mut Memory) -> io::Result<Change>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        let done: OnDurable = Box::new(move |result| drop(sender.send(result)));
        let queued = self.submit(self.shared().memory(), make, done);
        async move {
            queued?;
            receiver.await.map_err(|_| io::Error::other("the log's writer went away"))?
        }
    }

    /// One attempt to read; `None` when a truncate or purge came in between.
    fn try_read(&self, range: &Range<u64>, max_bytes: usize) -> io::Result<Option<Vec<LogEntry>>> {
        let mut entries = Vec::new();
        let mut budget = Budget::new(max_bytes);
        let memory = self.shared().memory();
        let generation = memory.generation;
        let Some(last) = memory.state.last else {
            return Ok(Some(entries));
        };
        let start = range.start.max(memory.first);
        let end = range.end.min(last.index + 1);
        let old_end = end.min(memory.tail.first());
        if start >= old_end {
            memory.tail.copy(start, end, &mut budget, &mut entries);
            return Ok(Some(entries));
        }
        drop(memory);

        let whole = self.read_files(start..old_end, &mut budget, &mut entries)?;
        let memory = self.shared().memory();
        if memory.generation != generation {
            return Ok(None);
        }
        if !whole {
            let message = format!("the log has a hole in {start}..{old_end}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        // The tail may have moved on meanwhile: then the read stops here, which a reader must expect anyway.
        if !budget.exhausted() && memory.tail.first() <= old_end {
            memory.tail.copy(old_end, end, &mut budget, &mut entries);
        }
        Ok(Some(entries))
    }

    fn position_in_files(&self, index: u64) -> io::Result<Option<LogPosition>> {
        let files = self.shared().files();
        let Some(files) = files.as_ref() else { return Ok(None) };
        let found = files.log.read(index, index + 1).next().transpose()?;
        Ok(found.map(|(position, _)| position))
    }

    /// Collects entries from raft-log; false when one was missing.
    fn read_files(
        &self,
        range: Range<u64>,
        budget: &mut Budget,
        into: &mut Vec<LogEntry>,
    ) -> io::Result<bool> {
        let files = self.shared().files();
        let Some(files) = files.as_ref() else { return Ok(false) };
        let mut expected = range.start;
        for found in files.log.read(range.start, range.end) {
            let (position, payload) = found?;
            if expected != position.index {
                return Ok(false);
            }
            expected += 1;
            if !budget.take(payload.0.len()) {
                return Ok(true);
            }
            into.push(LogEntry { position, payload: payload.0 });
        }
        Ok(expected == range.end)
    }
}

impl LogStore for Wal {
    fn state(&self) -> LogState {
        self.shared().memory().state
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<LogEntry>> {
        loop {
            if let Some(entries) = self.try_read(&range, max_bytes)? {
                return Ok(entries);
            }
        }
    }

    fn append(&self, entries: Vec<LogEntry>, done: OnDurable) -> io::Result<()> {
        let shared = self.shared();
        let mut memory = shared.memory();
        while memory.unsynced_bytes > UNSYNCED_BYTES_MAX && memory.failure.is_none() {
            memory = shared.room.wait(memory).unwrap_or_else(PoisonError::into_inner);
        }
        let make = |memory: &mut Memory| {
            let empty = memory.state.last.is_none();
            rules::append(&mut memory.state, &entries)?;
            if let Some(entry) = entries.first()
                && empty
            {
                memory.first = entry.position.index;
            }
            for entry in &entries {
                memory.tail.push(entry.clone());
            }
            Ok(Change::Append(entries))
        };
        self.submit(memory, make, done)
    }

    fn save_vote(&self, vote: StoredVote) -> impl Future<Output = io::Result<()>> + Send {
        let saved = self.submit_and_wait(move |memory| {
            rules::save_vote(&mut memory.state, vote)?;
            Ok(Change::Vote(vote))
        });
        async move { if planted("vote not synced") { Ok(()) } else { saved.await } }
    }

    fn save_committed(&self, committed: Option<LogPosition>) -> io::Result<()> {
        let mut memory = self.shared().memory();
        if let Some(failure) = &memory.failure {
            return Err(failure.to_io());
        }
        if let Some(position) = rules::save_committed(&mut memory.state, committed)? {
            let change = Change::Committed(position);
            memory.unsynced_bytes += change.bytes();
            memory.queue.push(Job { change, done: None });
        }
        Ok(())
    }

    fn truncate_after(
        &self,
        last: Option<LogPosition>,
    ) -> impl Future<Output = io::Result<()>> + Send {
        self.submit_and_wait(move |memory| {
            let tail = &memory.tail;
            let position_of = |index| match tail.position(index) {
                Some(position) => Ok(Some(position)),
                None => self.position_in_files(index),
            };
            let from = rules::truncate_after(&mut memory.state, last, position_of)?;
            let Some(from) = from else {
                return Ok(Change::Barrier);
            };
            memory.tail.truncate(from);
            memory.generation += 1;
            Ok(Change::Truncate { from, keep: last })
        })
    }

    fn purge(&self, upto: LogPosition) -> impl Future<Output = io::Result<()>> + Send {
        self.submit_and_wait(move |memory| {
            if !rules::purge(&mut memory.state, upto)? {
                return Ok(Change::Barrier);
            }
            memory.tail.purge(upto.index);
            memory.first = memory.first.max(upto.index + 1);
            memory.generation += 1;
            Ok(Change::Purge(upto))
        })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.memory().closing = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take()
            // A callback may own the last handle, and the writer waits for the end of callbacks.
            && !is_in_callback()
            && writer.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }
}
