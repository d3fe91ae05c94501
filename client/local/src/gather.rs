//! Several futures, one result: all of them, the first good one, the last few, one after the other.
//!
//! The futures run inside the calling task, interleaved, and may borrow; for tasks of their own see [`try_all_spawned`] and
//! [`TaskGroup`]. A panic of a member is that member's error. On an early return the others are dropped, and gone
//! before the result is there. No input is an answer, not a hang: an empty list.
//!
//! To stop with a token, wrap the call: [`until_cancelled`].
//!
//! Idea: `gollback` and `Hunch`. Where futures already has the thing and panics may pass: `join_all`, `try_join_all`, `select_ok`.

use std::fmt;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::panic::Panic;
use crate::{GroupError, TaskCtx, TaskError, TaskGroup};

/// The members, each with its place; they yield results as they complete.
fn members<T, E, I>(futures: I) -> FuturesUnordered<impl Future<Output = Member<T, E>>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let guarded = |(at, future)| guard(future).map(move |result| Member { at, result });
    futures.into_iter().enumerate().map(guarded).collect()
}

struct Member<T, E> {
    at: usize,
    result: Result<T, TaskError<E>>,
}

async fn guard<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, TaskError<E>> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(result) => result.map_err(TaskError::Failed),
        Err(panic) => Err(TaskError::Panicked(Panic::new(panic))),
    }
}

/// Every result, in the order of the input.
///
/// # Cancel safety
/// Dropping the future drops all members.
pub async fn all_settled<T, E, I>(futures: I) -> Vec<Result<T, TaskError<E>>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let mut running = members(futures);
    let mut results: Vec<_> = (0..running.len()).map(|_| None).collect();
    while let Some(Member { at, result }) = running.next().await {
        results[at] = Some(result);
    }
    results.into_iter().map(|result| result.expect("each member ends once")).collect()
}

/// Every value, in the order of the input, or the first error to happen.
///
/// # Errors
/// The first member to fail or panic ends it; the others are dropped.
///
/// # Cancel safety
/// Dropping the future drops all members.
pub async fn try_all<T, E, I>(futures: I) -> Result<Vec<T>, TaskError<E>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let mut running = members(futures);
    let mut values: Vec<_> = (0..running.len()).map(|_| None).collect();
    while let Some(Member { at, result }) = running.next().await {
        values[at] = Some(result?);
    }
    Ok(values.into_iter().map(|value| value.expect("each member ends once")).collect())
}

/// As [`try_all`], each member in a task of its own. The first error aborts the others, and they are gone before it is returned;
/// errors that happened meanwhile are kept.
///
/// # Errors
/// As [`TaskGroup::join`].
///
/// # Cancel safety
/// Dropping the future aborts all members.
pub async fn try_all_spawned<T, E, I>(futures: I) -> Result<Vec<T>, GroupError<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    I: IntoIterator<Item: Future<Output = Result<T, E>> + Send + 'static>,
{
    let group = TaskGroup::builder().abort_on_cancel().build();
    let spawner = group.spawner();
    for future in futures {
        // Closed already: a member failed before all were started, and `join` says so.
        if spawner.try_spawn(|_: TaskCtx<T, E>| future).is_err() {
            break;
        }
    }
    group.join().await
}

/// Why none of the contenders won.
#[derive(Debug)]
pub enum RaceError<E> {
    /// There was none.
    Empty,
    /// All failed: how, in the order in which it happened.
    AllFailed(Vec<TaskError<E>>),
    /// The token of [`until_cancelled`] was cancelled.
    Cancelled,
}

impl<E: fmt::Display> fmt::Display for RaceError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nobody to race"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::AllFailed(errors) => {
                write!(f, "all {} failed", errors.len())?;
                errors.last().map_or(Ok(()), |last| write!(f, ", the last with: {last}"))
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RaceError<E> {}

impl<E> RaceError<E> {
    /// The error that happened last.
    pub fn last(&self) -> Option<&TaskError<E>> {
        match self {
            Self::AllFailed(errors) => errors.last(),
            Self::Empty | Self::Cancelled => None,
        }
    }
}

/// The first success; an error never beats a success that comes later. The losers are dropped.
///
/// # Errors
/// [`RaceError::AllFailed`] with every error, or [`RaceError::Empty`].
///
/// # Cancel safety
/// Dropping the future drops all members.
pub async fn race_ok<T, E, I>(futures: I) -> Result<T, RaceError<E>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let mut running = members(futures);
    if running.is_empty() {
        return Err(RaceError::Empty);
    }
    let mut errors = Vec::new();
    while let Some(member) = running.next().await {
        match member.result {
            Ok(value) => return Ok(value),
            Err(error) => errors.push(error),
        }
    }
    Err(RaceError::AllFailed(errors))
}

/// The first `count` successes, in the order of completion; all of them if there are fewer. 0 is an empty answer at once, and
/// nothing is polled.
///
/// # Errors
/// The first error or panic before that. (For "an error does not matter while others may succeed" see [`race_ok`].)
///
/// # Cancel safety
/// Dropping the future drops all members.
pub async fn take_ok<T, E, I>(count: usize, futures: I) -> Result<Vec<T>, TaskError<E>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let mut running = members(futures);
    let mut values = Vec::with_capacity(count.min(running.len()));
    while values.len() < count
        && let Some(member) = running.next().await
    {
        values.push(member.result?);
    }
    Ok(values)
}

/// Runs all, and keeps the last `count` successes in the order of completion; all of them if there are fewer.
///
/// # Errors
/// The first error or panic of any.
///
/// # Cancel safety
/// Dropping the future drops all members.
pub async fn last_ok<T, E, I>(count: usize, futures: I) -> Result<Vec<T>, TaskError<E>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let mut values = take_ok(usize::MAX, futures).await?;
    Ok(values.split_off(values.len().saturating_sub(count)))
}

/// Threads a value through steps of one type, one after the other. Steps that are known when the program is written are better
/// written as such, with `?`.
///
/// # Errors
/// The first error or panic ends it; later steps are not started.
///
/// # Cancel safety
/// Dropping the future drops the step that runs.
pub async fn waterfall<T, E, F, Fut>(
    init: T,
    steps: impl IntoIterator<Item = F>,
) -> Result<T, TaskError<E>>
where
    F: FnOnce(T) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut value = init;
    for step in steps {
        value = guard(async { step(value).await }).await?;
    }
    Ok(value)
}

/// A token was cancelled before there was a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("cancelled")]
pub struct Cancelled;

impl<E> From<Cancelled> for TaskError<E> {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl<E> From<Cancelled> for RaceError<E> {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// Any of the above, until the token is cancelled: then all members are dropped, and the error says so. A token that is cancelled
/// already wins over results that are there. For [`all_settled`], which has no error, use
/// [`CancellationToken::run_until_cancelled`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use conclave_local::{TaskError, gather};
/// use tokio_util::sync::CancellationToken;
///
/// let token = CancellationToken::new();
/// token.cancel();
/// let never = [std::future::pending::<Result<(), String>>()];
/// let result = gather::until_cancelled(&token, gather::try_all(never)).await;
/// assert!(matches!(result, Err(TaskError::Cancelled)));
/// # });
/// ```
///
/// # Errors
/// Those of `gathering`, and its `Cancelled`.
///
/// # Cancel safety
/// That of `gathering`.
pub async fn until_cancelled<T, E: From<Cancelled>>(
    token: &CancellationToken,
    gathering: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        biased;
        () = token.cancelled() => Err(Cancelled.into()),
        result = gathering => result,
    }
}
