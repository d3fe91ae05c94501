//! Every operation of a call over the session stream: the same answers as unary, in one order with the events.

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Answer;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::edited::Edited;
use conclave_proto::v1::stream_response::Message as Said;

use crate::primitives::{Client, arrive, lead, permits, run, rwlock, write};
use crate::support::{Stream, forever, start, wanted};

async fn asked(stream: &mut Stream, seq: u64, op: Op) -> Answer {
    stream.call(seq, op).await;
    stream.answer(seq).await
}

async fn granted(stream: &mut Stream, seq: u64, op: v1::AcquireOp) -> u64 {
    match asked(stream, seq, Op::Acquire(op)).await {
        Answer::Granted(granted) => granted.token,
        other => panic!("{seq} was not granted: {other:?}"),
    }
}

fn waiting(op: v1::AcquireOp) -> Op {
    Op::Acquire(v1::AcquireOp { wait: forever(), ..op })
}

#[tokio::test]
async fn a_read_write_lock_over_the_stream() {
    let server = start().await;
    let (mut stream, _key) = Stream::open(&server, "ann").await;
    let mut bob = Client::of(&server, "bob").await;
    let token = granted(&mut stream, 1, wanted("table", rwlock(v1::Mode::Upgradable))).await;
    let reader = bob.granted(wanted("table", rwlock(v1::Mode::Read))).await;
    let upgrade = |wait| Op::Upgrade(v1::UpgradeOp { token, wait });
    assert!(matches!(asked(&mut stream, 2, upgrade(None)).await, Answer::Held(_)));
    let queued = asked(&mut stream, 3, upgrade(forever())).await;
    assert!(matches!(queued, Answer::Queued(v1::Queued { position: 1 })), "{queued:?}");
    assert!(matches!(stream.next().await, Said::Contended(told) if told.token == token));
    bob.release(reader, 0).await.expect("released");
    let upgraded = stream.granted(3).await;
    let downgrade = v1::DowngradeOp { token: upgraded, to: v1::Mode::Read.into() };
    let answer = asked(&mut stream, 4, Op::Downgrade(downgrade)).await;
    assert!(matches!(answer, Answer::Downgraded(_)), "{answer:?}");
}

#[tokio::test]
async fn permits_and_values_over_the_stream() {
    let server = start().await;
    let (mut stream, _key) = Stream::open(&server, "ann").await;
    let token = granted(&mut stream, 1, wanted("batch", permits(3, 3))).await;
    let part = Op::Release(v1::ReleaseOp { token, permits: 1 });
    assert!(matches!(asked(&mut stream, 2, part).await, Answer::Released(_)));
    let too_many = Op::Release(v1::ReleaseOp { token, permits: 3 });
    let Answer::Problem(problem) = asked(&mut stream, 3, too_many).await else { panic!("taken") };
    assert_eq!(problem.reason, "WEIGHT_OVER_LIMIT");
    assert_eq!(problem.metadata.get("max").map(String::as_str), Some("2"));

    let guard = Some(v1::Guard { name: "batch".to_owned(), token });
    let name = "config".to_owned();
    let edit = Op::Edit(v1::EditOp { name, guard, change: Some(write(b"one", None)) });
    let Answer::Edited(v1::Edited { edited: Some(Edited::Register(state)) }) =
        asked(&mut stream, 4, edit.clone()).await
    else {
        panic!("not written")
    };
    // A retry is answered, not run again.
    let Answer::Edited(v1::Edited { edited: Some(Edited::Register(again)) }) =
        asked(&mut stream, 4, edit).await
    else {
        panic!("not answered")
    };
    assert_eq!(again.version, state.version);
}

#[tokio::test]
async fn an_election_and_a_once_over_the_stream() {
    let server = start().await;
    let (mut stream, _key) = Stream::open(&server, "ann").await;
    let term = granted(&mut stream, 1, wanted("leader", lead())).await;
    let proclaim = |term| Op::Proclaim(v1::ProclaimOp { term, value: b"here".to_vec() });
    assert!(matches!(asked(&mut stream, 2, proclaim(term)).await, Answer::Proclaimed(_)));
    let Answer::Problem(problem) = asked(&mut stream, 3, proclaim(term - 1)).await else {
        panic!("an old term")
    };
    assert_eq!(problem.reason, "NOT_HOLDER");
    let campaign = Some(v1::Campaign { eligible: Some(false), ..Default::default() });
    let aside = v1::AcquireOp { campaign, ..wanted("leader", lead()) };
    let queued = asked(&mut stream, 4, waiting(aside)).await;
    assert!(matches!(queued, Answer::Queued(v1::Queued { position: 0 })), "{queued:?}");
    let eligible = Op::SetEligible(v1::SetEligibleOp { campaign_seq: 4, eligible: true });
    assert!(matches!(asked(&mut stream, 5, eligible).await, Answer::EligibleSet(_)));
    assert!(matches!(stream.next().await, Said::Contended(told) if told.token == term));

    let runner = granted(&mut stream, 6, wanted("cache", run())).await;
    let queued = asked(&mut stream, 7, waiting(wanted("cache", run()))).await;
    assert!(matches!(queued, Answer::Queued(_)), "{queued:?}");
    assert!(matches!(stream.next().await, Said::Contended(told) if told.token == runner));
    let (value, retention_ms) = (b"result".to_vec(), 0);
    let complete = Op::Complete(v1::CompleteOp { token: runner, value, retention_ms });
    let Answer::Completed(completed) = asked(&mut stream, 8, complete).await else {
        panic!("not done")
    };
    let Answer::Passed(passed) = stream.answer(7).await else { panic!("not passed") };
    assert_eq!(passed.version, completed.version);
}

#[tokio::test]
async fn a_barrier_over_the_stream_tells_the_waiters_and_the_last_one() {
    let server = start().await;
    let (mut stream, _key) = Stream::open(&server, "ann").await;
    for seq in 1..3 {
        let queued = asked(&mut stream, seq, waiting(wanted("meeting", arrive(3)))).await;
        assert!(matches!(queued, Answer::Queued(_)), "{queued:?}");
    }
    stream.call(3, Op::Acquire(wanted("meeting", arrive(3)))).await;
    // The caller's own answer is the outcome of the entry, the others' are its events.
    for (seq, index) in [(3, 2), (1, 0), (2, 1)] {
        match stream.answer(seq).await {
            Answer::Passed(passed) => assert_eq!(passed.index, index, "{seq}"),
            other => panic!("{seq}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_broken_barrier_and_a_lost_hold_end_their_waits_with_a_problem() {
    let server = start().await;
    let (mut stream, _key) = Stream::open(&server, "ann").await;
    let breaking = || {
        let demand = v1::ArriveDemand { parties: 3, break_on_loss: true };
        wanted("meeting", v1::item::Demand::Arrive(demand))
    };
    for seq in 1..3 {
        asked(&mut stream, seq, waiting(breaking())).await;
    }
    stream.say(v1::stream_request::Message::CancelSeq(1)).await;
    assert!(matches!(stream.answer(1).await, Answer::Cancelled(_)));
    let Answer::Problem(problem) = stream.answer(2).await else { panic!("not broken") };
    assert_eq!(problem.reason, "BROKEN");

    let mut bob = Client::of(&server, "bob").await;
    let token = granted(&mut stream, 3, wanted("table", rwlock(v1::Mode::Upgradable))).await;
    bob.granted(wanted("table", rwlock(v1::Mode::Read))).await;
    asked(&mut stream, 4, Op::Upgrade(v1::UpgradeOp { token, wait: forever() })).await;
    assert!(matches!(stream.next().await, Said::Contended(_)));
    let release = Op::Release(v1::ReleaseOp { token, permits: 0 });
    assert!(matches!(asked(&mut stream, 5, release).await, Answer::Released(_)));
    let Answer::Problem(problem) = stream.answer(4).await else { panic!("not lost") };
    assert_eq!(problem.reason, "HOLD_LOST");
}
