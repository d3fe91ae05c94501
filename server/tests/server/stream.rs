//! The session stream: calls, events and keepalives of one session in one order.

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Answer;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;

use crate::support::{Api, Stream, attempt, forever, mutex, none, start, wait_ms};

#[tokio::test]
async fn grants_releases_and_keepalives_go_over_one_stream() {
    let server = start().await;
    let (mut stream, _) = Stream::open(&server, "one").await;
    stream.acquire(1, "a", none()).await;
    let token = stream.granted(1).await;
    let ack = stream.keep_alive(1, 0).await;
    assert!(ack.losses.is_empty());
    stream.release(2, token).await;
    assert!(matches!(stream.answer(2).await, Answer::Released(_)));
    stream.acquire(3, "a", none()).await;
    assert!(stream.granted(3).await > token);
}

#[tokio::test]
async fn a_thousand_calls_in_flight_are_answered_in_their_order() {
    let server = start().await;
    let (mut stream, _) = Stream::open(&server, "one").await;
    for seq in 1..=1000 {
        stream.acquire(seq, &format!("lock {seq}"), none()).await;
    }
    let mut last = 0;
    for seq in 1..=1000 {
        let token = stream.granted(seq).await;
        assert!(token > last);
        last = token;
    }
    stream.keep_alive(1, 0).await;
}

#[tokio::test]
async fn queued_never_comes_after_granted_and_contention_is_told() {
    let server = start().await;
    let (mut holder, _) = Stream::open(&server, "holder").await;
    let (mut waiter, _) = Stream::open(&server, "waiter").await;
    holder.acquire(1, "a", none()).await;
    let token = holder.granted(1).await;
    waiter.acquire(1, "a", forever()).await;
    assert_eq!(waiter.queued(1).await, 1);
    match holder.next().await {
        Said::Contended(contended) => {
            assert_eq!((contended.token, contended.waiting), (token, 1));
        }
        other => panic!("{other:?}"),
    }
    holder.release(2, token).await;
    assert!(matches!(holder.answer(2).await, Answer::Released(_)));
    assert!(waiter.granted(1).await > token);
}

#[tokio::test]
async fn one_sessions_own_calls_wait_for_each_other() {
    let server = start().await;
    let (mut stream, _) = Stream::open(&server, "one").await;
    stream.acquire(1, "a", forever()).await;
    stream.acquire(2, "a", forever()).await;
    let token = stream.granted(1).await;
    assert_eq!(stream.queued(2).await, 1);
    assert!(matches!(stream.next().await, Said::Contended(_)));
    stream.release(3, token).await;
    assert!(matches!(stream.answer(3).await, Answer::Released(_)));
    stream.granted(2).await;
}

#[tokio::test]
async fn a_timed_wait_on_a_stream_is_timed_out_by_the_edge() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let holder = api.open("holder").await;
    api.granted(&holder, 1, "a").await;
    let (mut stream, _) = Stream::open(&server, "waiter").await;
    stream.acquire(1, "a", wait_ms(100)).await;
    stream.acquire(2, "a", wait_ms(10)).await;
    assert_eq!(stream.queued(1).await, 1);
    assert_eq!(stream.queued(2).await, 2);
    for seq in [2, 1] {
        match stream.answer(seq).await {
            Answer::TimedOut(held) => assert_eq!(held.holders[0].session_name, "holder"),
            other => panic!("{other:?}"),
        }
    }
    api.queue_len("a", 0).await;
}

#[tokio::test]
async fn a_cancel_on_a_stream_is_answered_once() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let holder = api.open("holder").await;
    api.granted(&holder, 1, "a").await;
    let (mut stream, _) = Stream::open(&server, "waiter").await;
    stream.acquire(1, "a", forever()).await;
    stream.queued(1).await;
    stream.say(Say::CancelSeq(1)).await;
    assert!(matches!(stream.answer(1).await, Answer::Cancelled(_)));
    // Nothing more is said of it.
    stream.keep_alive(1, 0).await;
    // A grant that the cancel crosses is answered again, with its token, so that it can be given back.
    stream.acquire(2, "b", none()).await;
    let token = stream.granted(2).await;
    stream.say(Say::CancelSeq(2)).await;
    assert_eq!(stream.granted(2).await, token);
}

#[tokio::test]
async fn a_malformed_call_is_answered_by_its_seq_and_the_stream_goes_on() {
    let server = start().await;
    let (mut stream, _) = Stream::open(&server, "one").await;
    stream.acquire(1, "", none()).await;
    match stream.answer(1).await {
        Answer::Problem(problem) => {
            assert_eq!(problem.reason, "INVALID_NAME");
            assert_eq!(
                problem.metadata.get("field").map(String::as_str),
                Some("acquire.items[0].name")
            );
        }
        other => panic!("{other:?}"),
    }
    stream.say(Say::Call(v1::CallRequest { seq: 2, seen_through: 0, op: None })).await;
    assert!(matches!(stream.answer(2).await, Answer::Problem(p) if p.reason == "INVALID_REQUEST"));
    stream.acquire(1, "a", none()).await;
    stream.granted(1).await;
    let op = Some(v1::call_request::Op::Acquire(mutex("another", none())));
    stream.say(Say::Call(v1::CallRequest { seq: 1, seen_through: 0, op })).await;
    assert!(matches!(stream.answer(1).await, Answer::Problem(p) if p.reason == "SEQ_REUSED"));
    stream.release(3, 12345).await;
    assert!(matches!(stream.answer(3).await, Answer::Problem(p) if p.reason == "NOT_HOLDER"));
}

#[tokio::test]
async fn what_has_no_seq_to_be_answered_by_ends_the_stream_and_not_the_session() {
    let server = start().await;
    for nonsense in [
        Say::Call(v1::CallRequest::default()),
        Say::CancelSeq(0),
        Say::Open(v1::OpenRequest::default()),
        Say::Attach(v1::AttachRequest::default()),
    ] {
        let (mut stream, key) = Stream::open(&server, "one").await;
        stream.say(nonsense.clone()).await;
        let status = stream.try_next().await.expect_err("the end");
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{nonsense:?}");
        let attach = v1::AttachRequest {
            key: Some(key),
            next_seq: 1,
            number: attempt(),
            ..Default::default()
        };
        let mut again = Stream::begin(&server, Say::Attach(attach)).await;
        assert!(matches!(again.next().await, Said::Attached(_)));
    }
}

#[tokio::test]
async fn a_stream_that_does_not_say_whose_it_is_is_refused() {
    let server = start().await;
    for first in [
        Say::CancelSeq(1),
        Say::Call(v1::CallRequest::default()),
        Say::KeepAlive(v1::StreamKeepAlive::default()),
        Say::AckStoppedToken(1),
        Say::Close(v1::StreamClose {}),
    ] {
        let mut stream = Stream::begin(&server, first.clone()).await;
        assert!(
            matches!(stream.next().await, Said::Refused(p) if p.reason == "INVALID_REQUEST"),
            "{first:?}"
        );
        stream.ends().await;
    }
}

#[tokio::test]
async fn keepalives_are_acknowledged_in_the_order_of_their_numbers() {
    let server = start().await;
    let (mut stream, _) = Stream::open(&server, "one").await;
    for number in 1..=50 {
        let message = v1::StreamKeepAlive { number, losses_seen_through: 0 };
        stream.say(Say::KeepAlive(message)).await;
        stream.acquire(number, &format!("lock {number}"), none()).await;
    }
    let (mut acknowledged, mut granted) = (0, 0);
    for _ in 0..100 {
        match stream.next().await {
            Said::KeepAlive(ack) => {
                assert_eq!(ack.number, acknowledged + 1);
                acknowledged += 1;
            }
            Said::Answer(answer) => {
                assert_eq!(answer.seq, granted + 1);
                granted += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((acknowledged, granted), (50, 50));
}
