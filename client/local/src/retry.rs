//! Trying again, a bounded number of times, with a pause that grows. The delays are backon's; here are the count, the kept cause,
//! and the token.

use std::num::NonZeroU32;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// How often and how fast [`retry`] tries.
///
/// By default 3 attempts, with pauses of 100 ms and 200 ms and up to as much again by chance, so that those who failed together
/// do not come back together.
#[derive(Debug, Clone)]
#[must_use]
pub struct RetryPolicy {
    /// None: for ever.
    attempts: Option<NonZeroU32>,
    backoff: ExponentialBuilder,
    token: Option<CancellationToken>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(10))
            .with_factor(2.0)
            .with_jitter()
            .without_max_times();
        Self { attempts: NonZeroU32::new(3), backoff, token: None }
    }
}

impl RetryPolicy {
    /// So many attempts in total, the first included. (backon counts *re*tries.)
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// No limit but the token's.
    pub fn forever(mut self) -> Self {
        self.attempts = None;
        self
    }

    /// The pause after the first failure, and what it may grow to; it doubles each time. Chance adds up to as much again.
    /// A `min` of zero is a busy loop, as in the Go packages: a choice, not the default.
    pub fn delays(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = self.backoff.with_min_delay(min).with_max_delay(max);
        self
    }

    /// Gives up when this is cancelled, in an attempt, which is then dropped, as well as in a pause.
    pub fn token(mut self, token: CancellationToken) -> Self {
        self.token = Some(token);
        self
    }
}

/// Why there is no value, and after how many attempts.
#[derive(Debug, Error)]
pub enum RetryError<E> {
    /// Every attempt failed.
    #[error("{attempts} attempts failed, the last with: {last}")]
    Exhausted {
        /// How many were made.
        attempts: NonZeroU32,
        /// What the last one returned.
        #[source]
        last: E,
    },
    /// This error is not worth another attempt.
    #[error("attempt {attempts} failed for good: {last}")]
    NotRetryable {
        /// How many were made.
        attempts: NonZeroU32,
        /// What the last one returned.
        #[source]
        last: E,
    },
    /// The token was cancelled.
    #[error("cancelled after {attempts} attempts")]
    Cancelled {
        /// How many were begun; 0 if the token was cancelled before.
        attempts: u32,
        /// What the last completed one returned, if any completed.
        last: Option<E>,
    },
}

/// Calls `attempt` with 1, 2, 3, ... until it succeeds or the policy gives up. Runs in the calling task; the closure may borrow.
///
/// Idea: `gollback.Retry` and `Hunch.Retry`, which loop without a pause, and of which one drops the cause and the other leaves a
/// cancelled attempt running. For more shapes of pauses use `backon` itself.
///
/// # Errors
/// See [`RetryError`]; the cause is always kept.
///
/// # Cancel safety
/// Dropping the future drops the attempt that runs.
pub async fn retry<T, E>(
    policy: &RetryPolicy,
    attempt: impl AsyncFnMut(u32) -> Result<T, E>,
) -> Result<T, RetryError<E>> {
    retry_if(policy, attempt, |_| true).await
}

/// As [`retry`], but an error for which `is_retryable` says no ends it at once.
///
/// # Errors
/// See [`RetryError`].
///
/// # Cancel safety
/// As [`retry`].
pub async fn retry_if<T, E>(
    policy: &RetryPolicy,
    mut attempt: impl AsyncFnMut(u32) -> Result<T, E>,
    mut is_retryable: impl FnMut(&E) -> bool,
) -> Result<T, RetryError<E>> {
    let token = policy.token.clone().unwrap_or_default();
    let mut delays = policy.backoff.build();
    let mut attempts = NonZeroU32::MIN;
    let mut last = None;
    if token.is_cancelled() {
        return Err(RetryError::Cancelled { attempts: 0, last });
    }
    loop {
        let result = tokio::select! {
            biased;
            () = token.cancelled() => {
                return Err(RetryError::Cancelled { attempts: attempts.get(), last });
            }
            result = attempt(attempts.get()) => result,
        };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !is_retryable(&error) {
            return Err(RetryError::NotRetryable { attempts, last: error });
        }
        if policy.attempts.is_some_and(|max| attempts >= max) {
            return Err(RetryError::Exhausted { attempts, last: error });
        }
        let delay = delays.next().expect("a backoff without a limit of its own");
        tokio::select! {
            biased;
            () = token.cancelled() => {
                return Err(RetryError::Cancelled { attempts: attempts.get(), last: Some(error) });
            }
            () = tokio::time::sleep(delay) => {}
        }
        last = Some(error);
        attempts = attempts.saturating_add(1);
    }
}
