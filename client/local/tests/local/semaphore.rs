//! SEM-1 to SEM-10, and the bugs of the Go packages that the semaphore must not have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_local::{AcquireError, Semaphore, TryAcquireError};
use tokio_util::sync::CancellationToken;

use crate::support::{let_others_run, poll_once, ready, soon, waits};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sem_1_what_is_granted_never_exceeds_the_capacity() {
    const CAPACITY: usize = 7;
    let semaphore = Arc::new(Semaphore::new(CAPACITY));
    let held = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..40)
        .map(|task: u32| {
            let (semaphore, held) = (Arc::clone(&semaphore), Arc::clone(&held));
            tokio::spawn(async move {
                for round in 0..50 {
                    let weight = (task + round) % 7 + 1;
                    let permit = semaphore.acquire_many(weight).await.expect("it fits");
                    let weight = usize::try_from(weight).expect("small");
                    let now = held.fetch_add(weight, Ordering::SeqCst) + weight;
                    assert!(now <= CAPACITY, "{now} are held");
                    tokio::task::yield_now().await;
                    held.fetch_sub(weight, Ordering::SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no assertion failed");
    }
    assert_eq!((semaphore.in_use(), semaphore.waiters()), (0, 0));
}

#[test]
fn sem_2_neither_acquire_nor_try_acquire_overtakes_a_waiter() {
    let semaphore = Semaphore::new(3);
    let held = semaphore.try_acquire_many(2).expect("free");
    let mut large = Box::pin(semaphore.acquire_many(2));
    waits(&mut large);
    let mut small = Box::pin(semaphore.acquire());
    waits(&mut small);
    assert_eq!(semaphore.available(), 1, "one is free, and not for those who came later");
    assert_eq!(semaphore.try_acquire_many(1).unwrap_err(), TryAcquireError::NoPermits);
    drop(held);
    let large = ready(&mut large).expect("granted first");
    let small = ready(&mut small).expect("granted with the rest");
    assert_eq!((large.weight(), small.weight(), semaphore.available()), (2, 1, 0));
}

#[test]
fn sem_2_grants_are_in_the_order_of_arrival_not_of_polling() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire_many(1).expect("free");
    let mut waiters: Vec<_> = (0..5).map(|_| Box::pin(semaphore.acquire())).collect();
    waiters.iter_mut().for_each(waits);
    drop(held);
    for at in 0..waiters.len() {
        for later in waiters.iter_mut().skip(at + 1).rev() {
            waits(later);
        }
        drop(ready(&mut waiters[at]).expect("its turn"));
    }
}

#[tokio::test]
async fn sem_3_full_weight_request_is_not_starved() {
    const CAPACITY: usize = 10;
    let semaphore = Arc::new(Semaphore::new(CAPACITY));
    let small: Vec<_> = (0..CAPACITY)
        .map(|_| {
            let semaphore = Arc::clone(&semaphore);
            tokio::spawn(async move {
                loop {
                    let _permit = semaphore.acquire().await.expect("open");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let_others_run().await;
    for _ in 0..100 {
        let mut whole = Box::pin(semaphore.acquire_many(10));
        let mut rounds = 0;
        let permit = loop {
            if let std::task::Poll::Ready(permit) = poll_once(&mut whole) {
                break permit.expect("it fits");
            }
            rounds += 1;
            assert!(rounds < 10, "small requests keep overtaking it");
            tokio::task::yield_now().await;
        };
        assert_eq!(semaphore.in_use(), CAPACITY);
        drop(permit);
        tokio::task::yield_now().await;
    }
    small.iter().for_each(tokio::task::JoinHandle::abort);
}

#[test]
fn sem_4_a_waiter_that_leaves_changes_no_count() {
    let semaphore = Semaphore::new(2);
    let held = semaphore.try_acquire_many(2).expect("free");
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(semaphore.acquire())).collect();
    waiters.iter_mut().for_each(waits);
    drop(waiters.remove(1));
    assert_eq!((semaphore.in_use(), semaphore.waiters()), (2, 2));
    drop(held);
    for waiter in &mut waiters {
        assert!(ready(waiter).is_ok());
    }
}

/// go#37852, and embassy #6964: the head leaves, and those behind it who fit sleep on.
#[tokio::test(start_paused = true)]
async fn sem_4_a_head_that_leaves_lets_those_behind_it_through() {
    let semaphore = Arc::new(Semaphore::new(3));
    let _held = semaphore.try_acquire_many(2).expect("free");
    let mut head = Box::pin(semaphore.acquire_many(2));
    waits(&mut head);
    let behind = Arc::clone(&semaphore);
    let behind = tokio::spawn(async move { behind.acquire().await.map(drop) });
    let_others_run().await;
    assert_eq!(semaphore.waiters(), 2);
    drop(head);
    // Woken, not only grantable: nobody polls the task but its waker.
    soon(behind).await.expect("no panic").expect("granted");
}

#[test]
fn sem_5_a_grant_that_nobody_fetched_goes_back_once() {
    let semaphore = Semaphore::new(2);
    let held = semaphore.try_acquire_many(2).expect("free");
    let mut first = Box::pin(semaphore.acquire_many(2));
    let mut second = Box::pin(semaphore.acquire_many(2));
    waits(&mut first);
    waits(&mut second);
    drop(held);
    assert_eq!((semaphore.in_use(), semaphore.waiters()), (2, 1), "granted, not fetched");
    drop(first);
    assert_eq!((semaphore.in_use(), semaphore.waiters()), (2, 0), "granted to the next");
    drop(ready(&mut second).expect("granted"));
    assert_eq!(semaphore.in_use(), 0);
}

#[test]
fn sem_6_nothing_is_granted_at_once_even_when_nothing_is_free() {
    let semaphore = Semaphore::new(1);
    let _held = semaphore.try_acquire_many(1).expect("free");
    let mut waiter = Box::pin(semaphore.acquire());
    waits(&mut waiter);
    let nothing = ready(&mut Box::pin(semaphore.acquire_many(0))).expect("nothing is always there");
    assert_eq!((nothing.weight(), semaphore.in_use()), (0, 1));
}

/// x/sync waits for the context alone, tokio queues it for ever with everybody behind it.
#[test]
fn sem_6_more_than_the_capacity_is_refused_at_once_and_blocks_nobody() {
    let semaphore = Semaphore::new(2);
    let refusal = AcquireError::ExceedsCapacity { requested: 3, capacity: 2 };
    assert_eq!(ready(&mut Box::pin(semaphore.acquire_many(3))).unwrap_err(), refusal);
    assert_eq!(
        semaphore.try_acquire_many(3).unwrap_err(),
        TryAcquireError::ExceedsCapacity { requested: 3, capacity: 2 }
    );
    assert!(ready(&mut Box::pin(semaphore.acquire_many(2))).is_ok());
}

/// go-pkgz/syncs makes a capacity of 0 a silent 1.
#[test]
fn sem_6_a_capacity_of_zero_is_none() {
    let semaphore = Semaphore::new(0);
    let refusal = AcquireError::ExceedsCapacity { requested: 1, capacity: 0 };
    assert_eq!(ready(&mut Box::pin(semaphore.acquire())).unwrap_err(), refusal);
    assert_eq!(semaphore.resize(1), 0);
    assert!(ready(&mut Box::pin(semaphore.acquire())).is_ok());
}

#[test]
fn sem_7_growing_grants_in_order_and_shrinking_revokes_nothing() {
    let semaphore = Semaphore::new(2);
    let held = semaphore.try_acquire_many(2).expect("free");
    let mut first = Box::pin(semaphore.acquire_many(2));
    let mut second = Box::pin(semaphore.acquire_many(1));
    waits(&mut first);
    waits(&mut second);
    assert_eq!(semaphore.resize(3), 2);
    waits(&mut first);
    waits(&mut second);
    assert_eq!(semaphore.resize(4), 3);
    let first = ready(&mut first).expect("it fits now");
    waits(&mut second);
    assert_eq!(semaphore.resize(1), 4);
    assert_eq!((semaphore.in_use(), semaphore.capacity(), semaphore.available()), (4, 1, 0));
    drop(held);
    waits(&mut second);
    drop(first);
    assert!(ready(&mut second).is_ok(), "the debt is paid");
}

#[test]
fn sem_7_a_shrink_refuses_who_cannot_fit_any_more_and_serves_those_behind() {
    let semaphore = Semaphore::new(4);
    let held = semaphore.try_acquire_many(2).expect("free");
    let mut large = Box::pin(semaphore.acquire_many(4));
    let mut small = Box::pin(semaphore.acquire_many(1));
    waits(&mut large);
    waits(&mut small);
    semaphore.resize(3);
    let refusal = AcquireError::ExceedsCapacity { requested: 4, capacity: 3 };
    assert_eq!(ready(&mut large).unwrap_err(), refusal);
    assert!(ready(&mut small).is_ok());
    drop(held);
    assert_eq!(semaphore.in_use(), 0);
}

/// marusama #4: a release that makes room for a larger request must wake it, not only one of the same size.
#[tokio::test(start_paused = true)]
async fn sem_7_many_small_releases_wake_a_larger_request() {
    let semaphore = Arc::new(Semaphore::new(3));
    let held: Vec<_> = (0..3).map(|_| semaphore.try_acquire_many(1).expect("free")).collect();
    let waiter = Arc::clone(&semaphore);
    let waiter = tokio::spawn(async move { waiter.acquire_many(3).await.map(drop) });
    let_others_run().await;
    drop(held);
    soon(waiter).await.expect("no panic").expect("granted");
}

#[tokio::test]
async fn sem_8_a_permit_is_released_on_panic_abort_and_early_return() {
    let semaphore = Arc::new(Semaphore::new(1));
    let of_panic = Arc::clone(&semaphore);
    let panicked = tokio::spawn(async move {
        let _permit = of_panic.acquire().await.expect("free");
        panic!("on purpose");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(semaphore.in_use(), 0);

    let of_abort = Arc::clone(&semaphore);
    let aborted = tokio::spawn(async move {
        let _permit = of_abort.acquire_many_owned(1).await.expect("free");
        std::future::pending::<()>().await;
    });
    let_others_run().await;
    assert_eq!(semaphore.in_use(), 1);
    aborted.abort();
    assert!(aborted.await.unwrap_err().is_cancelled());
    assert_eq!(semaphore.in_use(), 0);

    async fn returns_early(semaphore: &Semaphore) -> Result<(), AcquireError> {
        let _permit = semaphore.acquire().await?;
        drop(semaphore.acquire_many(9).await?);
        Ok(())
    }
    assert!(returns_early(&semaphore).await.is_err());
    assert_eq!(semaphore.in_use(), 0);
}

#[test]
fn sem_9_a_cancelled_token_wins_over_free_permits() {
    let semaphore = Semaphore::new(1);
    let token = CancellationToken::new();
    token.cancel();
    let mut late = Box::pin(semaphore.acquire_cancellable(1, &token));
    assert_eq!(ready(&mut late).unwrap_err(), AcquireError::Cancelled);
    assert_eq!(semaphore.in_use(), 0);
}

#[test]
fn sem_9_a_token_that_is_cancelled_with_the_grant_wins_and_the_permit_goes_back() {
    let semaphore = Semaphore::new(1);
    let token = CancellationToken::new();
    let held = semaphore.try_acquire_many(1).expect("free");
    let mut waiter = Box::pin(semaphore.acquire_cancellable(1, &token));
    waits(&mut waiter);
    drop(held);
    token.cancel();
    assert_eq!(ready(&mut waiter).unwrap_err(), AcquireError::Cancelled);
    drop(waiter);
    assert_eq!((semaphore.in_use(), semaphore.waiters()), (0, 0));
}

#[test]
fn sem_10_close_fails_waiters_and_later_calls_and_leaves_what_is_held() {
    let semaphore = Semaphore::new(2);
    let held = semaphore.try_acquire_many(1).expect("free");
    let other = semaphore.try_acquire_many(1).expect("free");
    let mut granted = Box::pin(semaphore.acquire());
    let mut waiter = Box::pin(semaphore.acquire_many(2));
    waits(&mut granted);
    waits(&mut waiter);
    drop(other);
    semaphore.close();
    assert!(ready(&mut granted).is_ok(), "granted before it was closed");
    assert_eq!(ready(&mut waiter).unwrap_err(), AcquireError::Closed);
    assert_eq!(ready(&mut Box::pin(semaphore.acquire())).unwrap_err(), AcquireError::Closed);
    assert_eq!(semaphore.try_acquire_many(1).unwrap_err(), TryAcquireError::Closed);
    assert_eq!(semaphore.in_use(), 1);
    drop(held);
    assert_eq!(semaphore.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn sem_10_close_and_a_shrink_wake_who_they_refuse() {
    for closes in [false, true] {
        let semaphore = Arc::new(Semaphore::new(2));
        let _held = semaphore.try_acquire_many(1).expect("free");
        let waiter = Arc::clone(&semaphore);
        let waiter = tokio::spawn(async move { waiter.acquire_many(2).await.map(drop) });
        let_others_run().await;
        if closes {
            semaphore.close();
        } else {
            semaphore.resize(1);
        }
        assert!(soon(waiter).await.expect("no panic").is_err());
    }
}
