//! The one writer of the log. It takes everything queued, hands it to raft-log, waits for one fdatasync, calls the
//! callbacks, and starts over with what was queued meanwhile: group commit without a timer.
//!
//! Never two flushes outstanding: raft-log's own batching would either wait a fixed time or not group at all.

use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;

use crate::change::Change;
use crate::failure::LogFailure;
use crate::planted::planted;
use crate::port::{LogEntry, LogPosition};
use crate::wal::{Job, Shared};
use crate::wal_codec::{WalPayload, WalTypes, WalVote};

pub(crate) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("wal-writer".to_owned()).spawn(move || run(&shared))
}

fn run(shared: &Shared) {
    let _guard = PanicGuard { shared };
    while let Some(jobs) = next_batch(shared) {
        if let Err(failure) = write_batch(shared, jobs) {
            tracing::error!(%failure, "a write failed, the log is closed");
            return;
        }
    }
}

/// A panic of a callback must not leave callers waiting for a writer that is gone.
struct PanicGuard<'a> {
    shared: &'a Shared,
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let failure = LogFailure {
                kind: io::ErrorKind::Other,
                message: "the writer panicked".to_owned(),
            };
            refuse(self.shared.fail(&failure), &failure);
        }
    }
}

/// Everything queued, once somebody waits for it; `None` when the log is closing and nothing is left.
fn next_batch(shared: &Shared) -> Option<Vec<Job>> {
    let mut memory = shared.memory();
    while !memory.flush_wanted && !memory.closing {
        memory = shared.wait_for_work(memory);
    }
    memory.flush_wanted = false;
    let jobs = std::mem::take(&mut memory.queue);
    if jobs.is_empty() { None } else { Some(jobs) }
}

fn write_batch(shared: &Shared, jobs: Vec<Job>) -> Result<(), LogFailure> {
    let bytes = jobs.iter().map(|job| job.change.bytes()).sum();
    let (changes, waiting): (Vec<_>, Vec<_>) =
        jobs.into_iter().map(|job| (job.change, job.done)).unzip();
    match apply_and_sync(shared, changes) {
        Ok(last) => {
            shared.written(bytes, last);
            for done in waiting.into_iter().flatten() {
                done(Ok(()));
            }
            Ok(())
        }
        Err(error) => {
            let failure = LogFailure::of(&error);
            // First the state, then the callbacks: who is told of the failure must find the log closed.
            let later = shared.fail(&failure);
            for done in waiting.into_iter().flatten() {
                done(Err(failure.to_io()));
            }
            refuse(later, &failure);
            Err(failure)
        }
    }
}

fn refuse(jobs: Vec<Job>, failure: &LogFailure) {
    for done in jobs.into_iter().filter_map(|job| job.done) {
        done(Err(failure.to_io()));
    }
}

/// Returns when everything is on disk: the last index that raft-log now has.
fn apply_and_sync(shared: &Shared, changes: Vec<Change>) -> io::Result<Option<u64>> {
    let (flushed, wait) = sync_channel(1);
    let last = {
        let mut files = shared.files.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            apply(&mut files, change)?;
        }
        // Not even handed to the disk: raft-log's own buffer is not flushed.
        if planted("flush skipped") {
            return Ok(files.log_state().last().map(|last| last.index));
        }
        files.flush(true, Some(flushed))?;
        files.log_state().last().map(|last| last.index)
    };
    wait.recv().map_err(|_| io::Error::other("raft-log's flush worker stopped"))??;
    Ok(last)
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
