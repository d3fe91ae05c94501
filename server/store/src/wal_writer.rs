//! How queued changes come to the disk: everything queued is handed to raft-log at once, raft-log's thread writes and syncs it
//! and calls back, and then what was queued meanwhile goes: group commit without a timer.
//!
//! Each change of threads costs as much as a part of the sync itself, so a small batch that meets an idle disk is handed over
//! by whoever queued it, and callbacks are called where raft-log calls back. The writer's own thread does the rest: what waited
//! for a batch before it, what is large, and whatever needs a new file.
//!
//! Never two flushes outstanding: raft-log's own batching would either wait a fixed time or not group at all.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLockWriteGuard};
use std::thread::JoinHandle;

use crate::change::Change;
use crate::failure::LogFailure;
use crate::limits::AT_ONCE_BYTES_MAX;
use crate::planted::planted;
use crate::port::OnDurable;
use crate::wal::{Job, Memory, Shared};
use crate::wal_files::Files;

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is calling callbacks: it must not wait for the writer, who waits for it.
pub(crate) fn is_in_callback() -> bool {
    IN_CALLBACK.get()
}

pub(crate) fn spawn(shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("wal-writer".to_owned()).spawn(move || run(&shared))
}

fn run(shared: &Arc<Shared>) {
    while let Some(jobs) = next_batch(shared) {
        let mut files = shared.files.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = files.as_mut() {
            files.measure();
        }
        hand_over(shared, files, jobs);
    }
    // Here and not where the last handle goes: raft-log waits for its thread, which may be calling that handle's callback.
    let files = shared.files.write().unwrap_or_else(PoisonError::into_inner).take();
    drop(files);
}

/// Everything queued, once somebody waits for it and nothing is on its way; `None` when the log is closing and nothing is left.
fn next_batch(shared: &Shared) -> Option<Vec<Job>> {
    let mut memory = shared.memory();
    loop {
        if !memory.writing && (memory.flush_wanted || memory.closing) {
            let jobs = memory.take_batch();
            if !jobs.is_empty() {
                return Some(jobs);
            }
            if memory.closing {
                return None;
            }
        }
        memory = shared.wait_for_work(memory);
    }
}

/// The files, if all that is queued can be handed over here and now without waiting for anybody or for the disk.
pub(crate) fn at_once<'a>(
    shared: &'a Shared,
    memory: &Memory,
) -> Option<RwLockWriteGuard<'a, Option<Files>>> {
    let bytes = memory.queue.iter().map(|job| job.change.bytes()).sum();
    if bytes > AT_ONCE_BYTES_MAX {
        return None;
    }
    let records = memory.queue.iter().map(|job| job.change.records()).sum();
    let files = shared.files.try_write().ok()?;
    let takes = files.as_ref().is_some_and(|files| files.takes(records, bytes));
    takes.then_some(files)
}

/// Gives a batch to raft-log. Nothing else is on its way, and nothing else may be until it ended.
pub(crate) fn hand_over(
    shared: &Arc<Shared>,
    mut files: RwLockWriteGuard<'_, Option<Files>>,
    jobs: Vec<Job>,
) {
    let bytes = jobs.iter().map(|job| job.change.bytes()).sum();
    let (changes, waiting): (Vec<_>, Vec<_>) =
        jobs.into_iter().map(|job| (job.change, job.done)).unzip();
    let waiting = waiting.into_iter().flatten().collect();
    let applied = apply(&mut files, changes);
    let last = applied.as_ref().ok().copied().flatten();
    let batch = Batch { bytes, last, waiting };
    let flight = Arc::new(Flight { shared: Arc::clone(shared), batch: Mutex::new(Some(batch)) });
    // Not even handed to the disk: raft-log's own buffer is not flushed.
    if planted("flush skipped") && applied.is_ok() {
        drop(files);
        return flight.end(Ok(()));
    }
    let flushing = match (applied, files.as_mut()) {
        (Ok(_), Some(files)) => files.flush(Completion(Arc::clone(&flight))),
        (Ok(_), None) => Err(closed()),
        (Err(error), _) => Err(error),
    };
    // Callbacks may read the log.
    drop(files);
    if let Err(error) = flushing {
        flight.end(Err(error));
    }
}

fn apply(files: &mut Option<Files>, changes: Vec<Change>) -> io::Result<Option<u64>> {
    files.as_mut().ok_or_else(closed)?.apply(changes)
}

fn closed() -> io::Error {
    io::Error::other("the log is closed")
}

/// What is on its way to the disk.
struct Batch {
    bytes: usize,
    /// The last index that raft-log has with it.
    last: Option<u64>,
    waiting: Vec<OnDurable>,
}

/// A batch until it ended, which happens once. Dropped before: raft-log's thread is gone.
struct Flight {
    shared: Arc<Shared>,
    batch: Mutex<Option<Batch>>,
}

/// By which raft-log tells that a batch is on disk, or that it failed.
#[derive(Clone)]
pub(crate) struct Completion(Arc<Flight>);

impl raft_log::Callback for Completion {
    fn send(self, result: io::Result<()>) {
        self.0.end(result);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.end(Err(io::Error::other("raft-log's flush worker stopped")));
    }
}

impl Flight {
    fn end(&self, result: io::Result<()>) {
        let batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Batch { bytes, last, waiting }) = batch else { return };
        let _guard = CallbackGuard::enter(&self.shared);
        match result {
            Ok(()) => {
                for done in waiting {
                    done(Ok(()));
                }
                // Only now may the next batch go, so that no callback of it, whatever its result, comes before one of these.
                self.shared.written(bytes, last);
            }
            Err(error) => {
                let failure = LogFailure::of(&error);
                tracing::error!(%failure, "a write failed, the log is closed");
                // First the state, then the callbacks: who is told of the failure must find the log closed.
                let later = self.shared.fail(&failure);
                for done in waiting {
                    done(Err(failure.to_io()));
                }
                refuse(later, &failure);
            }
        }
    }
}

/// While callbacks are called. A panic of one must not leave callers waiting for a thread that is gone.
struct CallbackGuard<'a> {
    shared: &'a Shared,
    before: bool,
}

impl<'a> CallbackGuard<'a> {
    fn enter(shared: &'a Shared) -> Self {
        Self { shared, before: IN_CALLBACK.replace(true) }
    }
}

impl Drop for CallbackGuard<'_> {
    fn drop(&mut self) {
        IN_CALLBACK.set(self.before);
        if std::thread::panicking() {
            let failure = LogFailure {
                kind: io::ErrorKind::Other,
                message: "the writer panicked".to_owned(),
            };
            refuse(self.shared.fail(&failure), &failure);
        }
    }
}

fn refuse(jobs: Vec<Job>, failure: &LogFailure) {
    for done in jobs.into_iter().filter_map(|job| job.done) {
        done(Err(failure.to_io()));
    }
}
