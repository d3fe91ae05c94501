//! What is pending, in the order in which it is due. The driver takes from the front; everybody else adds and removes.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::DelayKey;
use crate::sync::{Mutex, lock};

pub(super) type Work<E> = BoxFuture<'static, Result<(), E>>;

struct State<E> {
    pending: BTreeMap<DelayKey, Work<E>>,
    next: u64,
    is_closed: bool,
}

pub(super) struct Board<E> {
    state: Mutex<State<E>>,
    /// Told when the first deadline came nearer, or the board was closed.
    changed: Notify,
}

/// What there is to do now.
pub(super) enum Due<E> {
    Start(DelayKey, Work<E>),
    /// Nothing before this.
    At(Instant),
    /// Nothing pending. Whether something may still come.
    Empty {
        is_closed: bool,
    },
}

impl<E> Board<E> {
    pub(super) fn new() -> Self {
        let state = State { pending: BTreeMap::new(), next: 0, is_closed: false };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    pub(super) fn pending(&self) -> usize {
        lock(&self.state).pending.len()
    }

    pub(super) fn remove(&self, key: DelayKey) -> Option<Work<E>> {
        lock(&self.state).pending.remove(&key)
    }

    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_one();
    }

    /// Closes, and hands out what was pending, to be dropped outside the lock.
    pub(super) fn shut(&self) -> BTreeMap<DelayKey, Work<E>> {
        let mut state = lock(&self.state);
        state.is_closed = true;
        std::mem::take(&mut state.pending)
    }

    pub(super) fn due(&self, now: Instant) -> Due<E> {
        let mut state = lock(&self.state);
        let Some(first) = state.pending.first_entry() else {
            return Due::Empty { is_closed: state.is_closed };
        };
        if first.key().deadline > now {
            return Due::At(first.key().deadline);
        }
        let (key, work) = first.remove_entry();
        Due::Start(key, work)
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl<E: Send + 'static> Board<E> {
    /// Check and insertion are one step: between them a `wait` would miss the work (schedgroup).
    pub(super) fn add<F>(&self, deadline: Instant, work: F) -> Result<DelayKey, F>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let mut state = lock(&self.state);
        if state.is_closed {
            drop(state);
            return Err(work);
        }
        let key = DelayKey { deadline, number: state.next };
        state.next += 1;
        let is_first = state.pending.first_key_value().is_none_or(|(first, _)| key < *first);
        state.pending.insert(key, work.boxed());
        drop(state);
        if is_first {
            self.changed.notify_one();
        }
        Ok(key)
    }
}
