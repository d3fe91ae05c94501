//! The mutex of a cluster.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::item::Demand;

use crate::error::{Error, LockTimeoutError, TryLockError};
use crate::grant::guard;
use crate::request::{Request, request_options};
use crate::session::handle::Handle;

const DEMAND: Demand = Demand::Mutex(v1::MutexDemand {});

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
///
/// How far an acquire has come:
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
#[derive(Debug, Clone)]
#[must_use = "nothing happens before lock()"]
pub struct Mutex {
    request: Request,
}

guard!(
    /// A mutex is held as long as this is [valid](crate::Grant::is_valid).
    MutexGuard
);

impl Mutex {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        Self { request: Request::new(handle, name) }
    }

    request_options!();
    request_options!(deadlocks);

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.request.name()
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
        self.request.acquire(DEMAND).await.map(MutexGuard::new)
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
        self.request.try_acquire(DEMAND).await.map(MutexGuard::new)
    }

    /// Waits for it for that time: 0 (as [`try_lock`](Self::try_lock)) up to 7 days, in milliseconds, counted by the cluster.
    ///
    /// # Errors
    /// [`LockTimeoutError::TimedOut`] says who holds it. Else as [`try_lock`](Self::try_lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn lock_timeout(&self, time: Duration) -> Result<MutexGuard, LockTimeoutError> {
        self.request.acquire_timeout(DEMAND, time).await.map(MutexGuard::new)
    }
}
