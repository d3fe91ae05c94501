//! No schedule runs a key twice at once, leaves a participant asleep or an entry behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;

use crate::single_flight::SingleFlight;
use crate::{explore, give_up_after_one_poll, together};

/// A call that checks that it never runs beside another of its key.
async fn call(flights: Arc<SingleFlight<u8, u8>>, running: Arc<AtomicUsize>) {
    let work = move || async move {
        struct Running(Arc<AtomicUsize>);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two run at once");
        let _running = Running(running);
        shuttle::future::yield_now().await;
        7
    };
    assert_eq!(flights.run(0, work).await.expect("no panic").value, 7);
}

#[test]
fn sf_1_no_schedule_runs_a_key_twice_at_once() {
    explore(|| {
        let flights = Arc::new(SingleFlight::new());
        let running = Arc::new(AtomicUsize::new(0));
        let calls = [(); 3].map(|()| call(Arc::clone(&flights), Arc::clone(&running)).boxed());
        together(calls.into());
        assert_eq!((flights.in_flight(), running.load(Ordering::SeqCst)), (0, 0));
    });
}

#[test]
fn sf_7_in_no_schedule_a_caller_that_leaves_takes_the_others_along() {
    explore(|| {
        let flights = Arc::new(SingleFlight::new());
        let running = Arc::new(AtomicUsize::new(0));
        let [one, other, leaves] =
            [(); 3].map(|()| call(Arc::clone(&flights), Arc::clone(&running)));
        let leaves = async move {
            let _left = give_up_after_one_poll(leaves).await;
        };
        together(vec![one.boxed(), leaves.boxed(), other.boxed()]);
        assert_eq!((flights.in_flight(), running.load(Ordering::SeqCst)), (0, 0));
    });
}

#[test]
fn sf_4_in_no_schedule_an_old_flight_removes_a_newer_one() {
    explore(|| {
        let flights = Arc::new(SingleFlight::<u8, u8>::new());
        let forgets = Arc::clone(&flights);
        let forgets = async move {
            forgets.forget(&0);
        };
        let calls = [(); 2].map(|()| {
            let flights = Arc::clone(&flights);
            async move {
                let work = || async {
                    shuttle::future::yield_now().await;
                    7
                };
                assert_eq!(flights.run(0, work).await.expect("no panic").value, 7);
            }
            .boxed()
        });
        together(calls.into_iter().chain([forgets.boxed()]).collect());
        assert_eq!(flights.in_flight(), 0);
    });
}
