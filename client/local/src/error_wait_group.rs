//! A wait group that collects errors: for work that is not a task of ours, and that says itself when it is done.

use std::fmt;
use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::sync::{Mutex, lock};

/// Waits until every token is gone, and returns every error that was reported.
///
/// For work that can be a task, use a [`TaskGroup`](crate::TaskGroup) with [`OnError::Continue`](crate::OnError::Continue); this
/// is for callbacks, threads and the like. The counting is [`TaskTracker`]'s. A token that is dropped is "done", so a forgotten
/// `Done` and a negative counter do not exist.
///
/// Idea: `facebookgo/errgroup`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use conclave_local::ErrorWaitGroup;
///
/// let group = ErrorWaitGroup::new();
/// let token = group.token();
/// std::thread::spawn(move || token.fail("no space left"));
/// assert_eq!(group.wait().await.unwrap_err().to_string(), "no space left");
/// # });
/// ```
#[derive(Debug)]
pub struct ErrorWaitGroup<E> {
    tracker: TaskTracker,
    errors: Arc<Mutex<Vec<E>>>,
}

/// Something that is waited for until this is dropped. A clone is waited for, too.
#[derive(Debug)]
pub struct ErrorToken<E> {
    errors: Arc<Mutex<Vec<E>>>,
    _counted: TaskTrackerToken,
}

impl<E> ErrorWaitGroup<E> {
    /// A group that waits for nothing yet.
    pub fn new() -> Self {
        Self { tracker: TaskTracker::new(), errors: Arc::default() }
    }

    /// One more to wait for.
    #[must_use = "a token that is dropped at once is done at once"]
    pub fn token(&self) -> ErrorToken<E> {
        ErrorToken { errors: Arc::clone(&self.errors), _counted: self.tracker.token() }
    }

    /// Waits until all tokens are dropped; at once if there were none.
    ///
    /// # Errors
    /// All that were reported, in that order.
    ///
    /// # Cancel safety
    /// Dropping the future drops the group: the tokens go on, and their errors are lost.
    pub async fn wait(self) -> Result<(), Errors<E>> {
        self.tracker.close();
        self.tracker.wait().await;
        let errors = std::mem::take(&mut *lock(&self.errors));
        if errors.is_empty() { Ok(()) } else { Err(Errors(errors)) }
    }
}

impl<E> Default for ErrorWaitGroup<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> ErrorToken<E> {
    /// Reports an error. The token is still waited for; drop it when done.
    pub fn fail(&self, error: E) {
        lock(&self.errors).push(error);
    }
}

impl<E> Clone for ErrorToken<E> {
    fn clone(&self) -> Self {
        Self { errors: Arc::clone(&self.errors), _counted: self._counted.clone() }
    }
}

/// At least one error. One prints as itself, several as a list.
#[derive(Debug)]
pub struct Errors<E>(Vec<E>);

impl<E> Errors<E> {
    /// In the order in which they were reported.
    pub fn iter(&self) -> std::slice::Iter<'_, E> {
        self.0.iter()
    }

    /// In the order in which they were reported.
    pub fn into_vec(self) -> Vec<E> {
        self.0
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [error] = &*self.0 {
            return error.fmt(f);
        }
        write!(f, "{} errors:", self.0.len())?;
        for (at, error) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ";" };
            write!(f, "{comma} [{at}] {error}")?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Errors<E> {}
