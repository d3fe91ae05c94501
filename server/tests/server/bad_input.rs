//! Every documented bad value gets its code, its reason and its field; the server lives on.

use std::collections::HashMap;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use tonic::{Code, Status};

use crate::support::{
    Api, Stream, acquire, attempt, mutex, none, open, reason, start, told, wait_ms,
};

/// What is wrong, its reason, its field, and how a good request is spoiled.
type BadOpen = (&'static str, &'static str, &'static str, fn(&mut v1::OpenRequest));

const DAY_MS: u64 = 24 * 3600 * 1000;

fn assert_invalid<T: std::fmt::Debug>(
    what: &str,
    answer: Result<T, Status>,
    reason: &str,
    field: &str,
) {
    let status = answer.expect_err(what);
    let expected = (Code::InvalidArgument, reason.to_owned(), field.to_owned());
    assert_eq!(told(&status), expected, "{what}: {status:?}");
    assert!(status.message().starts_with(field), "{what}: {status:?}");
}

#[tokio::test]
async fn a_bad_open_is_refused_with_the_field() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let cases: [BadOpen; 13] = [
        ("no secret", "INVALID_SECRET", "secret", |r| r.secret.clear()),
        ("short secret", "INVALID_SECRET", "secret", |r| r.secret = vec![1; 15]),
        ("long secret", "INVALID_SECRET", "secret", |r| r.secret = vec![1; 17]),
        ("ttl 0", "INVALID_TTL", "ttl_ms", |r| r.ttl_ms = 0),
        ("ttl below the floor", "INVALID_TTL", "ttl_ms", |r| r.ttl_ms = 499),
        ("ttl above 10 min", "INVALID_TTL", "ttl_ms", |r| r.ttl_ms = 600_001),
        ("ttl huge", "INVALID_TTL", "ttl_ms", |r| r.ttl_ms = u64::MAX),
        ("lock delay above 10 min", "INVALID_LOCK_DELAY", "lock_delay_ms", |r| {
            r.lock_delay_ms = 600_001
        }),
        ("no name", "INVALID_NAME", "name", |r| r.name.clear()),
        ("long name", "INVALID_NAME", "name", |r| r.name = "n".repeat(513)),
        ("NUL in the name", "INVALID_NAME", "name", |r| r.name = "a\0b".to_owned()),
        ("newline in the name", "INVALID_NAME", "name", |r| r.name = "a\nb".to_owned()),
        ("labels above 4 KiB", "INVALID_LABELS", "labels", |r| {
            r.labels = HashMap::from([("k".to_owned(), "v".repeat(4096))])
        }),
    ];
    for (what, reason, field, spoil) in cases {
        let mut request = open("billing");
        spoil(&mut request);
        assert_invalid(what, api.sessions.open(request.clone()).await, reason, field);
        // The stream refuses the same alike, as its last message.
        let mut stream = Stream::begin(&server, Say::Open(request)).await;
        match stream.next().await {
            Said::Refused(problem) => {
                assert_eq!(problem.reason, reason, "{what}");
                assert_eq!(problem.metadata.get("field").map(String::as_str), Some(field));
            }
            other => panic!("{what}: {other:?}"),
        }
        stream.ends().await;
    }
    let mut request = open(&"n".repeat(512));
    request.ttl_ms = 500;
    request.labels = HashMap::from([("k".to_owned(), "v".repeat(4095))]);
    api.sessions.open(request).await.expect("all at their limits");
}

#[tokio::test]
async fn a_bad_acquire_is_refused_with_the_field() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("billing").await;
    let edit = |change: fn(&mut v1::AcquireOp)| {
        let mut request = acquire(&key, 1, "a", none());
        change(request.acquire.as_mut().expect("it is there"));
        request
    };
    let cases = [
        ("no name", "INVALID_NAME", "acquire.items[0].name", edit(|op| op.items[0].name.clear())),
        (
            "long name",
            "INVALID_NAME",
            "acquire.items[0].name",
            edit(|op| op.items[0].name = "n".repeat(513)),
        ),
        (
            "control",
            "INVALID_NAME",
            "acquire.items[0].name",
            edit(|op| op.items[0].name = "\u{7f}".to_owned()),
        ),
        ("wait of 0 ms", "INVALID_WAIT", "acquire.wait.ms", edit(|op| op.wait = wait_ms(0))),
        (
            "wait above 7 days",
            "INVALID_WAIT",
            "acquire.wait.ms",
            edit(|op| op.wait = wait_ms(7 * DAY_MS + 1)),
        ),
        (
            "max-hold above 7 days",
            "INVALID_MAX_HOLD",
            "acquire.max_hold_ms",
            edit(|op| op.max_hold_ms = 7 * DAY_MS + 1),
        ),
        ("no owner", "INVALID_REQUEST", "acquire.owner", edit(|op| op.owner = Some(String::new()))),
        (
            "long owner",
            "INVALID_REQUEST",
            "acquire.owner",
            edit(|op| op.owner = Some("o".repeat(513))),
        ),
        (
            "no demand",
            "INVALID_REQUEST",
            "acquire.items[0].demand",
            edit(|op| op.items[0].demand = None),
        ),
        (
            "metadata above 4 KiB",
            "INVALID_LABELS",
            "acquire.metadata",
            edit(|op| op.metadata = HashMap::from([("k".repeat(4097), String::new())])),
        ),
        ("seq 0", "INVALID_SEQ", "seq", acquire(&key, 0, "a", none())),
        (
            "no key",
            "INVALID_REQUEST",
            "key",
            v1::AcquireRequest { key: None, ..acquire(&key, 1, "a", none()) },
        ),
        (
            "no acquire",
            "INVALID_REQUEST",
            "acquire",
            v1::AcquireRequest { acquire: None, ..acquire(&key, 1, "a", none()) },
        ),
        (
            "short secret",
            "INVALID_SECRET",
            "key.secret",
            acquire(&v1::SessionKey { secret: vec![1], ..key.clone() }, 1, "a", none()),
        ),
    ];
    for (what, reason, field, request) in cases {
        assert_invalid(what, api.locks.acquire(request).await, reason, field);
    }
    // None of them used the seq up.
    api.granted(&key, 1, &"n".repeat(512)).await;
}

#[tokio::test]
async fn bad_questions_and_orders_of_an_operator_are_refused_with_the_field() {
    let server = start().await;
    let admin = &mut Api::of(&server).await.admin;
    let list = v1::ListRequest::default();
    let bad = admin.list(v1::ListRequest { limit: 10_001, ..list.clone() }).await;
    assert_invalid("limit", bad, "INVALID_REQUEST", "limit");
    let bad = admin.list(v1::ListRequest { sort: 99, ..list.clone() }).await;
    assert_invalid("sort", bad, "INVALID_REQUEST", "sort");
    let after = "a".to_owned();
    let sort = v1::Sort::LongestWait.into();
    let bad = admin.list(v1::ListRequest { sort, after, ..list }).await;
    assert_invalid("after", bad, "INVALID_REQUEST", "after");
    let bad = admin.inspect(v1::InspectRequest::default()).await;
    assert_invalid("name", bad, "INVALID_NAME", "name");
    let name = "a".to_owned();
    let bad =
        admin.inspect(v1::InspectRequest { name, queue_max: 10_001, ..Default::default() }).await;
    assert_invalid("queue_max", bad, "INVALID_REQUEST", "queue_max");
    let bad = admin
        .list_sessions(v1::ListSessionsRequest { limit: u32::MAX, ..Default::default() })
        .await;
    assert_invalid("limit", bad, "INVALID_REQUEST", "limit");
    let kill = v1::KillSessionRequest { session: 7, ..Default::default() };
    assert_invalid("by", admin.kill_session(kill.clone()).await, "INVALID_REQUEST", "by");
    let reason = "r\u{1b}[2J".to_owned();
    let bad =
        admin.kill_session(v1::KillSessionRequest { by: "me".to_owned(), reason, ..kill }).await;
    assert_invalid("reason", bad, "INVALID_REQUEST", "reason");
    let name = "a".to_owned();
    let order = v1::ForceReleaseRequest { name, token: 3, ..Default::default() };
    assert_invalid("by", admin.force_release(order).await, "INVALID_REQUEST", "by");
}

#[tokio::test]
async fn foreign_and_stale_tokens_and_sessions_are_refused() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("one").await;
    let other = api.open("two").await;
    let token = api.granted(&key, 1, "a").await;
    let expired = (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned());
    let not_holder = (Code::FailedPrecondition, "NOT_HOLDER".to_owned());

    for wrong in [
        v1::SessionKey { session: 999_999, ..key.clone() },
        v1::SessionKey { secret: other.secret.clone(), ..key.clone() },
    ] {
        let status = api.locks.acquire(acquire(&wrong, 2, "a", none())).await.unwrap_err();
        assert_eq!(reason(&status), expired);
        let request = v1::KeepAliveRequest { key: Some(wrong.clone()), ..Default::default() };
        assert_eq!(reason(&api.sessions.keep_alive(request).await.unwrap_err()), expired);
        let number = attempt();
        let attach =
            v1::AttachRequest { key: Some(wrong), next_seq: 2, number, ..Default::default() };
        assert_eq!(reason(&api.sessions.attach(attach.clone()).await.unwrap_err()), expired);
        let mut stream = Stream::begin(&server, Say::Attach(attach)).await;
        assert!(
            matches!(stream.next().await, Said::Refused(problem) if problem.reason == expired.1)
        );
        stream.ends().await;
    }
    for (seq, wrong) in [(1, 0), (2, token), (3, u64::MAX), (4, token + 1)] {
        let release = v1::ReleaseRequest {
            key: Some(other.clone()),
            seq,
            token: wrong,
            ..Default::default()
        };
        let status = api.locks.release(release).await.unwrap_err();
        assert_eq!(reason(&status), not_holder, "token {wrong}");
    }
    api.release(&key, 2, token).await;
    let late = v1::ReleaseRequest { key: Some(key.clone()), seq: 3, token, ..Default::default() };
    assert_eq!(reason(&api.locks.release(late).await.unwrap_err()), not_holder);
    // The same seq with another body.
    let reused = api.locks.acquire(acquire(&key, 1, "b", none())).await.unwrap_err();
    assert_eq!(reason(&reused), (Code::FailedPrecondition, "SEQ_REUSED".to_owned()));
}

#[tokio::test]
async fn the_same_owner_again_is_told_the_token_it_holds() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("one").await;
    let mut op = mutex("a", none());
    op.owner = Some("worker-3".to_owned());
    let request = |seq| v1::AcquireRequest {
        key: Some(key.clone()),
        seq,
        seen_through: 0,
        acquire: Some(op.clone()),
    };
    let first = api.locks.acquire(request(1)).await.expect("granted").into_inner();
    let Some(v1::acquire_response::Result::Granted(granted)) = first.result else {
        panic!("{first:?}")
    };
    let status = api.locks.acquire(request(2)).await.unwrap_err();
    assert_eq!(reason(&status), (Code::FailedPrecondition, "ALREADY_HELD".to_owned()));
    use tonic_types::StatusExt as _;
    let info = status.get_details_error_info().expect("told");
    assert_eq!(info.metadata.get("token"), Some(&granted.token.to_string()));
}
