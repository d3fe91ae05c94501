//! Several things at once: all of them or none, under one token.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::Mode;
use conclave_proto::v1::item::Demand;

use crate::error::{Error, LockTimeoutError, Refusal, TryLockError};
use crate::grant::{Grant, guard};
use crate::request::{Request, request_options};
use crate::session::command::{Answer, WaitPlan};
use crate::session::handle::Handle;

/// The cluster's own limit.
const WANTS_MAX: usize = 64;

/// One of several things that are wanted together.
#[derive(Debug, Clone)]
pub struct Want {
    name: String,
    demand: Demand,
}

impl Want {
    /// A mutex.
    pub fn mutex(name: impl Into<String>) -> Self {
        Self { name: name.into(), demand: Demand::Mutex(v1::MutexDemand {}) }
    }

    /// A read-write lock, to read.
    pub fn read(name: impl Into<String>) -> Self {
        Self::rwlock(name.into(), Mode::Read)
    }

    /// A read-write lock, to write.
    pub fn write(name: impl Into<String>) -> Self {
        Self::rwlock(name.into(), Mode::Write)
    }

    /// So many permits of a semaphore with that limit.
    pub fn permits(name: impl Into<String>, limit: u32, permits: u32) -> Self {
        let demand = Demand::Permits(v1::PermitsDemand { weight: permits, limit });
        Self { name: name.into(), demand }
    }

    fn rwlock(name: String, mode: Mode) -> Self {
        Self { name, demand: Demand::Rwlock(v1::RwlockDemand { mode: mode.into() }) }
    }
}

/// A request for up to 64 things with distinct names, all or none, and how it shall be asked for. Asks nothing by itself.
///
/// Granted when everything fits and nobody who conflicts stands before it anywhere. Who waits holds nothing, so among tasks
/// that hold nothing else no deadlock is possible, and within a priority nobody starves. The price: while it waits, it holds back
/// later ones also on what is free.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// use conclave_client::Want;
/// let wants = [Want::mutex("from"), Want::mutex("to"), Want::read("rates"), Want::permits("slots", 8, 2)];
/// let all = session.acquire_all(wants).acquire().await?;
/// all.release().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before acquire()"]
pub struct AcquireAll {
    request: Request,
    demands: Vec<Demand>,
}

guard!(
    /// Everything is held, under one token, as long as this is [valid](crate::Grant::is_valid); released or lost as a whole.
    AllGuard
);

impl AcquireAll {
    pub(crate) fn new(handle: Arc<Handle>, wants: impl IntoIterator<Item = Want>) -> Self {
        let (names, demands): (Vec<Arc<str>>, _) =
            wants.into_iter().map(|want| (Arc::from(want.name), want.demand)).unzip();
        Self { request: Request::of_names(handle, names.into()), demands }
    }

    request_options!();
    request_options!(deadlocks);

    async fn ask(&self, wait: WaitPlan) -> Result<Answer, Error> {
        if self.demands.is_empty() || self.demands.len() > WANTS_MAX {
            let words = format!("must be 1 to {WANTS_MAX}, not {}", self.demands.len());
            return Err(Refusal::invalid("wants", words).into());
        }
        self.request.answer(self.demands.clone(), wait).await
    }

    /// Waits for all of them until the session ends.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]: they were not and will not be granted. [`Error::Refused`]. [`Error::Lost`]: granted and taken away
    /// while the connection was gone.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the places in the queues; a grant that crosses is given back at once.
    pub async fn acquire(&self) -> Result<AllGuard, Error> {
        let grant: Result<Grant, Error> = self.request.granted(self.ask(WaitPlan::Forever).await?);
        grant.map(AllGuard::new)
    }

    /// Takes all of them if that is possible at once.
    ///
    /// # Errors
    /// [`TryLockError::Held`] says what is held, and by whom. Else as [`acquire`](Self::acquire), and [`Error::NotAnswered`] when
    /// the cluster was away for the client's request timeout.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<AllGuard, TryLockError> {
        self.request.tried(self.ask(WaitPlan::None).await?).map(AllGuard::new)
    }

    /// Waits for all of them for that time: 0 (a try) up to 7 days, in milliseconds, counted by the cluster.
    ///
    /// # Errors
    /// [`LockTimeoutError::TimedOut`] says what is held, and by whom. Else as [`try_acquire`](Self::try_acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_timeout(&self, time: Duration) -> Result<AllGuard, LockTimeoutError> {
        let wait = self.request.until(time)?;
        self.request.timed(self.ask(wait).await?).map(AllGuard::new)
    }
}
