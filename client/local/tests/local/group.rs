//! TG-1 to TG-10, and the bugs of the Go packages that a task group must not have. The rest is in `group_policy`.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_local::{OnError, SpawnError, StopCause, TaskCtx, TaskError, TaskGroup};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Census, at_least_one, let_others_run, soon};

/// Longer than anything here takes on the paused clock.
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn tg_1_join_returns_only_after_every_task_ended_and_was_dropped() {
    let group = TaskGroup::<(), &str>::builder().max_running(at_least_one(2)).build();
    let (spawner, census) = (group.spawner(), Census::default());
    for seconds in [3, 1, 5, 2] {
        let alive = census.one();
        let work = async move |_: TaskCtx<_, _>| {
            let _alive = alive;
            sleep(Duration::from_secs(seconds)).await;
            if seconds == 1 { Err("no") } else { Ok(()) }
        };
        spawner.spawn(work).await.expect("open");
    }
    assert!(soon(group.join()).await.is_err());
    assert_eq!((census.now(), census.ever()), (0, 4));
}

#[tokio::test(start_paused = true)]
async fn tg_2_first_is_the_first_to_happen_and_stays_it() {
    let group = TaskGroup::<(), u64>::builder().on_error(OnError::Continue).build();
    for seconds in [3, 1, 2] {
        let work = async move |_: TaskCtx<_, _>| {
            sleep(Duration::from_secs(seconds)).await;
            Err(seconds)
        };
        group.spawner().spawn(work).await.expect("open");
    }
    let error = soon(group.join()).await.expect_err("all fail");
    assert!(matches!(error.first.error, TaskError::Failed(1)), "{error}");
    assert_eq!(error.first.index.get(), 1);
    let others: Vec<_> = error.others.iter().map(|failure| failure.index.get()).collect();
    assert_eq!(others, [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn tg_3_cancel_all_tells_the_siblings_at_once_and_names_the_cause() {
    let group = TaskGroup::<(), &str>::new();
    let spawner = group.spawner();
    let saw = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let saw = Arc::clone(&saw);
        let work = async move |ctx: TaskCtx<_, _>| {
            ctx.token().cancelled().await;
            assert!(matches!(ctx.cause(), Some(StopCause::Failed(index)) if index.get() == 3));
            saw.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        spawner.spawn(work).await.expect("open");
    }
    spawner.spawn(async |_| Err("no")).await.expect("open");
    let_others_run().await;
    assert_eq!(saw.load(Ordering::SeqCst), 3, "before anybody joined");
    assert!(group.token().is_cancelled());
    assert_eq!(spawner.spawn(async |_| Ok(())).await, Err(SpawnError::Closed));
    let error = soon(group.join()).await.expect_err("one failed");
    assert_eq!(error.to_string(), "no");
}

#[tokio::test(start_paused = true)]
async fn tg_3_after_a_clean_join_the_token_is_cancelled_too() {
    let group = TaskGroup::<u8, Infallible>::new();
    let (spawner, token) = (group.spawner(), group.token().clone());
    spawner.spawn(async |_| Ok(7)).await.expect("open");
    assert_eq!(soon(group.join()).await.expect("no error"), [7]);
    assert!(token.is_cancelled());
    assert_eq!(spawner.cause(), Some(StopCause::Joined));
}

#[tokio::test(start_paused = true)]
async fn tg_4_a_cancelled_parent_kills_nobody_and_what_never_started_is_reported() {
    let parent = CancellationToken::new();
    let group =
        TaskGroup::<u8, Infallible>::builder().max_running(at_least_one(1)).parent(&parent).build();
    let spawner = group.spawner();
    let gate = Arc::new(Semaphore::new(0));
    let waits_for_gate = Arc::clone(&gate);
    let running = async move |_: TaskCtx<_, _>| {
        waits_for_gate.acquire().await.expect("open").forget();
        Ok(1)
    };
    spawner.spawn(running).await.expect("open");
    spawner.spawn(async |_| Ok(2)).await.expect("open");
    let_others_run().await;
    parent.cancel();
    assert!(group.token().is_cancelled());
    assert_eq!(spawner.spawn(async |_| Ok(3)).await, Err(SpawnError::Closed));
    assert_eq!(group.cause(), Some(StopCause::Cancelled));
    gate.add_permits(1);
    let results = soon(group.join_all()).await;
    assert!(matches!(results[..], [Ok(1), Err(TaskError::Skipped)]), "{results:?}");
}

/// x/sync: a cancelled parent is invisible in what `Wait` returns.
#[tokio::test(start_paused = true)]
async fn tg_4_skipped_tasks_alone_are_no_success() {
    let parent = CancellationToken::new();
    let group = TaskGroup::<u8, Infallible>::builder().parent(&parent).build();
    group.spawner().spawn(async |_| Ok(1)).await.expect("open");
    parent.cancel();
    let error = soon(group.join()).await.expect_err("it never began");
    assert_eq!((error.skipped, error.to_string().as_str()), (1, "1 tasks were never started"));
}

#[tokio::test(start_paused = true)]
async fn tg_4_abort_on_cancel_drops_what_runs() {
    let parent = CancellationToken::new();
    let group = TaskGroup::<u8, Infallible>::builder().parent(&parent).abort_on_cancel().build();
    let census = Census::default();
    let alive = census.one();
    let work = async move |_: TaskCtx<_, _>| {
        let _alive = alive;
        std::future::pending().await
    };
    group.spawner().spawn(work).await.expect("open");
    let_others_run().await;
    parent.cancel();
    let results = soon(group.join_all()).await;
    assert!(matches!(results[..], [Err(TaskError::Cancelled)]), "{results:?}");
    assert_eq!(census.now(), 0);
}

#[tokio::test(start_paused = true)]
async fn tg_5_never_more_than_the_limit_and_first_in_first_out() {
    let group = TaskGroup::<(), Infallible>::builder().max_running(at_least_one(3)).build();
    let (spawner, census) = (group.spawner(), Census::default());
    let started = Arc::new(Mutex::new(Vec::new()));
    for task in 0..50_u64 {
        let (census, started) = (census.clone(), Arc::clone(&started));
        let work = async move |_: TaskCtx<_, _>| {
            started.lock().expect("not poisoned").push(task);
            let _alive = census.one();
            sleep(Duration::from_secs(1 + task % 4)).await;
            Ok(())
        };
        spawner.spawn(work).await.expect("open");
    }
    soon(group.join()).await.expect("no error");
    assert_eq!((census.most(), census.ever()), (3, 50));
    assert_eq!(*started.lock().expect("not poisoned"), (0..50).collect::<Vec<_>>());
}

/// kratos: tasks over the limit start only at `Wait`.
#[tokio::test(start_paused = true)]
async fn tg_6_queued_tasks_start_without_anybody_joining() {
    let group = TaskGroup::<(), Infallible>::builder().max_running(at_least_one(1)).build();
    let (spawner, done) = (group.spawner(), Census::default());
    for _ in 0..20 {
        let done = done.clone();
        spawner
            .spawn(async move |_| {
                drop(done.one());
                Ok(())
            })
            .await
            .expect("open");
    }
    let_others_run().await;
    assert_eq!(done.ever(), 20);
    soon(group.join()).await.expect("no error");
}

/// kratos: an unsynchronised slice loses tasks of concurrent spawns (the course's 10,001).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tg_7_of_10_001_concurrent_spawns_each_runs_exactly_once() {
    for queued in [0, 10_001] {
        let group = TaskGroup::<usize, Infallible>::builder()
            .max_running(at_least_one(10))
            .max_queued(queued)
            .build();
        let runs = Arc::new(AtomicUsize::new(0));
        let spawners: Vec<_> = (0..3)
            .map(|_| {
                let (spawner, runs) = (group.spawner(), Arc::clone(&runs));
                tokio::spawn(async move {
                    for task in 0..3_667 {
                        let runs = Arc::clone(&runs);
                        let work = async move |_: TaskCtx<_, _>| {
                            runs.fetch_add(1, Ordering::SeqCst);
                            Ok(task)
                        };
                        spawner.spawn(work).await.expect("open");
                    }
                })
            })
            .collect();
        for spawner in spawners {
            spawner.await.expect("no panic");
        }
        let values = soon(group.join()).await.expect("no error");
        assert_eq!((values.len(), runs.load(Ordering::SeqCst)), (11_001, 11_001));
        assert_eq!(values.iter().sum::<usize>(), 3 * (0..3_667).sum::<usize>());
    }
}

/// kratos and neilotoole: a spawn from a task while `Wait` drains never runs, or deadlocks.
#[tokio::test(start_paused = true)]
async fn tg_8_a_task_may_spawn_while_the_group_is_joined_and_nobody_else_may() {
    let group =
        TaskGroup::<u32, Infallible>::builder().max_running(at_least_one(1)).max_queued(0).build();
    let (outside, inside) = (group.spawner(), group.spawner());
    let gate = Arc::new(Semaphore::new(0));
    let opens = Arc::clone(&gate);
    let work = async move |ctx: TaskCtx<u32, Infallible>| {
        gate.acquire().await.expect("open").forget();
        ctx.spawn(async |ctx: TaskCtx<_, _>| {
            ctx.spawn(async |_| Ok(3)).expect("inside");
            Ok(2)
        })
        .expect("inside");
        inside.spawn(async |_| Ok(4)).await.expect("inside, by the handle");
        Ok(1)
    };
    outside.spawn(work).await.expect("open");
    let blocked = outside.clone();
    let blocked = tokio::spawn(async move { blocked.spawn(async |_| Ok(9)).await });
    let_others_run().await;
    let join = tokio::spawn(group.join());
    let_others_run().await;
    assert_eq!(soon(blocked).await.expect("no panic"), Err(SpawnError::Closed));
    assert_eq!(outside.spawn(async |_| Ok(9)).await, Err(SpawnError::Closed));
    opens.add_permits(1);
    let values = soon(join).await.expect("no panic").expect("no error");
    assert_eq!(values, [1, 2, 4, 3], "in the order of spawning");
    assert_eq!(outside.cause(), Some(StopCause::Joined));
}

/// neilotoole #11 (all workers died, `Go` blocks for ever) and #8 (queued functions never run).
#[tokio::test(start_paused = true)]
async fn tg_9_no_limit_queue_policy_or_place_of_an_error_deadlocks_or_loses_a_task() {
    for on_error in [OnError::CancelAll, OnError::StopStarting, OnError::Continue] {
        for (running, queued) in [(1, 0), (1, 1), (2, 0), (2, 3), (5, 100)] {
            for bad in 0..8 {
                for panics in [false, true] {
                    let ended = timeout(LONG, one_bad_task(on_error, running, queued, bad, panics));
                    let (accepted, results, ran) = ended.await.expect("no deadlock");
                    assert_eq!(accepted, results, "every accepted task has a result");
                    if on_error == OnError::Continue {
                        assert_eq!((accepted, ran), (8, 8), "nothing is lost");
                    }
                }
            }
        }
    }
}

/// How many of 8 tasks were accepted, have a result, and ran. The task at `bad` goes wrong.
async fn one_bad_task(
    on_error: OnError,
    running: usize,
    queued: usize,
    bad: usize,
    panics: bool,
) -> (usize, usize, usize) {
    let group = TaskGroup::<(), &str>::builder()
        .max_running(at_least_one(running))
        .max_queued(queued)
        .on_error(on_error)
        .build();
    let (spawner, ran, mut accepted) = (group.spawner(), Census::default(), 0);
    for at in 0..8 {
        let ran = ran.clone();
        let work = async move |_: TaskCtx<_, _>| {
            drop(ran.one());
            sleep(Duration::from_millis(10)).await;
            match at == bad {
                true if panics => panic!("on purpose"),
                true => Err("no"),
                false => Ok(()),
            }
        };
        accepted += usize::from(spawner.spawn(work).await.is_ok());
    }
    (accepted, soon(group.join_all()).await.len(), ran.ever())
}

/// go-pkgz: a panic, and a context cancelled between lock and start, keep their slot for ever.
#[tokio::test(start_paused = true)]
async fn tg_10_a_slot_is_free_again_however_its_task_ended() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("on purpose, in a drop");
        }
    }
    let group = TaskGroup::<u8, &str>::builder()
        .max_running(at_least_one(1))
        .max_queued(0)
        .on_error(OnError::Continue)
        .build();
    let spawner = group.spawner();
    spawner.spawn(async |_| Ok(0)).await.expect("open");
    spawner.spawn(async |_| Err("no")).await.expect("open");
    spawner.spawn(async |_| panic!("on purpose")).await.expect("open");
    let bomb = PanicsWhenDropped;
    let work = async move |_: TaskCtx<_, _>| {
        let _bomb = bomb;
        Ok(3)
    };
    spawner.spawn(work).await.expect("open");
    let last = timeout(Duration::from_secs(10), spawner.spawn(async |_| Ok(4))).await;
    last.expect("a slot is free").expect("open");
    let results = soon(group.join_all()).await;
    assert_eq!(results.len(), 5);
    assert!(matches!(results[2], Err(TaskError::Panicked(_))));
    assert!(matches!(results[3], Err(TaskError::Panicked(_))));
    assert!(matches!(results[4], Ok(4)));
}
