//! What nobody holds: latches, gates, barriers, registers, counters.

use conclave_proto::v1;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::edited::Edited;
use conclave_proto::v1::item::Demand;
use conclave_proto::v1::stream_request::Message as Request;

use super::{Scene, now, seconds};
use crate::{Error, Refusal, Version};

#[tokio::test]
async fn a_latch_is_counted_down_and_waited_for() {
    let mut scene = Scene::open().await;
    let latch = scene.session.latch("l");
    let (state, ()) = tokio::join!(latch.create(2), async {
        let (edit, seq) = scene.stream.edit().await;
        assert_eq!(edit.change, Some(Change::CreateLatch(v1::CreateLatch { count: 2 })));
        scene.stream.edited(seq, 2, Edited::Latch(v1::LatchState { round: 5, remaining: 2 }));
    });
    let state = state.expect("created");
    assert_eq!((state.round.get(), state.remaining), (5, 2));
    let (state, ()) = tokio::join!(latch.count_down_once("shard-1"), async {
        let (edit, seq) = scene.stream.edit().await;
        let key = Some("shard-1".to_owned());
        assert_eq!(edit.change, Some(Change::CountDown(v1::CountDown { by: 1, key })));
        scene.stream.edited(seq, 3, Edited::Latch(v1::LatchState { round: 5, remaining: 1 }));
    });
    assert_eq!(state.expect("counted").remaining, 1);
    let (waited, ()) = tokio::join!(latch.wait_timeout(seconds(0.0)), async {
        let (acquire, seq) = scene.stream.acquire().await;
        assert_eq!(acquire.items[0].demand, Some(Demand::Latch(v1::LatchDemand {})));
        scene.stream.answer(seq, 3, 0, v1::call_answer::Result::Held(v1::HeldBy::default()));
    });
    assert_eq!(waited.expect("answered"), None);
    let (waited, ()) = tokio::join!(latch.wait(), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.queue(seq, 1, 4);
        scene.stream.pass(seq, 5, 5, 0);
    });
    assert_eq!(waited.expect("passed"), Version::new(5));
    let facts = [("remaining".to_owned(), "1".to_owned())].into();
    let (refused, ()) = tokio::join!(latch.count_down(7), async {
        let (_, seq) = scene.stream.edit().await;
        let reason = "BELOW_ZERO".to_owned();
        let problem = v1::Problem { reason, message: String::new(), metadata: facts };
        scene.stream.answer(seq, 6, 0, v1::call_answer::Result::Problem(problem));
    });
    assert!(matches!(refused, Err(Error::Refused(Refusal::BelowZero { remaining: 1 }))));
}

/// The latch was done while nobody was attached to the wait: the cluster remembers the latch, not the wait.
#[tokio::test]
async fn a_wait_at_a_latch_whose_end_was_missed_is_asked_for_anew() {
    let mut scene = Scene::open().await;
    let latch = scene.session.latch("l");
    let (waited, ()) = tokio::join!(latch.wait(), async {
        let (_, first) = scene.stream.acquire().await;
        let reason = "SEQ_GONE".to_owned();
        let problem = v1::Problem { reason, message: String::new(), metadata: [].into() };
        scene.stream.answer(first, 3, 0, v1::call_answer::Result::Problem(problem));
        let (_, second) = scene.stream.acquire().await;
        assert_ne!(second, first);
        scene.stream.pass(second, 5, 5, 0);
    });
    assert_eq!(waited.expect("passed"), Version::new(5));
}

#[tokio::test]
async fn a_gate_is_opened_and_passed() {
    let mut scene = Scene::open().await;
    let gate = scene.session.gate("g");
    let (opened, ()) = tokio::join!(gate.open(), async {
        let (edit, seq) = scene.stream.edit().await;
        assert_eq!(edit.change, Some(Change::SetGate(v1::SetGate { open: true })));
        scene.stream.edited(seq, 2, Edited::Gate(v1::GateState { open: true }));
    });
    opened.expect("opened");
    let (passed, ()) = tokio::join!(gate.wait(), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.pass(seq, 3, 8, 0);
    });
    assert_eq!(passed.expect("passed"), Version::new(8));
}

#[tokio::test]
async fn a_barrier_is_passed_together_or_left() {
    let mut scene = Scene::open().await;
    let barrier = scene.session.barrier("b", 3).break_on_loss();
    let (passed, ()) = tokio::join!(barrier.arrive_and_wait(), async {
        let (acquire, seq) = scene.stream.acquire().await;
        let demand = v1::ArriveDemand { parties: 3, break_on_loss: true };
        assert_eq!(acquire.items[0].demand, Some(Demand::Arrive(demand)));
        scene.stream.pass(seq, 3, 8, 2);
    });
    let passed = passed.expect("passed");
    assert_eq!((passed.generation.get(), passed.index, passed.is_last), (8, 2, true));
    let (broken, ()) = tokio::join!(barrier.arrive_and_wait(), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.queue(seq, 1, 4);
        scene.stream.refuse(seq, 5, "BROKEN");
    });
    assert!(matches!(broken, Err(Error::Refused(Refusal::Broken))));
    let none = scene.session.barrier("b", 0);
    assert!(matches!(none.arrive_and_wait().await, Err(Error::Refused(Refusal::Invalid { .. }))));
    // Whoever leaves withdraws the arrival.
    let mut arriving = Box::pin(barrier.arrive_and_wait());
    assert!(now(arriving.as_mut()).is_none());
    let (_, seq) = scene.stream.acquire().await;
    drop(arriving);
    let cancel = Request::CancelSeq(seq);
    assert_eq!(scene.stream.next().await, Some(cancel));
}

#[tokio::test]
async fn a_register_is_compared_set_guarded_and_bound() {
    let mut scene = Scene::open().await;
    let guard = scene.guard("lock", 3, 2).await;
    let register = scene.session.register("r").guarded(&guard).bound();
    let (version, ()) = tokio::join!(register.create("one"), async {
        let (edit, seq) = scene.stream.edit().await;
        assert_eq!(edit.guard, Some(v1::Guard { name: "lock".to_owned(), token: 3 }));
        let expect = Some(v1::Expect { expect: Some(v1::expect::Expect::Absent(true)) });
        let set = v1::SetRegister { value: b"one".to_vec(), expect, bound: true };
        assert_eq!(edit.change, Some(Change::SetRegister(set)));
        scene.stream.edited(seq, 3, Edited::Register(v1::RegisterState { version: 7 }));
    });
    let version = version.expect("written");
    assert_eq!(version.get(), 7);
    let (refused, ()) = tokio::join!(register.compare_and_set(version, vec![0xff]), async {
        let (_, seq) = scene.stream.edit().await;
        scene.stream.edited(seq, 4, Edited::Conflict(v1::Conflict { version: Some(9) }));
    });
    match refused {
        Err(Error::Refused(Refusal::Conflict { version })) => {
            assert_eq!(version, Some(Version::new(9)));
        }
        other => panic!("{other:?}"),
    }
    let (refused, ()) = tokio::join!(register.set("two"), async {
        let (edit, seq) = scene.stream.edit().await;
        assert!(matches!(edit.change, Some(Change::SetRegister(set)) if set.expect.is_none()));
        scene.stream.refuse(seq, 5, "GUARD");
    });
    assert!(matches!(refused, Err(Error::Refused(Refusal::Guard))));
    let (deleted, ()) = tokio::join!(register.delete(), async {
        let (_, seq) = scene.stream.edit().await;
        scene.stream.edited(seq, 6, Edited::RegisterDeleted(v1::RegisterDeleted {}));
    });
    deleted.expect("deleted");
    let long = register.set(vec![0; 64 * 1024 + 1]).await;
    assert!(matches!(long, Err(Error::Refused(Refusal::Invalid { .. }))), "never sent");
    assert_eq!(register.get().await.expect("answered"), None);
    let entry = (9, b"two".to_vec());
    scene.fake.values.lock().expect("fine").registers.insert("r".to_owned(), entry);
    let entry = register.get().await.expect("answered").expect("there");
    assert_eq!((entry.version.get(), entry.value.as_text()), (9, Some("two")));
    assert_eq!(entry.bound_to, Some(scene.session.id()));
}

#[tokio::test]
async fn a_counter_adds_exactly_once() {
    let mut scene = Scene::open().await;
    let counter = scene.session.counter("c");
    let (value, ()) = tokio::join!(counter.add(-3), async {
        let (first, seq) = scene.stream.edit().await;
        assert_eq!(first.change, Some(Change::AddCounter(v1::AddCounter { delta: -3 })));
        scene.reconnect().await;
        scene.stream.attached(3, v1::Standing::default()).await;
        let (again, same) = scene.stream.edit().await;
        assert_eq!((again, same), (first, seq));
        scene.stream.edited(seq, 4, Edited::Counter(v1::CounterState { value: 39 }));
    });
    assert_eq!(value.expect("added"), 39);
    assert_eq!(counter.get().await.expect("answered"), 0);
    scene.fake.values.lock().expect("fine").counters.insert("c".to_owned(), -7);
    assert_eq!(counter.get().await.expect("answered"), -7);
}
