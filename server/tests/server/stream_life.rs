//! How session streams begin, break, are taken over and end.

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Answer;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;

use crate::support::{Api, Stream, attempt, forever, none, open, start, wait_ms};

fn attach(key: &v1::SessionKey, held: &[u64], waiting: &[u64], next_seq: u64) -> Say {
    let key = Some(key.clone());
    let (held, waiting, number) = (held.into(), waiting.into(), attempt());
    Say::Attach(v1::AttachRequest { key, held, waiting, next_seq, number })
}

fn resume(key: &v1::SessionKey, nonce: u8) -> Say {
    Say::Resume(v1::ResumeRequest {
        session: key.session,
        secret: key.secret.clone(),
        expected_epoch: 0,
        nonce: vec![nonce; 16],
    })
}

async fn attached(stream: &mut Stream) -> v1::Standing {
    match stream.next().await {
        Said::Attached(attached) => {
            assert_eq!(attached.ttl_ms, 60_000);
            attached.standing.expect("a standing")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broken_stream_keeps_holds_and_places() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let holder = api.open("holder").await;
    let token = api.granted(&holder, 1, "a").await;
    let (mut stream, key) = Stream::open(&server, "one").await;
    stream.acquire(1, "mine", none()).await;
    let mine = stream.granted(1).await;
    stream.acquire(2, "a", forever()).await;
    stream.queued(2).await;
    drop(stream);
    let mut again = Stream::begin(&server, attach(&key, &[mine], &[2], 3)).await;
    let standing = attached(&mut again).await;
    assert_eq!(standing.holds.len(), 1);
    assert_eq!((standing.holds[0].token, standing.holds[0].seq), (mine, 1));
    assert_eq!((standing.waits[0].seq, standing.waits[0].position), (2, 1));
    api.release(&holder, 2, token).await;
    assert!(again.granted(2).await > token);
}

#[tokio::test]
async fn a_timed_wait_goes_on_on_the_next_stream() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let holder = api.open("holder").await;
    api.granted(&holder, 1, "a").await;
    let (mut stream, key) = Stream::open(&server, "one").await;
    stream.acquire(1, "a", wait_ms(60_000)).await;
    stream.queued(1).await;
    drop(stream);
    let mut again = Stream::begin(&server, attach(&key, &[], &[1], 2)).await;
    assert_eq!(attached(&mut again).await.waits.len(), 1);
    // The same seq with what is left of its time.
    again.acquire(1, "a", wait_ms(50)).await;
    again.queued(1).await;
    assert!(matches!(again.answer(1).await, Answer::TimedOut(_)));
}

#[tokio::test]
async fn what_an_attach_does_not_claim_is_released() {
    let server = start().await;
    let (mut stream, key) = Stream::open(&server, "one").await;
    stream.acquire(1, "a", none()).await;
    stream.granted(1).await;
    let mut again = Stream::begin(&server, attach(&key, &[], &[], 2)).await;
    let standing = attached(&mut again).await;
    assert!(standing.holds.is_empty(), "{standing:?}");
    again.acquire(2, "a", none()).await;
    again.granted(2).await;
    // The older stream of the session was replaced.
    stream.ends().await;
}

#[tokio::test]
async fn the_same_secret_opens_the_same_session() {
    let server = start().await;
    let request = open("one");
    let mut first = Stream::begin(&server, Say::Open(request.clone())).await;
    let Said::Opened(opened) = first.next().await else { panic!("not opened") };
    let mut second = Stream::begin(&server, Say::Open(request)).await;
    let Said::Opened(again) = second.next().await else { panic!("not opened") };
    assert_eq!((opened.session, opened.epoch), (again.session, again.epoch));
    first.ends().await;
}

#[tokio::test]
async fn a_resume_fences_the_older_process_and_adopts_under_a_new_token() {
    let server = start().await;
    let (mut old, key) = Stream::open(&server, "one").await;
    old.acquire(1, "a", none()).await;
    let token = old.granted(1).await;
    let mut new = Stream::begin(&server, resume(&key, 1)).await;
    let Said::Resumed(resumed) = new.next().await else { panic!("not resumed") };
    assert!(resumed.epoch > key.epoch);
    let hold = &resumed.standing.as_ref().expect("a standing").holds[0];
    assert_eq!((hold.token, hold.unadopted), (token, true));
    old.ends().await;
    // The older process comes back: its epoch is over.
    let mut late = Stream::begin(&server, attach(&key, &[token], &[], 2)).await;
    assert!(matches!(late.next().await, Said::Refused(p) if p.reason == "SESSION_FENCED"));
    let op = Some(v1::call_request::Op::Adopt(v1::AdoptOp { token }));
    let seq = resumed.next_seq;
    let new_key = v1::SessionKey { epoch: resumed.epoch, ..key.clone() };
    let mut new = Stream::begin(&server, attach(&new_key, &[token], &[], seq)).await;
    attached(&mut new).await;
    new.say(Say::Call(v1::CallRequest { seq, seen_through: 0, op })).await;
    assert!(new.granted(seq).await > token);
    // The same nonce again, as after a lost answer: the same epoch.
    let mut again = Stream::begin(&server, resume(&key, 1)).await;
    let Said::Resumed(same) = again.next().await else { panic!("not resumed") };
    assert_eq!(same.epoch, resumed.epoch);
}

#[tokio::test]
async fn a_close_is_told_and_ends_the_stream() {
    let server = start().await;
    let (mut stream, key) = Stream::open(&server, "one").await;
    stream.acquire(1, "a", none()).await;
    stream.granted(1).await;
    stream.say(Say::Close(v1::StreamClose {})).await;
    match stream.next().await {
        Said::Ended(ended) => assert_eq!(ended.end(), v1::session_ended::End::Closed),
        other => panic!("{other:?}"),
    }
    stream.ends().await;
    let mut late = Stream::begin(&server, attach(&key, &[], &[], 2)).await;
    assert!(matches!(late.next().await, Said::Refused(p) if p.reason == "SESSION_EXPIRED"));
    let mut late = Stream::begin(&server, resume(&key, 9)).await;
    assert!(matches!(late.next().await, Said::Refused(p) if p.reason == "SESSION_EXPIRED"));
}

#[tokio::test]
async fn a_killed_session_hears_by_whom_and_why() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (mut stream, key) = Stream::open(&server, "one").await;
    let kill = v1::KillSessionRequest {
        session: key.session,
        by: "ops@host".to_owned(),
        reason: "stuck".to_owned(),
    };
    api.admin.kill_session(kill.clone()).await.expect("killed");
    match stream.next().await {
        Said::Ended(ended) => {
            assert_eq!(ended.end(), v1::session_ended::End::Killed);
            assert_eq!((ended.by.as_str(), ended.reason.as_str()), ("ops@host", "stuck"));
        }
        other => panic!("{other:?}"),
    }
    stream.ends().await;
    let status = api.admin.kill_session(kill).await.expect_err("gone");
    assert_eq!(crate::support::reason(&status), (tonic::Code::NotFound, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn a_session_that_is_not_kept_alive_hears_that_it_expired() {
    let server = start().await;
    let mut request = open("one");
    request.ttl_ms = 500;
    let mut stream = Stream::begin(&server, Say::Open(request)).await;
    assert!(matches!(stream.next().await, Said::Opened(_)));
    stream.acquire(1, "a", none()).await;
    stream.granted(1).await;
    match stream.next().await {
        Said::Ended(ended) => assert_eq!(ended.end(), v1::session_ended::End::Expired),
        other => panic!("{other:?}"),
    }
    stream.ends().await;
}

#[tokio::test]
async fn a_client_that_says_no_more_gets_its_answers_and_the_end() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let holder = api.open("holder").await;
    let token = api.granted(&holder, 1, "a").await;
    let (mut stream, _) = Stream::open(&server, "one").await;
    stream.acquire(1, "b", none()).await;
    stream.acquire(2, "a", forever()).await;
    let (unused, _) = tokio::sync::mpsc::channel(1);
    drop(std::mem::replace(&mut stream.to, unused));
    stream.granted(1).await;
    stream.queued(2).await;
    api.release(&holder, 2, token).await;
    stream.granted(2).await;
    stream.ends().await;
}
