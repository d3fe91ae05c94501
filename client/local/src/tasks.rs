//! Spawned tasks, each under a key: a thin layer over `JoinSet` that knows who ended, panics and aborts included.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

use crate::TaskError;
use crate::panic::Panic;

/// Dropping it aborts all of them.
pub(crate) struct Tasks<K, E> {
    set: JoinSet<Result<(), E>>,
    keys: HashMap<Id, K>,
}

impl<K, E: Send + 'static> Tasks<K, E> {
    pub(crate) fn new() -> Self {
        Self { set: JoinSet::new(), keys: HashMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn spawn(
        &mut self,
        key: K,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let id = self.set.spawn(work).id();
        self.keys.insert(id, key);
    }

    /// The next to end; none if there is none. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<(K, Result<(), TaskError<E>>)> {
        let (id, result) = match self.set.join_next_with_id().await? {
            Ok((id, result)) => (id, result.map_err(TaskError::Failed)),
            Err(error) => {
                let id = error.id();
                let panic = error.try_into_panic().map(Panic::new);
                (id, Err(panic.map_or(TaskError::Cancelled, TaskError::Panicked)))
            }
        };
        let key = self.keys.remove(&id).expect("each task has its key until it ended");
        Some((key, result))
    }

    pub(crate) fn abort_all(&mut self) {
        self.set.abort_all();
    }

    /// Aborts all and does not wait for them; whose they were.
    pub(crate) fn abandon(self) -> Vec<K> {
        self.keys.into_values().collect()
    }
}
