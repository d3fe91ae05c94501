//! SF-1 to SF-9, and the bugs of the Go packages that single-flight must not have.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_local::{FlightError, SingleFlight};
use proptest::prelude::*;
use tokio::sync::Semaphore;

use crate::support::{Census, let_others_run, poll_once, ready, soon, waits};

/// Work that waits until somebody opens the gate, and counts how often it was begun.
#[derive(Clone)]
struct Work {
    gate: Arc<Semaphore>,
    begun: Census,
}

impl Work {
    fn new() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), begun: Census::default() }
    }

    fn run(&self, value: u32) -> impl Future<Output = u32> + Send + use<> {
        let work = self.clone();
        async move {
            let _alive = work.begun.one();
            work.gate.acquire().await.expect("open").forget();
            value
        }
    }

    /// Lets one of those that wait, or the next, through.
    fn open(&self) {
        self.gate.add_permits(1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sf_1_a_key_runs_once_at_a_time() {
    let flights = Arc::new(SingleFlight::<u8, usize>::new());
    let census = Census::default();
    let tasks: Vec<_> = (0..200_usize)
        .map(|task| {
            let (flights, census) = (Arc::clone(&flights), census.clone());
            tokio::spawn(async move {
                let work = move || async move {
                    let _alive = census.one();
                    tokio::task::yield_now().await;
                    task
                };
                flights.run(0, work).await.expect("no panic").value
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.expect("no panic");
    }
    assert_eq!((census.now(), census.most(), flights.in_flight()), (0, 1, 0));
}

#[test]
fn sf_2_all_participants_get_the_same_and_know_that_it_was_shared() {
    let (flights, work) = (SingleFlight::<&str, u32>::new(), Work::new());
    let mut all: Vec<_> = (0..3_u32)
        .map(|value| {
            let work = work.clone();
            Box::pin(flights.run("key", move || work.run(value)))
        })
        .collect();
    all.iter_mut().for_each(waits);
    work.open();
    for flight in &mut all {
        let flight = ready(flight).expect("no panic");
        assert_eq!((flight.value, flight.shared), (0, true));
    }
    work.open();
    let alone = ready(&mut Box::pin(flights.run("key", move || work.run(7)))).expect("no panic");
    assert_eq!((alone.value, alone.shared), (7, false));
}

#[test]
fn sf_2_an_error_is_shared_like_a_value() {
    let flights = SingleFlight::<&str, (), String>::new();
    let fail = || async {
        tokio::task::yield_now().await;
        Err("no".to_owned())
    };
    let mut one = Box::pin(flights.try_run("key", fail));
    let mut other = Box::pin(flights.try_run("key", || async { Ok(()) }));
    waits(&mut one);
    let of_other = ready(&mut other).unwrap_err();
    let of_one = ready(&mut one).unwrap_err();
    match (of_one, of_other) {
        (FlightError::Failed(one), FlightError::Failed(other)) => {
            assert!(Arc::ptr_eq(&one, &other));
            assert_eq!(*one, "no");
        }
        others => panic!("not the error of the work: {others:?}"),
    }
}

#[test]
fn sf_3_nothing_is_kept() {
    let flights = SingleFlight::<&str, usize>::new();
    let runs = Arc::new(AtomicUsize::new(0));
    for expected in 0..3 {
        let runs = Arc::clone(&runs);
        let work = move || async move { runs.fetch_add(1, Ordering::SeqCst) };
        let flight = ready(&mut Box::pin(flights.run("key", work))).expect("no panic");
        assert_eq!((flight.value, flights.in_flight()), (expected, 0));
    }
}

/// go#31420: the end of a forgotten flight removed its successor.
#[test]
fn sf_4_an_old_flight_never_removes_a_newer_one() {
    let (flights, old, new) = (SingleFlight::<&str, u32>::new(), Work::new(), Work::new());
    let (of_old, of_new) = (old.clone(), new.clone());
    let mut first = Box::pin(flights.run("key", move || of_old.run(1)));
    waits(&mut first);
    assert!(flights.forget("key"));
    let mut second = Box::pin(flights.run("key", move || of_new.run(2)));
    waits(&mut second);
    old.open();
    assert_eq!(ready(&mut first).expect("no panic").value, 1);
    assert_eq!(flights.in_flight(), 1, "the newer one is still there");
    let mut third = Box::pin(flights.run("key", || async { 3 }));
    waits(&mut third);
    new.open();
    assert_eq!(ready(&mut third).expect("no panic").value, 2, "joined the newer one");
    assert_eq!(ready(&mut second).expect("no panic").value, 2);
}

#[test]
fn sf_4_the_entry_is_gone_before_anybody_has_the_result() {
    let (flights, work) = (SingleFlight::<&str, u32>::new(), Work::new());
    let mut all: Vec<_> = (0..2)
        .map(|value| {
            let work = work.clone();
            Box::pin(flights.run("key", move || work.run(value)))
        })
        .collect();
    all.iter_mut().for_each(waits);
    work.open();
    assert!(ready(&mut all[0]).is_ok());
    assert_eq!(flights.in_flight(), 0, "although the other has not fetched its result");
    let fresh = ready(&mut Box::pin(flights.run("key", || async { 9 }))).expect("no panic");
    assert_eq!(fresh.value, 9);
    assert_eq!(ready(&mut all[1]).expect("no panic").value, 0);
}

#[test]
fn sf_5_forget_starts_the_next_call_anew_and_fails_nobody() {
    let (flights, work) = (SingleFlight::<String, u32>::new(), Work::new());
    assert!(!flights.forget("key"));
    let of_first = work.clone();
    let mut first = Box::pin(flights.run("key".to_owned(), move || of_first.run(1)));
    let mut joined = Box::pin(flights.run("key".to_owned(), || async { 0 }));
    waits(&mut first);
    waits(&mut joined);
    assert!(!flights.forget_unshared("key"), "two take part");
    assert!(flights.forget("key"));
    let anew = ready(&mut Box::pin(flights.run("key".to_owned(), || async { 2 })));
    assert_eq!(anew.expect("no panic").value, 2);
    work.open();
    assert_eq!(ready(&mut first).expect("no panic").value, 1);
    assert_eq!(ready(&mut joined).expect("no panic").value, 1);
}

#[test]
fn sf_5_forget_unshared_detaches_a_single_call() {
    let (flights, work) = (SingleFlight::<&str, u32>::new(), Work::new());
    let mut first = Box::pin(flights.run("key", move || work.run(1)));
    waits(&mut first);
    assert!(flights.forget_unshared("key"));
    assert_eq!(flights.in_flight(), 0);
}

/// groupcache: after a panic all later callers hang; x/sync with `DoChan`: the process dies.
#[tokio::test(start_paused = true)]
async fn sf_6_a_panic_reaches_every_participant_and_nobody_hangs() {
    let flights = SingleFlight::<&str, u32>::new();
    let explode = || async {
        tokio::task::yield_now().await;
        panic!("on purpose")
    };
    let (one, other) = soon(async {
        tokio::join!(flights.run("key", explode), flights.run("key", || async { 1 }))
    })
    .await;
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!(error.to_string(), "the work panicked: on purpose");
    }
    assert_eq!(flights.in_flight(), 0);
    assert_eq!(flights.run("key", || async { 1 }).await.expect("no panic").value, 1);
    // The closure itself may panic, before there is a future.
    let explode = || -> std::future::Ready<u32> { panic!("at once") };
    assert!(matches!(flights.run("key", explode).await, Err(FlightError::Panicked(_))));
}

/// The trap of Go: the context of the first caller governs everybody.
#[tokio::test(start_paused = true)]
async fn sf_7_the_first_caller_may_go_without_harm() {
    let (flights, work) = (Arc::new(SingleFlight::<&str, u32>::new()), Work::new());
    let of_first = work.clone();
    let mut first = Box::pin(flights.run("key", move || of_first.run(1)));
    waits(&mut first);
    let follower = Arc::clone(&flights);
    let follower = tokio::spawn(async move { follower.run("key", || async { 2 }).await });
    let_others_run().await;
    drop(first);
    work.open();
    let flight = soon(follower).await.expect("no panic").expect("no panic");
    assert_eq!((flight.value, work.begun.ever()), (1, 1), "neither failed nor restarted");
}

#[test]
fn sf_7_a_follower_may_go_without_harm() {
    let (flights, work) = (SingleFlight::<&str, u32>::new(), Work::new());
    let of_first = work.clone();
    let mut first = Box::pin(flights.run("key", move || of_first.run(1)));
    let mut follower = Box::pin(flights.run("key", || async { 2 }));
    waits(&mut first);
    waits(&mut follower);
    drop(follower);
    work.open();
    assert_eq!(ready(&mut first).expect("no panic").value, 1);
}

/// tailscale#18919: who came as the last one left joined a dying flight.
#[test]
fn sf_7_when_the_last_leaves_the_work_is_cancelled_and_a_later_call_starts_anew() {
    let (flights, work) = (SingleFlight::<&str, u32>::new(), Work::new());
    for _ in 0..2 {
        let of_call = work.clone();
        let mut call = Box::pin(flights.run("key", move || of_call.run(1)));
        waits(&mut call);
        assert_eq!((work.begun.now(), flights.in_flight()), (1, 1));
        drop(call);
        assert_eq!((work.begun.now(), flights.in_flight()), (0, 0));
    }
    assert_eq!(work.begun.ever(), 2);
}

#[test]
fn sf_7_a_forgotten_flight_is_cancelled_too_when_its_last_participant_leaves() {
    let (flights, work) = (SingleFlight::<&str, u32>::new(), Work::new());
    let of_call = work.clone();
    let mut call = Box::pin(flights.run("key", move || of_call.run(1)));
    waits(&mut call);
    flights.forget("key");
    assert_eq!(work.begun.now(), 1);
    drop(call);
    assert_eq!(work.begun.now(), 0);
}

#[test]
fn sf_8_different_keys_run_at_the_same_time() {
    let (flights, work) = (SingleFlight::<u32, u32>::new(), Work::new());
    let mut all: Vec<_> = (0..5)
        .map(|key| {
            let work = work.clone();
            Box::pin(flights.run(key, move || work.run(key)))
        })
        .collect();
    all.iter_mut().for_each(waits);
    assert_eq!((work.begun.now(), flights.in_flight()), (5, 5));
}

/// The drop of cancelled work may call back into the group: the lock must be free.
#[test]
fn sf_8_the_drop_of_the_work_may_use_the_group() {
    struct CallsBack(Arc<SingleFlight<&'static str, u32>>);
    impl Drop for CallsBack {
        fn drop(&mut self) {
            assert_eq!(self.0.in_flight(), 0);
        }
    }
    let flights = Arc::new(SingleFlight::new());
    let calls_back = CallsBack(Arc::clone(&flights));
    let work = move || async move {
        let _calls_back = calls_back;
        std::future::pending::<u32>().await
    };
    let mut call = Box::pin(flights.run("key", work));
    waits(&mut call);
    drop(call);
    assert_eq!(Arc::strong_count(&flights), 1, "the work is gone");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each step is a call (key, how it ends) or the drop of an earlier one.
    #[test]
    fn sf_9_nothing_is_left_after_runs_cancels_and_panics(
        steps in proptest::collection::vec((0..3_u8, 0..5_u8, 0..16_usize), 1..60)
    ) {
        let flights = SingleFlight::<u8, u8, Infallible>::new();
        let alive = Census::default();
        let mut calls = Vec::new();
        for (key, end, at) in steps {
            if end == 4 && !calls.is_empty() {
                drop(calls.swap_remove(at % calls.len()));
                continue;
            }
            let counted = alive.one();
            let mut call = Box::pin(flights.run(key, move || async move {
                let _counted = counted;
                for _ in 0..end {
                    tokio::task::yield_now().await;
                }
                assert_ne!(end, 1, "on purpose");
                end
            }));
            if poll_once(&mut call).is_pending() {
                calls.push(call);
            }
            if end == 3 {
                flights.forget(&key);
            }
            prop_assert!(flights.in_flight() <= calls.len());
        }
        drop(calls);
        prop_assert_eq!((flights.in_flight(), alive.now()), (0, 0));
    }
}
