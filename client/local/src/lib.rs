//! Helpers for concurrency inside one process.

#![warn(missing_docs)]

mod barrier;
mod semaphore;
mod single_flight;
mod sync;

pub use crate::barrier::{
    BarrierError, BarrierWaitResult, BrokenReason, CyclicBarrier, NoAction, Round,
};
pub use crate::semaphore::{
    AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError,
};
pub use crate::single_flight::{Flight, FlightError, SingleFlight};
