//! The unary acquire: grants, queues, times, cancels, and a wait that outlives its call.

use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::acquire_response::Result as Answer;
use tokio::time::Instant;
use tonic::{Code, Request};

use crate::support::{Api, acquire, forever, none, reason, soon, start, wait_ms};

async fn ask(api: &mut Api, request: v1::AcquireRequest) -> Answer {
    let answer = soon("an answer", api.locks.acquire(request)).await.expect("no error");
    answer.into_inner().result.expect("a result")
}

#[tokio::test]
async fn tokens_rise_and_a_retry_gets_the_same_one() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("one").await;
    let first = api.granted(&key, 1, "a").await;
    assert_eq!(api.granted(&key, 1, "a").await, first);
    let second = api.granted(&key, 2, "b").await;
    assert!(second > first);
    api.release(&key, 3, first).await;
    // A retry of the release is answered alike and frees nobody's newer hold.
    let third = api.granted(&key, 4, "a").await;
    assert!(third > second);
    api.release(&key, 3, first).await;
    let check = v1::CheckRequest { name: "a".to_owned(), token: third };
    assert!(api.locks.check(check).await.expect("checked").into_inner().held);
}

#[tokio::test]
async fn a_failed_try_says_who_holds_it() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, other) = (api.open("holder").await, api.open("other").await);
    let token = api.granted(&holder, 1, "a").await;
    match ask(&mut api, acquire(&other, 1, "a", none())).await {
        Answer::Held(held) => {
            assert_eq!((held.holders_total, held.queue_len), (1, 0));
            assert_eq!(held.holders[0].session_name, "holder");
            assert_eq!(held.holders[0].token, token);
            assert_eq!(held.holders[0].labels.get("host").map(String::as_str), Some("here"));
            assert_eq!(held.holders[0].state(), v1::HoldState::Held);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_release_grants_the_waiters_in_their_order() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let holder = api.open("holder").await;
    let mut token = api.granted(&holder, 1, "a").await;
    let mut waiting = Vec::new();
    for number in 0..5 {
        let key = api.open(&format!("waiter {number}")).await;
        let mut its = api.clone();
        waiting.push((
            key.clone(),
            tokio::spawn(async move { ask(&mut its, acquire(&key, 1, "a", forever())).await }),
        ));
        api.queue_len("a", number + 1).await;
    }
    let (mut key, mut seq) = (holder, 2);
    for (next, task) in waiting {
        api.release(&key, seq, token).await;
        match soon("the grant", task).await.expect("no panic") {
            Answer::Granted(granted) => {
                assert!(granted.token > token);
                token = granted.token;
            }
            other => panic!("{other:?}"),
        }
        (key, seq) = (next, 2);
    }
}

#[tokio::test]
async fn a_timed_wait_ends_with_who_holds_it() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, other) = (api.open("holder").await, api.open("other").await);
    api.granted(&holder, 1, "a").await;
    let begun = Instant::now();
    match ask(&mut api, acquire(&other, 1, "a", wait_ms(150))).await {
        Answer::TimedOut(held) => assert_eq!(held.holders[0].session_name, "holder"),
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() >= Duration::from_millis(150));
    api.queue_len("a", 0).await;
    // Decided once and for all.
    assert!(matches!(
        ask(&mut api, acquire(&other, 1, "a", wait_ms(150))).await,
        Answer::TimedOut(_)
    ));
}

#[tokio::test]
async fn a_call_with_a_deadline_answers_queued_before_it_and_the_same_seq_waits_on() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, other, last) =
        (api.open("holder").await, api.open("other").await, api.open("last").await);
    let token = api.granted(&holder, 1, "a").await;
    let mut request = Request::new(acquire(&other, 1, "a", forever()));
    request.set_timeout(Duration::from_secs(2));
    let answer = api.locks.acquire(request).await.expect("before the deadline").into_inner();
    assert!(matches!(answer.result, Some(Answer::Queued(v1::Queued { position: 1 }))));
    // Behind it, though it has no call under way.
    let mut its = api.clone();
    let behind =
        tokio::spawn(async move { ask(&mut its, acquire(&last, 1, "a", forever())).await });
    api.queue_len("a", 2).await;
    api.release(&holder, 2, token).await;
    let Answer::Granted(granted) = ask(&mut api, acquire(&other, 1, "a", forever())).await else {
        panic!("the place was lost")
    };
    api.release(&other, 2, granted.token).await;
    assert!(matches!(soon("its turn", behind).await.expect("no panic"), Answer::Granted(_)));
}

#[tokio::test]
async fn a_dropped_call_keeps_its_place() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, other) = (api.open("holder").await, api.open("other").await);
    let token = api.granted(&holder, 1, "a").await;
    let (mut its, key) = (api.clone(), other.clone());
    let call =
        tokio::spawn(async move { its.locks.acquire(acquire(&key, 1, "a", forever())).await });
    api.queue_len("a", 1).await;
    call.abort();
    assert!(call.await.expect_err("aborted").is_cancelled());
    api.queue_len("a", 1).await;
    api.release(&holder, 2, token).await;
    // It was granted meanwhile, to the seq.
    assert!(matches!(ask(&mut api, acquire(&other, 1, "a", forever())).await, Answer::Granted(_)));
}

#[tokio::test]
async fn a_cancel_ends_the_wait_and_a_crossing_grant_is_told() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, other) = (api.open("holder").await, api.open("other").await);
    let token = api.granted(&holder, 1, "a").await;
    let (mut its, key) = (api.clone(), other.clone());
    let call = tokio::spawn(async move { ask(&mut its, acquire(&key, 1, "a", forever())).await });
    api.queue_len("a", 1).await;
    let cancel = |key: &v1::SessionKey, seq| v1::CancelRequest { key: Some(key.clone()), seq };
    let answer = api.locks.cancel(cancel(&other, 1)).await.expect("cancelled").into_inner();
    assert_eq!(answer.granted, None);
    assert!(matches!(soon("its end", call).await.expect("no panic"), Answer::Cancelled(_)));
    // The grant came first: the cancel answers it, and it can be released.
    let answer = api.locks.cancel(cancel(&holder, 1)).await.expect("answered").into_inner();
    assert_eq!(answer.granted.map(|granted| granted.token), Some(token));
    // A cancel that overtook its call.
    api.locks.cancel(cancel(&other, 7)).await.expect("recorded");
    assert!(matches!(
        ask(&mut api, acquire(&other, 7, "a", forever())).await,
        Answer::Cancelled(_)
    ));
}

#[tokio::test]
async fn a_waiter_whose_session_ends_is_told_at_once_and_never_granted() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, other) = (api.open("holder").await, api.open("other").await);
    let token = api.granted(&holder, 1, "a").await;
    let (mut its, key) = (api.clone(), other.clone());
    let call =
        tokio::spawn(async move { its.locks.acquire(acquire(&key, 1, "a", forever())).await });
    api.queue_len("a", 1).await;
    api.sessions.close(v1::CloseRequest { key: Some(other) }).await.expect("closed");
    let status = soon("its end", call).await.expect("no panic").expect_err("no grant");
    assert_eq!(reason(&status), (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned()));
    api.release(&holder, 2, token).await;
    let seen = api
        .admin
        .inspect(v1::InspectRequest { name: "a".to_owned(), ..Default::default() })
        .await
        .expect("inspected")
        .into_inner();
    assert!(!seen.exists);
}
