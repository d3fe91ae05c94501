//! Unary waits of every kind: granted, passed, refused, timed out, withdrawn; the operator's verbs that end them.

use conclave_proto::v1;
use conclave_proto::v1::acquire_response::Result as Acquired;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::item::Demand;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::primitives::{Client, arrive, failed, lead, permits, run, rwlock};
use crate::support::{forever, reason, soon, start, wait_ms, wanted};

type Waiting = JoinHandle<Result<Acquired, Status>>;

/// The same session asks by another call, which waits.
fn waits(client: &mut Client, op: v1::AcquireOp) -> Waiting {
    let (key, seq) = client.next();
    let acquire = Some(v1::AcquireOp { wait: forever(), ..op });
    let mut api = client.api.clone();
    tokio::spawn(async move {
        let request = v1::AcquireRequest { key, seq, seen_through: 0, acquire };
        let answer = api.locks.acquire(request).await?.into_inner();
        Ok(answer.result.expect("a result"))
    })
}

async fn ended(waiting: Waiting) -> Result<Acquired, Status> {
    soon("the end of a wait", waiting).await.expect("no panic")
}

async fn passed(waiting: Waiting) -> v1::Passed {
    match ended(waiting).await.expect("an answer") {
        Acquired::Passed(passed) => passed,
        other => panic!("not passed: {other:?}"),
    }
}

#[tokio::test]
async fn an_upgrade_waits_for_the_readers_to_go() {
    let server = start().await;
    let (mut ann, mut bob) = (Client::of(&server, "ann").await, Client::of(&server, "bob").await);
    let token = ann.granted(wanted("table", rwlock(v1::Mode::Upgradable))).await;
    let reader = bob.granted(wanted("table", rwlock(v1::Mode::Read))).await;
    let upgrade = |client: &mut Client, wait| {
        let (key, seq) = client.next();
        let upgrade = Some(v1::UpgradeOp { token, wait });
        let request = v1::UpgradeRequest { key, seq, seen_through: 0, upgrade };
        let mut api = client.api.clone();
        async move { api.locks.upgrade(request).await.map(|answer| answer.into_inner().result) }
    };
    let short = upgrade(&mut ann, wait_ms(5)).await.expect("an answer").expect("a result");
    let v1::upgrade_response::Result::TimedOut(held) = short else { panic!("{short:?}") };
    assert_eq!(held.name, "table");

    let waiting = tokio::spawn(upgrade(&mut ann, forever()));
    ann.api.queue_len("table", 1).await;
    // A new reader stands behind it.
    let late = bob.acquire(wanted("table", rwlock(v1::Mode::Read))).await.expect("an answer");
    assert!(matches!(late, Acquired::Held(_)), "{late:?}");
    bob.release(reader, 0).await.expect("released");
    let granted = soon("the upgrade", waiting).await.expect("no panic").expect("an answer");
    let Some(v1::upgrade_response::Result::Granted(granted)) = granted else {
        panic!("{granted:?}")
    };
    assert!(granted.token > reader);
}

#[tokio::test]
async fn a_barrier_trips_with_the_last_party_and_a_withdrawn_one_does_not_count() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let first = waits(&mut ann, wanted("meeting", arrive(3)));
    ann.api.queue_len("meeting", 1).await;
    let withdrawn_seq = ann.seq + 1;
    let withdrawn = waits(&mut ann, wanted("meeting", arrive(3)));
    ann.api.queue_len("meeting", 2).await;
    let key = Some(ann.key.clone());
    let cancel = |seq| v1::CancelRequest { key: key.clone(), seq };
    let cancelled = ann.api.clone().locks.cancel(cancel(withdrawn_seq)).await.expect("cancelled");
    assert_eq!((&cancelled.get_ref().granted, &cancelled.get_ref().passed), (&None, &None));
    assert!(matches!(ended(withdrawn).await, Ok(Acquired::Cancelled(_))));
    let second = waits(&mut ann, wanted("meeting", arrive(3)));
    ann.api.queue_len("meeting", 2).await;
    let last = ann.passed(wanted("meeting", arrive(3))).await;
    let (first, second) = (passed(first).await, passed(second).await);
    assert_eq!([first.index, second.index, last.index], [0, 1, 2]);
    assert!(first.version == last.version && second.version == last.version);
    // Too late to withdraw: it passed.
    let late = ann.api.clone().locks.cancel(cancel(1)).await.expect("an answer").into_inner();
    assert_eq!(late.passed, Some(first));
}

#[tokio::test]
async fn whoever_waits_for_a_latch_a_gate_or_a_result_passes_with_it() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    ann.edit("parts", Change::CreateLatch(v1::CreateLatch { count: 1 })).await.expect("made");
    let token = ann.granted(wanted("cache", run())).await;
    let latch = waits(&mut ann, wanted("parts", Demand::Latch(v1::LatchDemand {})));
    let gate = waits(&mut ann, wanted("gate", Demand::Gate(v1::GateDemand {})));
    let once = waits(&mut ann, wanted("cache", run()));
    for name in ["parts", "gate", "cache"] {
        ann.api.queue_len(name, 1).await;
    }
    let down = Change::CountDown(v1::CountDown { by: 1, key: None });
    ann.edit("parts", down).await.expect("counted");
    ann.edit("gate", Change::SetGate(v1::SetGate { open: true })).await.expect("opened");
    let version = ann.complete(token, b"result").await.expect("done");
    passed(latch).await;
    passed(gate).await;
    assert_eq!(passed(once).await.version, version);
}

#[tokio::test]
async fn a_runner_that_lets_go_without_a_result_is_followed_by_the_next_until_nobody_may() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let twice = || wanted("cache", Demand::Run(v1::RunDemand { attempts_max: 2 }));
    let token = ann.granted(twice()).await;
    let second = waits(&mut ann, twice());
    ann.api.queue_len("cache", 1).await;
    let third = waits(&mut ann, twice());
    ann.api.queue_len("cache", 2).await;
    ann.release(token, 0).await.expect("given up");
    let Ok(Acquired::Granted(granted)) = ended(second).await else { panic!("the next runs") };
    ann.release(granted.token, 0).await.expect("given up");
    let status = ended(third).await.expect_err("no third attempt");
    assert_eq!(reason(&status), failed("ATTEMPTS_EXHAUSTED"));
}

#[tokio::test]
async fn a_wait_that_a_resize_makes_impossible_ends_with_the_reason() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    ann.granted(wanted("batch", permits(5, 5))).await;
    let heavy = waits(&mut ann, wanted("batch", permits(4, 5)));
    ann.api.queue_len("batch", 1).await;
    let Some(v1::inspect_response::Detail::Semaphore(seen)) = ann.detail("batch").await else {
        panic!("no detail")
    };
    let (name, by) = ("batch".to_owned(), "ops".to_owned());
    let resize = v1::ResizeRequest { name, limit: 3, version: seen.version, by };
    ann.api.admin.resize(resize).await.expect("resized");
    let status = ended(heavy).await.expect_err("it never fits again");
    assert_eq!(reason(&status), failed("WEIGHT_OVER_LIMIT"));
}

#[tokio::test]
async fn a_candidate_stands_aside_until_it_is_eligible_and_a_transfer_names_the_next() {
    let server = start().await;
    let (mut ann, mut bob) = (Client::of(&server, "ann").await, Client::of(&server, "bob").await);
    let campaign = |value: &[u8], eligible| v1::AcquireOp {
        campaign: Some(v1::Campaign {
            value: value.to_vec(),
            eligible: Some(eligible),
            preempt_after_ms: None,
        }),
        ..wanted("leader", lead())
    };
    let aside_seq = ann.seq + 1;
    let aside = waits(&mut ann, campaign(b"ann", false));
    let aside_listed = async {
        while ann.inspect("leader").await.aside.len() != 1 {
            tokio::task::yield_now().await;
        }
    };
    soon("a candidate aside", aside_listed).await;
    // Nobody leads, and still the one that stands aside does not.
    let term = bob.granted(campaign(b"bob", true)).await;
    bob.proclaim(term, b"bob moved").await.expect("proclaimed");
    let get = v1::GetElectionRequest { name: "leader".to_owned(), ..Default::default() };
    let seen = bob.api.elections.get_election(get.clone()).await.expect("read").into_inner();
    let seen = seen.election.expect("a view");
    assert_eq!(seen.leader.expect("bob").value.as_deref(), Some(&b"bob moved"[..]));
    assert_eq!((seen.queue_len, seen.candidates[0].rank), (0, 0));
    let (name, by) = ("leader".to_owned(), "ops".to_owned());
    let transfer = v1::TransferRequest { name, term, to_session: ann.key.session, by };
    bob.api.admin.transfer(transfer.clone()).await.expect_err("it stands aside");

    let (key, seq) = ann.next();
    let set_eligible = Some(v1::SetEligibleOp { campaign_seq: aside_seq, eligible: true });
    let request = v1::SetEligibleRequest { key, seq, seen_through: 0, set_eligible };
    ann.api.elections.set_eligible(request).await.expect("eligible");
    let seen = bob.api.elections.get_election(get.clone()).await.expect("read").into_inner();
    let seen = seen.election.expect("a view");
    assert_eq!((seen.queue_len, seen.candidates[0].rank), (1, 1));
    assert_eq!(&seen.candidates[0].value[..], b"ann");
    bob.api.admin.transfer(transfer).await.expect("handed over");
    let keep_alive = v1::KeepAliveRequest { key: Some(bob.key.clone()), ..Default::default() };
    let ack = bob.api.sessions.keep_alive(keep_alive).await.expect("kept").into_inner();
    assert_eq!(ack.losses[0].reason(), v1::LossReason::Transferred);
    assert_eq!((ack.losses[0].token, ack.losses[0].by.as_str()), (term, "ops"));
    let (session, secret) = (bob.key.session, bob.key.secret.clone());
    let stopped = v1::AckStoppedRequest { session, secret, token: term };
    bob.api.sessions.ack_stopped(stopped).await.expect("stopped");
    let Ok(Acquired::Granted(granted)) = ended(aside).await else { panic!("ann leads") };
    assert!(granted.token > term);
    let seen = bob.api.elections.get_election(get).await.expect("read").into_inner();
    assert_eq!(seen.election.expect("a view").leader.expect("ann").token, granted.token);
}
