//! DG-1 to DG-9, and the bugs of schedgroup that a delay group must not have.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_local::{Closed, DelayError, DelayGroup, DelayKey, TaskError};
use futures::FutureExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Census, at_least_one, let_others_run};

const SECOND: Duration = Duration::from_secs(1);

/// What ran, and how many milliseconds after the start.
#[derive(Clone)]
struct Log {
    start: Instant,
    lines: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Log {
    fn new() -> Self {
        Self { start: Instant::now(), lines: Arc::default() }
    }

    fn note(&self, name: u64) -> impl Future<Output = Result<(), Infallible>> + Send + use<> {
        let log = self.clone();
        async move {
            let at = u64::try_from(log.start.elapsed().as_millis()).expect("not so long");
            log.lines.lock().expect("not poisoned").push((name, at));
            Ok(())
        }
    }

    fn lines(&self) -> Vec<(u64, u64)> {
        self.lines.lock().expect("not poisoned").clone()
    }
}

#[tokio::test(start_paused = true)]
async fn dg_1_nothing_runs_early_and_dg_2_the_order_is_that_of_deadlines_then_of_insertion() {
    let (group, log) = (DelayGroup::new(), Log::new());
    let deadline = Instant::now() + 2 * SECOND;
    group.spawn_after(3 * SECOND, log.note(30)).expect("open");
    for name in 0..20 {
        group.spawn_at(deadline, log.note(name)).expect("open");
    }
    group.spawn_after(Duration::from_micros(999_500), log.note(10)).expect("open");
    group.wait().await.expect("all good");
    let lines = log.lines();
    assert_eq!(lines[0], (10, 1000), "rounded up to the tick");
    let ties: Vec<_> = (0..20).map(|name| (name, 2000)).collect();
    assert_eq!(lines[1..21], ties[..]);
    assert_eq!(lines[21], (30, 3000));
}

#[tokio::test(start_paused = true)]
async fn dg_1_a_nearer_deadline_that_comes_later_is_not_slept_through() {
    let (group, log) = (DelayGroup::new(), Log::new());
    group.spawn_after(3600 * SECOND, log.note(1)).expect("open");
    let_others_run().await;
    group.spawn_after(SECOND, log.note(2)).expect("open");
    sleep(2 * SECOND).await;
    assert_eq!(log.lines(), [(2, 1000)]);
}

#[tokio::test(start_paused = true)]
async fn dg_3_what_is_past_runs_at_once() {
    let (group, log) = (DelayGroup::new(), Log::new());
    let past = Instant::now();
    sleep(SECOND).await;
    group.spawn_at(past, log.note(1)).expect("open");
    group.spawn_after(Duration::ZERO, log.note(2)).expect("open");
    let_others_run().await;
    assert_eq!(log.lines(), [(1, 1000), (2, 1000)]);
}

/// schedgroup: a task scheduled between the check and the push is lost to a concurrent `Wait`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dg_4_what_was_accepted_runs_even_when_wait_comes_at_the_same_time() {
    for _ in 0..200 {
        let group = DelayGroup::<Infallible>::new();
        let (handle, ran) = (group.handle(), Census::default());
        let counts = ran.clone();
        let spawns = tokio::spawn(async move {
            let mut accepted = 0;
            for _ in 0..20 {
                let counts = counts.clone();
                let work = async move {
                    drop(counts.one());
                    Ok(())
                };
                accepted += usize::from(handle.spawn_after(Duration::ZERO, work).is_ok());
            }
            accepted
        });
        group.wait().await.expect("all good");
        let at_the_end = ran.ever();
        assert_eq!(spawns.await.expect("no panic"), at_the_end);
    }
}

#[tokio::test(start_paused = true)]
async fn dg_4_wait_returns_at_once_if_there_is_nothing_and_after_what_runs() {
    assert!(
        DelayGroup::<Infallible>::new().wait().now_or_never().is_none(),
        "its driver ends first"
    );
    let start = Instant::now();
    DelayGroup::<Infallible>::new().wait().await.expect("nothing");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let group = DelayGroup::<Infallible>::new();
    let slow = async {
        sleep(5 * SECOND).await;
        Ok(())
    };
    group.spawn_after(SECOND, slow).expect("open");
    group.wait().await.expect("all good");
    assert_eq!(start.elapsed(), 6 * SECOND);
}

/// schedgroup: `Wait` returns on cancel without those that run; and later tasks are silently ignored.
#[tokio::test(start_paused = true)]
async fn dg_5_cancel_drops_what_is_pending_and_waits_for_what_runs() {
    let token = CancellationToken::new();
    let (group, census) = (DelayGroup::<Infallible>::with_token(token.clone()), Census::default());
    let handle = group.handle();
    for seconds in [1, 10, 20] {
        let alive = census.one();
        let work = async move {
            let _alive = alive;
            sleep(5 * SECOND).await;
            Ok(())
        };
        group.spawn_after(seconds * SECOND, work).expect("open");
    }
    sleep(2 * SECOND).await;
    token.cancel();
    let_others_run().await;
    assert_eq!((census.now(), handle.pending()), (1, 0));
    assert!(handle.spawn_after(SECOND, async { Ok(()) }).is_err());
    let start = Instant::now();
    let error = group.wait().await.expect_err("cancelled");
    assert_eq!(error.to_string(), "cancelled, 2 did not run");
    assert!(
        matches!(error, DelayError::Cancelled { not_run: 2, ref failures } if failures.is_empty())
    );
    assert_eq!((start.elapsed(), census.now()), (4 * SECOND, 0));
}

#[tokio::test(start_paused = true)]
async fn dg_5_what_runs_longer_than_the_grace_is_aborted() {
    let token = CancellationToken::new();
    let builder = DelayGroup::builder().token(token.clone()).grace(3 * SECOND);
    let (group, census) = (builder.build::<Infallible>(), Census::default());
    let alive = census.one();
    let forever = async move {
        let _alive = alive;
        std::future::pending().await
    };
    let key = group.spawn_after(Duration::ZERO, forever).expect("open");
    let_others_run().await;
    token.cancel();
    let start = Instant::now();
    let DelayError::Cancelled { not_run: 0, failures } = group.wait().await.expect_err("cancelled")
    else {
        panic!("it was running")
    };
    assert_eq!((start.elapsed(), census.now()), (3 * SECOND, 0));
    assert!(
        matches!(failures[..], [ref one] if one.key == key && matches!(one.error, TaskError::Cancelled))
    );
}

/// schedgroup: scheduling after `Wait`, and a second `Wait`, panic. Here the second does not compile.
#[tokio::test(start_paused = true)]
async fn dg_6_a_handle_of_a_closed_group_gives_the_work_back() {
    let group = DelayGroup::new();
    let (handle, log) = (group.handle(), Log::new());
    group.wait().await.expect("nothing");
    let Err(Closed(work)) = handle.spawn_after(SECOND, log.note(1)) else { panic!("closed") };
    work.await.expect("it is whole");
    assert_eq!(log.lines(), [(1, 0)]);
    let group = DelayGroup::new();
    let (handle, alive) = (group.handle(), Census::default());
    let counted = alive.one();
    let work = async move {
        drop(counted);
        Ok::<_, Infallible>(())
    };
    handle.spawn_after(SECOND, work).expect("open");
    drop(group);
    assert_eq!((alive.now(), handle.pending()), (0, 0), "a dropped group drops what is pending");
    assert!(handle.spawn_after(SECOND, async { Ok(()) }).is_err());
}

#[tokio::test(start_paused = true)]
async fn dg_7_a_hundred_thousand_pending_are_one_task_with_one_timer() {
    let (group, ran) = (DelayGroup::<Infallible>::new(), Census::default());
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for at in 0..100_000_u64 {
        let ran = ran.clone();
        let work = async move {
            drop(ran.one());
            Ok(())
        };
        group.spawn_after(Duration::from_millis(at % 1000), work).expect("open");
    }
    assert_eq!(group.pending(), 100_000);
    // A sleep of its own would need a task of its own to wait in.
    let now = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(now, before, "the driver, which was there already");
    group.wait().await.expect("all good");
    assert_eq!(ran.ever(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn dg_7_a_deadline_beyond_the_wheel_of_the_timer_is_only_far_away() {
    let (group, log) = (DelayGroup::new(), Log::new());
    let far = group.spawn_after(Duration::MAX, log.note(1)).expect("open");
    let years = group.spawn_after(Duration::from_secs(3 * 365 * 24 * 3600), log.note(2));
    let years = years.expect("open");
    sleep(SECOND).await;
    assert!(years < far && group.cancel(far) && !group.cancel(far));
    group.wait().await.expect("all good");
    assert_eq!(log.lines(), [(2, 3 * 365 * 24 * 3600 * 1000)]);
}

#[tokio::test(start_paused = true)]
async fn dg_8_never_more_than_the_limit_and_in_order() {
    let builder = DelayGroup::builder().max_running(at_least_one(2));
    let (group, census) = (builder.build::<Infallible>(), Census::default());
    let started = Arc::new(Mutex::new(Vec::new()));
    let keys: Vec<_> = (0..10_u32)
        .map(|name| {
            let (census, started) = (census.clone(), Arc::clone(&started));
            let work = async move {
                let _alive = census.one();
                started.lock().expect("not poisoned").push(name);
                sleep(10 * SECOND).await;
                Ok(())
            };
            group.spawn_after(SECOND, work).expect("open")
        })
        .collect();
    sleep(2 * SECOND).await;
    assert_eq!((census.now(), group.pending()), (2, 8));
    assert!(group.cancel(keys[5]), "due, and not started");
    group.wait().await.expect("all good");
    assert_eq!((census.most(), census.ever()), (2, 9));
    assert_eq!(*started.lock().expect("not poisoned"), [0, 1, 2, 3, 4, 6, 7, 8, 9]);
}

/// schedgroup: a panic crashes, and tasks have no errors.
#[tokio::test(start_paused = true)]
async fn dg_9_panics_and_errors_are_kept_with_their_keys() {
    let group = DelayGroup::<&str>::default();
    let panics: DelayKey =
        group.spawn_after(2 * SECOND, async { panic!("on purpose") }).expect("open");
    let fails = group.spawn_after(SECOND, async { Err("no") }).expect("open");
    group.spawn_after(3 * SECOND, async { Ok(()) }).expect("open");
    let error = timeout(60 * SECOND, group.wait()).await.expect("it ends").expect_err("two");
    assert_eq!(error.to_string(), "2 failed, the first with: no");
    let DelayError::Failed(failures) = error else { panic!("{error}") };
    assert_eq!(failures.iter().map(|failure| failure.key).collect::<Vec<_>>(), [fails, panics]);
    assert!(matches!(failures[1].error, TaskError::Panicked(_)));
}
