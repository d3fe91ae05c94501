//! Semaphores, several things at once, and the options that all requests share.

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::item::Demand;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use super::fake::{FakeStream, loss};
use super::{Scene, now, seconds, within};
use crate::{Error, LockTimeoutError, Refusal, SemaphorePermit, TryLockError, Want};

async fn permits(scene: &mut Scene, permits: u32, token: u64) -> SemaphorePermit {
    let semaphore = scene.session.semaphore("s", 8);
    let (permit, ()) = tokio::join!(semaphore.acquire_many(permits), async {
        let (acquire, seq) = scene.stream.acquire().await;
        let demand = Demand::Permits(v1::PermitsDemand { weight: permits, limit: 8 });
        assert_eq!(acquire.items, [v1::Item { name: "s".to_owned(), demand: Some(demand) }]);
        scene.stream.grant(seq, token, token, 0);
    });
    permit.expect("granted")
}

/// The release that comes next: token, permits (zero: all), seq.
async fn part(stream: &mut FakeStream) -> (u64, u32, u64) {
    let call = stream.call().await;
    match call.op {
        Some(v1::call_request::Op::Release(op)) => (op.token, op.permits, call.seq),
        other => panic!("not a release: {other:?}"),
    }
}

#[tokio::test]
async fn permits_are_given_back_in_parts_and_the_last_part_gives_back_the_rest() {
    let mut scene = Scene::open().await;
    let mut whole = permits(&mut scene, 5, 3).await;
    assert!(whole.split(0).is_none() && whole.split(5).is_none() && whole.split(6).is_none());
    let two = whole.split(2).expect("five are there");
    let one = whole.split(1).expect("three are left");
    assert_eq!((whole.permits(), two.permits(), one.permits()), (2, 2, 1));
    assert_eq!(two.token(), whole.token());
    let (released, ()) = tokio::join!(two.release(), async {
        let (token, count, seq) = part(&mut scene.stream).await;
        assert_eq!((token, count), (3, 2));
        scene.stream.answer(seq, 4, 0, Outcome::Released(v1::Released {}));
    });
    released.expect("released");
    drop(one);
    let (token, count, seq) = part(&mut scene.stream).await;
    assert_eq!((token, count), (3, 1));
    scene.stream.answer(seq, 5, 0, Outcome::Released(v1::Released {}));
    assert!(whole.is_valid());
    drop(whole);
    let (token, count, _) = part(&mut scene.stream).await;
    assert_eq!((token, count), (3, 0));
}

#[tokio::test]
async fn lost_permits_have_stopped_when_the_last_part_has() {
    let mut scene = Scene::open().await;
    let mut whole = permits(&mut scene, 3, 3).await;
    let one = whole.split(1).expect("three are there");
    scene.stream.say(4, 1, Message::Lost(loss(1, 3, v1::LossReason::MaxHold)));
    within("the loss", one.lost()).await;
    assert!(!whole.is_valid());
    assert!(matches!(one.release().await, Err(Error::Lost(_))));
    // What comes next on the stream is a call: nothing was said about the part.
    let other = scene.guard("x", 8, 5).await;
    drop(whole);
    assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(3)));
    drop(other);
}

#[tokio::test]
async fn a_semaphore_refuses_by_type() {
    let mut scene = Scene::open().await;
    let semaphore = scene.session.semaphore("s", 8);
    assert!(matches!(
        semaphore.acquire_many(0).await,
        Err(Error::Refused(Refusal::Invalid { .. }))
    ));
    let none = scene.session.semaphore("s", 0);
    assert!(matches!(none.acquire().await, Err(Error::Refused(Refusal::Invalid { .. }))));
    let facts = [("weight", "9"), ("max", "8"), ("object", "5"), ("request", "8")];
    let metadata = facts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let problem =
        v1::Problem { reason: "WEIGHT_OVER_LIMIT".to_owned(), message: String::new(), metadata };
    let (refused, ()) = tokio::join!(semaphore.try_acquire_many(9), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.answer(seq, 2, 0, Outcome::Problem(problem.clone()));
    });
    let expected = Refusal::Weight { weight: 9, max: 8 };
    assert!(
        matches!(refused, Err(TryLockError::Failed(Error::Refused(refusal))) if refusal == expected)
    );
    let (refused, ()) = tokio::join!(semaphore.acquire_timeout(1, seconds(1.0)), async {
        let (_, seq) = scene.stream.acquire().await;
        let problem = v1::Problem { reason: "MISMATCH".to_owned(), ..problem };
        scene.stream.answer(seq, 3, 0, Outcome::Problem(problem));
    });
    let expected = Refusal::Mismatch { object: 5, request: 8 };
    assert!(
        matches!(refused, Err(LockTimeoutError::Failed(Error::Refused(refusal))) if refusal == expected)
    );
}

#[tokio::test]
async fn several_things_are_one_grant() {
    let mut scene = Scene::open().await;
    let wants = [Want::mutex("a"), Want::read("b"), Want::write("c"), Want::permits("d", 8, 2)];
    let all = scene.session.acquire_all(wants).priority(3);
    let (guard, ()) = tokio::join!(all.acquire(), async {
        let (acquire, seq) = scene.stream.acquire().await;
        let names: Vec<&str> = acquire.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!((names, acquire.priority), (vec!["a", "b", "c", "d"], 3));
        let write = v1::RwlockDemand { mode: v1::Mode::Write.into() };
        assert_eq!(acquire.items[2].demand, Some(Demand::Rwlock(write)));
        scene.stream.grant(seq, 7, 2, 0);
    });
    let guard = guard.expect("granted");
    assert_eq!(guard.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    drop(guard);
    assert_eq!(scene.stream.released(3).await, 7);
    let (tried, ()) = tokio::join!(all.try_acquire(), async {
        let (_, seq) = scene.stream.acquire().await;
        let held = v1::HeldBy { name: "c".to_owned(), ..v1::HeldBy::default() };
        scene.stream.answer(seq, 4, 0, Outcome::Held(held));
    });
    assert!(matches!(tried, Err(TryLockError::Held(held)) if held.name == "c"));
    for count in [0, 65] {
        let wants = (0..count).map(|n| Want::mutex(format!("x{n}")));
        let refused = scene.session.acquire_all(wants).acquire().await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::Invalid { .. }))), "{count}");
    }
}

#[tokio::test]
async fn the_options_of_a_request_are_sent() {
    let mut scene = Scene::open().await;
    let lock = scene.session.rwlock("x").owner("me").priority(-2).max_hold(seconds(1.5));
    let lock = lock.metadata("k", "v").fail_on_deadlock();
    let (refused, ()) = tokio::join!(lock.write(), async {
        let (acquire, seq) = scene.stream.acquire().await;
        assert_eq!((acquire.owner.as_deref(), acquire.priority), (Some("me"), -2));
        assert_eq!((acquire.max_hold_ms, acquire.fail_on_deadlock), (1_500, true));
        assert_eq!(acquire.metadata["k"], "v");
        let step = v1::DeadlockEdge { session: 4, owner: "you".to_owned(), ..Default::default() };
        let cycle = vec![v1::DeadlockEdge::default(), step];
        scene.stream.answer(seq, 2, 0, Outcome::Deadlock(v1::Deadlock { cycle }));
    });
    match refused {
        Err(Error::Refused(Refusal::Deadlock { cycle })) => assert_eq!(cycle[1].owner, "you"),
        other => panic!("{other:?}"),
    }
    let mut wrong = Box::pin(scene.session.mutex("x").owner("").lock_owned_for_test());
    assert!(matches!(now(wrong.as_mut()), Some(Err(Error::Refused(_)))));
}

impl crate::Mutex {
    async fn lock_owned_for_test(self) -> Result<crate::MutexGuard, Error> {
        self.lock().await
    }
}
