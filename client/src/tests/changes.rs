//! Changes of a hold: an upgrade gives it another token, whatever crosses it on the way.

use std::pin::pin;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use super::fake::{FakeStream, loss, standing_hold};
use super::{Scene, now, seconds, within};
use crate::{Error, LockTimeoutError, LostReason, Refusal, RwLockUpgradableGuard};

async fn upgradable(scene: &mut Scene, token: u64) -> RwLockUpgradableGuard {
    let lock = scene.session.rwlock("x");
    let (guard, ()) = tokio::join!(lock.upgradable(), async {
        let (acquire, seq) = scene.stream.acquire().await;
        let rwlock = v1::RwlockDemand { mode: v1::Mode::Upgradable.into() };
        assert_eq!(acquire.items[0].demand, Some(v1::item::Demand::Rwlock(rwlock)));
        scene.stream.grant(seq, token, token, 0);
    });
    guard.expect("granted")
}

/// The upgrade that comes next: its token and seq.
async fn upgrade(stream: &mut FakeStream) -> (v1::UpgradeOp, u64) {
    let call = stream.call().await;
    match call.op {
        Some(Op::Upgrade(upgrade)) => (upgrade, call.seq),
        other => panic!("not an upgrade: {other:?}"),
    }
}

async fn downgrade(stream: &mut FakeStream) -> (v1::DowngradeOp, u64) {
    let call = stream.call().await;
    match call.op {
        Some(Op::Downgrade(downgrade)) => (downgrade, call.seq),
        other => panic!("not a downgrade: {other:?}"),
    }
}

#[tokio::test]
async fn an_upgrade_is_the_same_hold_by_another_token() {
    let mut scene = Scene::open().await;
    let guard = upgradable(&mut scene, 3).await;
    let watch = guard.watch();
    let (guard, ()) = tokio::join!(guard.upgrade(), async {
        let (op, seq) = upgrade(&mut scene.stream).await;
        assert_eq!(
            (op.token, op.wait),
            (3, Some(v1::Wait { kind: Some(v1::wait::Kind::Forever(true)) }))
        );
        scene.stream.queue(seq, 1, 4);
        scene.stream.grant(seq, 9, 5, 0);
    });
    let guard = guard.expect("upgraded");
    assert_eq!((guard.token().get(), watch.token().get()), (9, 9));
    assert!(guard.is_valid() && watch.is_valid());
    let attach = scene.reconnect().await;
    assert_eq!(attach.held, [9], "the old token is dead");
    let held = standing_hold(2, 9, v1::HoldState::Held);
    scene.stream.attached(6, v1::Standing { holds: vec![held], ..Default::default() }).await;
    let (guard, ()) = tokio::join!(guard.downgrade(), async {
        let (op, seq) = downgrade(&mut scene.stream).await;
        assert_eq!((op.token, op.to), (9, v1::Mode::Read.into()));
        scene.stream.answer(seq, 7, 0, Outcome::Downgraded(v1::Downgraded {}));
    });
    let (released, token) =
        tokio::join!(guard.expect("downgraded").release(), scene.stream.released(8));
    released.expect("released");
    assert_eq!(token, 9);
}

#[tokio::test]
async fn an_upgrade_that_fails_gives_the_guard_back() {
    let mut scene = Scene::open().await;
    let guard = upgradable(&mut scene, 3).await;
    let (failed, ()) = tokio::join!(guard.upgrade_timeout(seconds(1.0)), async {
        let (_, seq) = upgrade(&mut scene.stream).await;
        let held = v1::HeldBy { holders_total: 2, ..Default::default() };
        scene.stream.answer(seq, 4, 0, Outcome::TimedOut(held));
    });
    let failed = failed.expect_err("others read");
    assert!(matches!(failed.reason, LockTimeoutError::TimedOut(held) if held.holders_total == 2));
    let (failed, ()) = tokio::join!(failed.guard.upgrade_timeout(seconds(1e9)), async {});
    let failed = failed.expect_err("too long");
    assert!(matches!(failed.reason, LockTimeoutError::Failed(Error::Refused(_))));
    let guard = failed.guard;
    assert!(guard.is_valid());
    drop(guard);
    assert_eq!(scene.stream.release().await.0, 3);
}

#[tokio::test]
async fn a_reader_among_others_is_told_instead_of_waiting() {
    let mut scene = Scene::open().await;
    let lock = scene.session.rwlock("x");
    let (guard, ()) = tokio::join!(lock.read(), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.grant(seq, 3, 3, 0);
    });
    let (failed, ()) = tokio::join!(guard.expect("granted").try_upgrade(), async {
        let (op, seq) = upgrade(&mut scene.stream).await;
        assert_eq!(op.wait, Some(v1::Wait { kind: Some(v1::wait::Kind::None(true)) }));
        scene.stream.refuse(seq, 4, "WOULD_DEADLOCK");
    });
    let failed = failed.expect_err("others read");
    assert!(matches!(failed.error, Error::Refused(Refusal::WouldDeadlock)));
    assert!(failed.guard.is_valid());
}

#[tokio::test]
async fn a_dropped_upgrade_releases_the_hold_by_whatever_token_it_has() {
    let mut scene = Scene::open().await;
    // Granted before anything was withdrawn.
    let mut upgrading = Box::pin(upgradable(&mut scene, 3).await.upgrade());
    assert!(now(upgrading.as_mut()).is_none());
    let (_, seq) = upgrade(&mut scene.stream).await;
    scene.stream.grant(seq, 9, 5, 0);
    drop(scene.guard("other", 10, 6).await);
    assert_eq!(scene.stream.released(7).await, 10);
    drop(upgrading);
    assert_eq!(scene.stream.released(8).await, 9);
    // Granted after the cancel and the release have been sent.
    let mut upgrading = Box::pin(upgradable(&mut scene, 13).await.upgrade());
    assert!(now(upgrading.as_mut()).is_none());
    let (_, seq) = upgrade(&mut scene.stream).await;
    drop(upgrading);
    assert_eq!(scene.stream.next().await, Some(Request::CancelSeq(seq)));
    let (token, release) = scene.stream.release().await;
    assert_eq!(token, 13);
    scene.stream.grant(seq, 19, 14, 0);
    scene.stream.refuse(release, 15, "NOT_HOLDER");
    assert_eq!(scene.stream.released(16).await, 19, "the new token was leaked");
}

#[tokio::test]
async fn an_upgrade_that_nobody_waits_for_any_more_is_taken_back() {
    let mut scene = Scene::open_with(seconds(1.0)).await;
    let mut upgrading = Box::pin(upgradable(&mut scene, 3).await.try_upgrade());
    assert!(now(upgrading.as_mut()).is_none());
    let (_, seq) = upgrade(&mut scene.stream).await;
    let attach = scene.reconnect().await;
    assert_eq!((attach.held, attach.waiting), (vec![3], vec![seq]));
    scene.clock.advance(seconds(1.5));
    let failed = within("an error", upgrading).await.expect_err("not answered");
    assert!(matches!(failed.reason, LockTimeoutError::Failed(Error::NotAnswered(_))));
    // It happened all the same, and is not judged by its old token.
    let held = standing_hold(seq, 9, v1::HoldState::Held);
    scene.stream.attached(6, v1::Standing { holds: vec![held], ..Default::default() }).await;
    assert!(failed.guard.is_valid());
    assert_eq!(scene.stream.next().await, Some(Request::CancelSeq(seq)));
    scene.stream.grant(seq, 9, 5, 0);
    let (op, _) = downgrade(&mut scene.stream).await;
    assert_eq!((op.token, op.to), (9, v1::Mode::Upgradable.into()));
    assert!(failed.guard.is_valid());
}

#[tokio::test]
async fn an_upgrade_that_was_taken_away_unheard_is_a_lost_guard_until_its_user_stops() {
    let mut scene = Scene::open().await;
    let guard = upgradable(&mut scene, 3).await;
    let mut upgrading = Box::pin(guard.upgrade());
    assert!(now(upgrading.as_mut()).is_none());
    let (_, seq) = upgrade(&mut scene.stream).await;
    scene.reconnect().await;
    let standing = v1::Standing {
        holds: vec![standing_hold(seq, 9, v1::HoldState::Revoked)],
        losses: vec![loss(1, 9, v1::LossReason::MaxHold)],
        waits: Vec::new(),
    };
    scene.stream.attached(6, standing).await;
    let failed = within("the answer", upgrading).await.expect_err("lost");
    assert!(matches!(&failed.error, Error::Lost(lost) if *lost.reason() == LostReason::MaxHold));
    assert!(!failed.guard.is_valid());
    drop(failed);
    assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(9)));
}

#[tokio::test]
async fn a_hold_that_is_gone_is_lost_for_the_reason_that_follows_the_end_of_its_upgrade() {
    let mut scene = Scene::open().await;
    let guard = upgradable(&mut scene, 3).await;
    let (failed, ()) = tokio::join!(guard.upgrade(), async {
        let (_, seq) = upgrade(&mut scene.stream).await;
        scene.stream.refuse(seq, 4, "HOLD_LOST");
        scene.stream.say(4, 1, Message::Lost(loss(1, 3, v1::LossReason::ForceReleased)));
    });
    let failed = failed.expect_err("lost");
    assert!(matches!(failed.error, Error::Refused(Refusal::HoldLost)), "{:?}", failed.error);
    let lost = within("the loss", failed.guard.lost()).await;
    let by = "ops".to_owned();
    assert_eq!(*lost.reason(), LostReason::ForceReleased { by });
    assert!(!failed.guard.is_valid());
    // Nothing more is asked of it.
    let mut again = pin!(failed.guard.upgrade());
    assert!(
        matches!(now(again.as_mut()), Some(Err(failed)) if matches!(failed.error, Error::Lost(_)))
    );
}
