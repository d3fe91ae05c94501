//! The one task of a delay group: sleeps until the first deadline, starts what is due, and notes how it ended.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Due};
use super::{DelayFailure, DelayKey};
use crate::TaskError;
use crate::tasks::Tasks;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) max_running: Option<NonZeroUsize>,
    pub(super) grace: Option<Duration>,
}

/// How a group ended.
#[derive(Debug)]
pub(super) struct Ended<E> {
    /// How many were pending when the token was cancelled; none if it was not.
    pub(super) not_run: Option<usize>,
    pub(super) failures: Vec<DelayFailure<E>>,
}

/// A timer looks again after this, so that no deadline is too far for it.
const NAP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the driver waits for beside the end of a task.
enum Next {
    Change,
    Deadline(Instant),
    /// Closed, and nothing pending.
    LastToEnd,
}

pub(super) async fn drive<E: Send + 'static>(
    board: Arc<Board<E>>,
    token: CancellationToken,
    limits: Limits,
) -> Ended<E> {
    let mut running = Tasks::<DelayKey, E>::new();
    let mut failures = Vec::new();
    loop {
        let next = if token.is_cancelled() {
            break;
        } else {
            start_due(&board, &mut running, limits)
        };
        if matches!(next, Next::LastToEnd) && running.is_empty() {
            return Ended { not_run: None, failures };
        }
        let nap = async {
            match next {
                Next::Deadline(deadline) => {
                    sleep_until(deadline.min(Instant::now() + NAP_MAX)).await;
                }
                Next::Change | Next::LastToEnd => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = token.cancelled() => break,
            Some(end) = running.next() => note(&mut failures, end),
            () = board.changed() => {}
            () = nap => {}
        }
    }
    let not_run = board.shut().len();
    end_running(&mut running, &mut failures, limits.grace).await;
    Ended { not_run: Some(not_run), failures }
}

/// Starts what is due and has a slot. What is due without a slot stays pending: it can still be cancelled, and the end of a task
/// looks again.
fn start_due<E: Send + 'static>(
    board: &Board<E>,
    running: &mut Tasks<DelayKey, E>,
    limits: Limits,
) -> Next {
    while limits.max_running.is_none_or(|max| running.len() < max.get()) {
        match board.due(Instant::now()) {
            Due::Start(key, work) => running.spawn(key, work),
            Due::At(deadline) => return Next::Deadline(deadline),
            Due::Empty { is_closed: true } => return Next::LastToEnd,
            Due::Empty { is_closed: false } => return Next::Change,
        }
    }
    Next::Change
}

fn note<E>(
    failures: &mut Vec<DelayFailure<E>>,
    (key, result): (DelayKey, Result<(), TaskError<E>>),
) {
    failures.extend(result.err().map(|error| DelayFailure { key, error }));
}

async fn end_running<E: Send + 'static>(
    running: &mut Tasks<DelayKey, E>,
    failures: &mut Vec<DelayFailure<E>>,
    grace: Option<Duration>,
) {
    let mut all_end = async || {
        while let Some(end) = running.next().await {
            note(failures, end);
        }
    };
    match grace {
        None => all_end().await,
        Some(grace) => {
            if timeout(grace, all_end()).await.is_err() {
                running.abort_all();
                while let Some(end) = running.next().await {
                    note(failures, end);
                }
            }
        }
    }
}
