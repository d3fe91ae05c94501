//! How a group behaves, decided before it has tasks.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::TaskGroup;
use super::core::Core;
use crate::Semaphore;

/// What the first error or panic of a task does to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The group's token is cancelled and no further task starts. Running tasks see the token; they are not stopped against
    /// their will unless [`TaskGroupBuilder::abort_on_cancel`] is set.
    #[default]
    CancelAll,
    /// No further task starts; running ones are left alone, and the token too.
    StopStarting,
    /// Nothing.
    Continue,
}

pub(super) struct Settings {
    pub(super) max_running: Option<NonZeroUsize>,
    pub(super) on_error: OnError,
    pub(super) abort_on_cancel: bool,
    pub(super) token: CancellationToken,
    /// One permit for each accepted task that has not ended. None: `spawn` never waits.
    pub(super) admission: Option<Arc<Semaphore>>,
}

/// Settings of a [`TaskGroup`].
#[derive(Debug)]
#[must_use]
pub struct TaskGroupBuilder<T, E> {
    max_running: Option<NonZeroUsize>,
    max_queued: Option<usize>,
    on_error: OnError,
    abort_on_cancel: bool,
    parent: Option<CancellationToken>,
    _results: PhantomData<fn() -> (T, E)>,
}

impl<T, E> TaskGroupBuilder<T, E> {
    pub(super) const fn new() -> Self {
        Self {
            max_running: None,
            max_queued: None,
            on_error: OnError::CancelAll,
            abort_on_cancel: false,
            parent: None,
            _results: PhantomData,
        }
    }

    /// At most so many tasks run at once; without it, all do.
    pub fn max_running(mut self, tasks: NonZeroUsize) -> Self {
        self.max_running = Some(tasks);
        self
    }

    /// At most so many accepted tasks wait for a slot; then `spawn` waits, and `try_spawn` gives its closure back. 0: `spawn`
    /// waits for a slot. Without it the queue has no limit. Means nothing without [`max_running`](Self::max_running).
    pub fn max_queued(mut self, tasks: usize) -> Self {
        self.max_queued = Some(tasks);
        self
    }

    /// What an error does; [`OnError::CancelAll`] without it.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Running tasks are dropped, at their next `.await`, as soon as the token is cancelled. Without it they run on, as in Go.
    pub fn abort_on_cancel(mut self) -> Self {
        self.abort_on_cancel = true;
        self
    }

    /// The group's token becomes a child of this one.
    pub fn parent(mut self, token: &CancellationToken) -> Self {
        self.parent = Some(token.clone());
        self
    }

    /// The group, without tasks.
    pub fn build(self) -> TaskGroup<T, E> {
        let admission = self.max_running.zip(self.max_queued).map(|(running, queued)| {
            Arc::new(Semaphore::new(running.get().saturating_add(queued)))
        });
        let token = self.parent.map_or_else(CancellationToken::new, |parent| parent.child_token());
        TaskGroup {
            core: Arc::new(Core::new(Settings {
                max_running: self.max_running,
                on_error: self.on_error,
                abort_on_cancel: self.abort_on_cancel,
                token,
                admission,
            })),
        }
    }
}
