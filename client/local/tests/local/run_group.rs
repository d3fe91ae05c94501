//! RG-1 to RG-12 inside one process; what needs real signals is in `processes`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_local::{
    Exit, Report, RunError, RunGroup, SignalExit, SignalKind, TaskCtx, TaskError, TaskGroup,
};
use rustix::process::{Signal, kill_process};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{Census, let_others_run, soon, waits};

type Group = RunGroup<&'static str>;

const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order.
#[derive(Clone, Default)]
struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    fn tell(&self, what: impl Into<String>) {
        self.0.lock().expect("not poisoned").push(what.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }
}

/// Adds an actor that stops when it is told, and takes its time.
fn obedient(group: Group, name: &'static str, takes: Duration, story: &Story) -> Group {
    let story = story.clone();
    group.actor(name, async move |stop: CancellationToken| {
        stop.cancelled().await;
        sleep(takes).await;
        story.tell(name);
        Ok(())
    })
}

fn raise(signal: Signal) {
    kill_process(rustix::process::getpid(), signal).expect("one may signal oneself");
}

fn names<'a>(report: &'a Report<&'static str>) -> Vec<&'a str> {
    report.outcomes.iter().map(|(name, _)| &**name).collect()
}

/// uw-labs/rungroup reports a clean exit as the siblings' `context.Canceled`; tokio-graceful-shutdown does not stop the others.
#[tokio::test(start_paused = true)]
async fn rg_1_any_exit_stops_all() {
    for how in ["ok", "err", "panic"] {
        let story = Story::default();
        let group = obedient(Group::new(), "a", SECOND, &story).actor("first", async move |_| {
            sleep(SECOND).await;
            match how {
                "ok" => Ok(()),
                "err" => Err("no"),
                _ => panic!("on purpose"),
            }
        });
        let report = obedient(group, "b", 2 * SECOND, &story).run().await;
        assert_eq!(story.lines(), ["a", "b"]);
        match (how, &report.cause) {
            ("ok", Exit::Actor { name, result: Ok(()) })
            | ("err", Exit::Actor { name, result: Err("no") })
            | ("panic", Exit::Panicked { name, .. }) => assert_eq!(&**name, "first"),
            other => panic!("{other:?}"),
        }
        assert_eq!(report.into_result().is_ok(), how == "ok");
    }
}

/// kratos: later errors overwrite the first.
#[tokio::test(start_paused = true)]
async fn rg_2_the_cause_is_the_first_exit_even_if_a_sibling_reacts_at_once() {
    let report = Group::new()
        .actor("late", async |stop: CancellationToken| {
            stop.cancelled().await;
            Err("because I was stopped")
        })
        .actor("first", async |_| {
            sleep(SECOND).await;
            Err("the reason")
        })
        .run()
        .await;
    assert_eq!(report.cause.to_string(), "first failed: the reason");
    assert!(matches!(report.outcomes[..], [(_, Err(TaskError::Failed("because I was stopped")))]));
    assert_eq!(report.into_result().expect_err("failed").to_string(), "first: the reason");
}

#[tokio::test(start_paused = true)]
async fn rg_2_a_failure_after_a_clean_stop_is_not_hidden() {
    let fails = Group::new()
        .actor("first", async |_| Ok(()))
        .actor("late", async |stop: CancellationToken| {
            stop.cancelled().await;
            Err("could not flush")
        })
        .run()
        .await;
    let error = fails.into_result().expect_err("not clean");
    assert_eq!(error.to_string(), "after the stop: late: could not flush");
}

#[tokio::test(start_paused = true)]
async fn rg_3_at_the_deadline_what_is_left_is_aborted_and_named() {
    let (start, census, story) = (Instant::now(), Census::default(), Story::default());
    let alive = census.one();
    let group = Group::new().grace(10 * SECOND).actor("stubborn", async move |_| {
        let _alive = alive;
        std::future::pending().await
    });
    let group = obedient(group, "quick", SECOND, &story);
    let report = group.actor("first", async |_| Ok(())).run().await;
    assert_eq!(start.elapsed(), 10 * SECOND);
    assert_eq!(report.unfinished.iter().map(|name| &**name).collect::<Vec<_>>(), ["stubborn"]);
    assert_eq!(names(&report), ["quick", "stubborn"]);
    let error = report.into_result().expect_err("too slow");
    assert_eq!(error.to_string(), "not done within the grace: stubborn (after: first ended)");
    assert!(matches!(error, RunError::GraceExceeded { .. }));
    let_others_run().await;
    assert_eq!(census.now(), 0, "aborted");
}

#[tokio::test(start_paused = true)]
async fn rg_3_without_a_grace_it_waits_and_with_none_it_does_not() {
    let (start, story) = (Instant::now(), Story::default());
    let group = obedient(Group::new().grace(None), "slow", 100_000 * SECOND, &story);
    let report = group.actor("first", async |_| Ok(())).run().await;
    assert_eq!((start.elapsed(), report.unfinished.len()), (100_000 * SECOND, 0));

    let start = Instant::now();
    let group = obedient(Group::new().grace(Duration::ZERO), "any", Duration::ZERO, &story);
    let report = group
        .actor("first", async |_| Ok(()))
        .cleanup("never", async || panic!("no time for it"))
        .run()
        .await;
    assert_eq!((start.elapsed(), names(&report)), (Duration::ZERO, vec!["any", "never"]));
    assert_eq!(report.unfinished.len(), 2);
}

/// The article's handler has an unbuffered channel and may lose a signal; here one that comes with the very first actor counts.
#[tokio::test]
async fn rg_4_signals_are_caught_before_any_actor_starts() {
    for (policy, code) in [(SignalExit::Zero, 0), (SignalExit::Number, 128 + 10)] {
        let report = Group::new()
            .shutdown_on([SignalKind::user_defined1()])
            .signal_exit(policy)
            .actor("signals", async |stop: CancellationToken| {
                // Uncaught, this ends the process.
                raise(Signal::USR1);
                stop.cancelled().await;
                Ok(())
            })
            .run()
            .await;
        assert!(matches!(report.cause, Exit::Signal(kind) if kind.as_raw_value() == 10));
        assert_eq!(report.exit_code(), ExitCode::from(code));
        report.into_result().expect("asked for");
    }
}

#[tokio::test]
async fn rg_4_a_second_signal_cuts_a_clean_up_short() {
    let group = Group::new()
        .grace(None)
        .shutdown_on([SignalKind::user_defined2()])
        .actor("signals", async |stop: CancellationToken| {
            raise(Signal::USR2);
            stop.cancelled().await;
            Ok(())
        })
        .cleanup("skipped", async || Ok(()))
        .cleanup("stuck", async || {
            raise(Signal::USR2);
            std::future::pending().await
        });
    let report = soon(group.run()).await;
    assert_eq!(
        report.unfinished.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["stuck", "skipped"]
    );
    assert_eq!(report.insisted, Some(SignalKind::user_defined2()));
    assert_eq!(report.exit_code(), ExitCode::from(128 + 12));
    assert!(matches!(report.into_result(), Err(RunError::Aborted { .. })));
}

#[tokio::test(start_paused = true)]
async fn rg_5_a_failed_start_stops_the_rest() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let story = Story::default();
    let mut group = RunGroup::<std::io::Error>::new().actor("http", async move |_| {
        tokio::net::TcpListener::bind(address).await?;
        Ok(())
    });
    let told = story.clone();
    group = group.actor("worker", async move |stop: CancellationToken| {
        stop.cancelled().await;
        told.tell("stopped");
        Ok(())
    });
    let report = group.run().await;
    assert_eq!(story.lines(), ["stopped"]);
    assert!(matches!(report.cause, Exit::Actor { ref name, result: Err(ref error) }
        if &**name == "http" && error.kind() == std::io::ErrorKind::AddrInUse));
}

#[tokio::test(start_paused = true)]
async fn rg_6_an_empty_group_returns_at_once_after_its_clean_ups() {
    let (start, story) = (Instant::now(), Story::default());
    let told = story.clone();
    let group = Group::new().shutdown_on_signals().cleanup("only", async move || {
        told.tell("cleaned");
        Ok(())
    });
    let report = group.run().await;
    assert_eq!((start.elapsed(), story.lines().len()), (Duration::ZERO, 1));
    assert!(matches!(report.cause, Exit::NothingToRun));
    report.into_result().expect("nothing went wrong");
}

#[tokio::test]
async fn rg_7_dropping_the_run_aborts_all() {
    let census = Census::default();
    let (one, other) = (census.one(), census.one());
    let (told, stopped) = tokio::sync::oneshot::channel();
    let group = Group::new()
        .actor("one", async move |stop: CancellationToken| {
            tokio::spawn(async move {
                stop.cancelled().await;
                told.send(())
            });
            let _alive = one;
            std::future::pending().await
        })
        .cleanup("never", async move || {
            drop(other);
            panic!("it was dropped")
        });
    let mut run = Box::pin(group.run());
    waits(&mut run);
    let_others_run().await;
    drop(run);
    let_others_run().await;
    assert_eq!(census.now(), 0);
    stopped.await.expect("who watches the token outside the actor is told too");
}

/// kratos: an error in `afterStart` or `afterStop` leaves the rest undone.
#[tokio::test(start_paused = true)]
async fn rg_8_clean_ups_run_last_in_first_out_whatever_goes_wrong() {
    let story = Story::default();
    let mut group = Group::new().actor("panics", async |_| panic!("on purpose"));
    for name in ["a", "b", "c", "d"] {
        let story = story.clone();
        group = group.cleanup(name, async move || {
            story.tell(name);
            match name {
                "b" => Err("no"),
                "c" => panic!("on purpose"),
                _ => Ok(()),
            }
        });
    }
    let report = group.run().await;
    assert_eq!(story.lines(), ["d", "c", "b", "a"]);
    assert_eq!(names(&report), ["d", "c", "b", "a"]);
    assert!(matches!(report.outcomes[1].1, Err(TaskError::Panicked(_))));
    assert!(matches!(report.outcomes[2].1, Err(TaskError::Failed("no"))));
    assert!(matches!(report.cause, Exit::Panicked { .. }));
}

/// The article: "the clean-up timed out, we do not wait".
#[tokio::test(start_paused = true)]
async fn rg_9_clean_ups_share_what_is_left_of_the_grace_and_an_overrun_is_reported() {
    let (start, story) = (Instant::now(), Story::default());
    let group = obedient(Group::new().grace(10 * SECOND), "worker", 4 * SECOND, &story);
    let told = story.clone();
    let report = group
        .actor("first", async |_| Ok(()))
        .cleanup("skipped", async || panic!("no time is left"))
        .cleanup("stuck", async || std::future::pending().await)
        .cleanup("quick", async move || {
            sleep(5 * SECOND).await;
            told.tell("quick");
            Ok(())
        })
        .run()
        .await;
    assert_eq!(start.elapsed(), 10 * SECOND);
    assert_eq!(story.lines(), ["worker", "quick"]);
    let unfinished: Vec<_> = report.unfinished.iter().map(|name| &**name).collect();
    assert_eq!(unfinished, ["stuck", "skipped"]);
    assert!(matches!(report.outcomes[2].1, Err(TaskError::Cancelled)));
    assert!(matches!(report.outcomes[3].1, Err(TaskError::Skipped)));
    assert!(matches!(report.into_result(), Err(RunError::GraceExceeded { .. })));
}

/// Code that blocks cannot be aborted: the report does not wait for it, and neither does a runtime that is shut down with a bound.
#[test]
fn rg_10_an_actor_that_blocks_is_reported_and_not_awaited() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let group = Group::new()
        .grace(Duration::from_millis(50))
        .actor("first", async |_| Ok(()))
        .actor("blocks", async move |_| {
            // Ends with an error when the test has ended.
            let _ended = blocked.recv();
            Ok(())
        });
    let report = runtime.block_on(group.run());
    assert_eq!(report.unfinished.iter().map(|name| &**name).collect::<Vec<_>>(), ["blocks"]);
    runtime.shutdown_timeout(Duration::from_millis(50));
    drop(unblock);
}

#[tokio::test]
async fn rg_11_an_actor_may_run_a_task_group_under_its_token() {
    let census = Census::default();
    let counts = census.clone();
    let group = Group::new().actor("first", async |_| {
        let_others_run().await;
        Ok(())
    });
    let report = group
        .actor("pool", async move |stop: CancellationToken| {
            let group = TaskGroup::<(), &str>::builder().parent(&stop).build();
            for _ in 0..5 {
                let alive = counts.one();
                let work = async move |ctx: TaskCtx<_, _>| {
                    let _alive = alive;
                    ctx.token().cancelled().await;
                    Ok(())
                };
                group.spawner().spawn(work).await.expect("open");
            }
            group.join().await.map(drop).map_err(|_| "a task failed")
        })
        .run()
        .await;
    assert_eq!((census.ever(), census.now()), (5, 0));
    report.into_result().expect("all stopped when told");
}

#[tokio::test(start_paused = true)]
async fn rg_12_an_external_token_stops_gracefully() {
    let (token, story) = (CancellationToken::new(), Story::default());
    let group = obedient(Group::new().shutdown_token(token.clone()), "a", SECOND, &story);
    let cancel = async {
        sleep(SECOND).await;
        token.cancel();
    };
    let (report, ()) = tokio::join!(group.run(), cancel);
    assert!(matches!(report.cause, Exit::Token));
    assert_eq!(story.lines(), ["a"]);
    report.into_result().expect("asked for");
}
