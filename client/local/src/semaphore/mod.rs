//! A weighted semaphore that is first in, first out and can be resized: what is held is what a permit says, never a number
//! somebody has to give back by hand.

mod acquire;
mod permit;
mod queue;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use self::acquire::Acquire;
pub use self::permit::{OwnedSemaphorePermit, SemaphorePermit};
use self::queue::Queue;
use crate::sync::{Mutex, lock};

/// A weighted, first in first out, resizable semaphore.
///
/// A permit of weight `n` is released by dropping it, whatever the reason: return, `?`, panic, abort. There is no
/// `release(n)`, so nobody can release what he does not hold. Grants are strictly in the order of arrival: neither a small
/// request nor a `try_acquire` overtakes a large one that waits, so a request for the whole capacity is a fair writer lock.
///
/// For a fixed capacity and requests that can never exceed it, [`tokio::sync::Semaphore`] does as well and is what to use; this
/// type adds a capacity that it knows (a request above it is refused at once instead of blocking everybody behind it for ever),
/// [`resize`](Self::resize), and counts one can read.
///
/// Idea: `Weighted` of Go's `x/sync/semaphore` (order, no starvation), `marusama/semaphore` (resizing).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use conclave_local::Semaphore;
///
/// let semaphore = Semaphore::new(3);
/// let two = semaphore.acquire_many(2).await?;
/// assert_eq!(semaphore.available(), 1);
/// assert!(semaphore.try_acquire_many(2).is_err());
/// drop(two);
/// assert_eq!(semaphore.available(), 3);
/// # Ok::<(), conclave_local::AcquireError>(()) }).unwrap();
/// ```
pub struct Semaphore {
    queue: Mutex<Queue>,
}

/// Why a permit was not granted, and never will be for this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// [`Semaphore::close`] was called.
    #[error("the semaphore is closed")]
    Closed,
    /// More was asked for than there is, now or after a shrink while the request waited.
    #[error("{requested} permits were requested of a capacity of {capacity}")]
    ExceedsCapacity {
        /// The weight of the request.
        requested: u32,
        /// The capacity at that moment.
        capacity: usize,
    },
    /// The token given to [`Semaphore::acquire_cancellable`] was cancelled. No other call returns this.
    #[error("cancelled")]
    Cancelled,
}

/// Why a permit was not granted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// Too few are free, or somebody waits already.
    #[error("no permits are available")]
    NoPermits,
    /// [`Semaphore::close`] was called.
    #[error("the semaphore is closed")]
    Closed,
    /// More was asked for than there is.
    #[error("{requested} permits were requested of a capacity of {capacity}")]
    ExceedsCapacity {
        /// The weight of the request.
        requested: u32,
        /// The capacity at that moment.
        capacity: usize,
    },
}

impl Semaphore {
    /// `capacity` permits, all free. A capacity of 0 is a paused semaphore: it refuses everything but empty requests until it is
    /// resized.
    pub fn new(capacity: usize) -> Self {
        Self { queue: Mutex::new(Queue::new(capacity)) }
    }

    /// One permit.
    ///
    /// # Errors
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    /// As [`acquire_many`](Self::acquire_many).
    pub async fn acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.acquire_many(1).await
    }

    /// `weight` permits at once, in the order of arrival. A weight of 0 is granted at once and holds nothing.
    ///
    /// # Errors
    /// [`AcquireError::ExceedsCapacity`] at once if `weight` is above the capacity, or later if a shrink makes it so;
    /// [`AcquireError::Closed`] when the semaphore is or gets closed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue: nothing is taken, and whoever waited behind is served as if it had never been there.
    /// The place in the queue is lost. The place is taken at the first poll, not at the call.
    pub async fn acquire_many(&self, weight: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        Acquire::new(self, weight).await?;
        Ok(SemaphorePermit::granted(self, weight))
    }

    /// As [`acquire_many`](Self::acquire_many), with a permit that borrows nothing and may be moved into a task.
    ///
    /// # Errors
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    /// As [`acquire_many`](Self::acquire_many).
    pub async fn acquire_many_owned(
        self: Arc<Self>,
        weight: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        Acquire::new(&self, weight).await?;
        Ok(OwnedSemaphorePermit::granted(self, weight))
    }

    /// As [`acquire_many`](Self::acquire_many), but a token that is already cancelled wins even if permits are free. (With
    /// [`CancellationToken::run_until_cancelled`] that holds for the first poll only; a permit that arrives together with the
    /// cancellation may win there, here it is given back.)
    ///
    /// # Errors
    /// As [`acquire_many`](Self::acquire_many), and [`AcquireError::Cancelled`].
    ///
    /// # Cancel safety
    /// As [`acquire_many`](Self::acquire_many).
    pub async fn acquire_cancellable(
        &self,
        weight: u32,
        token: &CancellationToken,
    ) -> Result<SemaphorePermit<'_>, AcquireError> {
        tokio::select! {
            biased;
            () = token.cancelled() => Err(AcquireError::Cancelled),
            permit = self.acquire_many(weight) => permit,
        }
    }

    /// `weight` permits if they are free and nobody waits.
    ///
    /// # Errors
    /// [`TryAcquireError::NoPermits`] otherwise; the other two as in [`acquire_many`](Self::acquire_many).
    pub fn try_acquire_many(&self, weight: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        lock(&self.queue).try_take(weight)?;
        Ok(SemaphorePermit::granted(self, weight))
    }

    /// As [`try_acquire_many`](Self::try_acquire_many), with a permit that borrows nothing.
    ///
    /// # Errors
    /// As [`try_acquire_many`](Self::try_acquire_many).
    pub fn try_acquire_many_owned(
        self: Arc<Self>,
        weight: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        lock(&self.queue).try_take(weight)?;
        Ok(OwnedSemaphorePermit::granted(self, weight))
    }

    /// Sets the capacity and returns the previous one.
    ///
    /// Growing grants whoever now fits, in order. Shrinking revokes nothing: [`in_use`](Self::in_use) may stay above the capacity
    /// until enough permits have been dropped. Waiting requests that exceed the new capacity fail with
    /// [`AcquireError::ExceedsCapacity`] instead of waiting for a growth that may never come.
    pub fn resize(&self, capacity: usize) -> usize {
        let (previous, wakers) = lock(&self.queue).resize(capacity);
        wakers.wake();
        previous
    }

    /// Fails everybody who waits and every later call with `Closed`. Permits that are held stay valid, and so does one that was
    /// granted before but not yet taken.
    pub fn close(&self) {
        let wakers = lock(&self.queue).close();
        wakers.wake();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        lock(&self.queue).is_closed()
    }

    /// How many permits there are.
    pub fn capacity(&self) -> usize {
        lock(&self.queue).capacity()
    }

    /// How many permits are granted. Above the capacity only after a shrink.
    pub fn in_use(&self) -> usize {
        lock(&self.queue).in_use()
    }

    /// How many permits are free; 0 says nothing about who waits.
    pub fn available(&self) -> usize {
        let queue = lock(&self.queue);
        queue.capacity().saturating_sub(queue.in_use())
    }

    /// How many requests wait.
    pub fn waiters(&self) -> usize {
        lock(&self.queue).waiting()
    }

    /// Takes one permit without asking, above the capacity if need be. Who waits goes on waiting until the debt is paid.
    pub(crate) fn overdraw(self: Arc<Self>) -> OwnedSemaphorePermit {
        lock(&self.queue).overdraw(1);
        OwnedSemaphorePermit::granted(self, 1)
    }

    fn release(&self, weight: u32) {
        let wakers = lock(&self.queue).release(weight);
        wakers.wake();
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = lock(&self.queue);
        f.debug_struct("Semaphore")
            .field("capacity", &queue.capacity())
            .field("in_use", &queue.in_use())
            .field("waiting", &queue.waiting())
            .field("closed", &queue.is_closed())
            .finish()
    }
}
