//! The mutex of a cluster: asking for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use tokio::sync::watch;

use crate::check;
use crate::error::{Error, LockTimeoutError, Refusal, TryLockError};
use crate::guard::MutexGuard;
use crate::session::command::{Answer, Op, WaitPlan};
use crate::session::handle::Handle;

/// Longest wait with an end: the cluster's own limit.
const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How far an acquire has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Progress {
    /// On its way to the cluster.
    #[default]
    Asking,
    /// In the queue.
    Queued {
        /// Where it stood when it was queued, or asked again after a reconnect; counts from 1.
        position: u32,
    },
}

/// One mutex of the cluster, and how it shall be asked for. Cheap to clone; asks nothing by itself.
///
/// Waiters are served in the order of their arrival within a priority, nobody barges in. Two acquires exclude each other also within one
/// session, as those of two tasks must; it is not reentrant. The manner is that of [`tokio::sync::Mutex`].
///
/// ```no_run
/// # async fn example() -> Result<(), conclave_client::Error> {
/// let client = conclave_client::Client::connect(["127.0.0.1:7420"])?;
/// let session = client.session().name("billing").open().await?;
/// let guard = session.mutex("orders/42").lock().await?;
/// tokio::select! {
///     lost = guard.lost() => eprintln!("stop at once: {lost}"),
///     () = work(guard.token()) => guard.release().await?,
/// }
/// # Ok(()) }
/// # async fn work(_: conclave_client::Token) {}
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before lock()"]
pub struct Mutex {
    handle: Arc<Handle>,
    name: Arc<str>,
    owner: Option<String>,
    priority: i32,
    max_hold: Duration,
    metadata: BTreeMap<String, String>,
    progress: Option<watch::Sender<Progress>>,
}

impl Mutex {
    pub(crate) fn new(handle: Arc<Handle>, name: String) -> Self {
        Self {
            handle,
            name: name.into(),
            owner: None,
            priority: 0,
            max_hold: Duration::ZERO,
            metadata: BTreeMap::new(),
            progress: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who within the session asks: the same owner again is refused [`Refusal::AlreadyHeld`] instead of waiting for itself. A
    /// stranger each time, unless set. 1 to 512 bytes without control characters.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Higher goes first, arrival decides among equals; zero unless set. Low priorities may starve.
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// The cluster takes the hold away after this time; never, unless set. Up to 7 days, in whole milliseconds; zero: never.
    pub const fn max_hold(mut self, max_hold: Duration) -> Self {
        self.max_hold = max_hold;
        self
    }

    /// Adds something that `inspect` shows with the hold; 4 KiB together.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Publishes how far each acquire has come. Subscribe before asking.
    ///
    /// ```no_run
    /// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
    /// use conclave_client::Progress;
    /// let (progress, mut seen) = tokio::sync::watch::channel(Progress::Asking);
    /// let mutex = session.mutex("job").progress(progress);
    /// let lock = mutex.lock();
    /// tokio::pin!(lock);
    /// let guard = loop {
    ///     tokio::select! {
    ///         guard = &mut lock => break guard?,
    ///         Ok(()) = seen.changed() => println!("waiting: {:?}", *seen.borrow_and_update()),
    ///     }
    /// };
    /// # drop(guard); Ok(()) }
    /// ```
    pub fn progress(mut self, progress: watch::Sender<Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Waits for it until the session ends.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]: it was not and will not be granted. [`Error::Refused`]. [`Error::Lost`]: granted and taken away
    /// while the connection was gone.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue; a grant that crosses is given back at once.
    pub async fn lock(&self) -> Result<MutexGuard, Error> {
        match self.ask(WaitPlan::Forever).await? {
            Answer::Granted(hold) => Ok(MutexGuard::new(hold, Arc::clone(&self.name))),
            other => Err(other.into_error()),
        }
    }

    /// Takes it if nobody holds it or waits for it.
    ///
    /// # Errors
    /// [`TryLockError::Held`] says who holds it. Else as [`lock`](Self::lock), and [`Error::NotAnswered`] when the cluster was
    /// away for the client's request timeout.
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn try_lock(&self) -> Result<MutexGuard, TryLockError> {
        match self.ask(WaitPlan::None).await? {
            Answer::Granted(hold) => Ok(MutexGuard::new(hold, Arc::clone(&self.name))),
            Answer::Held(held) => Err(TryLockError::Held(held)),
            other => Err(other.into_error().into()),
        }
    }

    /// Waits for it for that time: 0 (as [`try_lock`](Self::try_lock)) up to 7 days, in milliseconds, counted by the cluster.
    ///
    /// # Errors
    /// [`LockTimeoutError::TimedOut`] says who holds it. Else as [`try_lock`](Self::try_lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn lock_timeout(&self, time: Duration) -> Result<MutexGuard, LockTimeoutError> {
        if time > WAIT_MAX {
            let refusal = Refusal::invalid("wait", "is longer than 7 days");
            return Err(Error::from(refusal).into());
        }
        let wait = if time.is_zero() {
            WaitPlan::None
        } else {
            WaitPlan::Until(self.handle.shared.clock.now().plus(time))
        };
        match self.ask(wait).await? {
            Answer::Granted(hold) => Ok(MutexGuard::new(hold, Arc::clone(&self.name))),
            Answer::TimedOut(held) | Answer::Held(held) => Err(LockTimeoutError::TimedOut(held)),
            other => Err(other.into_error().into()),
        }
    }

    async fn ask(&self, wait: WaitPlan) -> Result<Answer, Error> {
        check::text("name", &self.name)?;
        if let Some(owner) = &self.owner {
            check::text("owner", owner)?;
        }
        check::labels("metadata", &self.metadata)?;
        let acquire = v1::AcquireOp {
            name: self.name.as_ref().to_owned(),
            wait: None,
            priority: self.priority,
            max_hold_ms: check::millis("max_hold", self.max_hold)?,
            owner: self.owner.clone(),
            metadata: self.metadata.clone().into_iter().collect(),
            demand: Some(v1::acquire_op::Demand::Mutex(v1::MutexDemand {})),
        };
        if let Some(progress) = &self.progress {
            progress.send_replace(Progress::Asking);
        }
        let op = Op::Acquire(Box::new(acquire));
        Ok(self.handle.call(op, wait, self.progress.clone()).await)
    }
}
