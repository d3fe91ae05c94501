//! The semaphore of a cluster: so many permits, taken by weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::item::Demand;
use tokio::sync::oneshot;

use crate::error::{Error, LockTimeoutError, Refusal, TryLockError};
use crate::grant::Grant;
use crate::request::{Request, request_options};
use crate::session::command::{Answer, Op};
use crate::session::handle::Handle;

/// One semaphore of the cluster, and how it shall be asked for. Cheap to clone; asks nothing by itself.
///
/// All who use it say the limit that they expect, and must agree. An operator may [resize](crate::Admin::resize) it: growing
/// grants at once, shrinking takes nothing away but drains, zero pauses.
///
/// Served in the order of arrival within a priority: nobody overtakes, so a large weight is served also under a flood of small
/// ones. The manner is that of [`tokio::sync::Semaphore`]; the order that of Go's `x/sync/semaphore`.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// let slots = session.semaphore("gpu-slots", 8);
/// let mut permit = slots.acquire_many(4).await?;
/// let half = permit.split(2).expect("it has four");
/// half.release().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before acquire()"]
pub struct Semaphore {
    request: Request,
    limit: u32,
}

/// Permits of a semaphore, held as long as this is [valid](crate::Grant::is_valid). What was [split](Self::split) off shares the token.
#[derive(Debug)]
#[must_use = "dropping it releases the permits"]
pub struct SemaphorePermit {
    shared: Arc<Shared>,
    /// Zero: given back.
    permits: u32,
}

#[derive(Debug)]
struct Shared {
    grant: Grant,
    /// Of all parts. Whoever takes it to zero gives back the whole.
    left: AtomicU32,
}

impl Semaphore {
    pub(crate) fn new(handle: Arc<Handle>, name: &str, limit: u32) -> Self {
        Self { request: Request::new(handle, name), limit }
    }

    request_options!();

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.request.name()
    }

    fn demand(&self, weight: u32) -> Result<Demand, Error> {
        for (field, number) in [("weight", weight), ("limit", self.limit)] {
            if number == 0 {
                return Err(Refusal::invalid(field, "must be 1 or more").into());
            }
        }
        Ok(Demand::Permits(v1::PermitsDemand { weight, limit: self.limit }))
    }

    /// Waits for one permit until the session ends.
    ///
    /// # Errors
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    /// As [`acquire_many`](Self::acquire_many).
    pub async fn acquire(&self) -> Result<SemaphorePermit, Error> {
        self.acquire_many(1).await
    }

    /// Waits for so many permits, all or none, until the session ends.
    ///
    /// # Errors
    /// [`Refusal::Weight`]: there are never so many, or a resize left fewer. [`Refusal::Mismatch`]: others expect another limit.
    /// [`Error::SessionEnded`]: they were not and will not be granted. [`Error::Lost`]: granted and taken away while the
    /// connection was gone.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue; a grant that crosses is given back at once.
    pub async fn acquire_many(&self, permits: u32) -> Result<SemaphorePermit, Error> {
        let grant = self.request.acquire(self.demand(permits)?).await?;
        Ok(SemaphorePermit::new(grant, permits))
    }

    /// Takes one permit if one is free and nobody waits.
    ///
    /// # Errors
    /// As [`try_acquire_many`](Self::try_acquire_many).
    ///
    /// # Cancel safety
    /// As [`acquire_many`](Self::acquire_many).
    pub async fn try_acquire(&self) -> Result<SemaphorePermit, TryLockError> {
        self.try_acquire_many(1).await
    }

    /// Takes so many permits if they are free and nobody waits.
    ///
    /// # Errors
    /// [`TryLockError::Held`] says who holds permits. Else as [`acquire_many`](Self::acquire_many), and [`Error::NotAnswered`]
    /// when the cluster was away for the client's request timeout.
    ///
    /// # Cancel safety
    /// As [`acquire_many`](Self::acquire_many).
    pub async fn try_acquire_many(&self, permits: u32) -> Result<SemaphorePermit, TryLockError> {
        let grant = self.request.try_acquire(self.demand(permits)?).await?;
        Ok(SemaphorePermit::new(grant, permits))
    }

    /// Waits for so many permits for that time: 0 (a try) up to 7 days, in milliseconds, counted by the cluster.
    ///
    /// # Errors
    /// [`LockTimeoutError::TimedOut`] says who holds permits. Else as [`try_acquire_many`](Self::try_acquire_many).
    ///
    /// # Cancel safety
    /// As [`acquire_many`](Self::acquire_many).
    pub async fn acquire_timeout(
        &self,
        permits: u32,
        time: Duration,
    ) -> Result<SemaphorePermit, LockTimeoutError> {
        let grant = self.request.acquire_timeout(self.demand(permits)?, time).await?;
        Ok(SemaphorePermit::new(grant, permits))
    }
}

impl SemaphorePermit {
    fn new(grant: Grant, permits: u32) -> Self {
        let left = AtomicU32::new(permits);
        Self { shared: Arc::new(Shared { grant, left }), permits }
    }

    /// How many.
    #[must_use]
    pub const fn permits(&self) -> u32 {
        self.permits
    }

    /// Takes so many of them into a permit of their own, under the same token: each part is given back by itself. `None`, and
    /// nothing changed, unless some are left on both sides.
    pub fn split(&mut self, permits: u32) -> Option<Self> {
        let left = self.permits.checked_sub(permits).filter(|left| *left > 0 && permits > 0)?;
        self.permits = left;
        Some(Self { shared: Arc::clone(&self.shared), permits })
    }

    /// Gives these permits back and waits for the word of the cluster. Of lost ones it says, with the last part, that they are no
    /// longer used; call it only when the use has surely stopped.
    ///
    /// # Errors
    /// [`Error::Lost`]: they were lost before. [`Error::SessionEnded`]: the session ended before the answer; the hold ended with it.
    ///
    /// # Cancel safety
    /// Once polled, they are given back also if the future is dropped, and before that as by a drop.
    pub async fn release(mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let permits = std::mem::take(&mut self.permits);
        drop(self);
        if shared.left.fetch_sub(permits, Ordering::AcqRel) > permits {
            let (reply, answer) = oneshot::channel();
            shared.give_back(permits, Some(reply));
            return match answer.await {
                Ok(answer) => answer.into_done(),
                // Without a task the session is over.
                Err(_) => Ok(()),
            };
        }
        match Arc::try_unwrap(shared) {
            Ok(shared) => shared.grant.release().await,
            // Another part is still within its drop, and its reference with it; the last one to go gives back the whole.
            Err(_) => Ok(()),
        }
    }
}

impl Shared {
    fn give_back(&self, permits: u32, reply: Option<oneshot::Sender<Answer>>) {
        let hold = Arc::clone(self.grant.hold().core());
        self.grant.hold().handle().tell(Op::ReleasePart { hold, permits }, reply);
    }
}

impl Drop for SemaphorePermit {
    fn drop(&mut self) {
        let permits = self.permits;
        if permits > 0 && self.shared.left.fetch_sub(permits, Ordering::AcqRel) > permits {
            self.shared.give_back(permits, None);
        }
        // The last part drops the grant, which gives back the whole.
    }
}

impl std::ops::Deref for SemaphorePermit {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        &self.shared.grant
    }
}
