//! Work that is due later: many deadlines, one timer, and every piece can be cancelled until it starts.

mod board;
mod driver;

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::board::Board;
use self::driver::{Ended, Limits};
use crate::TaskError;

/// Runs futures at or after their deadlines: never early, in the order of deadlines, those of equal deadlines in the order of
/// insertion.
///
/// One task with one timer serves all that is pending; a future becomes a task when it is due. For a single delay,
/// `tokio::spawn` and [`tokio::time::sleep`] are simpler. (`tokio_util::time::DelayQueue` has the timer, but neither the order of
/// equal deadlines nor more than 2.18 years, and only its owner can cancel.)
///
/// What is pending has no limit but memory; [`max_running`](DelayGroupBuilder::max_running) limits what runs, and then what is due
/// waits, still in order. Dropping the group drops what is pending and aborts what runs.
///
/// Idea: `mdlayher/schedgroup`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use std::time::Duration;
/// use conclave_local::DelayGroup;
///
/// let group: DelayGroup = DelayGroup::new();
/// group.spawn_after(Duration::from_secs(2), async { println!("second"); Ok(()) })?;
/// group.spawn_after(Duration::from_secs(1), async { println!("first"); Ok(()) })?;
/// group.wait().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a group that is dropped runs nothing"]
pub struct DelayGroup<E = Infallible> {
    handle: DelayHandle<E>,
    driver: AbortOnDropHandle<Ended<E>>,
}

/// Names pending work. Orders as the work will start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelayKey {
    deadline: Instant,
    number: u64,
}

impl DelayKey {
    /// When the work is due.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }
}

/// The group takes nothing any more; here is the future back.
#[derive(Error)]
#[error("the delay group is closed")]
pub struct Closed<F>(pub F);

impl<F> fmt::Debug for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

/// Not everything ran well.
#[derive(Debug)]
pub enum DelayError<E> {
    /// The token was cancelled. What was pending then did not run.
    Cancelled {
        /// How many were pending.
        not_run: usize,
        /// What ran and did not end well, or was aborted when the grace was over.
        failures: Vec<DelayFailure<E>>,
    },
    /// Everything ran, and these did not end well: in the order in which they ended.
    Failed(Vec<DelayFailure<E>>),
}

/// One piece of work that did not end well.
#[derive(Debug)]
pub struct DelayFailure<E> {
    /// Which.
    pub key: DelayKey,
    /// How it ended.
    pub error: TaskError<E>,
}

impl<E: fmt::Display> fmt::Display for DelayError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = match self {
            Self::Cancelled { not_run, failures } => {
                write!(f, "cancelled, {not_run} did not run")?;
                failures
            }
            Self::Failed(failures) => {
                write!(f, "{} failed", failures.len())?;
                failures
            }
        };
        failures.first().map_or(Ok(()), |first| write!(f, ", the first with: {}", first.error))
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for DelayError<E> {}

/// Settings of a [`DelayGroup`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct DelayGroupBuilder {
    token: CancellationToken,
    limits: Limits,
}

impl DelayGroupBuilder {
    /// Cancelling this drops what is pending and ends the group.
    pub fn token(mut self, token: CancellationToken) -> Self {
        self.token = token;
        self
    }

    /// At most so many run at once; without it, all that are due do.
    pub fn max_running(mut self, tasks: NonZeroUsize) -> Self {
        self.limits.max_running = Some(tasks);
        self
    }

    /// How long what runs may go on after the token was cancelled, before it is aborted. Without it, as long as it takes.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.limits.grace = Some(grace);
        self
    }

    /// The group, with its driver started.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub fn build<E: Send + 'static>(self) -> DelayGroup<E> {
        let board = Arc::new(Board::new());
        let driver = driver::drive(Arc::clone(&board), self.token, self.limits);
        DelayGroup {
            handle: DelayHandle { board },
            driver: AbortOnDropHandle::new(tokio::spawn(driver)),
        }
    }
}

impl<E: Send + 'static> DelayGroup<E> {
    /// A group without limits and without a token.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub fn new() -> Self {
        DelayGroupBuilder::default().build()
    }

    /// As [`new`](Self::new); cancelling the token drops what is pending and ends the group.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub fn with_token(token: CancellationToken) -> Self {
        DelayGroupBuilder::default().token(token).build()
    }

    /// A handle that schedules into this group; may be cloned and sent anywhere.
    pub fn handle(&self) -> DelayHandle<E> {
        self.handle.clone()
    }

    /// As [`DelayHandle::spawn_after`].
    ///
    /// # Errors
    /// [`Closed`] if the token was cancelled.
    pub fn spawn_after<F>(&self, delay: Duration, work: F) -> Result<DelayKey, Closed<F>>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.handle.spawn_after(delay, work)
    }

    /// As [`DelayHandle::spawn_at`].
    ///
    /// # Errors
    /// [`Closed`] if the token was cancelled.
    pub fn spawn_at<F>(&self, deadline: Instant, work: F) -> Result<DelayKey, Closed<F>>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.handle.spawn_at(deadline, work)
    }

    /// As [`DelayHandle::cancel`].
    pub fn cancel(&self, key: DelayKey) -> bool {
        self.handle.cancel(key)
    }

    /// How many are not started yet.
    pub fn pending(&self) -> usize {
        self.handle.pending()
    }

    /// Closes the group and waits until everything has run; at once if there is nothing.
    ///
    /// # Errors
    /// [`DelayError::Cancelled`] if the token was cancelled, whatever else happened; what ran has ended by then.
    /// [`DelayError::Failed`] with every error and panic.
    ///
    /// # Cancel safety
    /// Dropping the future drops the group: what is pending does not run, and what runs is aborted.
    pub async fn wait(mut self) -> Result<(), DelayError<E>> {
        self.handle.board.close();
        let Ok(ended) = (&mut self.driver).await else {
            // Only a runtime that shuts down stops the driver before its time.
            return Err(DelayError::Cancelled { not_run: self.pending(), failures: Vec::new() });
        };
        match ended {
            Ended { not_run: Some(not_run), failures } => {
                Err(DelayError::Cancelled { not_run, failures })
            }
            Ended { not_run: None, failures } if failures.is_empty() => Ok(()),
            Ended { not_run: None, failures } => Err(DelayError::Failed(failures)),
        }
    }
}

impl<E: Send + 'static> Default for DelayGroup<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Drop for DelayGroup<E> {
    fn drop(&mut self) {
        drop(self.handle.board.shut());
    }
}

impl DelayGroup {
    /// The settings, with their defaults: no limits, no token.
    pub fn builder() -> DelayGroupBuilder {
        DelayGroupBuilder::default()
    }
}

/// Schedules into a [`DelayGroup`]. Does not keep it alive.
pub struct DelayHandle<E = Infallible> {
    board: Arc<Board<E>>,
}

impl<E> Clone for DelayHandle<E> {
    fn clone(&self) -> Self {
        Self { board: Arc::clone(&self.board) }
    }
}

impl<E> fmt::Debug for DelayHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayHandle").field("pending", &self.board.pending()).finish()
    }
}

impl<E: Send + 'static> DelayHandle<E> {
    /// Runs `work` in a task of its own after `delay`; at once for zero. A delay beyond what the clock can count is 30 years.
    ///
    /// # Errors
    /// [`Closed`] if the group is waited for, was cancelled or dropped.
    pub fn spawn_after<F>(&self, delay: Duration, work: F) -> Result<DelayKey, Closed<F>>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        let now = Instant::now();
        self.spawn_at(now.checked_add(delay).unwrap_or_else(|| now + FAR), work)
    }

    /// Runs `work` in a task of its own at `deadline` or soon after; at once if that is past. The clock ticks in milliseconds,
    /// and a deadline is rounded up to the next tick.
    ///
    /// # Errors
    /// [`Closed`] if the group is waited for, was cancelled or dropped.
    pub fn spawn_at<F>(&self, deadline: Instant, work: F) -> Result<DelayKey, Closed<F>>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.board.add(deadline, work).map_err(Closed)
    }
}

impl<E> DelayHandle<E> {
    /// Drops work that has not started. False if it has, or was cancelled before.
    pub fn cancel(&self, key: DelayKey) -> bool {
        self.board.remove(key).is_some()
    }

    /// How many are not started yet.
    pub fn pending(&self) -> usize {
        self.board.pending()
    }
}
