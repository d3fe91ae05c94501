//! The wait for permits as a future: takes its place at the first poll, and gives back everything when it is dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::queue::{Look, Ticket};
use super::{AcquireError, Semaphore, TryAcquireError};
use crate::sync::lock;

pub(super) struct Acquire<'a> {
    semaphore: &'a Semaphore,
    weight: u32,
    /// None before the first poll and after the decision was fetched.
    ticket: Option<Ticket>,
}

impl<'a> Acquire<'a> {
    pub(super) const fn new(semaphore: &'a Semaphore, weight: u32) -> Self {
        Self { semaphore, weight, ticket: None }
    }
}

impl Future for Acquire<'_> {
    type Output = Result<(), AcquireError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let semaphore = self.semaphore;
        if let Some(ticket) = self.ticket {
            let (look, _old) = lock(&semaphore.queue).look(ticket, context.waker());
            return match look {
                Look::Waiting => Poll::Pending,
                Look::Decided(fate) => {
                    self.ticket = None;
                    Poll::Ready(fate)
                }
            };
        }
        // Check and place in the queue are one step under the lock: a release in between would wake nobody (marusama #2).
        let mut queue = lock(&semaphore.queue);
        let refusal = match queue.try_take(self.weight) {
            Ok(()) => return Poll::Ready(Ok(())),
            Err(TryAcquireError::NoPermits) => {
                self.ticket = Some(queue.enqueue(self.weight, context.waker().clone()));
                return Poll::Pending;
            }
            Err(TryAcquireError::Closed) => AcquireError::Closed,
            Err(TryAcquireError::ExceedsCapacity { requested, capacity }) => {
                AcquireError::ExceedsCapacity { requested, capacity }
            }
        };
        Poll::Ready(Err(refusal))
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let (wakers, _own) = lock(&self.semaphore.queue).leave(ticket);
            wakers.wake();
        }
    }
}
