//! No schedule loses a wake-up or a permit of the semaphore.

use std::sync::Arc;

use futures::FutureExt;

use crate::semaphore::{AcquireError, Semaphore};
use crate::{explore, give_up_after_one_poll, together};

/// marusama #2: a release between the check and the place in the queue wakes nobody.
#[test]
fn sem_2_no_schedule_loses_a_wake_up() {
    explore(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let tasks = [1, 2, 1].map(|weight| {
            let semaphore = Arc::clone(&semaphore);
            async move {
                let permit = semaphore.acquire_many(weight).await.expect("it fits");
                assert!(semaphore.in_use() <= 2);
                drop(permit);
            }
            .boxed()
        });
        together(tasks.into());
        assert_eq!((semaphore.in_use(), semaphore.waiters()), (0, 0));
    });
}

#[test]
fn sem_5_in_no_schedule_a_drop_that_races_a_grant_leaks_or_doubles() {
    explore(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let leaves = Arc::clone(&semaphore);
        let leaves = async move { drop(give_up_after_one_poll(leaves.acquire()).await) };
        let holds = Arc::clone(&semaphore);
        let holds = async move { drop(holds.acquire().await.expect("it fits")) };
        let stays = Arc::clone(&semaphore);
        let stays = async move { drop(stays.acquire().await.expect("it fits")) };
        together(vec![holds.boxed(), leaves.boxed(), stays.boxed()]);
        assert_eq!((semaphore.in_use(), semaphore.waiters()), (0, 0));
    });
}

#[test]
fn sem_7_in_no_schedule_a_resize_forgets_a_waiter() {
    explore(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let resizes = Arc::clone(&semaphore);
        let resizes = async move {
            resizes.resize(0);
            resizes.resize(2);
        };
        let tasks = [(); 2].map(|()| {
            let semaphore = Arc::clone(&semaphore);
            async move {
                match semaphore.acquire().await {
                    Ok(permit) => drop(permit),
                    Err(AcquireError::ExceedsCapacity { requested: 1, capacity: 0 }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            .boxed()
        });
        together(tasks.into_iter().chain([resizes.boxed()]).collect());
        assert_eq!((semaphore.in_use(), semaphore.waiters()), (0, 0));
    });
}

#[test]
fn sem_10_in_no_schedule_a_close_leaves_a_waiter_asleep() {
    explore(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let closes = Arc::clone(&semaphore);
        let closes = async move { closes.close() };
        let tasks = [(); 2].map(|()| {
            let semaphore = Arc::clone(&semaphore);
            async move { drop(semaphore.acquire().await) }.boxed()
        });
        together(tasks.into_iter().chain([closes.boxed()]).collect());
        assert_eq!((semaphore.in_use(), semaphore.waiters()), (0, 0));
    });
}
