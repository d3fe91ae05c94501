//! What an attach and a resume answer, and what a client makes of it.

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use super::fake::{Fake, loss, standing_hold};
use super::{Scene, TTL, seconds, within};
use crate::clock::Clock;
use crate::{Client, Error, LostReason, Refusal, SessionId, SessionSecret};

#[tokio::test]
async fn an_attach_judges_what_it_lists_and_what_it_does_not() {
    let mut scene = Scene::open().await;
    let listed = scene.guard("a", 1, 2).await;
    let revoked = scene.guard("b", 2, 3).await;
    let missing = scene.guard("c", 3, 4).await;
    let mut attach = scene.reconnect().await;
    attach.held.sort_unstable();
    assert_eq!((attach.held, attach.next_seq), (vec![1, 2, 3], 4));
    assert!(missing.is_valid(), "nothing is lost before the cluster says so");
    let standing = v1::Standing {
        holds: vec![
            standing_hold(1, 1, v1::HoldState::Held),
            standing_hold(2, 2, v1::HoldState::Revoked),
        ],
        losses: vec![loss(1, 2, v1::LossReason::MaxHold)],
        waits: Vec::new(),
    };
    scene.stream.attached(5, standing).await;
    assert_eq!(*within("lost", revoked.lost()).await.reason(), LostReason::MaxHold);
    assert_eq!(*within("lost", missing.lost()).await.reason(), LostReason::Revoked);
    assert!(listed.is_valid());
}

#[tokio::test]
async fn an_attach_does_not_judge_what_was_granted_after_it() {
    let mut scene = Scene::open().await;
    let older = scene.guard("a", 1, 10).await;
    let newer = scene.guard("b", 2, 50).await;
    scene.reconnect().await;
    scene.stream.attached(40, v1::Standing::default()).await;
    within("lost", older.lost()).await;
    assert!(newer.is_valid());
}

async fn resume(
    fake: &mut Fake,
    clock: &Clock,
) -> (crate::Resumed, super::FakeStream, v1::ResumeRequest) {
    let client = Client::connect([fake.address()]).expect("fine").with_clock(clock.clone());
    let builder = client.resume(SessionId::new(1), SessionSecret::from_bytes([7; 16]));
    let (resumed, (stream, request)) = tokio::join!(builder.open(), async {
        let mut stream = fake.accept().await;
        let Some(Request::Resume(request)) = stream.next().await else { panic!("no resume") };
        clock.advance(seconds(1.0));
        let hold = |token, state| v1::StandingHold {
            unadopted: true,
            ..standing_hold(token, token, state)
        };
        let standing = v1::Standing {
            holds: vec![hold(3, v1::HoldState::Held), hold(4, v1::HoldState::Revoked)],
            losses: vec![loss(1, 4, v1::LossReason::MaxHold)],
            waits: Vec::new(),
        };
        let ttl_ms = 10_000;
        let standing = Some(standing);
        stream.say(
            20,
            0,
            Message::Resumed(v1::ResumeResponse {
                epoch: 2,
                next_seq: 9,
                ttl_ms,
                standing,
                revision: 20,
            }),
        );
        let first = stream.keep_alive().await;
        assert_eq!(first.losses_seen_through, 1);
        (stream, request)
    });
    (resumed.expect("resumed"), stream, request)
}

#[tokio::test]
async fn a_successor_adopts_what_its_predecessor_held() {
    let mut fake = Fake::start("a").await;
    let clock = Clock::manual();
    let (resumed, mut stream, request) = resume(&mut fake, &clock).await;
    assert_eq!((request.session, request.nonce.len()), (1, 16));
    let session = resumed.session;
    assert_eq!((session.epoch(), session.deadline()), (2, TTL / 10 * 9 - seconds(1.0)));
    assert_eq!(resumed.unadopted.len(), 1, "a revoked one cannot be adopted");
    // An attach in between claims what waits for its adoption.
    stream.cut();
    let mut stream = fake.accept().await;
    let attach = stream.attach().await;
    assert_eq!((attach.held, attach.next_seq), (vec![3], 9));
    assert_eq!(attach.key.map(|key| key.epoch), Some(2));
    let unadopted =
        v1::StandingHold { unadopted: true, ..standing_hold(3, 3, v1::HoldState::Held) };
    let standing = v1::Standing { holds: vec![unadopted], ..v1::Standing::default() };
    stream.attached(21, standing).await;
    let (guard, stream) = tokio::join!(session.adopt(&resumed.unadopted[0]), async {
        let call = stream.call().await;
        assert_eq!(call.op, Some(v1::call_request::Op::Adopt(v1::AdoptOp { token: 3 })));
        assert_eq!(call.seq, 9);
        stream.grant(call.seq, 30, 22, 0);
        stream
    });
    let guard = guard.expect("adopted");
    assert_eq!((guard.token().get(), guard.name()), (30, "x"));
    let mut stream = stream;
    stream.cut();
    let mut stream = fake.accept().await;
    assert_eq!(stream.attach().await.held, [30], "the old token is dead");
}

#[tokio::test]
async fn a_resume_that_took_too_long_is_made_once_more_in_an_epoch_of_its_own() {
    let mut fake = Fake::start("a").await;
    let clock = Clock::manual();
    let client = Client::connect([fake.address()]).expect("fine").with_clock(clock.clone());
    let builder = client.resume(SessionId::new(1), SessionSecret::from_bytes([7; 16]));
    let (resumed, _streams) = tokio::join!(builder.open(), async {
        let answer = |epoch| {
            Message::Resumed(v1::ResumeResponse {
                epoch,
                next_seq: 9,
                ttl_ms: 10_000,
                ..v1::ResumeResponse::default()
            })
        };
        let mut first = fake.accept().await;
        let Some(Request::Resume(one)) = first.next().await else { panic!("no resume") };
        clock.advance(seconds(8.0));
        first.say(20, 0, answer(2));
        let mut second = fake.accept().await;
        let Some(Request::Resume(two)) = second.next().await else { panic!("no resume") };
        assert_eq!((one.expected_epoch, two.expected_epoch), (0, 2));
        assert_ne!(one.nonce, two.nonce);
        second.say(21, 0, answer(3));
        (first, second)
    });
    let session = resumed.expect("resumed").session;
    assert_eq!((session.epoch(), session.deadline()), (3, seconds(9.0)));
}

#[tokio::test]
async fn a_resume_of_what_is_gone_is_refused_and_never_a_new_session() {
    let mut fake = Fake::start("a").await;
    let client = Client::connect([fake.address()]).expect("fine");
    let builder = client.resume(SessionId::new(1), SessionSecret::from_bytes([7; 16]));
    let (resumed, _stream) = tokio::join!(builder.open(), async {
        let mut stream = fake.accept().await;
        stream.next().await;
        let reason = "SESSION_EXPIRED".to_owned();
        let problem = v1::Problem { reason, ..v1::Problem::default() };
        stream.say(0, 0, Message::Refused(problem));
        stream
    });
    assert!(matches!(resumed, Err(Error::Refused(Refusal::SessionExpired))), "{resumed:?}");
}
