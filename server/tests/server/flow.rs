//! Flow control: a client that asks without listening is not listened to for ever, and harms nobody else.

use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use futures::future::join_all;
use tokio::time::timeout;

use crate::support::{Api, Stream, acquire, attempt, forever, mutex, none, soon, start};

/// More than all buffers between the two ends can hold.
const CALLS_MAX: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_is_not_listened_to_and_others_are() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let holder = api.open("holder").await;
    api.granted(&holder, 1, &"busy".repeat(100)).await;
    let (slow, key) = Stream::open(&server, "slow").await;
    // Tries that fail, each answered with who holds it, until no more are taken.
    let mut asked = 0;
    let stuck = async {
        for seq in 1..CALLS_MAX {
            let op = Some(v1::call_request::Op::Acquire(mutex(&"busy".repeat(100), none())));
            let call = v1::CallRequest { seq, seen_through: seq - 1, op };
            let message = v1::StreamRequest { message: Some(Say::Call(call)) };
            let sent = timeout(Duration::from_secs(2), slow.to.send(message)).await;
            match sent {
                Ok(Ok(())) => asked = seq,
                // The stream was ended under it, or nothing moves any more.
                Ok(Err(_)) | Err(_) => return,
            }
        }
        panic!("a million answers found a place");
    };
    stuck.await;
    assert!(asked > 100, "only {asked}: this reader was never slow");
    // Somebody else is served meanwhile.
    let (mut other, _) = Stream::open(&server, "other").await;
    other.acquire(1, "free", none()).await;
    other.granted(1).await;
    other.keep_alive(1, 0).await;
    drop(slow);
    // And so is the session itself on its next stream.
    let attach = v1::AttachRequest {
        key: Some(key),
        next_seq: asked + 1,
        number: attempt(),
        ..Default::default()
    };
    let mut again = Stream::begin(&server, Say::Attach(attach)).await;
    assert!(matches!(again.next().await, Said::Attached(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_dropped_as_soon_as_they_are_made_leave_nothing_behind() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, key) = (api.open("holder").await, api.open("hasty").await);
    let token = api.granted(&holder, 1, "a").await;
    for seq in 1..=500 {
        let mut its = api.clone();
        let request = acquire(&key, seq, "a", forever());
        let call = tokio::spawn(async move { its.locks.acquire(request).await });
        tokio::task::yield_now().await;
        call.abort();
    }
    // The same connection still serves, and so does the queue, whatever of it came to be.
    let mut last = Api::of(&server).await;
    let other = last.open("last").await;
    api.sessions.close(v1::CloseRequest { key: Some(key) }).await.expect("closed");
    let waiting =
        tokio::spawn(async move { last.locks.acquire(acquire(&other, 1, "a", forever())).await });
    api.release(&holder, 2, token).await;
    soon("the grant", waiting).await.expect("no panic").expect("granted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_streams_contend_for_one_lock_and_each_has_its_turn() {
    let server = start().await;
    let server = &server;
    let turns = (0..100).map(async |number: u32| {
        let (mut stream, _) = Stream::open(server, "one of many").await;
        stream.acquire(1, "a", forever()).await;
        let token = loop {
            match stream.next().await {
                Said::Answer(v1::CallAnswer {
                    seq: 1,
                    result: Some(v1::call_answer::Result::Granted(granted)),
                }) => break granted.token,
                Said::Answer(v1::CallAnswer {
                    seq: 1,
                    result: Some(v1::call_answer::Result::Queued(_)),
                }) => {}
                other => panic!("{number}: {other:?}"),
            }
        };
        stream.release(2, token).await;
        // Told of contention or not, the release comes.
        while !matches!(stream.next().await, Said::Answer(answer) if answer.seq == 2) {}
        token
    });
    let mut tokens = soon("a turn for each", join_all(turns)).await;
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 100);
}
