//! Elections: candidates, terms, and work that stops before anybody else may lead.

use std::pin::pin;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::item::Demand;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;

use tokio::sync::{mpsc, oneshot};

use super::fake::loss;
use super::{Scene, now, seconds, within};
use crate::{Error, Led, LostReason, Refusal, SessionEnd, SessionState, TryLockError};

#[tokio::test]
async fn a_campaign_says_how_it_wants_to_lead() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e").value("here").priority(2);
    let election = election.preempt_after(seconds(5.0));
    let (leadership, ()) = tokio::join!(election.campaign(), async {
        let (acquire, seq) = scene.stream.acquire().await;
        assert_eq!(acquire.items[0].demand, Some(Demand::Lead(v1::LeadDemand {})));
        let campaign = v1::Campaign {
            value: b"here".to_vec(),
            eligible: Some(true),
            preempt_after_ms: Some(5_000),
        };
        assert_eq!((acquire.campaign, acquire.priority), (Some(campaign), 2));
        scene.stream.grant(seq, 7, 2, 0);
    });
    let leadership = leadership.expect("won");
    assert_eq!(leadership.term().get(), 7);
    let (proclaimed, ()) = tokio::join!(leadership.proclaim("there"), async {
        let call = scene.stream.call().await;
        let proclaim = v1::ProclaimOp { term: 7, value: b"there".to_vec() };
        assert_eq!(call.op, Some(Op::Proclaim(proclaim)));
        scene.stream.answer(call.seq, 3, 0, Outcome::Proclaimed(v1::Proclaimed {}));
    });
    proclaimed.expect("proclaimed");
    let long = leadership.proclaim(vec![0; 4097]).await;
    assert!(matches!(long, Err(Error::Refused(Refusal::Invalid { .. }))), "never sent");
    // The term is over: told by the answer.
    let (proclaimed, ()) = tokio::join!(leadership.proclaim("there"), async {
        let call = scene.stream.call().await;
        scene.stream.refuse(call.seq, 4, "NOT_HOLDER");
    });
    assert!(matches!(proclaimed, Err(Error::Lost(_))), "{proclaimed:?}");
    assert!(!leadership.is_valid());
    drop(leadership);
    assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(7)));
}

#[tokio::test]
async fn a_standby_becomes_eligible_and_wins() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e").eligible(false);
    let mut candidacy = election.stand().expect("asked");
    let (acquire, campaign_seq) = scene.stream.acquire().await;
    assert_eq!(acquire.campaign.and_then(|campaign| campaign.eligible), Some(false));
    scene.stream.queue(campaign_seq, 0, 2);
    assert!(now(pin!(candidacy.won())).is_none());
    let (made, ()) = tokio::join!(candidacy.set_eligible(true), async {
        let call = scene.stream.call().await;
        let eligible = v1::SetEligibleOp { campaign_seq, eligible: true };
        assert_eq!(call.op, Some(Op::SetEligible(eligible)));
        scene.stream.answer(call.seq, 3, 0, Outcome::EligibleSet(v1::EligibleSet {}));
        scene.stream.grant(campaign_seq, 7, 3, 1);
    });
    made.expect("made eligible");
    let leadership = within("the leadership", candidacy.won()).await.expect("won");
    let (resigned, token) = tokio::join!(leadership.resign(), scene.stream.released(4));
    resigned.expect("resigned");
    assert_eq!(token, 7);
    let other = election.stand().expect("asked");
    let (_, seq) = scene.stream.acquire().await;
    drop(other);
    assert_eq!(scene.stream.next().await, Some(Request::CancelSeq(seq)));
}

#[tokio::test]
async fn a_campaign_fails_at_once_when_its_session_dies() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e");
    let mut campaign = pin!(election.campaign());
    assert!(now(campaign.as_mut()).is_none());
    scene.stream.acquire().await;
    scene.clock.advance(seconds(9.0));
    let ended = within("the end", campaign).await;
    assert!(matches!(ended, Err(Error::SessionEnded(SessionEnd::Expired))));
}

#[tokio::test]
async fn who_leads_is_looked_up() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e");
    assert_eq!(election.leader().await.expect("answered"), None);
    let leader = v1::Holder { token: 7, value: Some(b"here".to_vec()), ..Default::default() };
    let candidate = v1::Candidate { rank: 1, value: b"there".to_vec(), ..Default::default() };
    scene.fake.values.lock().expect("fine").election =
        v1::ElectionView { leader: Some(leader), candidates: vec![candidate], queue_len: 1 };
    let view = election.view().await.expect("answered");
    assert_eq!(view.leader.and_then(|leader| leader.value), Some("here".into()));
    assert_eq!((view.candidates[0].value.as_text(), view.revision), (Some("there"), 9));
    let (tried, ()) = tokio::join!(election.try_campaign(), async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.answer(seq, 2, 0, Outcome::Held(v1::HeldBy::default()));
    });
    assert!(matches!(tried, Err(TryLockError::Held(_))));
}

#[tokio::test]
async fn work_that_ends_by_itself_gives_the_leadership_up() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e");
    let (led, token) = tokio::join!(
        election.run_as_leader(async |term, cancel| {
            assert!(!cancel.is_cancelled());
            term.get()
        }),
        async {
            let (_, seq) = scene.stream.acquire().await;
            scene.stream.grant(seq, 7, 2, 0);
            scene.stream.released(3).await
        }
    );
    assert!(matches!(led, Ok(Led::Finished(7))), "{led:?}");
    assert_eq!(token, 7);
}

#[tokio::test]
async fn work_is_told_to_stop_and_waited_for_before_that_is_said() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e");
    let (drained, draining) = oneshot::channel::<()>();
    let (begun, beginning) = oneshot::channel::<()>();
    let work = election.run_as_leader(async |_, cancel| {
        begun.send(()).expect("the test goes on");
        cancel.cancelled().await;
        draining.await.expect("the test goes on");
        "drained"
    });
    let (led, ()) = tokio::join!(work, async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.grant(seq, 7, 2, 0);
        within("the work", beginning).await.expect("begun");
        scene.stream.say(3, 1, Message::Lost(loss(1, 7, v1::LossReason::Transferred)));
        // Nothing is said about it before the work has come to its end: what comes first is another call.
        let other = scene.guard("x", 9, 4).await;
        drained.send(()).expect("the work goes on");
        assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(7)));
        scene.stream.say(5, 0, Message::StoppedToken(7));
        drop(other);
    });
    match led {
        Ok(Led::Stopped { value: "drained", lost: Some(lost) }) => {
            assert_eq!(*lost.reason(), LostReason::Transferred { by: "ops".to_owned() });
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn work_is_told_to_stop_in_jeopardy_before_the_local_deadline() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e");
    let work = election.run_as_leader(async |_, cancel| cancel.cancelled().await);
    let (led, ()) = tokio::join!(work, async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.grant(seq, 7, 2, 0);
        drop(scene.guard("x", 9, 3).await);
        assert_eq!(scene.stream.release().await.0, 9);
        scene.clock.advance(seconds(6.7));
        assert_eq!(scene.session.state(), SessionState::Jeopardy);
        // It still leads, so it resigns.
        loop {
            match scene.stream.next().await {
                Some(Request::KeepAlive(_)) => {}
                Some(Request::Call(call)) => {
                    assert_eq!(call.op, Some(Op::Release(v1::ReleaseOp { token: 7, permits: 0 })));
                    scene.stream.answer(call.seq, 4, 0, Outcome::Released(v1::Released {}));
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(matches!(led, Ok(Led::Stopped { value: (), lost: None })), "{led:?}");
}

#[tokio::test]
async fn a_leader_that_is_to_lead_again_does_until_its_work_is_done() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e");
    let mut terms = Vec::new();
    let (begun, mut beginning) = mpsc::unbounded_channel();
    let leading = election.keep_leading(async |term, cancel| {
        terms.push(term.get());
        begun.send(()).expect("the test goes on");
        if terms.len() < 2 {
            cancel.cancelled().await;
        }
        terms.len()
    });
    let (led, ()) = tokio::join!(leading, async {
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.grant(seq, 7, 2, 0);
        within("the work", beginning.recv()).await.expect("begun");
        scene.stream.say(3, 1, Message::Lost(loss(1, 7, v1::LossReason::Preempted)));
        assert_eq!(scene.stream.next().await, Some(Request::AckStoppedToken(7)));
        scene.stream.say(4, 0, Message::StoppedToken(7));
        let (_, seq) = scene.stream.acquire().await;
        scene.stream.grant(seq, 8, 5, 0);
        assert_eq!(scene.stream.released(6).await, 8);
    });
    assert_eq!(led.expect("done"), 2);
    assert_eq!(terms, [7, 8]);
}

#[tokio::test]
async fn leading_may_be_a_task_of_its_own() {
    let mut scene = Scene::open().await;
    let election = scene.session.election("e");
    let task = tokio::spawn(async move {
        let work = async |term, _| {
            tokio::task::yield_now().await;
            term
        };
        election.run_as_leader(work).await
    });
    let (_, seq) = scene.stream.acquire().await;
    scene.stream.grant(seq, 7, 2, 0);
    assert_eq!(scene.stream.released(3).await, 7);
    let led = within("the task", task).await.expect("no panic");
    assert!(matches!(led, Ok(Led::Finished(term)) if term.get() == 7));
}
