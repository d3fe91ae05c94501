//! The two ways into a group: a handle for anybody, and the context that every task is given.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::core::{Core, Origin};
use super::{SpawnError, StopCause, TaskIndex, TrySpawnError};

/// Spawns into a [`TaskGroup`](super::TaskGroup). Cheap to clone. Does not keep the group alive.
pub struct Spawner<T, E> {
    core: Arc<Core<T, E>>,
}

impl<T, E> Clone for Spawner<T, E> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

impl<T: Send + 'static, E: Send + 'static> Spawner<T, E> {
    pub(super) const fn new(core: Arc<Core<T, E>>) -> Self {
        Self { core }
    }

    /// Starts `work`, or queues it, or waits until the queue has room. From inside a task of the same group it never waits, and
    /// it works after `join` was called, too.
    ///
    /// # Errors
    /// [`SpawnError::Closed`], also when the group closes or stops while this waits.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the task was not accepted and will not run.
    pub async fn spawn<F, Fut>(&self, work: F) -> Result<TaskIndex, SpawnError>
    where
        F: FnOnce(TaskCtx<T, E>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (origin, permit) = if self.core.is_inside() {
            (Origin::Inside, self.core.overdraw())
        } else {
            (Origin::Outside, self.core.admit().await?)
        };
        self.core.accept(work, origin, permit).map_err(|_closed| SpawnError::Closed)
    }

    /// As [`spawn`](Self::spawn), but never waits: the closure comes back instead. Full is full for tasks of the group, too.
    ///
    /// # Errors
    /// [`TrySpawnError::Full`] and [`TrySpawnError::Closed`], with the closure.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn try_spawn<F, Fut>(&self, work: F) -> Result<TaskIndex, TrySpawnError<F>>
    where
        F: FnOnce(TaskCtx<T, E>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let origin = if self.core.is_inside() { Origin::Inside } else { Origin::Outside };
        let permit = match self.core.try_admit() {
            Ok(permit) => permit,
            Err(_) if !self.core.is_open_to(origin) => return Err(TrySpawnError::Closed(work)),
            Err(_) => return Err(TrySpawnError::Full(work)),
        };
        self.core.accept(work, origin, permit).map_err(TrySpawnError::Closed)
    }

    /// The group's token.
    pub fn token(&self) -> &CancellationToken {
        self.core.token()
    }

    /// Why no further task starts; none while they do.
    pub fn cause(&self) -> Option<StopCause> {
        self.core.cause()
    }
}

/// What a task of a group is given: its token, and the way to spawn beside itself.
pub struct TaskCtx<T, E> {
    core: Arc<Core<T, E>>,
}

impl<T, E> Clone for TaskCtx<T, E> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

impl<T: Send + 'static, E: Send + 'static> TaskCtx<T, E> {
    pub(super) const fn new(core: Arc<Core<T, E>>) -> Self {
        Self { core }
    }

    /// The group's token. A task that wants to stop with the others watches it.
    pub fn token(&self) -> &CancellationToken {
        self.core.token()
    }

    /// Starts or queues another task of the group; never waits, and works while the group is being joined.
    ///
    /// # Errors
    /// [`SpawnError::Closed`] if the group stopped, was dropped, or has ended.
    pub fn spawn<F, Fut>(&self, work: F) -> Result<TaskIndex, SpawnError>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let permit = self.core.overdraw();
        self.core.accept(work, Origin::Inside, permit).map_err(|_closed| SpawnError::Closed)
    }

    /// Why no further task starts; none while they do.
    pub fn cause(&self) -> Option<StopCause> {
        self.core.cause()
    }
}

impl<T, E> fmt::Debug for Spawner<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.describe(&mut f.debug_struct("Spawner"))
    }
}

impl<T, E> fmt::Debug for TaskCtx<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.describe(&mut f.debug_struct("TaskCtx"))
    }
}
