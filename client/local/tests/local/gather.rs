//! GA-1 to GA-8, and the bugs of gollback and Hunch that gathering must not have.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use conclave_local::gather::{
    RaceError, all_settled, last_ok, race_ok, take_ok, try_all, try_all_spawned, until_cancelled,
    waterfall,
};
use conclave_local::{RetryError, RetryPolicy, TaskError, retry, retry_if};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{Census, ready};

type Failable<T> = Result<T, &'static str>;
type Step = fn(u8) -> std::future::Ready<Failable<u8>>;

/// Ends after so many seconds, well or badly, and counts as alive until it is dropped.
async fn after(census: Census, seconds: u64, is_good: bool) -> Failable<u64> {
    let _alive = census.one();
    sleep(Duration::from_secs(seconds)).await;
    if is_good { Ok(seconds) } else { Err("no") }
}

/// One for each number of seconds, with whether it ends well.
fn all_after(
    census: &Census,
    seconds: &[(u64, bool)],
) -> Vec<impl Future<Output = Failable<u64>> + use<>> {
    seconds.iter().map(|(seconds, is_good)| after(census.clone(), *seconds, *is_good)).collect()
}

fn none() -> Vec<std::future::Ready<Failable<u64>>> {
    Vec::new()
}

#[tokio::test(start_paused = true)]
async fn ga_1_results_are_in_the_order_of_the_input() {
    let census = Census::default();
    let settled = all_settled(all_after(&census, &[(3, true), (1, false), (2, true)])).await;
    assert!(matches!(settled[..], [Ok(3), Err(TaskError::Failed("no")), Ok(2)]));
    let values = try_all(all_after(&census, &[(3, true), (1, true), (2, true)])).await;
    assert_eq!(values.expect("all good"), [3, 1, 2]);
    let values = try_all_spawned(all_after(&census, &[(3, true), (1, true), (2, true)])).await;
    assert_eq!(values.expect("all good"), [3, 1, 2]);
}

/// Hunch.All returns at the first error and leaves the others running.
#[tokio::test(start_paused = true)]
async fn ga_2_on_an_early_return_the_others_are_gone() {
    let mix = [(9, true), (1, false), (8, true), (2, true)];
    let census = Census::default();
    let start = Instant::now();
    assert!(try_all(all_after(&census, &mix)).await.is_err());
    assert_eq!(census.now(), 0);
    assert!(try_all_spawned(all_after(&census, &mix)).await.is_err());
    assert_eq!(census.now(), 0);
    assert!(take_ok(1, all_after(&census, &mix)).await.is_err());
    assert!(last_ok(1, all_after(&census, &mix)).await.is_err());
    assert_eq!(race_ok(all_after(&census, &mix)).await.expect("one is good"), 2);
    assert_eq!(take_ok(1, all_after(&census, &[(9, true), (2, true)])).await.expect("good"), [2]);
    assert_eq!(census.now(), 0);
    assert_eq!(start.elapsed().as_secs(), 4 + 2 + 2, "nobody waited for the slow ones");
}

/// Hunch hangs for ever on an empty list, `Waterfall` panics, and so does `select_ok`.
#[test]
fn ga_3_nothing_in_is_nothing_out() {
    assert!(ready(&mut Box::pin(all_settled(none()))).is_empty());
    assert!(ready(&mut Box::pin(try_all(none()))).expect("empty").is_empty());
    assert!(ready(&mut Box::pin(try_all_spawned(none()))).expect("empty").is_empty());
    assert!(ready(&mut Box::pin(take_ok(3, none()))).expect("empty").is_empty());
    assert!(ready(&mut Box::pin(last_ok(3, none()))).expect("empty").is_empty());
    assert!(matches!(ready(&mut Box::pin(race_ok(none()))), Err(RaceError::Empty)));
    let steps: [Step; 0] = [];
    assert_eq!(ready(&mut Box::pin(waterfall(7, steps))).expect("empty"), 7);
}

/// Hunch.Take(0) panics on an index, and so does a negative number.
#[tokio::test(start_paused = true)]
async fn ga_4_none_of_them_is_an_answer_and_more_than_all_is_all() {
    let census = Census::default();
    let three = [(3, true), (1, true), (2, true)];
    assert_eq!(take_ok(0, all_after(&census, &[(1, false)])).await.expect("none"), [0; 0]);
    assert_eq!(take_ok(2, all_after(&census, &three)).await.expect("good"), [1, 2]);
    assert_eq!(take_ok(9, all_after(&census, &three)).await.expect("good"), [1, 2, 3]);
    assert_eq!(last_ok(0, all_after(&census, &three)).await.expect("none"), [0; 0]);
    assert_eq!(last_ok(2, all_after(&census, &three)).await.expect("good"), [2, 3]);
    assert_eq!(last_ok(9, all_after(&census, &three)).await.expect("good"), [1, 2, 3]);
}

/// gollback.Race may return the first error, or an error although a success comes.
#[tokio::test(start_paused = true)]
async fn ga_5_an_error_never_beats_a_later_success_and_none_is_lost() {
    let census = Census::default();
    let late = race_ok(all_after(&census, &[(1, false), (2, false), (9, true)])).await;
    assert_eq!(late.expect("the last is good"), 9);
    let failing = [(3_u64, "c"), (1, "a"), (2, "b")].map(async |(seconds, name)| {
        sleep(Duration::from_secs(seconds)).await;
        Err::<(), _>(name)
    });
    let error = race_ok(failing).await.expect_err("all fail");
    assert_eq!(error.to_string(), "all 3 failed, the last with: c");
    assert!(matches!(error.last(), Some(TaskError::Failed("c"))));
    let RaceError::AllFailed(errors) = error else { panic!("{error}") };
    let names: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn ga_6_a_panic_is_that_members_error() {
    let members = || (0..3).map(async |at| if at == 1 { panic!("on purpose") } else { Ok(at) });
    let settled: Vec<Result<i32, TaskError<&str>>> = all_settled(members()).await;
    assert!(matches!(settled[..], [Ok(0), Err(TaskError::Panicked(_)), Ok(2)]));
    let all: Result<_, TaskError<&str>> = try_all(members()).await;
    assert!(matches!(all, Err(TaskError::Panicked(panic)) if panic.message() == "on purpose"));
    let won: Result<_, RaceError<&str>> = race_ok(members()).await;
    assert_eq!(won.expect("one is good"), 0);
    let steps = [|_: u8| -> std::future::Ready<Failable<u8>> { panic!("on purpose") }];
    assert!(matches!(waterfall(0, steps).await, Err(TaskError::Panicked(_))));
}

#[tokio::test]
async fn ga_6_a_waterfall_threads_its_value_and_stops_at_an_error() {
    let calls = Cell::new(0);
    let step = |value: u32| {
        calls.set(calls.get() + 1);
        std::future::ready(if value < 4 { Ok(value * 2) } else { Err("too large") })
    };
    assert_eq!(waterfall(1, [&step, &step]).await.expect("good"), 4);
    let error = waterfall(2, [&step, &step, &step]).await.expect_err("too large");
    assert_eq!((error.to_string().as_str(), calls.get()), ("too large", 4));
}

fn three() -> RetryPolicy {
    RetryPolicy::default().attempts(NonZeroU32::new(3).expect("not zero"))
}

/// Hunch drops the cause; backon counts retries; both Go packages loop without a pause.
#[tokio::test(start_paused = true)]
async fn ga_7_retry_makes_exactly_so_many_attempts_with_pauses_and_keeps_the_cause() {
    let start = Instant::now();
    let calls = Cell::new(0);
    let result: Result<(), _> = retry(&three(), async |attempt| {
        calls.set(calls.get() + 1);
        assert_eq!(calls.get(), attempt);
        Err(format!("no {attempt}"))
    })
    .await;
    let error = result.expect_err("all fail");
    assert_eq!(error.to_string(), "3 attempts failed, the last with: no 3");
    assert_eq!(calls.get(), 3);
    let pauses = start.elapsed();
    assert!(pauses >= Duration::from_millis(300), "{pauses:?}: 100 ms and 200 ms by default");
    assert!(pauses <= Duration::from_millis(602), "{pauses:?}: at most doubled by chance");
}

#[tokio::test(start_paused = true)]
async fn ga_7_retry_stops_at_a_success_or_at_an_error_that_is_final() {
    let policy = three();
    let result = retry(&policy, async |attempt| if attempt < 3 { Err("no") } else { Ok(attempt) });
    assert_eq!(result.await.expect("the third is good"), 3);
    let start = Instant::now();
    let result: Result<(), _> =
        retry_if(&three().forever(), async |_| Err("final"), |error| *error != "final").await;
    assert!(
        matches!(result, Err(RetryError::NotRetryable { attempts, last: "final" }) if attempts.get() == 1)
    );
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// Hunch leaves the attempt running; gollback looks at the context only between attempts.
#[tokio::test(start_paused = true)]
async fn ga_7_retry_gives_up_at_once_when_cancelled_in_an_attempt_or_a_pause() {
    let census = Census::default();
    for (attempt_secs, pause_secs) in [(3600, 1), (0, 3600)] {
        let token = CancellationToken::new();
        let pause = Duration::from_secs(pause_secs);
        let policy = three().delays(pause, pause).token(token.clone());
        let cancel = async {
            sleep(Duration::from_secs(1)).await;
            token.cancel();
        };
        let start = Instant::now();
        let attempt = async |_| after(census.clone(), attempt_secs, false).await;
        let (result, ()) = tokio::join!(retry(&policy, attempt), cancel);
        let Err(RetryError::Cancelled { attempts: 1, last }) = result else { panic!("{result:?}") };
        assert_eq!(last.is_some(), attempt_secs == 0, "the cause is kept");
        assert_eq!((start.elapsed().as_secs(), census.now()), (1, 0));
    }
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let policy = three().token(cancelled);
    let result = retry(&policy, async |_| -> Failable<()> { panic!("not even tried") }).await;
    assert!(matches!(result, Err(RetryError::Cancelled { attempts: 0, last: None })));
}

#[tokio::test(start_paused = true)]
async fn ga_8_a_cancelled_token_ends_it_at_once() {
    let census = Census::default();
    let hour = [(3600, true), (3600, true)];
    let start = Instant::now();
    for at in 0..4 {
        let token = CancellationToken::new();
        let work = async {
            match at {
                0 => until_cancelled(&token, try_all(all_after(&census, &hour))).await.map(drop),
                1 => until_cancelled(&token, take_ok(1, all_after(&census, &hour))).await.map(drop),
                2 => until_cancelled(&token, last_ok(1, all_after(&census, &hour))).await.map(drop),
                _ => match until_cancelled(&token, race_ok(all_after(&census, &hour))).await {
                    Err(RaceError::Cancelled) => Err(TaskError::Cancelled),
                    other => panic!("{other:?}"),
                },
            }
        };
        let cancel = async {
            sleep(Duration::from_secs(1)).await;
            token.cancel();
        };
        let (result, ()) = tokio::join!(work, cancel);
        assert!(matches!(result, Err(TaskError::Cancelled)));
        assert_eq!(census.now(), 0);
    }
    assert_eq!(start.elapsed().as_secs(), 4);
}
