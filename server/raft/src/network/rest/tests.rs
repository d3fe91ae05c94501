//! When a pause begins, and what ends it.

use std::future::poll_fn;

use futures::FutureExt as _;

use super::*;

fn is_over(rest: &mut Rest) -> bool {
    poll_fn(|context| rest.poll_over(context)).now_or_never().is_some()
}

async fn over(rest: &mut Rest) -> Duration {
    let begun = Instant::now();
    poll_fn(|context| rest.poll_over(context)).await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn what_was_appended_goes_at_once() {
    let appended = Appended::default();
    let mut rest = Rest::new(&appended);
    assert!(is_over(&mut rest), "before the first request nothing waits");
    appended.up_to(7);
    rest.begin(6);
    assert!(is_over(&mut rest));
    rest.begin(7);
    assert!(!is_over(&mut rest));
    appended.up_to(8);
    assert!(is_over(&mut rest));
}

#[tokio::test(start_paused = true)]
async fn an_entry_wakes_whoever_rests() {
    let appended = Appended::default();
    let mut rest = Rest::new(&appended);
    rest.begin(7);
    let after = Duration::from_millis(2);
    let append = async {
        tokio::time::sleep(after).await;
        appended.up_to(8);
    };
    let (rested, ()) = tokio::join!(over(&mut rest), append);
    assert!(rested >= after && rested < RIDE_MAX, "{rested:?}");
}

#[tokio::test(start_paused = true)]
async fn with_no_entry_the_commit_index_goes_after_the_pause() {
    let appended = Appended::default();
    let mut rest = Rest::new(&appended);
    appended.up_to(7);
    for pause in 0..3 {
        rest.begin(7);
        let rested = over(&mut rest).await;
        assert!(rested >= RIDE_MAX && rested < 2 * RIDE_MAX, "{pause}: {rested:?}");
        assert!(is_over(&mut rest), "once over it stays so until the next request");
    }
}

/// An alarm that was set for an earlier pause must not end a later one, nor be the last one.
#[tokio::test(start_paused = true)]
async fn each_request_begins_the_pause_anew() {
    let appended = Appended::default();
    let mut rest = Rest::new(&appended);
    rest.begin(7);
    assert!(!is_over(&mut rest));
    tokio::time::advance(RIDE_MAX / 2).await;
    appended.up_to(8);
    rest.begin(8);
    let rested = over(&mut rest).await;
    assert!(rested >= RIDE_MAX && rested < 2 * RIDE_MAX, "{rested:?}");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_gone_holds_nothing_up() {
    let appended = Appended::default();
    let mut rest = Rest::new(&appended);
    rest.begin(7);
    drop(appended);
    assert!(over(&mut rest).await < 2 * RIDE_MAX);
}
