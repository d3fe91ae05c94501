//! Every public future, dropped at every one of its await points: no permit, no entry, no task and nothing that was handed in may be
//! left. A scene is one future with what it needs to go on; the test knows nothing else of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use conclave_local::flow::{Distribute, distribute, fan_out, first_done, map_reduce};
use conclave_local::{
    CyclicBarrier, DelayGroup, ErrorWaitGroup, RetryPolicy, RunGroup, Semaphore, SingleFlight,
    TaskCtx, TaskGroup, gather, retry, retry_if,
};
use futures::future::LocalBoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::{Census, Counted, at_least_one, let_others_run};

const TICK: Duration = Duration::from_millis(10);

struct Scene {
    future: LocalBoxFuture<'static, ()>,
    /// How many permits, entries, waiters and the like there are.
    leftovers: Box<dyn Fn() -> usize>,
}

fn scene(
    future: impl Future<Output: Sized> + 'static,
    leftovers: impl Fn() -> usize + 'static,
) -> Scene {
    Scene { future: future.map(drop).boxed_local(), leftovers: Box::new(leftovers) }
}

/// Some awaits with something alive across them: what is handed in wherever a future or closure is.
async fn busy(alive: Counted) -> Result<u8, &'static str> {
    tokio::task::yield_now().await;
    sleep(TICK).await;
    drop(alive);
    Ok(1)
}

/// `busy`, for those that want `()`.
async fn busy_unit(alive: Counted) -> Result<(), &'static str> {
    busy(alive).await.map(drop)
}

/// Several of them.
fn several(census: &Census) -> Vec<LocalBoxFuture<'static, Result<u8, &'static str>>> {
    (0..3).map(|_| busy(census.one()).boxed_local()).collect()
}

type Case = (&'static str, fn(&Census) -> Scene);

/// A semaphore of which one permit is held for a while.
fn semaphore() -> (Arc<Semaphore>, impl Fn() -> usize + 'static) {
    let semaphore = Arc::new(Semaphore::new(2));
    let held = Arc::clone(&semaphore).try_acquire_many_owned(1).expect("free");
    tokio::spawn(async move {
        sleep(TICK).await;
        drop(held);
    });
    let counted = Arc::clone(&semaphore);
    (semaphore, move || counted.in_use() + counted.waiters())
}

const OF_ONE: &[Case] = &[
    ("Semaphore::acquire", |_| {
        let (semaphore, leftovers) = semaphore();
        let other = Arc::clone(&semaphore).try_acquire_many_owned(1).expect("free");
        tokio::spawn(async move {
            sleep(TICK).await;
            drop(other);
        });
        scene(async move { semaphore.acquire().await.map(drop) }, leftovers)
    }),
    ("Semaphore::acquire_many", |_| {
        let (semaphore, leftovers) = semaphore();
        scene(async move { semaphore.acquire_many(2).await.map(drop) }, leftovers)
    }),
    ("Semaphore::acquire_many_owned", |_| {
        let (semaphore, leftovers) = semaphore();
        scene(semaphore.acquire_many_owned(2), leftovers)
    }),
    ("Semaphore::acquire_cancellable", |_| {
        let (semaphore, leftovers) = semaphore();
        let token = CancellationToken::new();
        let acquire = async move { semaphore.acquire_cancellable(2, &token).await.map(drop) };
        scene(acquire, leftovers)
    }),
    ("SingleFlight::run", |census| {
        let flights = Arc::new(SingleFlight::<u8, u8>::new());
        let (counted, alive) = (Arc::clone(&flights), census.one());
        let work = || async { busy(alive).await.unwrap_or(0) };
        scene(async move { flights.run(0, work).await.map(drop) }, move || counted.in_flight())
    }),
    ("SingleFlight::try_run, joined", |census| {
        let flights = Arc::new(SingleFlight::<u8, u8, &'static str>::new());
        let (counted, alive) = (Arc::clone(&flights), census.one());
        let (first, of_first) = (Arc::clone(&flights), census.one());
        tokio::spawn(async move { first.try_run(0, || busy(of_first)).await.map(drop) });
        let run = async move {
            tokio::task::yield_now().await;
            flights.try_run(0, || busy(alive)).await.map(drop)
        };
        scene(run, move || counted.in_flight())
    }),
    ("CyclicBarrier::wait", |_| {
        let barrier = Arc::new(CyclicBarrier::new(at_least_one(2)));
        let (counted, other) = (Arc::clone(&barrier), Arc::clone(&barrier));
        tokio::spawn(async move {
            sleep(TICK).await;
            // The other is gone, or passes with this one; alone, this one gives up.
            let _passed = tokio::time::timeout(TICK, other.wait()).await;
        });
        scene(async move { barrier.wait().await.map(drop) }, move || counted.waiting())
    }),
    ("CyclicBarrier::wait, leading", |census| {
        let census = census.clone();
        let action = async move || busy(census.one()).await.map(drop);
        let barrier = Arc::new(CyclicBarrier::with_action(at_least_one(2), action));
        let (counted, other) = (Arc::clone(&barrier), Arc::clone(&barrier));
        tokio::spawn(async move {
            let _passed = tokio::time::timeout(10 * TICK, other.wait()).await;
        });
        let lead = async move {
            tokio::task::yield_now().await;
            barrier.wait().await.map(drop)
        };
        scene(lead, move || counted.waiting())
    }),
    ("ErrorWaitGroup::wait", |_| {
        let group = ErrorWaitGroup::<&str>::new();
        let token = group.token();
        tokio::spawn(async move {
            sleep(TICK).await;
            token.fail("no");
        });
        scene(group.wait(), || 0)
    }),
];

/// A group with one running, one queued, and one that spawns another.
fn group(census: &Census) -> TaskGroup<u8, &'static str> {
    let group = TaskGroup::builder().max_running(at_least_one(1)).max_queued(3).build();
    for _ in 0..3 {
        let (alive, inner) = (census.one(), census.one());
        let work = async |ctx: TaskCtx<u8, &'static str>| {
            ctx.spawn(async |_| busy(inner).await).map_err(|_| "closed")?;
            busy(alive).await
        };
        group.spawner().try_spawn(work).expect("room");
    }
    group
}

const OF_MANY: &[Case] = &[
    ("Spawner::spawn", |census| {
        let group = group(census);
        let (spawner, alive) = (group.spawner(), census.one());
        let spawn = async move {
            let filled = spawner.spawn(async |_| Ok(0)).await;
            filled.and(spawner.spawn(async |_| busy(alive).await).await).expect("open");
            group.join().await.map(drop)
        };
        scene(spawn, || 0)
    }),
    ("TaskGroup::join", |census| scene(group(census).join(), || 0)),
    ("TaskGroup::join_all", |census| scene(group(census).join_all(), || 0)),
    ("gather::all_settled", |census| scene(gather::all_settled(several(census)), || 0)),
    ("gather::try_all", |census| scene(gather::try_all(several(census)), || 0)),
    ("gather::try_all_spawned", |census| {
        let three: Vec<_> = (0..3).map(|_| busy(census.one())).collect();
        scene(gather::try_all_spawned(three), || 0)
    }),
    ("gather::race_ok", |census| scene(gather::race_ok(several(census)), || 0)),
    ("gather::take_ok", |census| scene(gather::take_ok(2, several(census)), || 0)),
    ("gather::last_ok", |census| scene(gather::last_ok(2, several(census)), || 0)),
    ("gather::waterfall", |census| {
        let steps = [census.one(), census.one()].map(|alive| |_| busy(alive));
        scene(gather::waterfall(0, steps), || 0)
    }),
    ("gather::until_cancelled", |census| {
        let (token, all) = (CancellationToken::new(), several(census));
        let wait = async move { gather::until_cancelled(&token, gather::try_all(all)).await };
        scene(wait, || 0)
    }),
    ("retry", |census| {
        let census = census.clone();
        let fails = async move |_| busy(census.one()).await.and(Err::<(), _>("no"));
        let policy = RetryPolicy::default().delays(TICK, TICK);
        scene(async move { retry(&policy, fails).await }, || 0)
    }),
    ("retry_if", |census| {
        let census = census.clone();
        let policy = RetryPolicy::default().delays(TICK, TICK);
        let policy = policy.attempts(NonZeroU32::MIN.saturating_add(1));
        let fails = async move |_| busy(census.one()).await.and(Err::<(), _>("no"));
        scene(async move { retry_if(&policy, fails, |_| true).await }, || 0)
    }),
    ("DelayGroup::wait", |census| {
        let group = DelayGroup::builder().max_running(at_least_one(1)).build::<&str>();
        for delay in [0, 1, 1, 5] {
            group.spawn_after(delay * TICK, busy_unit(census.one())).expect("open");
        }
        let handle = group.handle();
        scene(group.wait(), move || handle.pending())
    }),
    ("flow::first_done", |census| scene(first_done(several(census)), || 0)),
    ("flow::map_reduce", |census| {
        let items = stream::iter([census.one(), census.one(), census.one()]);
        let reduced =
            map_reduce(items, at_least_one(2), busy, 0, |sum, item| sum + item.unwrap_or(0));
        scene(reduced, || 0)
    }),
    ("the outputs of flow::fan_out and flow::distribute", |census| {
        let (alive, counts) = (census.one(), census.clone());
        let source = stream::iter(0..5).then(move |item| {
            let (_source, one) = (&alive, counts.one());
            async move { busy(one).await.map_or(0, |_| item) }
        });
        let two = at_least_one(2);
        let first = fan_out(source, two, two).pop().expect("two");
        let second = distribute(first, two, two, Distribute::RoundRobin);
        scene(stream::select_all(second).collect::<Vec<_>>(), || 0)
    }),
    ("RunGroup::run", |census| {
        let (one, other, cleanup) = (census.one(), census.one(), census.one());
        let group = RunGroup::new()
            .shutdown_on_signals()
            .actor("ends", async |_| busy_unit(one).await)
            .actor("obeys", async |stop: CancellationToken| {
                stop.cancelled().await;
                busy_unit(other).await
            })
            .cleanup("cleanup", async || busy_unit(cleanup).await);
        scene(group.run(), || 0)
    }),
];

/// Polls the future of a scene at most so many times, with time for the others in between, and drops it. Whether it had ended.
fn drop_after(polls: usize, (name, build): Case) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let census = Census::default();
        let Scene { mut future, leftovers } = build(&census);
        let mut ended = false;
        for poll in 0..polls {
            ended = futures::poll!(&mut future).is_ready();
            if ended {
                break;
            }
            // Every other time only the runtime goes on, so that cuts fall between the wakes, too.
            if poll % 2 == 1 {
                sleep(TICK / 4).await;
            }
            let_others_run().await;
        }
        drop(future);
        sleep(Duration::from_secs(3600)).await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let left = (census.now(), leftovers(), tasks);
        assert_eq!(
            left,
            (0, 0, 0),
            "{name} dropped after {polls} polls left (values, entries, tasks)"
        );
        ended
    })
}

#[test]
fn every_public_future_dropped_at_every_await_point_leaves_nothing_behind() {
    for case in OF_ONE.iter().chain(OF_MANY) {
        let mut polls = 0;
        while !drop_after(polls, *case) {
            polls += 1;
            assert!(polls < 200, "{} never ends", case.0);
        }
        assert!(polls >= 2, "{} has no await point here", case.0);
    }
}
