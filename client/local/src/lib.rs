//! Helpers for concurrency inside one process: what Go's extension packages do, for tokio, without their traps. Re-exported as
//! `conclave_client::local`. No network, and nothing else of Conclave.
//!
//! # In Go you used X, here you use Y
//!
//! | in Go | here | mind |
//! |---|---|---|
//! | `x/sync/semaphore` | [`Semaphore`]; of fixed capacity, [`tokio::sync::Semaphore`] | no `Release(n)`: a permit releases itself; more than the capacity is an error, not a wait |
//! | `marusama/semaphore` | [`Semaphore::resize`] | in order of arrival; a shrink refuses who can no longer fit |
//! | a channel as semaphore, `go-pkgz/syncs.Semaphore` | [`Semaphore::acquire`], [`tokio::sync::Semaphore`] | a capacity of 0 is 0 |
//! | a channel as mutex, `TryLock`, `LockTimeout` | [`tokio::sync::Mutex`], [`tokio::time::timeout`] | |
//! | `x/sync/singleflight`, groupcache's | [`SingleFlight`]; for a cache, `moka` | no caller is special; a panic is everybody's error |
//! | `DoChan`, `Forget`, `ForgetUnshared` | `tokio::spawn` of [`SingleFlight::run`], [`SingleFlight::forget`], [`SingleFlight::forget_unshared`] | |
//! | `marusama/cyclicbarrier` | [`CyclicBarrier`]; if nobody ever gives up, [`tokio::sync::Barrier`] | who leaves breaks its own round, never the next |
//! | `sync.WaitGroup` | [`tokio_util::task::TaskTracker`], [`tokio::task::JoinSet`] | one waits for many; a barrier is for peers |
//! | `x/sync/errgroup` | [`TaskGroup`] | a panic is an error of its task; what never started is `Skipped`, not a success |
//! | `SetLimit`, `TryGo` | [`TaskGroupBuilder::max_running`], [`Spawner::try_spawn`] | a full group gives the closure back |
//! | kratos `errgroup`, `GOMAXPROCS(n)` | [`TaskGroupBuilder::max_running`] | queued tasks start when a slot is free, not at `Wait` |
//! | neilotoole `errgroup` | [`TaskGroupBuilder::max_running`] with [`TaskGroupBuilder::max_queued`] | an error never costs a worker |
//! | facebookgo `errgroup` | [`OnError::Continue`], or [`ErrorWaitGroup`] for what is not a task | one error prints as itself |
//! | `go-pkgz/syncs` `SizedGroup`, `ErrSizedGroup` | [`TaskGroup`]: every task is given its token | |
//! | `Preemptive`, `Discard`, `TermOnErr` | `max_queued(0)`, [`Spawner::try_spawn`], [`OnError::CancelAll`] or [`OnError::StopStarting`] | |
//! | a known list of jobs | `futures::StreamExt::buffer_unordered`, `try_for_each_concurrent` | nothing to write |
//! | `gollback.All`, `Race` | [`gather::all_settled`], [`gather::race_ok`] | an error never beats a later success |
//! | `Hunch.All`, `Take`, `Last`, `Waterfall` | [`gather::try_all`], [`gather::take_ok`], [`gather::last_ok`], `?` or [`gather::waterfall`] | empty input is an answer |
//! | `gollback.Retry`, `Hunch.Retry` | [`retry`](fn@retry); more shapes in `backon` | a pause by default; the cause is kept |
//! | `mdlayher/schedgroup` | [`DelayGroup`]; for one delay, [`tokio::time::sleep`] | each piece can be cancelled; `wait` waits for what runs |
//! | `or`, `reflect.Select` over many | [`flow::first_done`] | |
//! | `orDone` | `futures::StreamExt::take_until(token.cancelled_owned())` | nothing to write |
//! | fan-in | `futures::stream::select_all`, `tokio_stream::StreamMap` | nothing to write |
//! | fan-out to all | [`flow::fan_out`] | not [`tokio::sync::broadcast`]: who lags there loses items |
//! | fan-out to one | [`flow::distribute`] | |
//! | `asStream`, `asRepeat`, `takeN`, `takeFn`, `takeWhile`, `skipN`, `skipFn`, `skipWhile` | `stream::iter`, `cycle`, `take`, `filter`, `take_while`, `skip`, `filter`, `skip_while` | nothing to write |
//! | `flat` (a channel of channels) | `flatten`, `flatten_unordered` | nothing to write |
//! | `mapReduce` | [`flow::map_reduce`] | concurrent, in order |
//! | `oklog/run`, `rungroup`, kratos `App.Run`, `signal.Notify` | [`RunGroup`] | the second signal aborts; clean-up has a deadline |
//!
//! # Can single-flight merge writes?
//!
//! Only if they are interchangeable: the same key must mean the same effect, and doing it once must do for all ("refresh", "delete
//! session X"). Otherwise no: followers are told "done" although their own payload was never written. So the key must hold every
//! input of the work; then two different writes have different keys, and nothing is merged that should not be. [`SingleFlight`]
//! has nothing that hides this.
//!
//! # What holds everywhere
//!
//! * A future that is dropped leaves nothing behind: no permit, no entry, no task. Each says under "Cancel safety" what it means.
//! * A panic of a task is a value in its result ([`Panic`]). It never ends the process, and is never lost.
//! * No code of yours runs under a lock of ours, and no lock is held across an `.await`.
//! * To wait no longer than so long: [`tokio::time::timeout`] around anything. To stop with a token:
//!   [`CancellationToken::run_until_cancelled`](tokio_util::sync::CancellationToken::run_until_cancelled).
//! * `Send + 'static` is asked for only where a task is spawned.
//!
//! Semaphore, barrier and single-flight do not count against tokio's cooperative budget: a loop that always finds a permit free must
//! yield by itself, as any loop without a wait.

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
