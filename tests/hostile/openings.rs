//! Openings that come too late, or are refused: the stream that the session has goes on as if nothing had been asked.

use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use conclave_tests::raw::{Raw, Wait, fresh_secret, mutex};

use crate::stream::Stream;
use crate::victim::Victim;

/// What a refused opening is told.
async fn refusal(node: &Raw, first: Say) -> String {
    match Stream::begin(node, first).await {
        (_, Said::Refused(problem)) => problem.reason,
        (_, other) => panic!("not refused: {other:?}"),
    }
}

fn attach(key: &v1::SessionKey, number: u64, held: Vec<u64>) -> Say {
    let (key, next_seq) = (Some(key.clone()), 2);
    Say::Attach(v1::AttachRequest { key, held, waiting: Vec::new(), next_seq, number })
}

fn resume(key: &v1::SessionKey, expected_epoch: u64) -> Say {
    let v1::SessionKey { session, secret, .. } = key.clone();
    Say::Resume(v1::ResumeRequest { session, secret, expected_epoch, nonce: fresh_secret() })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_is_refused_or_late_disturbs_no_stream() {
    let victim = Victim::start().await;
    let node = Raw::new(&victim.cluster.endpoint(0));
    let mut stream = Stream::open(&node).await;
    let key = stream.key.clone();
    stream.call(1, 0, Op::Acquire(mutex("mine", Wait::None(true)))).await;
    let (_, Outcome::Granted(granted)) = stream.answer().await else { panic!("not granted") };
    assert!(stream.is_kept_alive(1).await);

    // The same open, delayed on its way until its client had long heard of the session by another one.
    let late = Say::Open(Stream::opening(&key.secret));
    assert_eq!(refusal(&node, late).await, "STALE");
    assert!(stream.is_kept_alive(2).await, "a late open ended the stream");

    // A successor that expects an epoch which is over, again and again: it would keep the owner from ever keeping a stream.
    for number in 3..23 {
        assert_eq!(refusal(&node, resume(&key, 99)).await, "SESSION_FENCED");
        assert!(stream.is_kept_alive(number).await, "a refused resume ended the stream");
    }

    // An attach that a later one has overtaken.
    let (mut next, said) = Stream::begin(&node, attach(&key, 5, vec![granted.token])).await;
    assert!(matches!(said, Said::Attached(_)), "{said:?}");
    assert!(!stream.is_kept_alive(23).await, "of two streams the newer one counts");
    assert_eq!(refusal(&node, attach(&key, 4, Vec::new())).await, "STALE");
    assert!(next.is_kept_alive(24).await, "a late attach ended the stream");
    let late = Say::Open(Stream::opening(&key.secret));
    assert_eq!(refusal(&node, late).await, "STALE");
    assert!(next.is_kept_alive(25).await, "a late open ended the attached stream");
    let checked = node.check("mine", granted.token).await.expect("an answer");
    assert!(checked.held, "and what it holds it has still");

    // Whoever takes it over by right does.
    let (mut successor, said) = Stream::begin(&node, resume(&key, 1)).await;
    assert!(matches!(said, Said::Resumed(_)), "{said:?}");
    assert!(successor.is_kept_alive(1).await);
    assert!(!next.is_kept_alive(26).await, "the old process is fenced out");
    victim.goes_on(64).await;
}

/// Nobody heard of the first stream, so the second one is the session's.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_that_is_repeated_because_nobody_heard_the_answer_gets_the_stream() {
    let victim = Victim::start().await;
    let node = Raw::new(&victim.cluster.endpoint(0));
    let mut unheard = Stream::open(&node).await;
    let again = Say::Open(Stream::opening(&unheard.key.secret));
    let (mut stream, said) = Stream::begin(&node, again).await;
    let Said::Opened(opened) = said else { panic!("{said:?}") };
    assert_eq!(opened.session, unheard.key.session);
    assert!(stream.is_kept_alive(1).await);
    let ended = tokio::time::timeout(Duration::from_secs(30), unheard.hear()).await;
    assert!(matches!(ended, Ok(Ok(None))), "{ended:?}");
    victim.goes_on(64).await;
}
