//! Tasks that belong together: started with a limit, stopped together, and never lost: whoever joins learns how each ended.

mod core;
mod error;
mod settings;
mod spawner;
mod task;

use std::fmt;
use std::sync::Arc;

use self::core::Core;
pub use self::error::{GroupError, SpawnError, TaskError, TaskFailure, TrySpawnError};
pub use self::settings::{OnError, TaskGroupBuilder};
pub use self::spawner::{Spawner, TaskCtx};
pub use self::task::{StopCause, TaskIndex};
use tokio_util::sync::CancellationToken;

/// A group of tasks that return `Result<T, E>`.
///
/// Covers what Go's five errgroups do, by settings: how many run at once, how many may queue, what an error does to the others,
/// and whose cancellation ends it all. For a list that is known beforehand, `futures::StreamExt::buffer_unordered` or
/// [`gather`](crate::gather) is simpler; for tasks without results that come and go for ever, use
/// [`tokio_util::task::TaskTracker`]: a group keeps every result until it is joined.
///
/// * Every accepted task ends in exactly one of: its value, its error, a panic, cancelled (aborted), skipped (never started).
/// * Tasks start in the order in which they were accepted, as soon as a slot is free, whether anybody joins or not.
/// * `join` closes the group to the outside; tasks of the group may go on spawning, and are waited for.
/// * A spawn from inside a task of the group never waits, because it might wait for itself: it is exempt from `max_queued`.
///   (That is known of the task that the group started, not of a further task that it handed to `tokio::spawn`.)
/// * Dropping the group aborts what runs, at its next `.await`. To let it go on, [`detach`](Self::detach).
///
/// Idea: `x/sync/errgroup`, kratos, neilotoole and facebookgo `errgroup`, `go-pkgz/syncs`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::num::NonZeroUsize;
/// use conclave_local::{TaskCtx, TaskGroup};
///
/// let group = TaskGroup::<u32, std::io::Error>::builder()
///     .max_running(NonZeroUsize::new(2).expect("not zero"))
///     .build();
/// let spawner = group.spawner();
/// for number in 0..10 {
///     spawner.spawn(async move |_: TaskCtx<_, _>| Ok(number * number)).await?;
/// }
/// assert_eq!(group.join().await?, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[must_use = "a group that is dropped aborts its tasks"]
pub struct TaskGroup<T, E> {
    core: Arc<Core<T, E>>,
}

impl<T, E> TaskGroup<T, E> {
    /// The settings, with their defaults: no limits, [`OnError::CancelAll`].
    pub fn builder() -> TaskGroupBuilder<T, E> {
        TaskGroupBuilder::new()
    }

    /// The group's own token: a child of the parent's. Cancelled by the first error under [`OnError::CancelAll`], with the
    /// parent, by whoever calls `cancel` on it, and in any case once the group is joined or dropped.
    pub fn token(&self) -> &CancellationToken {
        self.core.token()
    }

    /// Why no further task starts; none while they do.
    pub fn cause(&self) -> Option<StopCause> {
        self.core.cause()
    }
}

impl<T: Send + 'static, E: Send + 'static> TaskGroup<T, E> {
    /// A group without limits that cancels all when one fails.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A handle that spawns into this group; may be cloned and sent anywhere.
    pub fn spawner(&self) -> Spawner<T, E> {
        Spawner::new(Arc::clone(&self.core))
    }

    /// Closes the group to outside spawners and waits until every accepted task has ended and was dropped.
    ///
    /// Returns the values in the order of spawning.
    ///
    /// # Errors
    /// If any task did not return a value: the first error or panic to *happen*, and all others. Tasks that were never started
    /// count: a group whose parent was cancelled before everything ran is not a success.
    ///
    /// # Cancel safety
    /// Dropping the future drops the group: what runs is aborted.
    pub async fn join(self) -> Result<Vec<T>, GroupError<E>> {
        self.core.drained().await;
        let (results, first) = self.core.results();
        error::all_or_errors(results, first)
    }

    /// As [`join`](Self::join), but every single result, in the order of spawning.
    ///
    /// # Cancel safety
    /// As [`join`](Self::join).
    pub async fn join_all(self) -> Vec<Result<T, TaskError<E>>> {
        self.core.drained().await;
        self.core.results().0
    }

    /// Lets go of the group: it is closed to outside spawners, what was accepted runs to its end, and nobody learns how. Panics
    /// and errors are lost with the results. The token stays alive; cancelling it is the only way left to stop the tasks.
    pub fn detach(self) {
        self.core.close();
        self.core.spare();
    }
}

impl<T: Send + 'static, E: Send + 'static> Default for TaskGroup<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> Drop for TaskGroup<T, E> {
    fn drop(&mut self) {
        self.core.abandon();
    }
}

impl<T, E> fmt::Debug for TaskGroup<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.describe(&mut f.debug_struct("TaskGroup"))
    }
}
