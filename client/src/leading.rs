//! Work that runs while leading, and stops before anybody else may lead.

use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::election::{Election, Leadership};
use crate::error::Error;
use crate::ids::Token;
use crate::state::{Lost, SessionState};

/// How a run as the leader ended.
#[derive(Debug)]
pub enum Led<T> {
    /// The work ended by itself; the leadership was given up.
    Finished(T),
    /// The work was told to stop, did so, and returned this.
    Stopped {
        /// What the work returned.
        value: T,
        /// Why the leadership was lost; `None`: contact was lost for so long that it might have been, but it was not.
        lost: Option<Lost>,
    },
}

impl Election {
    /// Campaigns, and runs `work` while leading. When the leadership is lost, or may soon be because the cluster was not heard from for
    /// two thirds of the TTL, `cancel` is cancelled; the work must then come to its end *before the local deadline* at 0.9 TTL:
    /// nobody else leads before that. Its end is waited for, then the cluster is told that the leadership is no longer used, so
    /// that the next leader need not wait any longer.
    ///
    /// ```no_run
    /// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
    /// let election = session.election("scheduler");
    /// election
    ///     .run_as_leader(async |term, cancel| {
    ///         while !cancel.is_cancelled() {
    ///             schedule_one(term).await;
    ///         }
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// # async fn schedule_one(_: conclave_client::Token) {}
    /// ```
    ///
    /// # Errors
    /// As [`campaign`](Self::campaign). [`Error::NotAnswered`]: the work is done, but whether the leadership was given up is unknown.
    ///
    /// # Cancel safety
    /// Dropping the future drops the work where it awaits, then gives the leadership up.
    pub async fn run_as_leader<T, F>(&self, work: F) -> Result<Led<T>, Error>
    where
        F: AsyncFnOnce(Token, CancellationToken) -> T,
    {
        self.campaign().await?.lead(work).await
    }

    /// As [`run_as_leader`](Self::run_as_leader), and campaigns again whenever the work was told to stop, until it ends by itself
    /// or the session ends.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]: lead again on another session. Else as [`run_as_leader`](Self::run_as_leader).
    ///
    /// # Cancel safety
    /// As [`run_as_leader`](Self::run_as_leader).
    pub async fn keep_leading<T, F>(&self, mut work: F) -> Result<T, Error>
    where
        F: AsyncFnMut(Token, CancellationToken) -> T,
    {
        loop {
            match self.run_as_leader(async |term, cancel| work(term, cancel).await).await {
                Ok(Led::Finished(value)) => return Ok(value),
                // Also when it was won and taken away before that was heard.
                Ok(Led::Stopped { .. }) | Err(Error::Lost(_)) => {
                    tracing::debug!(name = self.name(), "no longer the leader");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Leadership {
    /// Runs `work` while this leadership lasts, as [`Election::run_as_leader`] does once it was won.
    ///
    /// # Errors
    /// [`Error::NotAnswered`]: the work is done, but whether the leadership was given up is unknown.
    ///
    /// # Cancel safety
    /// As [`Election::run_as_leader`].
    pub async fn lead<T, F>(self, work: F) -> Result<Led<T>, Error>
    where
        F: AsyncFnOnce(Token, CancellationToken) -> T,
    {
        let cancel = CancellationToken::new();
        let led = {
            let mut work = pin!(work(self.term(), cancel.clone()));
            let finished = tokio::select! {
                biased;
                () = self.must_stop() => None,
                value = &mut work => Some(value),
            };
            match finished {
                Some(value) => Led::Finished(value),
                None => {
                    cancel.cancel();
                    Led::Stopped { value: work.await, lost: self.lost_reason() }
                }
            }
        };
        match self.release().await {
            // The end of a lost leadership is what it was released for.
            Ok(()) | Err(Error::Lost(_) | Error::SessionEnded(_)) => Ok(led),
            Err(error) => Err(error),
        }
    }

    /// Resolves when the leadership is lost or in jeopardy. Reads the clock whenever it is polled.
    async fn must_stop(&self) {
        let shared = &self.hold().handle().shared;
        let mut state = shared.watch();
        loop {
            if !self.is_valid() || shared.state() == SessionState::Jeopardy {
                return;
            }
            // The task of the session looks every 100 ms; the pause is for a runtime whose task is gone.
            tokio::select! {
                _ = self.lost() => return,
                _ = state.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}
