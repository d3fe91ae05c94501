//! What is held, as a value: dropping it releases.

use std::sync::Arc;

use super::Semaphore;

/// Permits of a [`Semaphore`]; released on drop.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once protects nothing"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    weight: u32,
}

/// Permits of a [`Semaphore`] that borrow nothing; released on drop.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once protects nothing"]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    weight: u32,
}

impl<'a> SemaphorePermit<'a> {
    pub(super) const fn granted(semaphore: &'a Semaphore, weight: u32) -> Self {
        Self { semaphore, weight }
    }

    /// How many permits this holds.
    pub const fn weight(&self) -> u32 {
        self.weight
    }
}

impl OwnedSemaphorePermit {
    pub(super) const fn granted(semaphore: Arc<Semaphore>, weight: u32) -> Self {
        Self { semaphore, weight }
    }

    /// How many permits this holds.
    pub const fn weight(&self) -> u32 {
        self.weight
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.weight);
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.release(self.weight);
    }
}
