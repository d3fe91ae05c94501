//! One accepted task: waits in the queue, runs in its slot, and reports however it ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;

use super::core::{Core, GroupId};
use super::{TaskCtx, TaskError};
use crate::OwnedSemaphorePermit;
use crate::panic::Panic;

/// A task by its place in the order of spawning, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskIndex(usize);

impl TaskIndex {
    pub(super) const fn new(at: usize) -> Self {
        Self(at)
    }

    /// The bare number; the place in what `join_all` returns.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Why no further task of a group starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// This task returned an error, and the group does not go on after one.
    Failed(TaskIndex),
    /// This task panicked, and the group does not go on after one.
    Panicked(TaskIndex),
    /// The token was cancelled: by the parent, or by whoever had it.
    Cancelled,
    /// Everything ended and was joined.
    Joined,
    /// The group was dropped.
    Dropped,
}

tokio::task_local! {
    /// Which group started the task that runs.
    pub(super) static INSIDE: GroupId;
}

/// A slot in use. Whatever becomes of the task (returned, panicked, aborted, dropped before its first poll when the runtime shuts
/// down), dropping this reports it and frees the slot.
pub(super) struct Slot<T, E> {
    pub(super) core: Arc<Core<T, E>>,
    pub(super) index: TaskIndex,
    /// Goes last: who is admitted next must find the slot free.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// None: it was dropped from outside.
    pub(super) outcome: Option<Result<T, TaskError<E>>>,
}

impl<T, E> Drop for Slot<T, E> {
    fn drop(&mut self) {
        let outcome = self.outcome.take();
        let outcome = match outcome {
            None if std::thread::panicking() => {
                let panic = Panic::new(Box::new("the task panicked while it was dropped"));
                Some(Err(TaskError::Panicked(panic)))
            }
            None | Some(_) => outcome,
        };
        self.core.settle(self.index, outcome);
        drop(self.permit.take());
    }
}

/// Runs a task in its slot.
pub(super) async fn run<T, E, F, Fut>(mut slot: Slot<T, E>, work: F)
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnOnce(TaskCtx<T, E>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
{
    let core = Arc::clone(&slot.core);
    // Checked again in the slot: what failed since the slot was given stops this one too (go-pkgz lets 200 of 1000 run).
    if !core.may_begin() {
        drop(work);
        slot.outcome = Some(Err(TaskError::Skipped));
        return;
    }
    let context = TaskCtx::new(Arc::clone(&core));
    let work = INSIDE.scope(core.id(), async move { work(context).await });
    let work = AssertUnwindSafe(work).catch_unwind();
    slot.outcome = Some(match core.abort_token().run_until_cancelled(work).await {
        Some(Ok(result)) => result.map_err(TaskError::Failed),
        Some(Err(panic)) => Err(TaskError::Panicked(Panic::new(panic))),
        None => Err(TaskError::Cancelled),
    });
}
