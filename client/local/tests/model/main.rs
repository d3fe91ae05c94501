//! The lock and wake logic of three helpers under the model checker: the very sources of the crate, compiled with a lock at
//! which the checker switches between threads. A wake-up that gets lost is a deadlock, which it finds and reports with the
//! schedule that leads there.
//!
//! Small scenarios are explored one schedule after another up to a bound, then by chance and by chance with few preemptions. The
//! bounds keep the ordinary run within seconds; `CONCLAVE_MODEL_SCHEDULES` multiplies them.

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the whole module of the crate, of which the scenarios use a part"
)]
#[path = "../../src/barrier/mod.rs"]
mod barrier;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the whole module of the crate, of which the scenarios use a part"
)]
#[path = "../../src/panic.rs"]
mod panic;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the whole module of the crate, of which the scenarios use a part"
)]
#[path = "../../src/semaphore/mod.rs"]
mod semaphore;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the whole module of the crate, of which the scenarios use a part"
)]
#[path = "../../src/single_flight.rs"]
mod single_flight;

mod of_barrier;
mod of_semaphore;
mod of_single_flight;

use std::task::Poll;

/// The lock of the crate, as the checker's.
mod sync {
    pub(crate) use shuttle::sync::Mutex;
    use shuttle::sync::MutexGuard;

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Explores a scenario.
fn explore(scenario: fn()) {
    let times = std::env::var("CONCLAVE_MODEL_SCHEDULES")
        .map_or(1, |times| times.parse().expect("a number"));
    shuttle::check_dfs(scenario, Some(2_000 * times));
    shuttle::check_random(scenario, 500 * times);
    shuttle::check_pct(scenario, 500 * times, 3);
}

/// Starts threads of the checker that run one future each, and waits for all.
fn together(futures: Vec<futures::future::BoxFuture<'static, ()>>) {
    let threads: Vec<_> = futures
        .into_iter()
        .map(|future| shuttle::thread::spawn(|| shuttle::future::block_on(future)))
        .collect();
    for thread in threads {
        thread.join().expect("no assertion failed");
    }
}

/// Polls once, with the waker of this thread, and drops what did not finish.
async fn give_up_after_one_poll<T>(future: impl Future<Output = T>) -> Option<T> {
    match futures::poll!(std::pin::pin!(future)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
