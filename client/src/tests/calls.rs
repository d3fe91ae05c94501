//! Calls: one seq each, whatever happens to the stream.

use std::pin::pin;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Request;
use tokio::sync::watch;

use super::{Scene, now, seconds, until};
use crate::session::command::WaitPlan;
use crate::{Error, LockTimeoutError, Progress, Refusal, SessionState, TryLockError};

fn wait_of(call: &v1::CallRequest) -> v1::wait::Kind {
    match &call.op {
        Some(v1::call_request::Op::Acquire(acquire)) => {
            acquire.wait.and_then(|wait| wait.kind).expect("a wait")
        }
        other => panic!("not an acquire: {other:?}"),
    }
}

#[tokio::test]
async fn a_call_keeps_its_seq_over_a_broken_stream() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let (guard, ()) = tokio::join!(mutex.lock(), async {
        let first = scene.stream.call().await;
        let attach = scene.reconnect().await;
        assert_eq!((attach.waiting, attach.held), (vec![first.seq], vec![]));
        assert_eq!(attach.next_seq, first.seq + 1);
        scene.stream.attached(5, v1::Standing::default()).await;
        let again = scene.stream.call().await;
        assert_eq!((again.seq, &again.op), (first.seq, &first.op));
        scene.stream.grant(again.seq, 7, 6, 0);
    });
    assert_eq!(guard.expect("granted").token().get(), 7);
    assert_eq!(scene.session.state(), SessionState::Active);
}

#[tokio::test]
async fn a_wait_goes_on_with_the_time_that_is_left() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let (result, ()) = tokio::join!(mutex.lock_timeout(seconds(1.5)), async {
        let first = scene.stream.call().await;
        assert_eq!(wait_of(&first), v1::wait::Kind::Ms(1500));
        scene.stream.queue(first.seq, 1, 2);
        scene.clock.advance(seconds(1.0));
        scene.reconnect().await;
        scene.stream.attached(5, v1::Standing::default()).await;
        let again = scene.stream.call().await;
        assert_eq!(wait_of(&again), v1::wait::Kind::Ms(500));
        assert_eq!((again.seq, again.seen_through), (first.seq, first.seq), "queued is seen");
        let held = v1::HeldBy { queue_len: 3, ..v1::HeldBy::default() };
        scene.stream.answer(again.seq, 9, 0, v1::call_answer::Result::TimedOut(held));
    });
    match result {
        Err(LockTimeoutError::TimedOut(held)) => assert_eq!(held.queue_len, 3),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_that_is_over_here_is_still_decided_there() {
    let clock = crate::clock::Clock::manual();
    let end = clock.now();
    clock.advance(seconds(1.0));
    assert_eq!(WaitPlan::Until(end).to_wire(clock.now()).kind, Some(v1::wait::Kind::Ms(1)));
}

#[tokio::test]
async fn an_unclear_answer_is_asked_again_with_the_same_seq() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let (guard, ()) = tokio::join!(mutex.lock(), async {
        let first = scene.stream.call().await;
        for reason in ["UNKNOWN_OUTCOME", "OVERLOADED", "LIMIT_WINDOW"] {
            scene.stream.refuse(first.seq, 2, reason);
            // The clock may move before the answer arrives, so it is moved until the call comes.
            let again = loop {
                scene.clock.advance(seconds(0.01));
                let next = tokio::time::timeout(seconds(0.02), scene.stream.call()).await;
                if let Ok(again) = next {
                    break again;
                }
            };
            assert_eq!((again.seq, &again.op), (first.seq, &first.op));
        }
        scene.stream.grant(first.seq, 7, 6, 0);
    });
    drop(guard.expect("granted"));
}

#[tokio::test]
async fn a_refusal_is_final_and_typed() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let (result, ()) = tokio::join!(mutex.lock(), async {
        let call = scene.stream.call().await;
        scene.stream.refuse(call.seq, 2, "LIMIT_HOLDS");
    });
    match result {
        Err(error @ Error::Refused(Refusal::Limit { .. })) => assert!(error.is_retryable()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_one_seq_the_answer_with_the_highest_revision_counts() {
    let mut scene = Scene::open().await;
    let (progress, seen) = watch::channel(Progress::Asking);
    let mutex = scene.session.mutex("x").progress(progress);
    let mut lock = pin!(mutex.lock());
    assert!(now(lock.as_mut()).is_none());
    let call = scene.stream.call().await;
    scene.stream.queue(call.seq, 2, 20);
    // Older than what is known: of a retry that was overtaken.
    let held = v1::HeldBy::default();
    scene.stream.answer(call.seq, 10, 0, v1::call_answer::Result::TimedOut(held));
    scene.stream.grant(call.seq, 7, 20, 1);
    let guard = super::within("the grant", lock).await.expect("granted");
    assert_eq!(*seen.borrow(), Progress::Queued { position: 2 });
    // Of a finished call nothing is believed any more, least of all another grant.
    scene.stream.grant(call.seq, 8, 30, 0);
    scene.stream.queue(call.seq, 1, 31);
    assert_eq!(guard.token().get(), 7);
    drop(guard);
    let (token, _) = scene.stream.release().await;
    assert_eq!(token, 7, "the stray grant was not given back in its place");
}

#[tokio::test]
async fn a_try_says_who_holds_it() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let (result, ()) = tokio::join!(mutex.try_lock(), async {
        let call = scene.stream.call().await;
        assert_eq!(wait_of(&call), v1::wait::Kind::None(true));
        let labels = [("host".to_owned(), "h7".to_owned()), ("pid".to_owned(), "4711".to_owned())];
        let holder = v1::Holder {
            session: 3,
            session_name: "billing".to_owned(),
            labels: labels.into(),
            token: 5,
            state: v1::HoldState::Held.into(),
            ..v1::Holder::default()
        };
        let name = "x".to_owned();
        let held = v1::HeldBy { holders: vec![holder], holders_total: 1, queue_len: 2, name };
        scene.stream.answer(call.seq, 2, 0, v1::call_answer::Result::Held(held));
    });
    match result {
        Err(TryLockError::Held(held)) => {
            assert_eq!(held.to_string(), "billing@h7 pid 4711, 2 waiting");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_never_taken_is_not_sent() {
    let mut scene = Scene::open().await;
    let wrong = scene.session.mutex("a\0b").lock().await;
    assert!(
        matches!(wrong, Err(Error::Refused(Refusal::Invalid { field, .. })) if field == "name")
    );
    let wrong = scene.session.mutex("x").metadata("k", "v".repeat(5000)).lock().await;
    assert!(matches!(wrong, Err(Error::Refused(Refusal::Invalid { .. }))));
    let wrong = scene.session.mutex("x").lock_timeout(seconds(1e6)).await;
    assert!(matches!(wrong, Err(LockTimeoutError::Failed(Error::Refused(_)))));
    // The next thing on the stream is the next call.
    drop(scene.guard("x", 1, 2).await);
}

#[tokio::test]
async fn no_more_calls_are_sent_ahead_than_the_cluster_keeps() {
    let mut scene = Scene::open().await;
    let mutexes: Vec<_> = (0..1_200).map(|n| scene.session.mutex(format!("x{n}"))).collect();
    let mut locks: Vec<_> = mutexes.iter().map(|mutex| Box::pin(mutex.lock())).collect();
    for lock in &mut locks {
        assert!(now(lock.as_mut()).is_none());
    }
    let mut seqs = Vec::new();
    for _ in 0..1_000 {
        seqs.push(scene.stream.call().await.seq);
    }
    assert_eq!(seqs, (1..=1_000).collect::<Vec<u64>>());
    // Answers behind a gap move nothing; a keepalive shows that no call was sent in between.
    for seq in 2..=100 {
        scene.stream.grant(seq, 10_000 + seq, seq, 0);
    }
    scene.clock.advance(seconds(2.0));
    let beat = scene.stream.keep_alive().await;
    scene.stream.acknowledge(beat.number, Vec::new());
    // A queued one is seen as well.
    scene.stream.queue(1, 1, 1);
    for seq in 1_001..=1_100 {
        let call = scene.stream.call().await;
        assert_eq!(call.seq, seq);
        assert!(call.seen_through >= seq - 1_000);
    }
}

#[tokio::test]
async fn a_try_without_a_cluster_is_unanswered_and_withdrawn_later() {
    let mut scene = Scene::open_with(seconds(3.0)).await;
    let mutex = scene.session.mutex("x");
    let mut attempt = pin!(mutex.try_lock());
    assert!(now(attempt.as_mut()).is_none());
    let call = scene.stream.call().await;
    let attach = scene.reconnect().await;
    assert_eq!(attach.waiting, [call.seq]);
    scene.clock.advance(seconds(2.9));
    assert!(now(attempt.as_mut()).is_none(), "unknown is never no");
    scene.clock.advance(seconds(0.2));
    match super::within("an error", attempt).await {
        Err(TryLockError::Failed(error @ Error::NotAnswered(_))) => assert!(error.is_retryable()),
        other => panic!("{other:?}"),
    }
    scene.stream.attached(5, v1::Standing::default()).await;
    assert_eq!(scene.stream.next().await, Some(Request::CancelSeq(call.seq)));
    // It had been granted all the same: given back.
    scene.stream.grant(call.seq, 7, 4, 0);
    assert_eq!(scene.stream.release().await.0, 7);
}

#[tokio::test]
async fn a_dropped_wait_is_cancelled_and_only_cancelled_again() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let mut lock = Box::pin(mutex.lock());
    assert!(now(lock.as_mut()).is_none());
    let call = scene.stream.call().await;
    scene.stream.queue(call.seq, 1, 2);
    drop(lock);
    assert_eq!(scene.stream.next().await, Some(Request::CancelSeq(call.seq)));
    let attach = scene.reconnect().await;
    assert_eq!(attach.waiting, [call.seq]);
    scene.stream.attached(5, v1::Standing::default()).await;
    assert_eq!(scene.stream.next().await, Some(Request::CancelSeq(call.seq)));
    scene.stream.answer(call.seq, 6, 0, v1::call_answer::Result::Cancelled(v1::Cancelled {}));
    // It is settled: the next attach names it no more.
    let session = scene.session.clone();
    scene.guard("y", 9, 7).await.release_quietly(&mut scene).await;
    until("a live session", || session.is_valid()).await;
    let attach = scene.reconnect().await;
    assert_eq!(attach.waiting, Vec::<u64>::new());
}

impl crate::MutexGuard {
    /// Releases it and answers that.
    async fn release_quietly(self, scene: &mut Scene) {
        let (released, ()) = tokio::join!(self.release(), async {
            let (_, seq) = scene.stream.release().await;
            let released = v1::call_answer::Result::Released(v1::Released {});
            scene.stream.answer(seq, 8, 0, released);
        });
        released.expect("released");
    }
}
