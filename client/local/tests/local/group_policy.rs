//! TG-11 to TG-18: what errors, panics, drops and full queues do to a task group; and the error wait group.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use conclave_local::{
    ErrorWaitGroup, OnError, SpawnError, TaskCtx, TaskError, TaskGroup, TrySpawnError,
};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::support::{Census, at_least_one, let_others_run, ready, soon, waits};

/// go-pkgz: with TermOnErr, up to 200 of 1000 run after the first error; and a blocked `Go` cannot be freed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tg_11_stop_starting_starts_nothing_after_the_first_error() {
    let group = TaskGroup::<(), &str>::builder()
        .max_running(at_least_one(10))
        .on_error(OnError::StopStarting)
        .build();
    let (spawner, started) = (group.spawner(), Census::default());
    let gate = Arc::new(Semaphore::new(0));
    for task in 0..1000 {
        let (started, gate) = (started.clone(), Arc::clone(&gate));
        let work = async move |_: TaskCtx<_, _>| {
            drop(started.one());
            if task == 0 {
                return Err("no");
            }
            gate.acquire().await.expect("open").forget();
            Ok(())
        };
        // The error may already have happened: then nothing is accepted any more.
        let accepted = spawner.spawn(work).await;
        assert!(accepted.is_ok() || group.cause().is_some());
    }
    while group.cause().is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!group.token().is_cancelled(), "running ones are left alone");
    gate.add_permits(1000);
    let results = soon(group.join_all()).await;
    let ran = results.iter().filter(|result| !matches!(result, Err(TaskError::Skipped))).count();
    assert!(ran <= 10, "{ran} ran, of which one failed before a slot was free again");
    assert_eq!(started.ever(), ran);
}

#[tokio::test(start_paused = true)]
async fn tg_11_a_spawn_that_waits_is_told_that_the_group_stopped() {
    let group = TaskGroup::<(), &str>::builder()
        .max_running(at_least_one(1))
        .max_queued(0)
        .on_error(OnError::StopStarting)
        .build();
    let (spawner, gate) = (group.spawner(), Arc::new(Semaphore::new(0)));
    let waits_for_gate = Arc::clone(&gate);
    let work = async move |_: TaskCtx<_, _>| {
        waits_for_gate.acquire().await.expect("open").forget();
        Err("no")
    };
    spawner.spawn(work).await.expect("open");
    let blocked = spawner.clone();
    let blocked = tokio::spawn(async move { blocked.spawn(async |_| Ok(())).await });
    let_others_run().await;
    gate.add_permits(1);
    assert_eq!(soon(blocked).await.expect("no panic"), Err(SpawnError::Closed));
    assert_eq!(soon(group.join_all()).await.len(), 1);
}

/// go-pkgz: a discarded call is invisible.
#[tokio::test(start_paused = true)]
async fn tg_12_a_full_group_gives_the_closure_back() {
    let group =
        TaskGroup::<u8, Infallible>::builder().max_running(at_least_one(1)).max_queued(1).build();
    let spawner = group.spawner();
    spawner.try_spawn(async |_| Ok(1)).expect("runs");
    spawner.try_spawn(async |_| Ok(2)).expect("is queued");
    let Err(TrySpawnError::Full(closure)) = spawner.try_spawn(async |_| Ok(3)) else {
        panic!("one runs and one waits")
    };
    let_others_run().await;
    spawner.try_spawn(closure).expect("there is room again");
    assert_eq!(soon(group.join()).await.expect("no error"), [1, 2, 3]);
    assert!(matches!(spawner.try_spawn(async |_| Ok(4)), Err(TrySpawnError::Closed(_))));
}

#[tokio::test(start_paused = true)]
async fn tg_13_continue_keeps_all_errors_with_their_index() {
    let group = TaskGroup::<u8, String>::builder().on_error(OnError::Continue).build();
    let spawner = group.spawner();
    for task in 0..4_u8 {
        let work = async move |_: TaskCtx<_, _>| match task % 2 {
            0 => Ok(task),
            _ => Err(format!("no {task}")),
        };
        spawner.spawn(work).await.expect("open");
    }
    spawner.spawn(async |_| panic!("on purpose")).await.expect("open");
    let error = soon(group.join()).await.expect_err("three went wrong");
    assert_eq!(
        error.to_string(),
        "3 tasks failed: [1] no 1; [3] no 3; [4] the task panicked: on purpose"
    );
    assert_eq!(error.iter().map(|failure| failure.index.get()).collect::<Vec<_>>(), [1, 3, 4]);
}

/// facebookgo: a `MultiError` of one panics when it is printed.
#[tokio::test(start_paused = true)]
async fn tg_13_one_error_prints_as_itself() {
    let group = TaskGroup::<(), &str>::new();
    group.spawner().spawn(async |_| Err("no")).await.expect("open");
    assert_eq!(soon(group.join()).await.expect_err("it failed").to_string(), "no");

    let group = ErrorWaitGroup::new();
    group.token().fail("no");
    assert_eq!(group.wait().await.expect_err("it failed").to_string(), "no");
}

/// x/sync and neilotoole: a panic crashes the process; kratos keeps its text only.
#[tokio::test(start_paused = true)]
async fn tg_14_a_panic_is_an_error_and_can_be_resumed() {
    let group = TaskGroup::<(), Infallible>::new();
    group.spawner().spawn(async |_| std::panic::panic_any(42_u32)).await.expect("open");
    let mut results = soon(group.join_all()).await;
    let panicked = results.pop().expect("one").expect_err("it panicked");
    assert_eq!(panicked.to_string(), "the task panicked: a panic without a message");
    let resumed = tokio::spawn(async move { panicked.resume() }).await.expect_err("resumed");
    assert_eq!(resumed.into_panic().downcast_ref(), Some(&42_u32));
}

#[tokio::test(start_paused = true)]
async fn tg_14_a_panic_counts_as_an_error_for_the_policy() {
    let group = TaskGroup::<(), Infallible>::new();
    let spawner = group.spawner();
    let work = async |ctx: TaskCtx<_, _>| {
        ctx.token().cancelled().await;
        Ok(())
    };
    spawner.spawn(work).await.expect("open");
    spawner.spawn(async |_| panic!("on purpose")).await.expect("open");
    let error = soon(group.join()).await.expect_err("one panicked");
    assert!(matches!(error.first.error, TaskError::Panicked(_)));
    assert_eq!(error.first.index.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn tg_15_join_all_is_in_the_order_of_spawning() {
    let group = TaskGroup::<u64, u64>::builder().on_error(OnError::Continue).build();
    for task in 0..10 {
        let work = async move |_: TaskCtx<_, _>| {
            sleep(Duration::from_secs(10 - task)).await;
            if task % 3 == 0 { Err(task) } else { Ok(task) }
        };
        group.spawner().spawn(work).await.expect("open");
    }
    let numbers: Vec<_> = (soon(group.join_all()).await.into_iter())
        .map(|result| match result {
            Ok(number) | Err(TaskError::Failed(number)) => number,
            Err(error) => panic!("{error:?}"),
        })
        .collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn tg_16_dropping_the_group_aborts_everything() {
    let group = TaskGroup::<(), Infallible>::builder().max_running(at_least_one(2)).build();
    let (spawner, census) = (group.spawner(), Census::default());
    for _ in 0..5 {
        let alive = census.one();
        let work = async move |_: TaskCtx<_, _>| {
            let _alive = alive;
            std::future::pending().await
        };
        spawner.spawn(work).await.expect("open");
    }
    let_others_run().await;
    let token = group.token().clone();
    drop(group);
    assert!(token.is_cancelled());
    let_others_run().await;
    assert_eq!(census.now(), 0, "running and queued ones are gone");
    assert_eq!(spawner.spawn(async |_| Ok(())).await, Err(SpawnError::Closed));
}

#[tokio::test(start_paused = true)]
async fn tg_16_a_detached_group_runs_on() {
    let group = TaskGroup::<(), Infallible>::builder().max_running(at_least_one(1)).build();
    let (spawner, done) = (group.spawner(), Census::default());
    for _ in 0..3 {
        let done = done.clone();
        let work = async move |_: TaskCtx<_, _>| {
            tokio::task::yield_now().await;
            drop(done.one());
            Ok(())
        };
        spawner.spawn(work).await.expect("open");
    }
    group.detach();
    assert_eq!(spawner.spawn(async |_| Ok(())).await, Err(SpawnError::Closed));
    let_others_run().await;
    assert_eq!(done.ever(), 3);
}

/// Each dropped task would start the next one, which the dying runtime drops at once: ten thousand deep.
#[test]
fn tg_16_a_runtime_that_shuts_down_takes_a_long_queue_along() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let census = Census::default();
    let group = TaskGroup::<(), Infallible>::builder().max_running(at_least_one(1)).build();
    let spawner = group.spawner();
    runtime.block_on(async {
        for _ in 0..10_000 {
            let alive = census.one();
            let work = async move |_: TaskCtx<_, _>| {
                let _alive = alive;
                std::future::pending().await
            };
            spawner.spawn(work).await.expect("open");
        }
    });
    drop(runtime);
    assert_eq!(census.now(), 0);
    let joined = futures::executor::block_on(group.join_all());
    assert!(matches!(joined[0], Err(TaskError::Cancelled)));
    assert!(joined[1..].iter().all(|result| matches!(result, Err(TaskError::Skipped))));
}

#[tokio::test(start_paused = true)]
async fn tg_17_a_spawn_that_is_dropped_before_it_was_accepted_does_not_run() {
    let group =
        TaskGroup::<u8, Infallible>::builder().max_running(at_least_one(1)).max_queued(0).build();
    let (spawner, gate) = (group.spawner(), Arc::new(Semaphore::new(0)));
    let waits_for_gate = Arc::clone(&gate);
    let work = async move |_: TaskCtx<_, _>| {
        waits_for_gate.acquire().await.expect("open").forget();
        Ok(1)
    };
    spawner.spawn(work).await.expect("open");
    let mut given_up = Box::pin(spawner.spawn(async |_| panic!("it was given up")));
    waits(&mut given_up);
    drop(given_up);
    gate.add_permits(1);
    soon(spawner.spawn(async |_| Ok(2))).await.expect("the place was not kept");
    assert_eq!(soon(group.join()).await.expect("no error"), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn tg_18_a_task_that_spawns_into_its_own_full_group_does_not_wait_for_itself() {
    let group =
        TaskGroup::<u8, Infallible>::builder().max_running(at_least_one(1)).max_queued(0).build();
    let (spawner, inside) = (group.spawner(), group.spawner());
    let work = async move |_: TaskCtx<_, _>| {
        inside.spawn(async |_| Ok(2)).await.expect("inside");
        inside.spawn(async |_| Ok(3)).await.expect("inside");
        assert!(matches!(inside.try_spawn(async |_| Ok(4)), Err(TrySpawnError::Full(_))));
        Ok(1)
    };
    spawner.spawn(work).await.expect("open");
    let joined = timeout(Duration::from_secs(3600), group.join()).await.expect("no deadlock");
    assert_eq!(joined.expect("no error"), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn tg_18_tasks_over_the_limit_from_inside_are_paid_back_before_others_come() {
    let group =
        TaskGroup::<u8, Infallible>::builder().max_running(at_least_one(1)).max_queued(0).build();
    let (spawner, gate) = (group.spawner(), Arc::new(Semaphore::new(0)));
    let of_inner = Arc::clone(&gate);
    let work = async move |ctx: TaskCtx<u8, Infallible>| {
        let inner = async move |_: TaskCtx<_, _>| {
            of_inner.acquire().await.expect("open").forget();
            Ok(2)
        };
        ctx.spawn(inner).expect("inside");
        Ok(1)
    };
    spawner.spawn(work).await.expect("open");
    let_others_run().await;
    let mut outside = Box::pin(spawner.spawn(async |_| Ok(3)));
    waits(&mut outside);
    gate.add_permits(1);
    let_others_run().await;
    ready(&mut outside).expect("there is room again");
    assert_eq!(soon(group.join()).await.expect("no error"), [1, 2, 3]);
}

/// facebookgo: a forgotten `Done` hangs, one too many panics, an `Error(nil)` too.
#[tokio::test(start_paused = true)]
async fn tg_13_an_error_wait_group_waits_for_all_and_keeps_every_error() {
    assert!(ErrorWaitGroup::<Infallible>::new().wait().await.is_ok());
    let group = ErrorWaitGroup::new();
    let (one, other) = (group.token(), group.token());
    let clone = other.clone();
    let mut wait = Box::pin(group.wait());
    waits(&mut wait);
    one.fail("first");
    drop(one);
    other.fail("second");
    drop(other);
    waits(&mut wait);
    clone.fail("third");
    drop(clone);
    let errors = ready(&mut wait).expect_err("three");
    assert_eq!(errors.to_string(), "3 errors: [0] first; [1] second; [2] third");
    assert_eq!(errors.iter().count(), 3);
    assert_eq!(errors.into_vec(), ["first", "second", "third"]);
}
