//! How a task, a group or a spawn fails.

use std::fmt;

use thiserror::Error;

use super::TaskIndex;
use crate::panic::Panic;

/// How a task ended that returned no value.
#[derive(Debug, Error)]
pub enum TaskError<E> {
    /// It returned this error.
    #[error(transparent)]
    Failed(E),
    /// It panicked.
    #[error("the task panicked: {0}")]
    Panicked(Panic),
    /// It was aborted while it ran.
    #[error("the task was cancelled")]
    Cancelled,
    /// It was accepted and never started.
    #[error("the task was never started")]
    Skipped,
}

impl<E> TaskError<E> {
    /// Goes on panicking here if the task panicked; otherwise the error, unchanged.
    #[must_use]
    pub fn resume(self) -> Self {
        match self {
            Self::Panicked(panic) => panic.resume(),
            Self::Failed(_) | Self::Cancelled | Self::Skipped => self,
        }
    }

    /// Whether the task itself went wrong, rather than was stopped.
    pub(super) const fn is_own_fault(&self) -> bool {
        match self {
            Self::Failed(_) | Self::Panicked(_) => true,
            Self::Cancelled | Self::Skipped => false,
        }
    }
}

/// One task that returned no value.
#[derive(Debug)]
pub struct TaskFailure<E> {
    /// Which one, by the order of spawning.
    pub index: TaskIndex,
    /// How it ended.
    pub error: TaskError<E>,
}

/// A group in which not every task returned a value.
#[derive(Debug)]
pub struct GroupError<E> {
    /// The first task to *end* with an error or a panic. If none did: the first, in the order of spawning, that was cancelled or
    /// skipped.
    pub first: TaskFailure<E>,
    /// All the others that ran and returned no value, in the order of spawning.
    pub others: Vec<TaskFailure<E>>,
    /// How many were accepted and never started.
    pub skipped: usize,
}

impl<E> GroupError<E> {
    /// All errors, the first to happen first, then in the order of spawning. Skipped tasks are only counted.
    pub fn iter(&self) -> impl Iterator<Item = &TaskFailure<E>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// One error prints as itself, several as a list with the index of each task.
impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let TaskError::Skipped = self.first.error {
            return write!(f, "{} tasks were never started", self.skipped);
        }
        if self.others.is_empty() {
            return write!(f, "{}", self.first.error);
        }
        write!(f, "{} tasks failed:", self.others.len() + 1)?;
        for (at, failure) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ";" };
            write!(f, "{comma} [{}] {}", failure.index.get(), failure.error)?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for GroupError<E> {}

/// A task was not accepted, because the group is closed: joined, detached, dropped or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// As said.
    #[error("the group is closed")]
    Closed,
}

/// A task was not accepted at once; here is its closure back.
#[derive(Error)]
pub enum TrySpawnError<F> {
    /// `max_running` run and `max_queued` wait.
    #[error("the group is full")]
    Full(F),
    /// The group is joined, detached, dropped or stopped.
    #[error("the group is closed")]
    Closed(F),
}

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

/// All values, or what went wrong.
pub(super) fn all_or_errors<T, E>(
    results: Vec<Result<T, TaskError<E>>>,
    first: Option<TaskIndex>,
) -> Result<Vec<T>, GroupError<E>> {
    let mut values = Vec::with_capacity(results.len());
    let mut others = Vec::new();
    let mut skipped = Vec::new();
    for (at, result) in results.into_iter().enumerate() {
        let index = TaskIndex::new(at);
        match result {
            Ok(value) => values.push(value),
            Err(TaskError::Skipped) => skipped.push(index),
            Err(error) => others.push(TaskFailure { index, error }),
        }
    }
    let skipped_len = skipped.len();
    let first_at = others.iter().position(|failure| Some(failure.index) == first).unwrap_or(0);
    let first = if others.is_empty() {
        let Some(index) = skipped.into_iter().next() else { return Ok(values) };
        TaskFailure { index, error: TaskError::Skipped }
    } else {
        others.remove(first_at)
    };
    Err(GroupError { first, others, skipped: skipped_len })
}
