//! Losses: told until heard, and the end of a lost hold's use told until heard as well.

use std::pin::pin;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use super::fake::{loss, standing_hold};
use super::{Scene, now, seconds, within};
use crate::{Error, LostReason};

#[tokio::test]
async fn a_pushed_loss_is_believed_and_confirmed_by_the_next_keepalive() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 5, 2).await;
    let mut lost = pin!(guard.lost());
    assert!(now(lost.as_mut()).is_none());
    scene.stream.say(3, 1, Message::Lost(loss(1, 5, v1::LossReason::ForceReleased)));
    let lost = within("the loss", lost).await;
    assert_eq!(*lost.reason(), LostReason::ForceReleased { by: "ops".to_owned() });
    assert!(!guard.is_valid());
    assert!(scene.session.is_valid(), "only the hold is lost");
    scene.clock.advance(seconds(2.0));
    assert_eq!(scene.stream.keep_alive().await.losses_seen_through, 1);
}

#[tokio::test]
async fn an_acknowledgement_that_carries_a_loss_does_not_count_as_one_that_did_not() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 5, 2).await;
    scene.clock.advance(seconds(2.0));
    let beat = scene.stream.keep_alive().await;
    assert_eq!(beat.losses_seen_through, 0);
    scene.clock.advance(seconds(1.0));
    let losses = vec![loss(1, 4, v1::LossReason::NotAdopted), loss(2, 5, v1::LossReason::MaxHold)];
    scene.stream.acknowledge(beat.number, losses);
    let lost = within("the loss", guard.lost()).await;
    assert_eq!(*lost.reason(), LostReason::MaxHold);
    assert_eq!(lost.last_unaware_ack_sent_ago(), seconds(3.0), "the open's, not the one at 2 s");
    assert_eq!(lost.learned_ago(), seconds(0.0));
    scene.clock.advance(seconds(1.0));
    assert_eq!(lost.learned_ago(), seconds(1.0));
    assert_eq!(scene.stream.keep_alive().await.losses_seen_through, 2);
}

#[tokio::test]
async fn a_gap_in_pushed_losses_is_not_confirmed() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 5, 2).await;
    scene.stream.say(3, 1, Message::Lost(loss(3, 5, v1::LossReason::MaxHold)));
    within("the loss", guard.lost()).await;
    scene.clock.advance(seconds(2.0));
    assert_eq!(scene.stream.keep_alive().await.losses_seen_through, 0);
}

#[tokio::test]
async fn dropping_a_lost_guard_says_that_it_stopped_until_that_is_heard() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 5, 2).await;
    scene.stream.say(3, 1, Message::Lost(loss(1, 5, v1::LossReason::ForceReleased)));
    within("the loss", guard.lost()).await;
    drop(guard);
    assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(5)));
    // Not heard: the stream breaks.
    let attach = scene.reconnect().await;
    assert_eq!(attach.held, Vec::<u64>::new(), "what was lost is not claimed");
    let revoked = standing_hold(1, 5, v1::HoldState::Revoked);
    let standing = v1::Standing { holds: vec![revoked], ..v1::Standing::default() };
    scene.stream.attached(5, standing).await;
    assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(5)));
    scene.stream.say(6, 0, Message::StoppedToken(5));
    let guard = scene.guard("y", 9, 7).await;
    // Heard: not said again.
    scene.reconnect().await;
    let held = standing_hold(2, 9, v1::HoldState::Held);
    let standing = v1::Standing { holds: vec![held], ..v1::Standing::default() };
    scene.stream.attached(8, standing).await;
    drop(guard);
    assert_eq!(scene.stream.release().await.0, 9);
}

#[tokio::test]
async fn releasing_a_lost_guard_says_that_it_stopped_and_why_it_was_lost() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 5, 2).await;
    scene.stream.say(3, 1, Message::Lost(loss(1, 5, v1::LossReason::MaxHold)));
    within("the loss", guard.lost()).await;
    let mut release = pin!(guard.release());
    assert!(now(release.as_mut()).is_none());
    assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(5)));
    assert!(now(release.as_mut()).is_none(), "not heard yet");
    scene.stream.say(4, 0, Message::StoppedToken(5));
    match within("the answer", release).await {
        Err(Error::Lost(lost)) => assert_eq!(*lost.reason(), LostReason::MaxHold),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn releasing_a_lost_guard_of_an_ended_session_waits_until_it_was_said() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 5, 2).await;
    scene.clock.advance(seconds(9.0));
    assert!(!guard.is_valid());
    let released = within("the answer", guard.release()).await;
    assert!(matches!(released, Err(Error::Lost(_))), "{released:?}");
    assert!(!scene.fake.unary.is_empty(), "said before it was answered");
}

#[tokio::test]
async fn a_release_that_crosses_a_loss_says_that_it_stopped() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("x", 5, 2).await;
    let (released, ()) = tokio::join!(guard.release(), async {
        let (_, seq) = scene.stream.release().await;
        scene.stream.say(3, 1, Message::Lost(loss(1, 5, v1::LossReason::MaxHold)));
        scene.stream.refuse(seq, 4, "NOT_HOLDER");
        assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(5)));
        scene.stream.say(5, 0, Message::StoppedToken(5));
    });
    assert!(matches!(released, Err(Error::Lost(_))), "{released:?}");
}

#[tokio::test]
async fn a_grant_that_was_lost_before_it_was_heard_is_no_guard() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let (result, ()) = tokio::join!(mutex.lock(), async {
        let call = scene.stream.call().await;
        scene.reconnect().await;
        let standing = v1::Standing {
            holds: vec![standing_hold(call.seq, 5, v1::HoldState::Revoked)],
            losses: vec![loss(1, 5, v1::LossReason::MaxHold)],
            ..v1::Standing::default()
        };
        scene.stream.attached(5, standing).await;
        // Nobody uses it, so the next holder need not wait; and it is not asked for again.
        assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(5)));
    });
    match result {
        Err(Error::Lost(lost)) => assert_eq!(*lost.reason(), LostReason::MaxHold),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_grant_that_follows_its_own_loss_is_no_guard() {
    let mut scene = Scene::open().await;
    let mutex = scene.session.mutex("x");
    let (result, ()) = tokio::join!(mutex.lock(), async {
        let call = scene.stream.call().await;
        scene.stream.say(4, 1, Message::Lost(loss(1, 5, v1::LossReason::MaxHold)));
        scene.stream.grant(call.seq, 5, 3, 0);
        assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(5)));
    });
    assert!(matches!(result, Err(Error::Lost(_))), "{result:?}");
}
