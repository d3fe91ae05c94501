//! FL-1 to FL-4, and the bugs of the Go snippets that the flows must not have.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conclave_local::flow::{Distribute, distribute, fan_out, first_done, map_reduce};
use futures::future::join_all;
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::time::{Instant, sleep};

use crate::support::{Census, at_least_one, let_others_run, ready, waits};

/// Numbers from 0, with a count of what was taken, and of whether the source is alive.
fn numbers(
    until: usize,
    taken: &Arc<AtomicUsize>,
    alive: &Census,
) -> impl Stream<Item = usize> + Send + use<> {
    let (taken, alive) = (Arc::clone(taken), alive.one());
    stream::iter(0..until).inspect(move |_| {
        let _alive = &alive;
        taken.fetch_add(1, Ordering::SeqCst);
    })
}

fn all(until: usize) -> Vec<usize> {
    (0..until).collect()
}

#[tokio::test]
async fn fl_1_fan_out_gives_everything_to_everybody_in_order() {
    let outputs = fan_out(stream::iter(0..1000), at_least_one(3), at_least_one(2));
    let collected = join_all(outputs.into_iter().map(|output| output.collect::<Vec<_>>())).await;
    assert_eq!(collected, vec![all(1000); 3]);
}

/// The article's asynchronous fan-out closes the outputs while sends are pending: a panic, and items lost.
#[tokio::test]
async fn fl_1_a_slow_output_gets_the_last_item_before_its_end() {
    let mut outputs = fan_out(stream::iter(0..10), at_least_one(2), at_least_one(1));
    let slow = outputs.pop().expect("two");
    let fast = outputs.pop().expect("two");
    let slow = slow.then(async |item| {
        let_others_run().await;
        item
    });
    let (slow, fast) = tokio::join!(slow.collect::<Vec<_>>(), fast.collect::<Vec<_>>());
    assert_eq!((slow, fast), (all(10), all(10)));
}

#[tokio::test]
async fn fl_1_a_dropped_output_is_skipped() {
    let mut outputs = fan_out(stream::iter(0..100), at_least_one(3), at_least_one(1));
    drop(outputs.remove(1));
    let collected = join_all(outputs.into_iter().map(|output| output.collect::<Vec<_>>())).await;
    assert_eq!(collected, vec![all(100); 2]);
}

#[tokio::test]
async fn fl_1_distribute_gives_each_item_to_one_in_order() {
    for how in 0..3 {
        let how = match how {
            0 => Distribute::RoundRobin,
            1 => Distribute::FirstReady,
            _ => Distribute::by_key(|item: &usize| item % 7),
        };
        let name = format!("{how:?}");
        let outputs = distribute(stream::iter(0..1000), at_least_one(3), at_least_one(2), how);
        let mut collected =
            join_all(outputs.into_iter().map(|output| output.collect::<Vec<_>>())).await;
        for output in &collected {
            assert!(output.is_sorted(), "{name}: the order of the source is kept");
        }
        match &*name {
            "RoundRobin" => assert_eq!(collected[1], (1..1000).step_by(3).collect::<Vec<_>>()),
            "ByKey(..)" => assert!(keys_stay(&collected), "{name}: a key has one output"),
            _ => {}
        }
        let mut together = collected.drain(..).flatten().collect::<Vec<_>>();
        together.sort_unstable();
        assert_eq!(together, all(1000), "{name}: nothing lost, nothing twice");
    }
}

fn keys_stay(outputs: &[Vec<usize>]) -> bool {
    let mut owner = BTreeMap::new();
    let placed = outputs.iter().enumerate();
    placed
        .flat_map(|(at, items)| items.iter().map(move |item| (item % 7, at)))
        .all(|(key, at)| *owner.entry(key).or_insert(at) == at)
}

#[tokio::test]
async fn fl_1_first_ready_does_not_wait_for_one_that_is_busy() {
    let mut outputs =
        distribute(stream::iter(0..100), at_least_one(2), at_least_one(1), Distribute::FirstReady);
    let mut busy = outputs.pop().expect("two");
    let collected = outputs.pop().expect("two").collect::<Vec<_>>().await;
    let kept = busy.next().await.expect("one is buffered");
    assert_eq!((collected.len(), busy.next().await), (99, None));
    assert!(!collected.contains(&kept));
}

#[tokio::test]
async fn fl_1_the_share_of_a_dropped_output_goes_to_the_others() {
    for how in [Distribute::RoundRobin, Distribute::FirstReady, Distribute::by_key(|item| *item)] {
        let mut outputs = distribute(stream::iter(0..100), at_least_one(2), at_least_one(1), how);
        drop(outputs.remove(0));
        let rest = outputs.remove(0).collect::<Vec<_>>().await;
        assert_eq!(rest, all(100), "dropped before anything was buffered");
    }
}

#[tokio::test]
async fn fl_1_map_reduce_keeps_the_order_and_the_limit() {
    let census = Census::default();
    let map = async |item: usize| {
        let _alive = census.one();
        for _ in 0..(20 - item) {
            tokio::task::yield_now().await;
        }
        item
    };
    let reduce = |mut list: Vec<_>, item| {
        list.push(item);
        list
    };
    let items = stream::iter(0..20);
    assert_eq!(map_reduce(items, at_least_one(4), map, Vec::new(), reduce).await, all(20));
    assert_eq!(census.most(), 4);
    let nothing = stream::empty::<u8>();
    let sum = map_reduce(nothing, at_least_one(1), std::future::ready, 7, |sum, item| sum + item);
    assert_eq!(sum.await, 7, "the start, not a zero");
}

/// The article's recursive `or` leaks goroutines; `select_all` panics when it is empty.
#[tokio::test(start_paused = true)]
async fn fl_2_first_done_ends_with_the_first_and_leaves_nobody() {
    assert_eq!(first_done(Vec::<std::future::Ready<u8>>::new()).await, None);
    let (census, start) = (Census::default(), Instant::now());
    let thousands = (1..5000_u64).map(async |at| {
        let _alive = census.one();
        sleep(Duration::from_secs(10_000 - at)).await;
        at
    });
    assert_eq!(first_done(thousands).await, Some(4999));
    assert_eq!((census.now(), census.ever()), (0, 4999));
    assert_eq!(start.elapsed().as_secs(), 5001);
}

#[tokio::test]
async fn fl_2_the_outputs_end_with_the_source() {
    let mut outputs = fan_out(stream::empty::<u8>(), at_least_one(1), at_least_one(1));
    assert_eq!(outputs.remove(0).next().await, None);
}

#[tokio::test]
async fn fl_2_a_source_that_panics_does_not_look_like_one_that_ended() {
    let source = stream::iter(0..5).inspect(|item| assert_ne!(*item, 2, "on purpose"));
    for mut output in fan_out(source, at_least_one(2), at_least_one(5)) {
        assert_eq!((output.next().await, output.next().await), (Some(0), Some(1)));
        let end = AssertUnwindSafe(output.next()).catch_unwind().await;
        let panic = end.expect_err("thrown again");
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains("on purpose"), "{message}");
    }
}

#[tokio::test]
async fn fl_3_when_the_outputs_are_dropped_the_helper_and_the_source_are_gone() {
    let (taken, alive) = (Arc::default(), Census::default());
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    // One waits for its consumer, one for its source, one for both kinds of consumer.
    let silent = alive.one();
    let silent = stream::pending::<usize>().inspect(move |_| {
        let _silent = &silent;
    });
    let two = at_least_one(2);
    let mut outputs = fan_out(numbers(1000, &taken, &alive), two, two);
    outputs.extend(fan_out(silent, two, two));
    for how in [Distribute::RoundRobin, Distribute::FirstReady] {
        outputs.extend(distribute(numbers(1000, &taken, &alive), two, two, how));
    }
    let_others_run().await;
    assert_eq!((alive.now(), metrics.num_alive_tasks()), (4, before + 4));
    drop(outputs);
    let_others_run().await;
    assert_eq!((alive.now(), metrics.num_alive_tasks()), (0, before));
}

#[tokio::test]
async fn fl_4_a_slow_consumer_bounds_what_is_taken_from_the_source() {
    let alive = Census::default();
    let two = at_least_one(2);
    for how in [None, Some(Distribute::RoundRobin), Some(Distribute::FirstReady)] {
        let taken = Arc::default();
        let source = numbers(1_000_000, &taken, &alive);
        let outputs = match how {
            None => fan_out(source, two, two),
            Some(how) => distribute(source, two, two, how),
        };
        let_others_run().await;
        let count = taken.load(Ordering::SeqCst);
        assert!((3..=5).contains(&count), "{count} were taken, with room for 2 in each of 2");
        drop(outputs);
        let_others_run().await;
    }
}

/// What a token does to any stream: the article's `orDone`, which needs no code here.
#[tokio::test]
async fn fl_3_take_until_is_the_or_done_of_streams() {
    let token = tokio_util::sync::CancellationToken::new();
    let mut endless = Box::pin(stream::pending::<u8>().take_until(token.clone().cancelled_owned()));
    let mut next = endless.next();
    waits(&mut next);
    token.cancel();
    assert_eq!(ready(&mut next), None);
}
