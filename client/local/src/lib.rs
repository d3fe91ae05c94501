//! Helpers for concurrency inside one process.

#![warn(missing_docs)]

mod barrier;
mod delay;
mod error_wait_group;
pub mod flow;
pub mod gather;
mod group;
mod panic;
mod retry;
mod run;
mod semaphore;
mod single_flight;
mod sync;
mod tasks;

pub use crate::barrier::{
    BarrierError, BarrierWaitResult, BrokenReason, CyclicBarrier, NoAction, Round,
};
pub use crate::delay::{
    Closed, DelayError, DelayFailure, DelayGroup, DelayGroupBuilder, DelayHandle, DelayKey,
};
pub use crate::error_wait_group::{ErrorToken, ErrorWaitGroup, Errors};
pub use crate::group::{
    GroupError, OnError, SpawnError, Spawner, StopCause, TaskCtx, TaskError, TaskFailure,
    TaskGroup, TaskGroupBuilder, TaskIndex, TrySpawnError,
};
pub use crate::panic::Panic;
pub use crate::retry::{RetryError, RetryPolicy, retry, retry_if};
pub use crate::run::{Exit, Name, Outcome, Report, RunError, RunGroup, SignalExit, SignalKind};
pub use crate::semaphore::{
    AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError,
};
pub use crate::single_flight::{Flight, FlightError, SingleFlight};
