//! What the tasks of a group share: the queue, the slots, the results. Starts the next task where a slot becomes free, on the
//! path of the task that freed it, so nobody has to join for the queue to move.
//!
//! Tasks are started outside the lock: a runtime that shuts down drops a new task at once, and its slot reports back here.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::settings::{OnError, Settings};
use super::task::{INSIDE, Slot, run};
use super::{SpawnError, StopCause, TaskCtx, TaskError, TaskIndex};
use crate::sync::{Mutex, lock};
use crate::{AcquireError, OwnedSemaphorePermit, TryAcquireError};

/// One group among all of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupId(u64);

impl GroupId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where a spawn comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Outside,
    /// A task of the group.
    Inside,
}

/// Who may still spawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Open,
    /// Joined or detached: only tasks of the group.
    InsideOnly,
    /// Stopped, over or dropped: nobody, and what is queued does not start.
    Shut,
}

/// A queued task, once it gets its slot.
type Start<T, E> = Box<dyn FnOnce(Slot<T, E>, &Handle) + Send>;

struct Queued<T, E> {
    index: TaskIndex,
    permit: Option<OwnedSemaphorePermit>,
    start: Start<T, E>,
}

struct State<T, E> {
    door: Door,
    running: usize,
    queue: VecDeque<Queued<T, E>>,
    /// By index; none while it waits or runs.
    results: Vec<Option<Result<T, TaskError<E>>>>,
    /// The first to end with an error or a panic.
    first: Option<TaskIndex>,
    cause: Option<StopCause>,
}

pub(super) struct Core<T, E> {
    id: GroupId,
    settings: Settings,
    /// Cancelled when the group is dropped.
    kill: CancellationToken,
    runtime: OnceLock<Handle>,
    idle: Notify,
    /// Whether the group was detached: then its drop aborts nothing.
    spared: AtomicBool,
    state: Mutex<State<T, E>>,
}

impl<T, E> Core<T, E> {
    pub(super) fn new(settings: Settings) -> Self {
        let state = State {
            door: Door::Open,
            running: 0,
            queue: VecDeque::new(),
            results: Vec::new(),
            first: None,
            cause: None,
        };
        Self {
            id: GroupId::new(),
            settings,
            kill: CancellationToken::new(),
            runtime: OnceLock::new(),
            idle: Notify::new(),
            spared: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    pub(super) const fn id(&self) -> GroupId {
        self.id
    }

    pub(super) const fn token(&self) -> &CancellationToken {
        &self.settings.token
    }

    /// What drops a running task when it is cancelled.
    pub(super) const fn abort_token(&self) -> &CancellationToken {
        if self.settings.abort_on_cancel { &self.settings.token } else { &self.kill }
    }

    pub(super) fn cause(&self) -> Option<StopCause> {
        let cause = lock(&self.state).cause;
        cause.or_else(|| self.token().is_cancelled().then_some(StopCause::Cancelled))
    }

    /// Whether the running task was started by this group.
    pub(super) fn is_inside(&self) -> bool {
        INSIDE.try_with(|group| *group == self.id).unwrap_or(false)
    }

    pub(super) fn is_open_to(&self, origin: Origin) -> bool {
        lock(&self.state).door.is_open_to(origin) && !self.token().is_cancelled()
    }

    pub(super) fn may_begin(&self) -> bool {
        self.is_open_to(Origin::Inside)
    }

    /// A place among the accepted tasks, as soon as there is one.
    pub(super) async fn admit(&self) -> Result<Option<OwnedSemaphorePermit>, SpawnError> {
        let Some(admission) = &self.settings.admission else { return Ok(None) };
        let permit = tokio::select! {
            biased;
            () = self.token().cancelled() => return Err(SpawnError::Closed),
            permit = Arc::clone(admission).acquire_many_owned(1) => permit,
        };
        match permit {
            Ok(permit) => Ok(Some(permit)),
            Err(AcquireError::Closed) => Err(SpawnError::Closed),
            Err(error @ (AcquireError::ExceedsCapacity { .. } | AcquireError::Cancelled)) => {
                unreachable!("a group has room for one task: {error}")
            }
        }
    }

    pub(super) fn try_admit(&self) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
        let admission = self.settings.admission.as_ref();
        admission.map(|admission| Arc::clone(admission).try_acquire_many_owned(1)).transpose()
    }

    /// A place for a task that may not wait for one.
    pub(super) fn overdraw(&self) -> Option<OwnedSemaphorePermit> {
        self.settings.admission.as_ref().map(|admission| Arc::clone(admission).overdraw())
    }

    /// Closes the group to the outside.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        if state.door == Door::Open {
            state.door = Door::InsideOnly;
        }
        drop(state);
        self.close_admission();
    }

    pub(super) fn spare(&self) {
        self.spared.store(true, Ordering::Relaxed);
    }

    /// The owner is gone: nothing starts any more, and what runs is dropped at its next `.await`.
    pub(super) fn abandon(&self) {
        if self.spared.load(Ordering::Relaxed) {
            return;
        }
        self.stop(StopCause::Dropped);
        self.kill.cancel();
        self.token().cancel();
    }

    fn close_admission(&self) {
        if let Some(admission) = &self.settings.admission {
            admission.close();
        }
    }

    /// Shuts the door and skips the queue.
    fn stop(&self, cause: StopCause) {
        let mut state = lock(&self.state);
        state.door = Door::Shut;
        state.cause.get_or_insert(cause);
        let skipped = std::mem::take(&mut state.queue);
        for queued in &skipped {
            state.results[queued.index.get()] = Some(Err(TaskError::Skipped));
        }
        drop(state);
        self.close_admission();
        drop(skipped);
    }

    fn has_slot(&self, state: &State<T, E>) -> bool {
        self.settings.max_running.is_none_or(|max| state.running < max.get())
    }

    /// A task has ended, or was dropped from outside (none), which only a runtime does that shuts down.
    pub(super) fn settle(
        self: &Arc<Self>,
        index: TaskIndex,
        outcome: Option<Result<T, TaskError<E>>>,
    ) {
        match &outcome {
            None => self.stop(StopCause::Cancelled),
            Some(Err(error)) if error.is_own_fault() => self.fault(index, error),
            Some(_) if self.token().is_cancelled() => self.stop(StopCause::Cancelled),
            Some(_) => {}
        }
        let mut state = lock(&self.state);
        state.results[index.get()] = Some(outcome.unwrap_or(Err(TaskError::Cancelled)));
        state.running -= 1;
        let mut due = Vec::new();
        while self.has_slot(&state)
            && let Some(next) = state.queue.pop_front()
        {
            state.running += 1;
            due.push(next);
        }
        let is_idle = state.running == 0;
        drop(state);
        for Queued { index, permit, start } in due {
            let slot = Slot { core: Arc::clone(self), index, permit, outcome: None };
            start(slot, self.runtime.get().expect("set by the first spawn"));
        }
        if is_idle {
            self.idle.notify_one();
        }
    }

    /// The first fault is kept, and does to the others what the settings say, before its own task counts as ended.
    fn fault(&self, index: TaskIndex, error: &TaskError<E>) {
        lock(&self.state).first.get_or_insert(index);
        let cause = match error {
            TaskError::Panicked(_) => StopCause::Panicked(index),
            TaskError::Failed(_) | TaskError::Cancelled | TaskError::Skipped => {
                StopCause::Failed(index)
            }
        };
        match self.settings.on_error {
            OnError::CancelAll => {
                self.stop(cause);
                self.token().cancel();
            }
            OnError::StopStarting => self.stop(cause),
            OnError::Continue if self.token().is_cancelled() => self.stop(StopCause::Cancelled),
            OnError::Continue => {}
        }
    }

    pub(super) fn describe(&self, f: &mut fmt::DebugStruct<'_, '_>) -> fmt::Result {
        let state = lock(&self.state);
        f.field("accepted", &state.results.len())
            .field("running", &state.running)
            .field("queued", &state.queue.len())
            .field("cause", &state.cause)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static, E: Send + 'static> Core<T, E> {
    /// Takes a task in and starts it if a slot is free. The closure comes back if the door is closed.
    pub(super) fn accept<F, Fut>(
        self: &Arc<Self>,
        work: F,
        origin: Origin,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<TaskIndex, F>
    where
        F: FnOnce(TaskCtx<T, E>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let runtime = self.runtime.get_or_init(Handle::current);
        let mut state = lock(&self.state);
        if !state.door.is_open_to(origin) || self.token().is_cancelled() {
            drop(state);
            return Err(work);
        }
        let index = TaskIndex::new(state.results.len());
        state.results.push(None);
        if self.has_slot(&state) {
            state.running += 1;
            drop(state);
            let slot = Slot { core: Arc::clone(self), index, permit, outcome: None };
            runtime.spawn(run(slot, work));
        } else {
            let start: Start<T, E> = Box::new(|slot, runtime| drop(runtime.spawn(run(slot, work))));
            state.queue.push_back(Queued { index, permit, start });
        }
        Ok(index)
    }

    /// Closes the group and waits until nothing of it is left but its results.
    pub(super) async fn drained(&self) {
        self.close();
        loop {
            {
                let mut state = lock(&self.state);
                // An empty group has no slot to free; what is queued is only waited for while something runs.
                if state.running == 0 {
                    assert!(state.queue.is_empty(), "queued tasks without one that runs");
                    state.door = Door::Shut;
                    state.cause.get_or_insert(StopCause::Joined);
                    return;
                }
            }
            self.idle.notified().await;
        }
    }

    /// The results, in the order of spawning, and which was the first fault. Called once, after [`drained`](Self::drained).
    pub(super) fn results(&self) -> (Vec<Result<T, TaskError<E>>>, Option<TaskIndex>) {
        let mut state = lock(&self.state);
        let results = std::mem::take(&mut state.results);
        let first = state.first;
        drop(state);
        let ended = |result: Option<_>| result.expect("every accepted task has ended");
        (results.into_iter().map(ended).collect(), first)
    }
}

impl Door {
    fn is_open_to(self, origin: Origin) -> bool {
        match self {
            Self::Open => true,
            Self::InsideOnly => origin == Origin::Inside,
            Self::Shut => false,
        }
    }
}
