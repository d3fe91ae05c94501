//! No schedule leaves a party of the barrier asleep, or lets one round touch another.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;

use crate::barrier::{BarrierError, BrokenReason, CyclicBarrier};
use crate::{explore, give_up_after_one_poll, together};

const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

#[test]
fn cb_2_no_schedule_laps_or_sleeps_through_a_round() {
    explore(|| {
        let barrier = Arc::new(CyclicBarrier::new(TWO));
        let tasks = [(); 2].map(|()| {
            let barrier = Arc::clone(&barrier);
            async move {
                for round in 0..2 {
                    let result = barrier.wait().await.expect("nobody leaves");
                    assert_eq!(result.generation().get(), round);
                }
            }
            .boxed()
        });
        together(tasks.into());
        assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
    });
}

#[test]
fn cb_6_in_no_schedule_a_party_waits_for_one_that_left() {
    explore(|| {
        let barrier = Arc::new(CyclicBarrier::new(TWO));
        let leaves = Arc::clone(&barrier);
        let leaves = async move {
            let _left = give_up_after_one_poll(leaves.wait()).await;
        };
        let stays = Arc::clone(&barrier);
        let stays = async move {
            match stays.wait().await {
                Ok(_) | Err(BarrierError::Broken(BrokenReason::Cancelled)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        together(vec![stays.boxed(), leaves.boxed()]);
    });
}

#[test]
fn cb_6_in_no_schedule_a_drop_after_the_trip_breaks_the_next_round() {
    explore(|| {
        let barrier = Arc::new(CyclicBarrier::new(TWO));
        let leaves = Arc::clone(&barrier);
        let leaves = async move {
            let mut wait = Box::pin(leaves.wait());
            let _first = futures::poll!(&mut wait);
            shuttle::future::yield_now().await;
            drop(wait);
        };
        let stays = Arc::clone(&barrier);
        let tripped = Arc::new(AtomicBool::new(false));
        let saw_it_trip = Arc::clone(&tripped);
        let stays = async move { saw_it_trip.store(stays.wait().await.is_ok(), Ordering::SeqCst) };
        together(vec![leaves.boxed(), stays.boxed()]);
        assert!(
            !(tripped.load(Ordering::SeqCst) && barrier.is_broken()),
            "a settled round is over"
        );
    });
}

#[test]
fn cb_8_in_no_schedule_a_reset_leaves_a_party_asleep() {
    explore(|| {
        let barrier = Arc::new(CyclicBarrier::new(TWO));
        let resets = Arc::clone(&barrier);
        let resets = async move { resets.reset() };
        let tasks = [(); 2].map(|()| {
            let barrier = Arc::clone(&barrier);
            async move {
                while let Err(error) = barrier.wait().await {
                    assert_eq!(error, BarrierError::Broken(BrokenReason::Reset));
                }
            }
            .boxed()
        });
        together(tasks.into_iter().chain([resets.boxed()]).collect());
        assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
    });
}
