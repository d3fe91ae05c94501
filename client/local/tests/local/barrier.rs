//! CB-1 to CB-10, and the bugs of the Go package that the barrier must not have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_local::{BarrierError, BrokenReason, CyclicBarrier};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::support::{at_least_one, let_others_run, ready, soon, waits};

const fn broken<E>(reason: BrokenReason) -> BarrierError<E> {
    BarrierError::Broken(reason)
}

#[test]
fn cb_1_it_trips_at_the_last_arrival_and_one_of_them_leads() {
    let barrier = CyclicBarrier::new(at_least_one(3));
    let mut waits_for: Vec<_> = (0..2).map(|_| Box::pin(barrier.wait())).collect();
    waits_for.iter_mut().for_each(waits);
    assert_eq!((barrier.waiting(), barrier.parties().get()), (2, 3));
    let last = ready(&mut Box::pin(barrier.wait())).expect("the last one");
    assert!(last.is_leader());
    for wait in &mut waits_for {
        let result = ready(wait).expect("tripped");
        assert!(!result.is_leader());
        assert_eq!(result.generation(), last.generation());
    }
    assert_eq!(barrier.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cb_2_a_fast_task_neither_laps_nor_steals() {
    const PARTIES: usize = 4;
    const ROUNDS: usize = 200;
    let barrier = Arc::new(CyclicBarrier::new(at_least_one(PARTIES)));
    let tasks: Vec<_> = (0..PARTIES)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for _ in 0..ROUNDS {
                    let result = soon(barrier.wait()).await.expect("whole");
                    seen.push((result.generation().get(), result.is_leader()));
                }
                seen
            })
        })
        .collect();
    let mut leaders = BTreeMap::<u64, usize>::new();
    for task in tasks {
        let seen = task.await.expect("no panic");
        let rounds: Vec<_> = seen.iter().map(|(round, _)| *round).collect();
        assert_eq!(rounds, (0..200).collect::<Vec<_>>(), "each takes part in each round, in order");
        for (round, leads) in seen {
            *leaders.entry(round).or_default() += usize::from(leads);
        }
    }
    assert!(leaders.values().all(|leaders| *leaders == 1), "one leader a round: {leaders:?}");
}

#[tokio::test(start_paused = true)]
async fn cb_3_the_action_runs_once_after_the_last_arrival_and_before_any_release() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let released = Arc::new(AtomicUsize::new(0));
    let mut seen = Vec::new();
    let action = {
        let (arrived, released) = (Arc::clone(&arrived), Arc::clone(&released));
        async move || {
            tokio::task::yield_now().await;
            seen.push((arrived.load(Ordering::SeqCst), released.load(Ordering::SeqCst)));
            // One entry a round: arrivals are complete, and none of this round has been released.
            let round = seen.len();
            assert_eq!(seen[round - 1], (3 * round, 3 * (round - 1)));
            Ok::<(), &str>(())
        }
    };
    let barrier = CyclicBarrier::with_action(at_least_one(3), action);
    let party = async || {
        for _ in 0..3 {
            arrived.fetch_add(1, Ordering::SeqCst);
            barrier.wait().await.expect("whole");
            released.fetch_add(1, Ordering::SeqCst);
            let_others_run().await;
        }
    };
    soon(async { tokio::join!(party(), party(), party()) }).await;
    assert_eq!(released.load(Ordering::SeqCst), 9);
}

#[test]
fn cb_4_a_failed_action_is_the_leaders_and_breaks_the_barrier_until_it_is_reset() {
    let mut fails = true;
    let barrier = CyclicBarrier::with_action(at_least_one(2), async move || {
        if std::mem::take(&mut fails) { Err("no") } else { Ok(()) }
    });
    let mut other = Box::pin(barrier.wait());
    waits(&mut other);
    assert_eq!(ready(&mut Box::pin(barrier.wait())).unwrap_err(), BarrierError::Action("no"));
    assert_eq!(ready(&mut other).unwrap_err(), broken(BrokenReason::ActionFailed));
    assert!(barrier.is_broken());
    assert_eq!(
        ready(&mut Box::pin(barrier.wait())).unwrap_err(),
        broken(BrokenReason::ActionFailed)
    );
    barrier.reset();
    let mut other = Box::pin(barrier.wait());
    waits(&mut other);
    assert!(ready(&mut Box::pin(barrier.wait())).is_ok());
    assert!(ready(&mut other).is_ok());
}

/// marusama: a panic in the action leaves all other parties hanging.
#[tokio::test(start_paused = true)]
async fn cb_5_a_panicking_action_hangs_nobody() {
    let barrier = Arc::new(CyclicBarrier::with_action(
        at_least_one(2),
        || -> std::future::Ready<Result<(), ()>> { panic!("on purpose") },
    ));
    let other = Arc::clone(&barrier);
    let other = tokio::spawn(async move { other.wait().await });
    let_others_run().await;
    let leader = Arc::clone(&barrier);
    let leader = tokio::spawn(async move { leader.wait().await });
    assert!(soon(leader).await.unwrap_err().is_panic(), "the panic goes on in the leader");
    let other = soon(other).await.expect("no panic").unwrap_err();
    assert_eq!(other, broken(BrokenReason::ActionPanicked));
    assert!(barrier.is_broken());
}

#[test]
fn cb_5_a_leader_dropped_in_the_middle_of_the_action_hangs_nobody() {
    let barrier =
        CyclicBarrier::with_action(at_least_one(2), std::future::pending::<Result<(), ()>>);
    let mut other = Box::pin(barrier.wait());
    waits(&mut other);
    let mut leader = Box::pin(barrier.wait());
    waits(&mut leader);
    let mut early = Box::pin(barrier.wait());
    waits(&mut early);
    drop(leader);
    assert_eq!(ready(&mut other).unwrap_err(), broken(BrokenReason::Cancelled));
    assert_eq!(ready(&mut early).unwrap_err(), broken(BrokenReason::Cancelled));
    assert!(barrier.is_broken(), "what the action left half done is everybody's");
}

#[tokio::test(start_paused = true)]
async fn cb_6_a_party_that_gives_up_breaks_its_round() {
    let barrier = Arc::new(CyclicBarrier::new(at_least_one(3)));
    let other = Arc::clone(&barrier);
    let other = tokio::spawn(async move { other.wait().await });
    let_others_run().await;
    let second = std::time::Duration::from_secs(1);
    assert!(tokio::time::timeout(second, barrier.wait()).await.is_err());
    assert_eq!(soon(other).await.expect("no panic").unwrap_err(), broken(BrokenReason::Cancelled));
    assert!(barrier.is_broken());
}

/// marusama: a wait that is given up as its round trips breaks the next one.
#[test]
fn cb_6_a_drop_after_the_trip_touches_no_later_round() {
    let barrier = CyclicBarrier::new(at_least_one(2));
    let mut slow = Box::pin(barrier.wait());
    waits(&mut slow);
    assert!(ready(&mut Box::pin(barrier.wait())).is_ok());
    let mut next = Box::pin(barrier.wait());
    waits(&mut next);
    drop(slow);
    assert!(!barrier.is_broken());
    waits(&mut next);
    assert!(ready(&mut Box::pin(barrier.wait())).is_ok());
    assert!(ready(&mut next).is_ok());
}

#[tokio::test(start_paused = true)]
async fn cb_6_a_party_that_leaves_while_the_action_runs_breaks_its_own_round_only() {
    let (release, mut released) = oneshot::channel::<()>();
    let barrier = CyclicBarrier::with_action(at_least_one(2), async move || {
        let _ = (&mut released).await;
        Ok::<(), ()>(())
    });
    let mut member = Box::pin(barrier.wait());
    waits(&mut member);
    let mut leader = Box::pin(barrier.wait());
    waits(&mut leader);
    let mut early = Box::pin(barrier.wait());
    waits(&mut early);
    drop(member);
    release.send(()).expect("the action waits");
    assert_eq!(ready(&mut leader).unwrap_err(), broken(BrokenReason::Cancelled));
    assert!(!barrier.is_broken());
    waits(&mut early);
}

#[tokio::test(start_paused = true)]
async fn cb_7_who_was_not_polled_or_was_cancelled_before_has_not_arrived() {
    let barrier = CyclicBarrier::new(at_least_one(2));
    drop(barrier.wait());
    let token = CancellationToken::new();
    token.cancel();
    assert!(token.run_until_cancelled(barrier.wait()).await.is_none());
    assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
}

#[test]
fn cb_8_reset_breaks_who_waits_and_begins_a_clean_round() {
    let barrier = CyclicBarrier::new(at_least_one(2));
    barrier.reset();
    let mut old = Box::pin(barrier.wait());
    waits(&mut old);
    barrier.reset();
    assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
    let mut new = Box::pin(barrier.wait());
    waits(&mut new);
    assert_eq!(ready(&mut old).unwrap_err(), broken(BrokenReason::Reset));
    assert!(ready(&mut Box::pin(barrier.wait())).is_ok(), "the old wait does not count");
    assert!(ready(&mut new).is_ok());
}

#[test]
fn cb_8_reset_of_an_idle_barrier_does_nothing() {
    let barrier = CyclicBarrier::new(at_least_one(1));
    let before = ready(&mut Box::pin(barrier.wait())).expect("alone").generation();
    barrier.reset();
    let after = ready(&mut Box::pin(barrier.wait())).expect("alone").generation();
    assert_eq!(after.get(), before.get() + 1);
}

/// marusama: after a reset during the action, the old leader releases the early arrivals of the new round.
#[tokio::test(start_paused = true)]
async fn cb_8_an_action_that_outlives_a_reset_does_not_touch_the_new_round() {
    for fails in [false, true] {
        let (release, mut released) = oneshot::channel::<()>();
        let barrier = CyclicBarrier::with_action(at_least_one(2), async move || {
            let _ = (&mut released).await;
            if fails { Err("no") } else { Ok(()) }
        });
        let mut member = Box::pin(barrier.wait());
        waits(&mut member);
        let mut leader = Box::pin(barrier.wait());
        waits(&mut leader);
        barrier.reset();
        assert_eq!(ready(&mut member).unwrap_err(), broken(BrokenReason::Reset));
        let mut new = Box::pin(barrier.wait());
        waits(&mut new);
        release.send(()).expect("the action waits");
        let expected = if fails { BarrierError::Action("no") } else { broken(BrokenReason::Reset) };
        assert_eq!(ready(&mut leader).unwrap_err(), expected);
        waits(&mut new);
        assert!(!barrier.is_broken());
    }
}

/// marusama: an arrival during the action panics.
#[tokio::test(start_paused = true)]
async fn cb_9_surplus_arrivals_during_the_action_belong_to_the_next_round() {
    let (release, released) = tokio::sync::watch::channel(false);
    let action = {
        let runs = AtomicUsize::new(0);
        async move || {
            assert_eq!(runs.fetch_add(1, Ordering::SeqCst), 0, "one action at a time");
            let mut released = released.clone();
            released.wait_for(|released| *released).await.expect("not dropped");
            runs.fetch_sub(1, Ordering::SeqCst);
            Ok::<(), ()>(())
        }
    };
    let barrier = CyclicBarrier::with_action(at_least_one(2), action);
    let mut all: Vec<_> = (0..5).map(|_| Box::pin(barrier.wait())).collect();
    all.iter_mut().for_each(waits);
    assert_eq!(barrier.waiting(), 1, "two full rounds, and one party of the third");
    release.send(true).expect("the action listens");
    let results = [1, 0, 3, 2].map(|at: usize| ready(&mut all[at]).expect("tripped"));
    assert_eq!(results.map(|result| result.generation().get()), [0, 0, 1, 1]);
    assert_eq!(results.map(|result| result.is_leader()), [true, false, true, false]);
    waits(&mut all[4]);
}

#[test]
fn cb_10_a_broken_barrier_fails_every_wait_at_once() {
    let barrier = CyclicBarrier::new(at_least_one(2));
    let mut party = Box::pin(barrier.wait());
    waits(&mut party);
    drop(party);
    assert!(barrier.is_broken());
    for _ in 0..3 {
        let late = ready(&mut Box::pin(barrier.wait())).unwrap_err();
        assert_eq!(late, broken(BrokenReason::Cancelled));
    }
    assert_eq!(barrier.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn cb_3_waits_with_an_action_may_run_in_spawned_tasks() {
    let mut rounds = 0_u32;
    let barrier = Arc::new(CyclicBarrier::with_action(at_least_one(2), async move || {
        rounds += 1;
        tokio::task::yield_now().await;
        Ok::<(), ()>(())
    }));
    let other = Arc::clone(&barrier);
    let other = tokio::spawn(async move { other.wait().await });
    soon(barrier.wait()).await.expect("whole");
    soon(other).await.expect("no panic").expect("whole");
}
