//! What the replicated state may hold, over the wire: one more than there may be is refused by the name of the limit, and what was
//! there goes on. The limits that take millions to reach are tested in the machine alone (`server/machine/src/full.rs`).

use std::collections::BTreeMap;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::edit_op::Change;
use conclave_tests::raw::{Demand, Raw, Wait, acquire, mutex};

use crate::stream::Stream;
use crate::victim::Victim;

/// Calls under way at one time: a window has 1,024.
const AHEAD: u64 = 500;

/// Asks this for each seq, and has seen the answers of all before; how they were answered, by a word each.
async fn ask(
    stream: &mut Stream,
    seqs: std::ops::RangeInclusive<u64>,
    op: impl Fn(u64) -> Op,
) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let (mut next, last) = (*seqs.start(), *seqs.end());
    while next <= last {
        let piece = next..=last.min(next + AHEAD - 1);
        for seq in piece.clone() {
            stream.call(seq, next - 1, op(seq)).await;
        }
        for _ in piece.clone() {
            let word = match stream.answer().await.1 {
                Outcome::Granted(_) => "granted".to_owned(),
                Outcome::Queued(_) => "queued".to_owned(),
                Outcome::Held(_) => "held".to_owned(),
                Outcome::Edited(_) => "edited".to_owned(),
                Outcome::Problem(problem) => problem.reason,
                other => panic!("{other:?}"),
            };
            *counts.entry(word).or_insert(0) += 1;
        }
        next = piece.end() + 1;
    }
    counts
}

fn counts(words: &[(&str, u64)]) -> BTreeMap<String, u64> {
    words.iter().map(|&(word, count)| (word.to_owned(), count)).collect()
}

fn edit(name: &str, change: Change) -> Op {
    Op::Edit(v1::EditOp { name: name.to_owned(), guard: None, change: Some(change) })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_waits_of_one_session_nor_of_one_object_than_there_may_be() {
    const OF_SESSION: u64 = 65_536;
    const OF_OBJECT: u64 = 100_000;
    let victim = Victim::start().await;
    let node = Raw::new(&victim.cluster.endpoint(0));
    let wait = |_| Op::Acquire(mutex("crowded", Wait::Forever(true)));
    let mut one = Stream::open(&node).await;
    // It holds the lock, and waits for it in all that it has left.
    let seen = ask(&mut one, 1..=OF_SESSION + 1, wait).await;
    let expected = [("LIMIT_OF_SESSION", 1), ("granted", 1), ("queued", OF_SESSION - 1)];
    assert_eq!(seen, counts(&expected));
    let mut other = Stream::open(&node).await;
    let room = OF_OBJECT - (OF_SESSION - 1);
    let seen = ask(&mut other, 1..=room + 1, wait).await;
    assert_eq!(seen, counts(&[("LIMIT_WAITERS_OF_OBJECT", 1), ("queued", room)]));
    // Whoever does not wait, or waits for something else, is served.
    let tried = |_| Op::Acquire(mutex("crowded", Wait::None(true)));
    assert_eq!(ask(&mut other, room + 2..=room + 2, tried).await, counts(&[("held", 1)]));
    let free = |_| Op::Acquire(mutex("free", Wait::Forever(true)));
    assert_eq!(ask(&mut other, room + 3..=room + 3, free).await, counts(&[("granted", 1)]));
    victim.goes_on(256).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_unseen_answers_and_no_more_keys_of_a_latch_than_there_may_be() {
    const WINDOW: u64 = 1_024;
    const KEYS: u64 = 10_000;
    let victim = Victim::start().await;
    let node = Raw::new(&victim.cluster.endpoint(0));
    let mut stream = Stream::open(&node).await;
    // Nothing is said to have been seen.
    for seq in 1..=WINDOW + 1 {
        let demand = Demand::Permits(v1::PermitsDemand { weight: 1, limit: u32::MAX });
        stream.call(seq, 0, Op::Acquire(acquire("pool", demand, Wait::None(true)))).await;
    }
    for seq in 1..=WINDOW {
        let answer = stream.answer().await;
        assert!(matches!(&answer, (of, Outcome::Granted(_)) if *of == seq), "{seq}: {answer:?}");
    }
    match stream.answer().await {
        (_, Outcome::Problem(problem)) => assert_eq!(problem.reason, "LIMIT_WINDOW"),
        other => panic!("{other:?}"),
    }
    // Once some are seen, there is room again.
    let first = WINDOW + 1;
    let create = |_| edit("latch", Change::CreateLatch(v1::CreateLatch { count: 20_000 }));
    assert_eq!(ask(&mut stream, first..=first, create).await, counts(&[("edited", 1)]));
    let down = |seq: u64| {
        let key = Some(format!("key {seq}"));
        edit("latch", Change::CountDown(v1::CountDown { by: 1, key }))
    };
    let seen = ask(&mut stream, first + 1..=first + KEYS + 1, down).await;
    assert_eq!(seen, counts(&[("LIMIT_COUNT_KEYS", 1), ("edited", KEYS)]));
    victim.goes_on(64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_bytes_of_values_than_there_may_be() {
    const VALUE: usize = 64 * 1024;
    const VALUES: u64 = 4_096;
    let victim = Victim::start().await;
    let node = Raw::new(&victim.cluster.endpoint(0));
    let mut stream = Stream::open(&node).await;
    let write = |length: usize| {
        move |seq: u64| {
            let value = vec![7; length];
            let change = v1::SetRegister { value, expect: None, bound: false };
            edit(&format!("register {seq}"), Change::SetRegister(change))
        }
    };
    let seen = ask(&mut stream, 1..=VALUES, write(VALUE)).await;
    assert_eq!(seen, counts(&[("edited", VALUES)]));
    let next = VALUES + 1;
    assert_eq!(ask(&mut stream, next..=next, write(1)).await, counts(&[("LIMIT_VALUES", 1)]));
    // What is there may be written anew, and a lock costs no value.
    let again = |_| write(VALUE)(1);
    assert_eq!(ask(&mut stream, next + 1..=next + 1, again).await, counts(&[("edited", 1)]));
    let lock = |_| Op::Acquire(mutex("free", Wait::None(true)));
    assert_eq!(ask(&mut stream, next + 2..=next + 2, lock).await, counts(&[("granted", 1)]));
    // The values themselves, and as many again that the log keeps at hand.
    victim.goes_on(1_024).await;
}
