//! Long-running parts of one process that stand and fall together: one exits, all exit; signals; clean-up that is bounded.

mod report;
mod signals;
mod stages;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
pub use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

pub use self::report::{Exit, Outcome, Report, RunError, SignalExit};

/// What an actor or a clean-up is called in reports.
pub type Name = Arc<str>;

type Actor<E> = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, Result<(), E>> + Send>;
type Cleanup<E> = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), E>> + Send>;

/// Actors that run until one of them exits, a signal comes or a token is cancelled; then all are told to stop, and what must be
/// cleaned up is cleaned up, all within one deadline.
///
/// * Every actor gets a token. The first exit, whether `Ok`, `Err` or panic, cancels it; an actor that returns `Ok` after that has
///   done what it was asked to. What a start needs (binding a port) belongs into the actor: a failed start stops the others.
/// * Signals are caught before any actor starts. The first that the group gets stops gracefully, the second aborts. tokio never
///   gives a signal its default action back: after the run, this process survives it.
/// * [`grace`](Self::grace) counts from the exit that began it all, for actors and clean-ups together. What is not done by then is
///   aborted and reported as unfinished, not awaited.
/// * Clean-ups run after the actors, the last one added first, one after the other.
/// * Code that blocks or never reaches an `.await` cannot be aborted, here as anywhere: it is reported as unfinished, and then keeps
///   the runtime from shutting down. Give that a bound with [`tokio::runtime::Runtime::shutdown_timeout`], or leave `main` with
///   [`std::process::exit`]. What blocks the last worker thread stops the runtime's clock as well, and with it the deadline.
/// * To run many tasks in an actor, make a [`TaskGroup`](crate::TaskGroup) with the actor's token as parent.
///
/// Where actors must restart, nest, or end without stopping the others, use `tokio-graceful-shutdown`. Unix only.
///
/// Idea: `oklog/run`, `kratos`, and kubert's second signal.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use conclave_local::RunGroup;
///
/// let report = RunGroup::<std::io::Error>::new()
///     .grace(Duration::from_secs(10))
///     .shutdown_on_signals()
///     .actor("worker", async |stop| { stop.cancelled().await; Ok(()) })
///     .actor("job", async |_stop| Ok(()))
///     .cleanup("deregister", async || Ok(()))
///     .run()
///     .await;
/// report.into_result()?;
/// # Ok::<(), conclave_local::RunError<std::io::Error>>(()) }).unwrap();
/// ```
#[must_use = "nothing runs before `run`"]
pub struct RunGroup<E> {
    grace: Option<Duration>,
    signals: Vec<SignalKind>,
    signal_exit: SignalExit,
    token: Option<CancellationToken>,
    actors: Vec<(Name, Actor<E>)>,
    cleanups: Vec<(Name, Cleanup<E>)>,
}

impl<E: Send + 'static> RunGroup<E> {
    /// A group without actors that no signal stops, with a grace of 10 seconds.
    pub fn new() -> Self {
        Self {
            grace: Some(Duration::from_secs(10)),
            signals: Vec::new(),
            signal_exit: SignalExit::default(),
            token: None,
            actors: Vec::new(),
            cleanups: Vec::new(),
        }
    }

    /// How long stopping may take, from the first exit to the last clean-up. Zero: everything is aborted at once, and no clean-up
    /// starts. None: as long as it takes.
    pub fn grace(mut self, grace: impl Into<Option<Duration>>) -> Self {
        self.grace = grace.into();
        self
    }

    /// SIGINT and SIGTERM stop the group.
    pub fn shutdown_on_signals(self) -> Self {
        self.shutdown_on([SignalKind::interrupt(), SignalKind::terminate()])
    }

    /// These signals stop the group.
    pub fn shutdown_on(mut self, signals: impl IntoIterator<Item = SignalKind>) -> Self {
        self.signals = signals.into_iter().collect();
        self
    }

    /// What [`Report::exit_code`] says after a clean stop by a signal; 0 without it.
    pub fn signal_exit(mut self, signal_exit: SignalExit) -> Self {
        self.signal_exit = signal_exit;
        self
    }

    /// Cancelling this token stops the group. If it is cancelled already, the actors are started and told to stop.
    pub fn shutdown_token(mut self, token: CancellationToken) -> Self {
        self.token = Some(token);
        self
    }

    /// One more actor. It gets the token that tells it to stop.
    pub fn actor<F, Fut>(mut self, name: impl Into<Name>, actor: F) -> Self
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.actors.push((name.into(), Box::new(|stop| async move { actor(stop).await }.boxed())));
        self
    }

    /// One more thing to do after all actors have ended.
    pub fn cleanup<F, Fut>(mut self, name: impl Into<Name>, cleanup: F) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.cleanups.push((name.into(), Box::new(|| async move { cleanup().await }.boxed())));
        self
    }

    /// Runs until everything has ended, or is given up. A group without actors returns at once, after its clean-ups.
    ///
    /// # Panics
    /// Outside a tokio runtime; with signals or a grace, one with I/O and time enabled.
    ///
    /// # Cancel safety
    /// Dropping the future aborts all actors, and no clean-up starts.
    pub async fn run(self) -> Report<E> {
        stages::run(self).await
    }
}

impl<E: Send + 'static> Default for RunGroup<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for RunGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn names<T>(parts: &[(Name, T)]) -> Vec<&Name> {
            parts.iter().map(|(name, _)| name).collect()
        }
        f.debug_struct("RunGroup")
            .field("grace", &self.grace)
            .field("signals", &self.signals)
            .field("actors", &names(&self.actors))
            .field("cleanups", &names(&self.cleanups))
            .finish_non_exhaustive()
    }
}
