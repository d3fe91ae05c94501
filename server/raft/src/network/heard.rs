//! When each peer was last heard: all that a follower knows of who is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// By node id.
    last: Arc<Mutex<HashMap<u64, Instant>>>,
}

impl Heard {
    pub(super) fn note(&self, from: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(from, Instant::now());
    }

    /// None: never heard.
    pub(crate) fn silence_of(&self, id: u64) -> Option<Duration> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&id).map(|at| at.elapsed())
    }
}
