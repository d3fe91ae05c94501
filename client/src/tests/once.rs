//! Once: one runs, all others get its result.

use std::convert::Infallible;
use std::pin::pin;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::item::Demand;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use super::fake::{FakeStream, loss};
use super::{Scene, now, seconds, within};
use crate::{Error, LostReason, OnceError, OnceResult, Refusal, Turn, Value};

/// The completion that comes next, and its seq.
async fn complete(stream: &mut FakeStream) -> (v1::CompleteOp, u64) {
    let call = stream.call().await;
    match call.op {
        Some(Op::Complete(complete)) => (complete, call.seq),
        other => panic!("not a completion: {other:?}"),
    }
}

#[tokio::test]
async fn whoever_is_first_runs_it_and_tells_the_result() {
    let mut scene = Scene::open().await;
    let once = scene.session.once("k", seconds(60.0)).attempts_max(3);
    let (result, ()) = tokio::join!(
        once.run(async |run| Ok::<_, Infallible>(format!("by {}", run.token()))),
        async {
            let (acquire, seq) = scene.stream.acquire().await;
            let demand = Demand::Run(v1::RunDemand { attempts_max: 3 });
            assert_eq!(acquire.items[0].demand, Some(demand));
            scene.stream.grant(seq, 7, 2, 0);
            let (op, seq) = complete(&mut scene.stream).await;
            assert_eq!((op.token, op.retention_ms), (7, 60_000));
            assert_eq!(op.value, b"by 7");
            // The answer is lost on its way; the hold that ended is not judged, and the same is asked again.
            assert_eq!(scene.reconnect().await.held, [7]);
            scene.stream.attached(4, v1::Standing::default()).await;
            let (_, again) = complete(&mut scene.stream).await;
            assert_eq!(again, seq);
            scene.stream.answer(seq, 3, 0, Outcome::Completed(v1::Completed { version: 8 }));
        }
    );
    assert_eq!(result.expect("done"), OnceResult { value: Value::from("by 7"), ran: true });
    // Nothing is left to be released.
    drop(scene.guard("x", 9, 10).await);
    assert_eq!(scene.stream.release().await.0, 9);
}

#[tokio::test]
async fn whoever_waits_gets_the_result_and_runs_if_it_is_forgotten() {
    let mut scene = Scene::open().await;
    let once = scene.session.once("k", seconds(60.0));
    scene.fake.values.lock().expect("fine").results.insert(("k".to_owned(), 9), b"nine".to_vec());
    let never = async |_: &crate::OnceRun| -> Result<Value, Infallible> { panic!("it was done") };
    let (result, ()) = tokio::join!(once.run(never), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.queue(seq, 1, 2);
        // Done, and forgotten before it was fetched: asked again.
        scene.stream.pass(seq, 3, 8, 0);
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.pass(seq, 4, 9, 0);
    });
    assert_eq!(result.expect("done"), OnceResult { value: Value::from("nine"), ran: false });
    let (turn, ()) = tokio::join!(once.try_turn(), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.answer(seq, 5, 0, Outcome::Held(v1::HeldBy::default()));
    });
    assert!(turn.expect("answered").is_none());
}

#[tokio::test]
async fn a_run_that_fails_is_the_next_ones_turn() {
    let mut scene = Scene::open().await;
    let once = scene.session.once("k", seconds(60.0));
    let (result, token) = tokio::join!(once.run(async |_| Err::<Value, _>("no network")), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.grant(seq, 7, 2, 0);
        scene.stream.released(3).await
    });
    assert!(matches!(result, Err(OnceError::Run("no network"))));
    assert_eq!(token, 7);
    let (refused, ()) = tokio::join!(once.turn(), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.refuse(seq, 4, "ATTEMPTS_EXHAUSTED");
    });
    assert!(matches!(refused, Err(Error::Refused(Refusal::AttemptsExhausted { .. }))));
}

#[tokio::test]
async fn a_run_that_is_lost_is_stopped_and_then_said_to_have_stopped() {
    let mut scene = Scene::open().await;
    let once = scene.session.once("k", seconds(60.0));
    let (result, ()) = tokio::join!(
        once.run(async |_| {
            std::future::pending::<()>().await;
            Ok::<_, Infallible>("never")
        }),
        async {
            let (_, seq) = scene.stream.acquire().await;
            scene.stream.grant(seq, 7, 2, 0);
            scene.stream.say(3, 1, Message::Lost(loss(1, 7, v1::LossReason::ForceReleased)));
            assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(7)));
        }
    );
    match result {
        Err(OnceError::Failed(Error::Lost(lost))) => {
            assert_eq!(*lost.reason(), LostReason::ForceReleased { by: "ops".to_owned() });
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_turn_is_given_back_unless_its_result_is_told() {
    let mut scene = Scene::open().await;
    let once = scene.session.once("k", seconds(60.0));
    let mut run = {
        let (turn, ()) = tokio::join!(once.turn(), async {
            let (_, seq) = scene.stream.acquire().await;
            scene.stream.grant(seq, 7, 2, 0);
        });
        let Turn::Run(run) = turn.expect("granted") else { panic!("not a turn") };
        Box::pin(run.complete("value", seconds(60.0)))
    };
    assert!(now(run.as_mut()).is_none());
    let (_, seq) = complete(&mut scene.stream).await;
    scene.stream.refuse(seq, 3, "LIMIT_VALUES");
    let refused = within("the refusal", pin!(run)).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::Limit { .. }))));
    assert_eq!(scene.stream.release().await.0, 7);
}
