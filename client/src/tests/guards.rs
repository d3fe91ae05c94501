//! Guards: nothing that was granted is leaked, whoever drops what and when.

use std::pin::pin;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use super::{Scene, now, within};
use crate::Contention;

#[tokio::test]
async fn a_grant_that_crosses_its_cancel_is_given_back_at_once() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let mut lock = Box::pin(mutex.lock());
    assert!(now(lock.as_mut()).is_none());
    let call = scene.stream.call().await;
    scene.stream.queue(call.seq, 1, 2);
    drop(lock);
    assert_eq!(scene.stream.next().await, Some(Request::CancelSeq(call.seq)));
    scene.stream.grant(call.seq, 7, 3, 1);
    let (token, seq) = scene.stream.release().await;
    assert_eq!(token, 7);
    // The cancel's own answer says the same once more; it must not give back twice, or another's.
    scene.stream.grant(call.seq, 7, 4, 0);
    scene.stream.answer(seq, 5, 0, v1::call_answer::Result::Released(v1::Released {}));
    let guard = scene.guard("y", 9, 6).await;
    assert!(guard.is_valid());
}

#[tokio::test]
async fn a_grant_that_nobody_takes_is_given_back() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let mut lock = Box::pin(mutex.lock());
    assert!(now(lock.as_mut()).is_none());
    let call = scene.stream.call().await;
    scene.stream.grant(call.seq, 7, 2, 0);
    let other = scene.guard("y", 8, 3).await;
    // The grant lies in its channel; the future is dropped without being polled again.
    drop(lock);
    assert_eq!(scene.stream.release().await.0, 7);
    assert!(other.is_valid());
}

#[tokio::test]
async fn a_future_dropped_before_its_call_was_sent_leaves_nothing() {
    let mut scene = Scene::open().await;
    let attach = scene.reconnect().await;
    assert_eq!(attach.next_seq, 1);
    let mutex = scene.session.mutex("x");
    let mut lock = Box::pin(mutex.lock());
    assert!(now(lock.as_mut()).is_none());
    drop(lock);
    scene.stream.attached(5, v1::Standing::default()).await;
    let guard = scene.guard("y", 9, 6).await;
    drop(guard);
    let call = scene.stream.call().await;
    assert_eq!(call.seen_through, 2, "the one that was never sent counts as seen");
}

#[tokio::test]
async fn a_release_is_answered_and_a_drop_is_sent() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 1, 2).await;
    let (released, ()) = tokio::join!(guard.release(), async {
        let (token, seq) = scene.stream.release().await;
        assert_eq!(token, 1);
        scene.stream.answer(seq, 3, 0, v1::call_answer::Result::Released(v1::Released {}));
    });
    released.expect("released");
    drop(scene.guard("x", 2, 4).await);
    assert_eq!(scene.stream.release().await.0, 2);
}

#[tokio::test]
async fn a_release_goes_on_over_a_broken_stream_with_its_token_claimed() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 1, 2).await;
    let (released, ()) = tokio::join!(guard.release(), async {
        let (_, seq) = scene.stream.release().await;
        let attach = scene.reconnect().await;
        assert_eq!((attach.held, attach.waiting), (vec![1], vec![seq]));
        // It was done the first time, so it is not listed; that is no loss.
        scene.stream.attached(5, v1::Standing::default()).await;
        let (token, again) = scene.stream.release().await;
        assert_eq!((token, again), (1, seq));
        scene.stream.answer(seq, 4, 0, v1::call_answer::Result::Released(v1::Released {}));
    });
    released.expect("released");
}

#[test]
fn a_guard_may_be_dropped_outside_of_a_runtime_and_after_it() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut scene, first, second) = runtime.block_on(async {
        let mut scene = Scene::open().await;
        let first = scene.guard("x", 1, 2).await;
        let second = scene.guard("y", 2, 3).await;
        (scene, first, second)
    });
    std::thread::spawn(move || drop(first)).join().expect("no panic");
    runtime.block_on(async { assert_eq!(scene.stream.release().await.0, 1) });
    drop(runtime);
    assert!(second.is_valid(), "by the clock");
    scene.clock.advance(super::seconds(9.0));
    assert!(!second.is_valid());
    drop(second);
    drop(scene);
}

#[tokio::test]
async fn a_holder_hears_who_waits_behind_it() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 1, 2).await;
    assert_eq!(guard.contention(), Contention::default());
    let mut contended = pin!(guard.contended());
    assert!(now(contended.as_mut()).is_none());
    let message = v1::Contended { token: 1, waiting: 3, highest_priority: -2 };
    scene.stream.say(3, 1, Message::Contended(message));
    let contention = within("contention", contended).await;
    assert_eq!(contention, Contention { waiting: 3, highest_priority: -2 });
    assert_eq!(guard.watch().contention(), contention);
}
