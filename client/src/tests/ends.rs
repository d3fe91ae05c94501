//! The end of a session: counted from the send, noticed by the clock, and final.

use std::pin::pin;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use super::fake::Unary;
use super::{Scene, TTL, now, seconds, until, within};
use crate::{Error, LostReason, SessionEnd, SessionState};

#[tokio::test]
async fn the_deadline_counts_from_the_send_of_what_was_acknowledged() {
    let mut scene = Scene::open().await;
    assert_eq!(scene.session.deadline(), seconds(9.0));
    scene.clock.advance(seconds(2.0));
    let beat = scene.stream.keep_alive().await;
    scene.clock.advance(seconds(1.5));
    assert_eq!(scene.session.deadline(), seconds(5.5), "a send alone moves nothing");
    scene.stream.acknowledge(beat.number, Vec::new());
    let session = scene.session.clone();
    until("the acknowledgement", || session.last_ack_sent_ago() == seconds(1.5)).await;
    assert_eq!(session.deadline(), seconds(7.5));
}

#[tokio::test]
async fn an_open_counts_from_its_first_attempt() {
    let mut fake = super::Fake::start("a").await;
    let clock = super::Clock::manual();
    let client = super::Client::connect([fake.address()]).expect("fine").with_clock(clock.clone());
    let (session, secrets) = tokio::join!(client.session().ttl(TTL).name("test").open(), async {
        let mut first = fake.accept().await;
        let Some(Request::Open(one)) = first.next().await else { panic!("not an open") };
        clock.advance(seconds(3.0));
        first.cut();
        let mut second = fake.accept().await;
        let two = second.welcome_silently(TTL).await;
        (one.secret, two.secret, second)
    });
    let session = session.expect("open");
    assert_eq!(secrets.0, secrets.1, "the same session");
    assert_eq!(session.deadline(), seconds(6.0));
}

#[tokio::test]
async fn an_open_that_took_too_long_is_another_session() {
    let mut fake = super::Fake::start("a").await;
    let clock = super::Clock::manual();
    let client = super::Client::connect([fake.address()]).expect("fine").with_clock(clock.clone());
    let (session, secrets) = tokio::join!(client.session().ttl(TTL).name("test").open(), async {
        let mut first = fake.accept().await;
        let Some(Request::Open(one)) = first.next().await else { panic!("not an open") };
        clock.advance(seconds(6.0));
        first.cut();
        let mut second = fake.accept().await;
        let two = second.welcome(TTL).await;
        (one.secret, two.secret, second)
    });
    assert_ne!(secrets.0, secrets.1);
    assert_eq!(session.expect("open").deadline(), seconds(9.0));
}

#[tokio::test]
async fn a_guard_is_lost_by_the_clock_before_any_task_runs() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 1, 2).await;
    let mut lost = pin!(guard.lost());
    assert!(now(lost.as_mut()).is_none());
    scene.clock.advance(seconds(8.999));
    assert!(guard.is_valid() && now(lost.as_mut()).is_none());
    // The process was suspended here. Nothing is awaited from now on.
    scene.clock.advance(seconds(0.001));
    assert!(!guard.is_valid());
    let lost = now(lost.as_mut()).expect("lost when polled");
    assert_eq!(*lost.reason(), LostReason::SessionEnded(SessionEnd::Expired));
    assert_eq!(guard.lost_reason().map(|lost| lost.reason().clone()), Some(lost.reason().clone()));
    assert_eq!(scene.session.state(), SessionState::Expired);
    assert_eq!(scene.session.deadline(), seconds(0.0));
}

#[tokio::test]
async fn local_expiry_is_final() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 1, 2).await;
    scene.clock.advance(seconds(2.0));
    let beat = scene.stream.keep_alive().await;
    scene.clock.advance(seconds(7.0));
    // Nobody of this process has looked at the clock for certain; the acknowledgement comes too late either way.
    scene.stream.acknowledge(beat.number, Vec::new());
    assert_eq!(within("the end", scene.session.ended()).await, SessionEnd::Expired);
    assert!(!guard.is_valid());
    let mut watch = scene.session.watch_state();
    let state = within("the state", watch.wait_for(|state| state.is_final())).await;
    assert_eq!(state.map(|state| *state).expect("published"), SessionState::Expired);
    // The stream is ended and no other is made; nothing is asked of the session any more.
    scene.stream.rest().await;
    match scene.session.mutex("y").lock().await {
        Err(Error::SessionEnded(SessionEnd::Expired)) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(scene.session.close().await, Err(Error::SessionEnded(SessionEnd::Expired))));
    // The guard's end is told by a unary call, after which still no stream was made.
    drop(guard);
    assert!(matches!(scene.fake.unary().await, Unary::AckStopped { token: 1, .. }));
    assert!(!scene.fake.has_stream());
}

#[tokio::test]
async fn a_grant_after_the_local_deadline_is_no_guard() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let (result, ()) = tokio::join!(mutex.lock(), async {
        let call = scene.stream.call().await;
        scene.clock.advance(seconds(9.0));
        scene.stream.grant(call.seq, 7, 2, 0);
    });
    assert!(matches!(result, Err(Error::SessionEnded(SessionEnd::Expired))), "{result:?}");
}

#[tokio::test]
async fn a_grant_that_slept_on_its_way_to_its_owner_is_no_guard() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let mut lock = pin!(mutex.lock());
    assert!(now(lock.as_mut()).is_none());
    let call = scene.stream.call().await;
    scene.stream.grant(call.seq, 7, 2, 0);
    // This one is answered after it, so the first is in its channel.
    let other = scene.guard("y", 8, 3).await;
    scene.clock.advance(seconds(9.0));
    match now(lock.as_mut()) {
        Some(Err(Error::SessionEnded(SessionEnd::Expired))) => {}
        unexpected => panic!("{unexpected:?}"),
    }
    assert!(!other.is_valid());
}

#[tokio::test]
async fn jeopardy_begins_at_two_thirds_of_silence_and_ends_by_an_acknowledgement() {
    let mut scene = Scene::open().await;
    let mut watch = scene.session.watch_state();
    scene.clock.advance(seconds(6.6));
    let beat = scene.stream.keep_alive().await;
    assert_eq!(scene.session.state(), SessionState::Active);
    scene.clock.advance(seconds(0.1));
    assert_eq!(scene.session.state(), SessionState::Jeopardy);
    let state = within("jeopardy", watch.wait_for(|state| *state == SessionState::Jeopardy)).await;
    drop(state);
    scene.stream.acknowledge(beat.number, Vec::new());
    let state = within("active", watch.wait_for(|state| *state == SessionState::Active)).await;
    drop(state);
    assert_eq!(scene.session.deadline(), seconds(8.9));
}

#[tokio::test]
async fn a_broken_stream_alone_is_no_jeopardy() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 1, 2).await;
    let mut watch = scene.session.watch_state();
    let attach = scene.reconnect().await;
    assert_eq!(attach.held, [1]);
    let state = watch.wait_for(|state| *state == SessionState::Reconnecting);
    drop(within("reconnecting", state).await);
    assert!(guard.is_valid());
    let standing = super::fake::standing_hold(1, 1, v1::HoldState::Held);
    let standing = v1::Standing { holds: vec![standing], ..v1::Standing::default() };
    scene.stream.attached(5, standing).await;
    drop(within("active", watch.wait_for(|state| *state == SessionState::Active)).await);
    assert!(guard.is_valid());
}

#[tokio::test]
async fn a_killed_session_loses_its_guards_and_says_when_they_stopped() {
    let mut scene = Scene::open().await;
    let secret = scene.session.secret().to_bytes().to_vec();
    let guard = scene.guard("x", 4, 2).await;
    let mutex = scene.session.mutex("y");
    let (waiting, ()) = tokio::join!(mutex.lock(), async {
        scene.stream.call().await;
        let (by, reason) = ("ops".to_owned(), "stuck".to_owned());
        let end = v1::session_ended::End::Killed.into();
        scene.stream.say(9, 1, Message::Ended(v1::SessionEnded { end, by, reason }));
    });
    let killed = SessionEnd::Killed { by: "ops".to_owned(), reason: "stuck".to_owned() };
    assert!(matches!(waiting, Err(Error::SessionEnded(end)) if end == killed));
    let lost = within("the loss", guard.lost()).await;
    assert_eq!(*lost.reason(), LostReason::SessionEnded(killed));
    drop(guard);
    assert_eq!(scene.fake.unary().await, Unary::AckStopped { token: 4, secret });
}

#[tokio::test]
async fn a_refused_attach_ends_the_session() {
    for (reason, end) in
        [("SESSION_EXPIRED", SessionEnd::Expired), ("SESSION_FENCED", SessionEnd::Fenced)]
    {
        let mut scene = Scene::open().await;
        let guard = scene.guard("x", 1, 2).await;
        scene.reconnect().await;
        let problem = v1::Problem { reason: reason.to_owned(), ..v1::Problem::default() };
        scene.stream.say(0, 0, Message::Refused(problem));
        assert_eq!(within("the end", scene.session.ended()).await, end);
        assert!(!guard.is_valid());
    }
}

#[tokio::test]
async fn a_close_loses_every_guard_before_it_is_sent() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 1, 2).await;
    let session = scene.session.clone();
    let mut close = pin!(session.close());
    assert!(now(close.as_mut()).is_none());
    assert!(!guard.is_valid(), "before anything was heard or sent");
    assert_eq!(scene.stream.next().await, Some(Request::Close(v1::StreamClose {})));
    let lost = now(guard.lost()).expect("lost");
    assert_eq!(*lost.reason(), LostReason::SessionEnded(SessionEnd::Closed));
    let end = v1::session_ended::End::Closed.into();
    scene.stream.say(9, 0, Message::Ended(v1::SessionEnded { end, ..Default::default() }));
    within("the close", close).await.expect("closed");
    assert_eq!(session.state(), SessionState::Closed);
    session.close().await.expect("closed already");
    // A close frees its holds by itself: nothing more is said about them.
    drop(guard);
    assert!(scene.stream.rest().await.is_empty());
}

#[tokio::test]
async fn a_close_without_a_stream_is_a_unary_call() {
    let mut scene = Scene::open().await;
    scene.reconnect().await;
    within("the close", scene.session.close()).await.expect("closed");
    assert_eq!(scene.fake.unary().await, Unary::Close);
}

#[tokio::test]
async fn a_close_races_the_ticks_of_the_clock_and_is_still_sent() {
    for _ in 0..20 {
        let mut scene = Scene::open().await;
        let session = scene.session.clone();
        let (closed, ()) = tokio::join!(session.close(), async {
            assert_eq!(scene.stream.next().await, Some(Request::Close(v1::StreamClose {})));
            let end = v1::session_ended::End::Closed.into();
            scene.stream.say(9, 0, Message::Ended(v1::SessionEnded { end, ..Default::default() }));
        });
        closed.expect("closed");
    }
}

#[tokio::test]
async fn the_last_handle_closes_the_session() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 1, 2).await;
    let Scene { session, mut stream, fake: _fake, .. } = scene;
    drop(session);
    assert!(guard.is_valid(), "a guard keeps its session");
    drop(guard);
    assert_eq!(stream.release().await.0, 1);
    assert_eq!(stream.next().await, Some(Request::Close(v1::StreamClose {})));
}
