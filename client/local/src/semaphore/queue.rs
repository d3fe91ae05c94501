//! The state of a semaphore under its lock: counts, and who waits. Decides who is granted; never wakes anybody itself, since a
//! waker is somebody else's code.

use std::collections::BTreeMap;
use std::task::Waker;

use super::{AcquireError, TryAcquireError};

/// A place in the queue; smaller is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// Whom to wake once the lock is free. Empty costs no allocation.
#[must_use]
pub(super) struct Wakers(Vec<Waker>);

impl Wakers {
    const NONE: Self = Self(Vec::new());

    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

struct Waiter {
    weight: u32,
    /// None until it was decided.
    fate: Option<Result<(), AcquireError>>,
    waker: Waker,
}

/// What a waiter finds when it looks.
pub(super) enum Look {
    Waiting,
    Decided(Result<(), AcquireError>),
}

pub(super) struct Queue {
    capacity: usize,
    in_use: usize,
    closed: bool,
    /// Who has not yet come to fetch a decision, too. Ordered by arrival.
    waiters: BTreeMap<Ticket, Waiter>,
    /// Every waiter below this is decided.
    undecided: Ticket,
    /// How many waiters are not decided.
    waiting: usize,
    next: Ticket,
}

impl Queue {
    pub(super) const fn new(capacity: usize) -> Self {
        let first = Ticket(0);
        Self {
            capacity,
            in_use: 0,
            closed: false,
            waiters: BTreeMap::new(),
            undecided: first,
            waiting: 0,
            next: first,
        }
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) const fn in_use(&self) -> usize {
        self.in_use
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes what is asked for if it is free and nobody waits: nobody overtakes.
    pub(super) fn try_take(&mut self, weight: u32) -> Result<(), TryAcquireError> {
        if self.closed {
            return Err(TryAcquireError::Closed);
        }
        if weight == 0 {
            return Ok(());
        }
        if widen(weight) > self.capacity {
            return Err(TryAcquireError::ExceedsCapacity {
                requested: weight,
                capacity: self.capacity,
            });
        }
        if self.waiting > 0 || !self.fits(weight) {
            return Err(TryAcquireError::NoPermits);
        }
        self.in_use += widen(weight);
        Ok(())
    }

    pub(super) fn overdraw(&mut self, weight: u32) {
        self.in_use += widen(weight);
    }

    pub(super) fn enqueue(&mut self, weight: u32, waker: Waker) -> Ticket {
        let ticket = self.next;
        self.next = Ticket(ticket.0 + 1);
        self.waiting += 1;
        self.waiters.insert(ticket, Waiter { weight, fate: None, waker });
        ticket
    }

    /// What has become of a waiter. One that is still waiting leaves its new waker if it changed; one that is decided is gone
    /// from the queue, and its grant belongs to the caller. The old waker comes back to be dropped outside the lock.
    pub(super) fn look(&mut self, ticket: Ticket, waker: &Waker) -> (Look, Option<Waker>) {
        let Some(waiter) = self.waiters.get_mut(&ticket) else {
            unreachable!("a waiter leaves the queue only by its own hand")
        };
        if let Some(fate) = waiter.fate {
            let waiter = self.waiters.remove(&ticket);
            return (Look::Decided(fate), waiter.map(|waiter| waiter.waker));
        }
        let unchanged = waiter.waker.will_wake(waker);
        let old = (!unchanged).then(|| std::mem::replace(&mut waiter.waker, waker.clone()));
        (Look::Waiting, old)
    }

    /// The waiter gives up. A grant that it did not fetch goes back; a place that it held open may let others through.
    pub(super) fn leave(&mut self, ticket: Ticket) -> (Wakers, Option<Waker>) {
        let Some(waiter) = self.waiters.remove(&ticket) else {
            unreachable!("a waiter leaves the queue only by its own hand")
        };
        let wakers = match waiter.fate {
            None => {
                self.waiting -= 1;
                self.grant()
            }
            Some(Ok(())) => self.release(waiter.weight),
            Some(Err(_)) => Wakers::NONE,
        };
        (wakers, Some(waiter.waker))
    }

    pub(super) fn release(&mut self, weight: u32) -> Wakers {
        let weight = widen(weight);
        assert!(self.in_use >= weight, "{weight} of {} permits came back", self.in_use);
        self.in_use -= weight;
        self.grant()
    }

    /// Returns the previous capacity.
    pub(super) fn resize(&mut self, capacity: usize) -> (usize, Wakers) {
        let previous = std::mem::replace(&mut self.capacity, capacity);
        let mut wakers = self.refuse(|waiter| {
            (widen(waiter.weight) > capacity)
                .then_some(AcquireError::ExceedsCapacity { requested: waiter.weight, capacity })
        });
        wakers.0.extend(self.grant().0);
        (previous, wakers)
    }

    pub(super) fn close(&mut self) -> Wakers {
        self.closed = true;
        self.refuse(|_| Some(AcquireError::Closed))
    }

    fn fits(&self, weight: u32) -> bool {
        widen(weight) <= self.capacity.saturating_sub(self.in_use)
    }

    /// Grants from the head while the head fits, and no further: who does not fit is waited for.
    fn grant(&mut self) -> Wakers {
        if self.waiting == 0 {
            return Wakers::NONE;
        }
        let mut wakers = Wakers::NONE;
        for (ticket, waiter) in self.waiters.range_mut(self.undecided..) {
            if waiter.fate.is_none() {
                let weight = widen(waiter.weight);
                if weight > self.capacity.saturating_sub(self.in_use) {
                    break;
                }
                self.in_use += weight;
                self.waiting -= 1;
                waiter.fate = Some(Ok(()));
                wakers.0.push(waiter.waker.clone());
            }
            self.undecided = Ticket(ticket.0 + 1);
        }
        wakers
    }

    fn refuse(&mut self, reason: impl Fn(&Waiter) -> Option<AcquireError>) -> Wakers {
        let mut wakers = Wakers::NONE;
        for waiter in self.waiters.range_mut(self.undecided..).map(|(_, waiter)| waiter) {
            if waiter.fate.is_none()
                && let Some(error) = reason(waiter)
            {
                self.waiting -= 1;
                waiter.fate = Some(Err(error));
                wakers.0.push(waiter.waker.clone());
            }
        }
        wakers
    }
}

/// A weight as a count. Lossless: this crate runs where a `usize` has at least 32 bits.
fn widen(weight: u32) -> usize {
    usize::try_from(weight).expect("a usize of 32 bits or more")
}
