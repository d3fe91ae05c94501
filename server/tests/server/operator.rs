//! The operator's verbs and the losses that clients hear of.

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use tonic::Code;

use crate::support::{Api, Stream, attempt, forever, none, reason, start};

fn force(name: &str, token: u64, now: bool) -> v1::ForceReleaseRequest {
    v1::ForceReleaseRequest { name: name.to_owned(), token, now, by: "ops@host".to_owned() }
}

#[tokio::test]
async fn a_forced_release_is_told_and_the_next_is_granted_when_the_holder_stopped() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (mut holder, _) = Stream::open(&server, "holder").await;
    let (mut waiter, _) = Stream::open(&server, "waiter").await;
    holder.acquire(1, "a", none()).await;
    let token = holder.granted(1).await;
    waiter.acquire(1, "a", forever()).await;
    waiter.queued(1).await;
    assert!(matches!(holder.next().await, Said::Contended(_)));

    let forced = api.admin.force_release(force("a", token, false)).await.expect("forced");
    assert!(forced.into_inner().revoked);
    let loss = match holder.next().await {
        Said::Lost(loss) => loss,
        other => panic!("{other:?}"),
    };
    assert_eq!((loss.number, loss.token, loss.by.as_str()), (1, token, "ops@host"));
    assert_eq!(loss.reason(), v1::LossReason::ForceReleased);
    // Told again until it is confirmed.
    assert_eq!(holder.keep_alive(1, 0).await.losses.len(), 1);
    assert!(holder.keep_alive(2, loss.number).await.losses.is_empty());
    let check = v1::CheckRequest { name: "a".to_owned(), token };
    let checked = api.locks.check(check).await.expect("checked").into_inner();
    assert_eq!((checked.held, checked.state()), (false, v1::HoldState::Revoked));
    api.queue_len("a", 1).await;

    holder.say(Say::AckStoppedToken(token)).await;
    assert!(matches!(holder.next().await, Said::StoppedToken(stopped) if stopped == token));
    assert!(waiter.granted(1).await > token);
}

#[tokio::test]
async fn a_client_that_stopped_using_what_it_still_holds_is_sent_to_attach() {
    let server = start().await;
    let (mut stream, key) = Stream::open(&server, "one").await;
    stream.acquire(1, "a", none()).await;
    let token = stream.granted(1).await;
    stream.say(Say::AckStoppedToken(token)).await;
    let status = stream.try_next().await.expect_err("the end");
    assert_eq!(reason(&status), (Code::FailedPrecondition, "NOT_HOLDER".to_owned()));
    let attach =
        v1::AttachRequest { key: Some(key), next_seq: 2, number: attempt(), ..Default::default() };
    let mut again = Stream::begin(&server, Say::Attach(attach)).await;
    let Said::Attached(attached) = again.next().await else { panic!("not attached") };
    assert!(attached.standing.expect("a standing").holds.is_empty());
    again.say(Say::AckStoppedToken(token)).await;
    assert!(matches!(again.next().await, Said::StoppedToken(stopped) if stopped == token));
}

#[tokio::test]
async fn a_forced_release_names_the_token_it_saw() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("one").await;
    let token = api.granted(&key, 1, "a").await;
    let not_found = (Code::NotFound, "NOT_FOUND".to_owned());
    for order in [force("a", token + 1, false), force("b", token, true)] {
        let status = api.admin.force_release(order).await.expect_err("nothing to release");
        assert_eq!(reason(&status), not_found);
    }
    let forced = api.admin.force_release(force("a", token, true)).await.expect("forced");
    assert!(!forced.into_inner().revoked);
    let other = api.open("two").await;
    api.granted(&other, 1, "a").await;
}

#[tokio::test]
async fn a_single_node_has_nobody_to_step_down_for() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let status = api.admin.step_down(v1::StepDownRequest::default()).await.expect_err("alone");
    assert_eq!(reason(&status), (Code::NotFound, "NOT_FOUND".to_owned()));
    let key = api.open("one").await;
    api.granted(&key, 1, "a").await;
}

#[tokio::test]
async fn the_unary_edge_does_all_that_the_stream_does() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("one").await;
    let token = api.granted(&key, 1, "a").await;
    let keep_alive =
        v1::KeepAliveRequest { key: Some(key.clone()), number: 41, ..Default::default() };
    let ack = api.sessions.keep_alive(keep_alive.clone()).await.expect("kept").into_inner();
    assert_eq!((ack.number, ack.losses.len()), (41, 0));
    let attach = v1::AttachRequest {
        key: Some(key.clone()),
        held: vec![token],
        waiting: Vec::new(),
        next_seq: 2,
        number: attempt(),
    };
    let attached = api.sessions.attach(attach).await.expect("attached").into_inner();
    assert_eq!((attached.ttl_ms, attached.standing.expect("one").holds.len()), (60_000, 1));
    let resume = v1::ResumeRequest {
        session: key.session,
        secret: key.secret.clone(),
        expected_epoch: key.epoch,
        nonce: vec![5; 16],
    };
    let resumed = api.sessions.resume(resume.clone()).await.expect("resumed").into_inner();
    let again = api.sessions.resume(resume).await.expect("the same").into_inner();
    assert_eq!(resumed.epoch, again.epoch);
    let status = api.sessions.keep_alive(keep_alive).await.expect_err("fenced");
    assert_eq!(reason(&status), (Code::FailedPrecondition, "SESSION_FENCED".to_owned()));
    let key = v1::SessionKey { epoch: resumed.epoch, ..key };
    let adopt =
        v1::AdoptRequest { key: Some(key.clone()), seq: resumed.next_seq, seen_through: 0, token };
    let adopted = api.locks.adopt(adopt).await.expect("adopted").into_inner();
    let new = adopted.granted.expect("a grant").token;
    assert!(new > token);
    api.admin.force_release(force("a", new, false)).await.expect("forced");
    let stopped =
        v1::AckStoppedRequest { session: key.session, secret: key.secret.clone(), token: new };
    api.sessions.ack_stopped(stopped.clone()).await.expect("stopped");
    let wrong = v1::AckStoppedRequest { secret: vec![9; 16], ..stopped };
    let status = api.sessions.ack_stopped(wrong).await.expect_err("not its secret");
    assert_eq!(reason(&status), (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned()));
    api.sessions.close(v1::CloseRequest { key: Some(key) }).await.expect("closed");
}
