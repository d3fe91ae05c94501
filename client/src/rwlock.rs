//! The read-write lock of a cluster: readers share it, one of them may be upgradable, a writer has it alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::Mode;
use conclave_proto::v1::item::Demand;

use crate::error::{Error, LockTimeoutError, TryLockError};
use crate::grant::{Grant, guard};
use crate::heldby::HeldBy;
use crate::request::{Request, request_options};
use crate::session::command::{Answer, Op, WaitPlan};
use crate::session::handle::Handle;

/// One read-write lock of the cluster, and how it shall be asked for. Cheap to clone; asks nothing by itself.
///
/// Everyone is served in the order of arrival within a priority, and a run of readers at the head is admitted together: neither
/// readers nor writers starve. Of readers one may be *upgradable*: it alone can wait to become the writer, so that two never wait
/// for each other. The manner is that of tokio's `RwLock`, the upgradable mode that of `parking_lot`.
///
/// Tokens of readers that hold at the same time identify them; they say nothing about an order among them.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// let schema = session.rwlock("schema");
/// let reading = schema.upgradable().await?;
/// if needs_migration() {
///     let writing = reading.upgrade().await.map_err(|failed| failed.error)?;
///     migrate(writing.token());
///     let reading = writing.downgrade().await.map_err(|failed| failed.error)?;
///     reading.release().await?;
/// }
/// # Ok(()) }
/// # fn needs_migration() -> bool { true }
/// # fn migrate(_: conclave_client::Token) {}
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before read() or write()"]
pub struct RwLock {
    request: Request,
}

guard!(
    /// The lock is shared with other readers as long as this is [valid](crate::Grant::is_valid).
    RwLockReadGuard
);
guard!(
    /// The lock is shared with readers as long as this is [valid](crate::Grant::is_valid); no other may become a writer meanwhile.
    RwLockUpgradableGuard
);
guard!(
    /// The lock is held alone as long as this is [valid](crate::Grant::is_valid).
    RwLockWriteGuard
);

/// A change of a guard that did not come about, with the guard as it was.
#[derive(Debug)]
pub struct ChangeError<G> {
    /// Perhaps lost: look at [`is_valid`](crate::Grant::is_valid).
    pub guard: G,
    /// Why.
    pub error: Error,
}

impl<G> fmt::Display for ChangeError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<G: fmt::Debug> std::error::Error for ChangeError<G> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// An upgrade that did not come about, with the guard as it was.
#[derive(Debug)]
pub struct UpgradeError<G> {
    /// Perhaps lost: look at [`is_valid`](crate::Grant::is_valid).
    pub guard: G,
    /// Why.
    pub reason: LockTimeoutError,
}

impl<G> fmt::Display for UpgradeError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason, f)
    }
}

impl<G: fmt::Debug> std::error::Error for UpgradeError<G> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.reason.source()
    }
}

fn demand(mode: Mode) -> Demand {
    Demand::Rwlock(v1::RwlockDemand { mode: mode.into() })
}

/// Declares the three ways of asking for one mode.
macro_rules! acquires {
    ($mode:expr, $guard:ident, $wait:ident, $try:ident, $timeout:ident, $what:literal) => {
        #[doc = concat!("Waits ", $what, " until the session ends.")]
        ///
        /// # Errors
        /// [`Error::SessionEnded`]: it was not and will not be granted. [`Error::Refused`]. [`Error::Lost`]: granted and taken
        /// away while the connection was gone.
        ///
        /// # Cancel safety
        /// Dropping the future gives up the place in the queue; a grant that crosses is given back at once.
        pub async fn $wait(&self) -> Result<$guard, Error> {
            self.request.acquire(demand($mode)).await.map($guard::new)
        }

        #[doc = concat!("Asks ", $what, " if that is possible at once and nobody waits before it.")]
        ///
        /// # Errors
        /// [`TryLockError::Held`] says who holds it. Else as the waiting form, and [`Error::NotAnswered`] when the cluster was
        /// away for the client's request timeout.
        ///
        /// # Cancel safety
        /// As the waiting form.
        pub async fn $try(&self) -> Result<$guard, TryLockError> {
            self.request.try_acquire(demand($mode)).await.map($guard::new)
        }

        #[doc = concat!("Waits ", $what, " for that time: 0 (a try) up to 7 days, in milliseconds, counted by the cluster.")]
        ///
        /// # Errors
        /// [`LockTimeoutError::TimedOut`] says who holds it. Else as the trying form.
        ///
        /// # Cancel safety
        /// As the waiting form.
        pub async fn $timeout(&self, time: Duration) -> Result<$guard, LockTimeoutError> {
            self.request.acquire_timeout(demand($mode), time).await.map($guard::new)
        }
    };
}

impl RwLock {
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

    acquires!(Mode::Read, RwLockReadGuard, read, try_read, read_timeout, "to read");
    acquires!(
        Mode::Upgradable,
        RwLockUpgradableGuard,
        upgradable,
        try_upgradable,
        upgradable_timeout,
        "to read, and perhaps to write later,"
    );
    acquires!(Mode::Write, RwLockWriteGuard, write, try_write, write_timeout, "to write");
}

impl RwLockReadGuard {
    /// Becomes the writer if nobody else holds the lock. Never waits: two readers that wait for each other would never end.
    ///
    /// # Errors
    /// With the guard: [`Refusal::WouldDeadlock`](crate::Refusal::WouldDeadlock) when others read too; [`Error::Lost`];
    /// [`Error::SessionEnded`]; [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future releases the lock, whatever became of it.
    pub async fn try_upgrade(self) -> Result<RwLockWriteGuard, ChangeError<Self>> {
        match upgrade(self.grant, Mode::Read, WaitPlan::None).await {
            Ok(grant) => Ok(RwLockWriteGuard::new(grant)),
            Err((grant, answer)) => {
                Err(ChangeError { guard: Self::new(grant), error: answer.into_error() })
            }
        }
    }
}

impl RwLockUpgradableGuard {
    /// Waits until the readers that are there have gone, and becomes the writer, before everyone who waits; new readers queue
    /// meanwhile. The token is a new one then.
    ///
    /// # Errors
    /// With the guard: [`Error::Lost`]; [`Refusal::HoldLost`](crate::Refusal::HoldLost): it is being lost;
    /// [`Error::SessionEnded`]; [`Error::Refused`].
    ///
    /// # Cancel safety
    /// Dropping the future releases the lock, whatever became of it. To give up the upgrade only, use
    /// [`upgrade_timeout`](Self::upgrade_timeout).
    pub async fn upgrade(self) -> Result<RwLockWriteGuard, ChangeError<Self>> {
        match upgrade(self.grant, Mode::Upgradable, WaitPlan::Forever).await {
            Ok(grant) => Ok(RwLockWriteGuard::new(grant)),
            Err((grant, answer)) => {
                Err(ChangeError { guard: Self::new(grant), error: answer.into_error() })
            }
        }
    }

    /// Becomes the writer if nobody reads.
    ///
    /// # Errors
    /// With the guard: [`LockTimeoutError::TimedOut`] says who reads. Else as [`upgrade`](Self::upgrade), and
    /// [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// As [`upgrade`](Self::upgrade).
    pub async fn try_upgrade(self) -> Result<RwLockWriteGuard, UpgradeError<Self>> {
        self.upgrade_for(WaitPlan::None).await
    }

    /// As [`upgrade`](Self::upgrade), for that time: 0 (as [`try_upgrade`](Self::try_upgrade)) up to 7 days, in milliseconds, counted
    /// by the cluster.
    ///
    /// # Errors
    /// As [`try_upgrade`](Self::try_upgrade).
    ///
    /// # Cancel safety
    /// As [`upgrade`](Self::upgrade).
    pub async fn upgrade_timeout(
        self,
        time: Duration,
    ) -> Result<RwLockWriteGuard, UpgradeError<Self>> {
        let handle = Arc::clone(self.hold().handle());
        match Request::of_names(handle, [Arc::from(self.name())].into()).until(time) {
            Ok(wait) => self.upgrade_for(wait).await,
            Err(error) => Err(UpgradeError { guard: self, reason: error.into() }),
        }
    }

    async fn upgrade_for(self, wait: WaitPlan) -> Result<RwLockWriteGuard, UpgradeError<Self>> {
        match upgrade(self.grant, Mode::Upgradable, wait).await {
            Ok(grant) => Ok(RwLockWriteGuard::new(grant)),
            Err((grant, answer)) => {
                let reason = match answer {
                    Answer::Held(held) | Answer::TimedOut(held) => timed_out(held),
                    other => other.into_error().into(),
                };
                Err(UpgradeError { guard: Self::new(grant), reason })
            }
        }
    }

    /// Goes on as a plain reader, at once; whoever may share the lock now is admitted.
    ///
    /// # Errors
    /// With the guard: [`Error::Lost`]; [`Error::SessionEnded`]; [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future releases the lock, whatever became of it.
    pub async fn downgrade(self) -> Result<RwLockReadGuard, ChangeError<Self>> {
        match downgrade(&self.grant, Mode::Read).await {
            Ok(()) => Ok(RwLockReadGuard::new(self.grant)),
            Err(error) => Err(ChangeError { guard: self, error }),
        }
    }
}

impl RwLockWriteGuard {
    /// Goes on as a reader, at once and without letting a writer in between; the readers that wait next are admitted.
    ///
    /// # Errors
    /// With the guard: [`Error::Lost`]; [`Error::SessionEnded`]; [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future releases the lock, whatever became of it.
    pub async fn downgrade(self) -> Result<RwLockReadGuard, ChangeError<Self>> {
        match downgrade(&self.grant, Mode::Read).await {
            Ok(()) => Ok(RwLockReadGuard::new(self.grant)),
            Err(error) => Err(ChangeError { guard: self, error }),
        }
    }

    /// Goes on as the upgradable reader, at once.
    ///
    /// # Errors
    /// As [`downgrade`](Self::downgrade).
    ///
    /// # Cancel safety
    /// As [`downgrade`](Self::downgrade).
    pub async fn downgrade_to_upgradable(self) -> Result<RwLockUpgradableGuard, ChangeError<Self>> {
        match downgrade(&self.grant, Mode::Upgradable).await {
            Ok(()) => Ok(RwLockUpgradableGuard::new(self.grant)),
            Err(error) => Err(ChangeError { guard: self, error }),
        }
    }
}

async fn upgrade(grant: Grant, from: Mode, wait: WaitPlan) -> Result<Grant, (Grant, Answer)> {
    let op = Op::Upgrade { hold: Arc::clone(grant.hold().core()), from };
    match grant.hold().change(op, wait).await {
        Answer::Done => Ok(grant),
        other => Err((grant, other)),
    }
}

async fn downgrade(grant: &Grant, to: Mode) -> Result<(), Error> {
    grant.change(Op::Downgrade { hold: Arc::clone(grant.hold().core()), to }).await
}

fn timed_out(held: HeldBy) -> LockTimeoutError {
    LockTimeoutError::TimedOut(held)
}
