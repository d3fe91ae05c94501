//! Bad input of every primitive: each gets its code, its reason and its field, or says what is in the way.

use conclave_proto::v1;
use conclave_proto::v1::acquire_response::Result as Acquired;
use conclave_proto::v1::call_answer::Result as Answer;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::item::Demand;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::primitives::{Client, arrive, failed, lead, permits, run, rwlock, write};
use crate::support::{Stream, item, reason, start, told, wait_ms, wanted};

/// What is wrong, its reason, its field, and the acquire.
type BadAcquire = (&'static str, &'static str, &'static str, v1::AcquireOp);

fn mutex(name: &str) -> v1::Item {
    item(name, Demand::Mutex(v1::MutexDemand {}))
}

fn several(items: Vec<v1::Item>) -> v1::AcquireOp {
    v1::AcquireOp { items, ..Default::default() }
}

fn campaign(campaign: v1::Campaign) -> v1::AcquireOp {
    v1::AcquireOp { campaign: Some(campaign), ..wanted("leader", lead()) }
}

fn bad_acquires() -> Vec<BadAcquire> {
    let (request, items) = ("INVALID_REQUEST", "INVALID_ITEMS");
    let weight = "acquire.items[0].permits.weight";
    let limit = "acquire.items[0].permits.limit";
    let parties = "acquire.items[0].arrive.parties";
    let many = (0..65).map(|n| mutex(&n.to_string())).collect();
    let with_lead = vec![mutex("a"), item("b", lead())];
    let with_upgradable = vec![item("a", rwlock(v1::Mode::Upgradable)), mutex("b")];
    let misplaced =
        v1::AcquireOp { campaign: Some(v1::Campaign::default()), ..wanted("a", permits(1, 1)) };
    let aside = v1::Campaign { eligible: Some(false), ..Default::default() };
    let late = v1::Campaign { preempt_after_ms: Some(3_600_001), ..Default::default() };
    let long = v1::Campaign { value: vec![0; 4097], ..Default::default() };
    vec![
        ("weight 0", request, weight, wanted("a", permits(0, 5))),
        ("limit 0", request, limit, wanted("a", permits(1, 0))),
        ("parties 0", request, parties, wanted("a", arrive(0))),
        ("65 items", items, "acquire.items", several(many)),
        ("no items", request, "acquire.items", several(Vec::new())),
        ("a name twice", items, "acquire.items[1].name", several(vec![mutex("a"), mutex("a")])),
        ("a leadership among others", items, "acquire.items[1]", several(with_lead)),
        ("an upgradable among others", items, "acquire.items[0]", several(with_upgradable)),
        (
            "a mode of none",
            "INVALID_MODE",
            "acquire.items[0].rwlock.mode",
            wanted("a", rwlock(v1::Mode::Unspecified)),
        ),
        ("a campaign of permits", request, "acquire.campaign", misplaced),
        ("aside and not waiting", request, "acquire.campaign.eligible", campaign(aside)),
        ("preempt late", request, "acquire.campaign.preempt_after_ms", campaign(late)),
        ("proposal over 4 KiB", "INVALID_VALUE", "acquire.campaign.value", campaign(long)),
    ]
}

#[tokio::test]
async fn a_bad_acquire_of_any_kind_is_refused_with_the_field_on_both_edges() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let (mut stream, _key) = Stream::open(&server, "bob").await;
    for (seq, (what, reason, field, op)) in (1..).zip(bad_acquires()) {
        let status = ann.acquire(op.clone()).await.expect_err(what);
        let expected = (Code::InvalidArgument, reason.to_owned(), field.to_owned());
        assert_eq!(told(&status), expected, "{what}");
        stream.call(seq, Op::Acquire(op)).await;
        let Answer::Problem(problem) = stream.answer(seq).await else { panic!("{what}") };
        assert_eq!(problem.reason, reason, "{what}");
        assert_eq!(problem.metadata.get("field").map(String::as_str), Some(field), "{what}");
    }
    let status = ann.api.admin.status(v1::StatusRequest {}).await.expect("a status").into_inner();
    assert_eq!((status.objects, status.holds, status.waiters), (0, 0, 0));
}

#[tokio::test]
async fn bad_changes_and_values_are_refused_with_the_field_on_both_edges() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let (mut stream, _key) = Stream::open(&server, "bob").await;
    let edit =
        |change| Op::Edit(v1::EditOp { name: "a".to_owned(), guard: None, change: Some(change) });
    let key = Some("k".repeat(513));
    let cases = [
        ("count 0", "INVALID_REQUEST", "edit.create_latch.count", {
            edit(Change::CreateLatch(v1::CreateLatch { count: 0 }))
        }),
        ("down by 0", "INVALID_REQUEST", "edit.count_down.by", {
            edit(Change::CountDown(v1::CountDown { by: 0, key: None }))
        }),
        ("long key", "INVALID_REQUEST", "edit.count_down.key", {
            edit(Change::CountDown(v1::CountDown { by: 1, key }))
        }),
        ("register over 64 KiB", "INVALID_VALUE", "edit.set_register.value", {
            edit(write(&[0; 64 * 1024 + 1], None))
        }),
        ("no change", "INVALID_REQUEST", "edit.change", {
            Op::Edit(v1::EditOp { name: "a".to_owned(), ..Default::default() })
        }),
        ("no name", "INVALID_NAME", "edit.name", {
            let change = Some(Change::ResetLatch(v1::ResetLatch {}));
            Op::Edit(v1::EditOp { change, ..Default::default() })
        }),
        ("guard without a name", "INVALID_NAME", "edit.guard.name", {
            let guard = Some(v1::Guard { name: String::new(), token: 1 });
            let change = Some(Change::ResetLatch(v1::ResetLatch {}));
            Op::Edit(v1::EditOp { name: "a".to_owned(), guard, change })
        }),
        ("result over 64 KiB", "INVALID_VALUE", "complete.value", {
            let value = vec![0; 64 * 1024 + 1];
            Op::Complete(v1::CompleteOp { token: 1, value, retention_ms: 1 })
        }),
        ("retention over 7 days", "INVALID_RETENTION", "complete.retention_ms", {
            let retention_ms = 7 * 24 * 3600 * 1000 + 1;
            Op::Complete(v1::CompleteOp { token: 1, value: Vec::new(), retention_ms })
        }),
        ("proposal over 4 KiB", "INVALID_VALUE", "proclaim.value", {
            Op::Proclaim(v1::ProclaimOp { term: 1, value: vec![0; 4097] })
        }),
        ("campaign 0", "INVALID_SEQ", "set_eligible.campaign_seq", {
            Op::SetEligible(v1::SetEligibleOp { campaign_seq: 0, eligible: true })
        }),
        ("downgrade to write", "INVALID_MODE", "downgrade.to", {
            Op::Downgrade(v1::DowngradeOp { token: 1, to: v1::Mode::Write.into() })
        }),
        ("upgrade wait of 0 ms", "INVALID_WAIT", "upgrade.wait.ms", {
            Op::Upgrade(v1::UpgradeOp { token: 1, wait: wait_ms(0) })
        }),
    ];
    for (seq, (what, reason, field, op)) in (1..).zip(cases) {
        let status = unary(&mut ann, op.clone()).await.expect_err(what);
        let expected = (Code::InvalidArgument, reason.to_owned(), field.to_owned());
        assert_eq!(told(&status), expected, "{what}");
        stream.call(seq, op).await;
        let Answer::Problem(problem) = stream.answer(seq).await else { panic!("{what}") };
        assert_eq!(problem.reason, reason, "{what}");
        assert_eq!(problem.metadata.get("field").map(String::as_str), Some(field), "{what}");
    }
}

/// The unary call of the same operation.
async fn unary(client: &mut Client, op: Op) -> Result<(), tonic::Status> {
    let (key, seq) = client.next();
    let seen_through = 0;
    match op {
        Op::Acquire(op) => {
            let acquire = Some(op);
            let request = v1::AcquireRequest { key, seq, seen_through, acquire };
            client.api.locks.acquire(request).await.map(drop)
        }
        Op::Release(v1::ReleaseOp { token, permits }) => {
            let request = v1::ReleaseRequest { key, seq, seen_through, token, permits };
            client.api.locks.release(request).await.map(drop)
        }
        Op::Adopt(v1::AdoptOp { token }) => {
            let request = v1::AdoptRequest { key, seq, seen_through, token };
            client.api.locks.adopt(request).await.map(drop)
        }
        Op::Downgrade(op) => {
            let downgrade = Some(op);
            let request = v1::DowngradeRequest { key, seq, seen_through, downgrade };
            client.api.locks.downgrade(request).await.map(drop)
        }
        Op::Upgrade(op) => {
            let request = v1::UpgradeRequest { key, seq, seen_through, upgrade: Some(op) };
            client.api.locks.upgrade(request).await.map(drop)
        }
        Op::Proclaim(op) => {
            let request = v1::ProclaimRequest { key, seq, seen_through, proclaim: Some(op) };
            client.api.elections.proclaim(request).await.map(drop)
        }
        Op::SetEligible(op) => {
            let set_eligible = Some(op);
            let request = v1::SetEligibleRequest { key, seq, seen_through, set_eligible };
            client.api.elections.set_eligible(request).await.map(drop)
        }
        Op::Complete(op) => {
            let request = v1::CompleteRequest { key, seq, seen_through, complete: Some(op) };
            client.api.objects.complete(request).await.map(drop)
        }
        Op::Edit(op) => {
            let request = v1::EditRequest { key, seq, seen_through, edit: Some(op) };
            client.api.objects.edit(request).await.map(drop)
        }
    }
}

#[tokio::test]
async fn what_an_object_is_refuses_what_does_not_fit_and_says_both() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let fact = |status: &tonic::Status, key: &str| {
        let info = status.get_details_error_info().expect("told");
        info.metadata.get(key).cloned().unwrap_or_else(|| panic!("no {key} in {info:?}"))
    };
    ann.granted(wanted("batch", permits(1, 5))).await;
    let status = ann.acquire(wanted("batch", permits(1, 6))).await.expect_err("another limit");
    assert_eq!(reason(&status), failed("MISMATCH"));
    assert_eq!((fact(&status, "object"), fact(&status, "request")), ("5".into(), "6".into()));
    let status = ann.acquire(wanted("batch", permits(6, 5))).await.expect_err("too heavy");
    assert_eq!(reason(&status), failed("WEIGHT_OVER_LIMIT"));
    assert_eq!((fact(&status, "weight"), fact(&status, "max")), ("6".into(), "5".into()));
    let heaviest = ann.acquire(wanted("batch", permits(u32::MAX, 5))).await;
    assert_eq!(reason(&heaviest.expect_err("overflow")), failed("WEIGHT_OVER_LIMIT"));
    let status = ann.acquire(wanted("batch", run())).await.expect_err("another kind");
    assert_eq!(reason(&status), failed("WRONG_KIND"));
    assert_eq!(fact(&status, "kind"), "semaphore");

    let reader = ann.granted(wanted("table", rwlock(v1::Mode::Read))).await;
    let upgrade = Op::Upgrade(v1::UpgradeOp { token: reader, wait: wait_ms(10) });
    let status = unary(&mut ann, upgrade).await.expect_err("a plain reader");
    assert_eq!(reason(&status), failed("NOT_UPGRADABLE"));
    let to = v1::Mode::Upgradable.into();
    let stronger = Op::Downgrade(v1::DowngradeOp { token: reader, to });
    let status = unary(&mut ann, stronger).await.expect_err("upwards");
    let expected = (Code::InvalidArgument, "INVALID_MODE".to_owned(), "downgrade.to".to_owned());
    assert_eq!(told(&status), expected);

    let term = ann.granted(wanted("leader", lead())).await;
    ann.release(term, 0).await.expect("resigned");
    ann.granted(wanted("leader", lead())).await;
    let status = ann.proclaim(term, b"late").await.expect_err("an old term");
    assert_eq!(reason(&status), failed("NOT_HOLDER"));

    let create = Change::CreateLatch(v1::CreateLatch { count: 2 });
    ann.edit("parts", create).await.expect("made");
    let down = Change::CountDown(v1::CountDown { by: 3, key: None });
    let status = ann.edit("parts", down).await.expect_err("below zero");
    assert_eq!(reason(&status), failed("BELOW_ZERO"));
    assert_eq!(fact(&status, "remaining"), "2");
    let missing = ann.acquire(wanted("no latch", Demand::Latch(v1::LatchDemand {}))).await;
    let not_found = (Code::NotFound, "NOT_FOUND".to_owned());
    assert_eq!(reason(&missing.expect_err("no latch")), not_found);

    let add = |delta| Change::AddCounter(v1::AddCounter { delta });
    ann.edit("hits", add(i64::MAX)).await.expect("added");
    let status = ann.edit("hits", add(1)).await.expect_err("no room");
    assert_eq!(reason(&status), failed("OVERFLOW"));
    assert_eq!(fact(&status, "value"), i64::MAX.to_string());
}

#[tokio::test]
async fn a_request_that_would_close_a_cycle_is_answered_with_it() {
    let server = start().await;
    let (mut ann, mut bob) = (Client::of(&server, "ann").await, Client::of(&server, "bob").await);
    let by = |name: &str, owner: &str| v1::AcquireOp {
        owner: Some(owner.to_owned()),
        fail_on_deadlock: true,
        ..several(vec![mutex(name)])
    };
    ann.granted(by("a", "ann's")).await;
    bob.granted(by("b", "bob's")).await;
    let forever = Some(v1::Wait { kind: Some(v1::wait::Kind::Forever(true)) });
    let (key, seq) = ann.next();
    let acquire = Some(v1::AcquireOp { wait: forever, ..by("b", "ann's") });
    let request = v1::AcquireRequest { key, seq, seen_through: 0, acquire };
    let mut api = ann.api.clone();
    let waiting = tokio::spawn(async move { api.locks.acquire(request).await });
    ann.api.queue_len("b", 1).await;
    let closing = v1::AcquireOp { wait: forever, ..by("a", "bob's") };
    let Ok(Acquired::Deadlock(deadlock)) = bob.acquire(closing).await else { panic!("no cycle") };
    let owners: Vec<_> = deadlock.cycle.iter().map(|edge| &edge.owner[..]).collect();
    assert_eq!(owners, ["bob's", "ann's"]);
    assert_eq!(deadlock.cycle[1].name, "b");
    waiting.abort();
}

#[tokio::test]
async fn bad_questions_and_orders_about_primitives_are_refused_with_the_field() {
    let server = start().await;
    let api = &mut Client::of(&server, "ann").await.api;
    let (name, by) = ("a".to_owned(), "ops".to_owned());
    let not_found = (Code::NotFound, "NOT_FOUND".to_owned());
    let invalid = |status: &tonic::Status, reason: &str, field: &str| {
        let expected = (Code::InvalidArgument, reason.to_owned(), field.to_owned());
        assert_eq!(told(status), expected);
    };
    let resize = v1::ResizeRequest { name: name.clone(), limit: 1, version: 1, by: by.clone() };
    assert_eq!(reason(&api.admin.resize(resize.clone()).await.unwrap_err()), not_found);
    let nobody = v1::ResizeRequest { by: String::new(), ..resize };
    invalid(&api.admin.resize(nobody).await.unwrap_err(), "INVALID_REQUEST", "by");
    let transfer =
        v1::TransferRequest { name: name.clone(), term: 1, to_session: 1, by: by.clone() };
    assert_eq!(reason(&api.admin.transfer(transfer.clone()).await.unwrap_err()), not_found);
    let nowhere = v1::TransferRequest { name: String::new(), ..transfer };
    invalid(&api.admin.transfer(nowhere).await.unwrap_err(), "INVALID_NAME", "name");
    let delete = v1::DeleteRequest { name: name.clone(), by: "\n".to_owned() };
    invalid(&api.admin.delete(delete).await.unwrap_err(), "INVALID_REQUEST", "by");
    let election = v1::GetElectionRequest { name, candidates_max: 201, stale: true };
    let status = api.elections.get_election(election).await.unwrap_err();
    invalid(&status, "INVALID_REQUEST", "candidates_max");
    let register = v1::GetRegisterRequest::default();
    invalid(&api.objects.get_register(register).await.unwrap_err(), "INVALID_NAME", "name");
    let counter = v1::GetCounterRequest::default();
    invalid(&api.objects.get_counter(counter).await.unwrap_err(), "INVALID_NAME", "name");
    let result = v1::GetOnceResultRequest::default();
    invalid(&api.objects.get_once_result(result).await.unwrap_err(), "INVALID_NAME", "name");
    let watch = v1::WatchRequest { prefix: "p".repeat(513), ..Default::default() };
    invalid(&api.watches.watch(watch).await.unwrap_err(), "INVALID_NAME", "prefix");
    let watch = v1::WatchRequest { after_n: 1, ..Default::default() };
    invalid(&api.watches.watch(watch).await.unwrap_err(), "INVALID_REQUEST", "after_n");
    let observe = v1::ObserveRequest::default();
    invalid(&api.watches.observe(observe).await.unwrap_err(), "INVALID_NAME", "name");
}
