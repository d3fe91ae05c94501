//! Each helper beside the usual choice, under the same work: `cargo bench -p conclave-local`. The ratios and what they mean stand in
//! `docs/PERFORMANCE.md`.

use std::future::ready;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use conclave_local::{DelayGroup, Semaphore, SingleFlight, TaskCtx, TaskGroup};
use divan::{Bencher, black_box};
use futures::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};

fn main() {
    divan::main();
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn two_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().expect("a runtime")
}

/// The clock stands still while somebody works, so that only the work is measured and not the delays.
fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

/// A thousand times a permit that is free.
mod semaphore_uncontended {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let (runtime, semaphore) = (one_thread(), Semaphore::new(10));
        bencher.bench_local(|| {
            runtime.block_on(async {
                for _ in 0..1000 {
                    drop(black_box(semaphore.acquire().await.expect("open")));
                }
            });
        });
    }

    #[divan::bench]
    fn tokio(bencher: Bencher) {
        let (runtime, semaphore) = (one_thread(), ::tokio::sync::Semaphore::new(10));
        bencher.bench_local(|| {
            runtime.block_on(async {
                for _ in 0..1000 {
                    drop(black_box(semaphore.acquire().await.expect("open")));
                }
            });
        });
    }
}

/// Sixteen tasks on two threads, two hundred times each, want one of two permits and keep it for a turn of the scheduler.
mod semaphore_contended {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let (runtime, semaphore) = (two_threads(), Arc::new(Semaphore::new(2)));
        bencher.bench_local(|| {
            let tasks = (0..16).map(|_| {
                let semaphore = Arc::clone(&semaphore);
                runtime.spawn(async move {
                    for _ in 0..200 {
                        let _permit = semaphore.acquire().await.expect("open");
                        yield_now().await;
                    }
                })
            });
            runtime.block_on(join_all(tasks.collect::<Vec<_>>()));
        });
    }

    #[divan::bench]
    fn tokio(bencher: Bencher) {
        let (runtime, semaphore) = (two_threads(), Arc::new(::tokio::sync::Semaphore::new(2)));
        bencher.bench_local(|| {
            let tasks = (0..16).map(|_| {
                let semaphore = Arc::clone(&semaphore);
                runtime.spawn(async move {
                    for _ in 0..200 {
                        let _permit = semaphore.acquire().await.expect("open");
                        yield_now().await;
                    }
                })
            });
            runtime.block_on(join_all(tasks.collect::<Vec<_>>()));
        });
    }
}

/// A thousand runs of one participant each. The cache is given a new key each time, because it would not run otherwise.
mod single_flight_alone {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let (runtime, flights) = (one_thread(), SingleFlight::<u64, u64>::new());
        bencher.bench_local(|| {
            runtime.block_on(async {
                for key in 0..1000 {
                    black_box(flights.run(key, move || ready(key)).await.expect("no panic"));
                }
            });
        });
    }

    #[divan::bench]
    fn moka(bencher: Bencher) {
        let (runtime, cache) = (one_thread(), ::moka::future::Cache::<u64, u64>::new(1000));
        let mut key = 0;
        bencher.bench_local(|| {
            runtime.block_on(async {
                for _ in 0..1000 {
                    key += 1;
                    black_box(cache.get_with(key, ready(key)).await);
                }
            });
        });
    }
}

/// A hundred participants of one run that takes a turn of the scheduler.
mod single_flight_shared {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let (runtime, flights) = (one_thread(), SingleFlight::<u64, u64>::new());
        bencher.bench_local(|| {
            let work = || async {
                yield_now().await;
                7
            };
            runtime.block_on(join_all((0..100).map(|_| flights.run(0, work))));
        });
    }

    #[divan::bench]
    fn moka(bencher: Bencher) {
        let (runtime, cache) = (one_thread(), ::moka::future::Cache::<u64, u64>::new(1000));
        let mut key = 0;
        bencher.bench_local(|| {
            key += 1;
            let work = || async {
                yield_now().await;
                7
            };
            runtime.block_on(join_all((0..100).map(|_| cache.get_with(key, work()))));
        });
    }
}

/// A thousand tasks that do nothing, spawned and joined.
mod task_group {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let runtime = two_threads();
        bencher.bench_local(|| {
            runtime.block_on(async {
                let group = TaskGroup::<u64, ()>::new();
                let spawner = group.spawner();
                for task in 0..1000 {
                    let work = async move |_: TaskCtx<_, _>| Ok(task);
                    spawner.spawn(work).await.expect("open");
                }
                black_box(group.join_all().await)
            });
        });
    }

    #[divan::bench]
    fn join_set(bencher: Bencher) {
        let runtime = two_threads();
        bencher.bench_local(|| {
            runtime.block_on(async {
                let mut set = JoinSet::new();
                for task in 0..1000_u64 {
                    set.spawn(async move { Ok::<_, ()>(task) });
                }
                black_box(set.join_all().await)
            });
        });
    }
}

/// As `task_group`, at most ten at once, and the spawner waits: a `JoinSet` needs a semaphore beside it for that.
mod task_group_bounded {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let runtime = two_threads();
        bencher.bench_local(|| {
            runtime.block_on(async {
                let group = TaskGroup::<u64, ()>::builder()
                    .max_running(NonZeroUsize::new(10).expect("not zero"))
                    .max_queued(0)
                    .build();
                let spawner = group.spawner();
                for task in 0..1000 {
                    let work = async move |_: TaskCtx<_, _>| Ok(task);
                    spawner.spawn(work).await.expect("open");
                }
                black_box(group.join_all().await)
            });
        });
    }

    #[divan::bench]
    fn join_set_and_semaphore(bencher: Bencher) {
        let runtime = two_threads();
        bencher.bench_local(|| {
            runtime.block_on(async {
                let mut set = JoinSet::new();
                let semaphore = Arc::new(::tokio::sync::Semaphore::new(10));
                for task in 0..1000_u64 {
                    let permit = Arc::clone(&semaphore).acquire_owned().await.expect("open");
                    set.spawn(async move {
                        let _permit = permit;
                        Ok::<_, ()>(task)
                    });
                }
                black_box(set.join_all().await)
            });
        });
    }
}

/// A hundred thousand deadlines within a second, and all of them run.
mod delay_group {
    use super::*;

    const TIMERS: u64 = 100_000;

    /// Spread, and not in order.
    fn delay(at: u64) -> Duration {
        Duration::from_millis(at * 7919 % 1000)
    }

    #[divan::bench(sample_count = 10)]
    fn ours(bencher: Bencher) {
        let runtime = paused();
        bencher.bench_local(|| {
            runtime.block_on(async {
                let group = DelayGroup::<()>::default();
                for at in 0..TIMERS {
                    group.spawn_after(delay(at), ready(Ok(()))).expect("open");
                }
                group.wait().await.expect("all good");
            });
        });
    }

    #[divan::bench(sample_count = 10)]
    fn a_sleep_each(bencher: Bencher) {
        let runtime = paused();
        bencher.bench_local(|| {
            runtime.block_on(async {
                let mut set = JoinSet::new();
                for at in 0..TIMERS {
                    set.spawn(::tokio::time::sleep(delay(at)));
                }
                set.join_all().await;
            });
        });
    }
}
