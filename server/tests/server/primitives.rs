//! Each primitive by unary calls: what is granted, what passes, what is answered at once.

use conclave_proto::v1;
use conclave_proto::v1::acquire_response::Result as Acquired;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::edited::Edited;
use conclave_proto::v1::inspect_response::Detail;
use conclave_proto::v1::item::Demand;
use tonic::{Code, Status};

use crate::support::{Api, item, reason, start, wanted};

pub(crate) fn rwlock(mode: v1::Mode) -> Demand {
    Demand::Rwlock(v1::RwlockDemand { mode: mode.into() })
}

pub(crate) fn permits(weight: u32, limit: u32) -> Demand {
    Demand::Permits(v1::PermitsDemand { weight, limit })
}

pub(crate) fn lead() -> Demand {
    Demand::Lead(v1::LeadDemand {})
}

pub(crate) fn run() -> Demand {
    Demand::Run(v1::RunDemand { attempts_max: 0 })
}

pub(crate) fn arrive(parties: u32) -> Demand {
    Demand::Arrive(v1::ArriveDemand { parties, break_on_loss: false })
}

/// One session, its seqs in order.
pub(crate) struct Client {
    pub(crate) api: Api,
    pub(crate) key: v1::SessionKey,
    pub(crate) seq: u64,
}

impl Client {
    pub(crate) async fn of(server: &conclave_server::Server, name: &str) -> Self {
        let mut api = Api::of(server).await;
        let key = api.open(name).await;
        Self { api, key, seq: 0 }
    }

    pub(crate) fn next(&mut self) -> (Option<v1::SessionKey>, u64) {
        self.seq += 1;
        (Some(self.key.clone()), self.seq)
    }

    pub(crate) async fn acquire(&mut self, op: v1::AcquireOp) -> Result<Acquired, Status> {
        let (key, seq) = self.next();
        let request = v1::AcquireRequest { key, seq, seen_through: 0, acquire: Some(op) };
        let answer = self.api.locks.acquire(request).await?.into_inner();
        Ok(answer.result.expect("a result"))
    }

    pub(crate) async fn granted(&mut self, op: v1::AcquireOp) -> u64 {
        match self.acquire(op).await.expect("an answer") {
            Acquired::Granted(granted) => granted.token,
            other => panic!("not granted: {other:?}"),
        }
    }

    pub(crate) async fn passed(&mut self, op: v1::AcquireOp) -> v1::Passed {
        match self.acquire(op).await.expect("an answer") {
            Acquired::Passed(passed) => passed,
            other => panic!("not passed: {other:?}"),
        }
    }

    pub(crate) async fn release(&mut self, token: u64, permits: u32) -> Result<(), Status> {
        let (key, seq) = self.next();
        let request = v1::ReleaseRequest { key, seq, seen_through: 0, token, permits };
        self.api.locks.release(request).await.map(drop)
    }

    pub(crate) async fn edit(&mut self, name: &str, change: Change) -> Result<Edited, Status> {
        self.edit_guarded(name, change, None).await
    }

    pub(crate) async fn edit_guarded(
        &mut self,
        name: &str,
        change: Change,
        guard: Option<v1::Guard>,
    ) -> Result<Edited, Status> {
        let (key, seq) = self.next();
        let edit = v1::EditOp { name: name.to_owned(), guard, change: Some(change) };
        let request = v1::EditRequest { key, seq, seen_through: 0, edit: Some(edit) };
        let answer = self.api.objects.edit(request).await?.into_inner();
        Ok(answer.edited.expect("it tells").edited.expect("something"))
    }

    pub(crate) async fn complete(&mut self, token: u64, value: &[u8]) -> Result<u64, Status> {
        let (key, seq) = self.next();
        let complete = v1::CompleteOp { token, value: value.to_vec(), retention_ms: 60_000 };
        let request = v1::CompleteRequest { key, seq, seen_through: 0, complete: Some(complete) };
        let answer = self.api.objects.complete(request).await?.into_inner();
        Ok(answer.completed.expect("it tells").version)
    }

    pub(crate) async fn proclaim(&mut self, term: u64, value: &[u8]) -> Result<(), Status> {
        let (key, seq) = self.next();
        let proclaim = Some(v1::ProclaimOp { term, value: value.to_vec() });
        let request = v1::ProclaimRequest { key, seq, seen_through: 0, proclaim };
        self.api.elections.proclaim(request).await.map(drop)
    }

    pub(crate) async fn detail(&mut self, name: &str) -> Option<Detail> {
        self.inspect(name).await.detail
    }

    pub(crate) async fn inspect(&mut self, name: &str) -> v1::InspectResponse {
        let request = v1::InspectRequest { name: name.to_owned(), ..Default::default() };
        self.api.admin.inspect(request).await.expect("inspected").into_inner()
    }
}

pub(crate) fn failed(what: &str) -> (Code, String) {
    (Code::FailedPrecondition, what.to_owned())
}

pub(crate) fn write(value: &[u8], expect: Option<v1::expect::Expect>) -> Change {
    let expect = expect.map(|expect| v1::Expect { expect: Some(expect) });
    Change::SetRegister(v1::SetRegister { value: value.to_vec(), expect, bound: false })
}

#[tokio::test]
async fn a_read_write_lock_is_shared_upgraded_and_downgraded() {
    let server = start().await;
    let (mut ann, mut bob) = (Client::of(&server, "ann").await, Client::of(&server, "bob").await);
    let upgradable = ann.granted(wanted("table", rwlock(v1::Mode::Upgradable))).await;
    let reader = bob.granted(wanted("table", rwlock(v1::Mode::Read))).await;

    // A try tells who is in the way, and in which mode.
    let writer = bob.acquire(wanted("table", rwlock(v1::Mode::Write))).await.expect("an answer");
    let Acquired::Held(held) = writer else { panic!("{writer:?}") };
    assert_eq!((held.name.as_str(), held.holders_total), ("table", 2));
    let modes: Vec<_> = held.holders.iter().map(|holder| holder.demand).collect();
    let as_wanted = |mode: v1::Mode| {
        let demand = v1::demand::Demand::Rwlock(v1::RwlockDemand { mode: mode.into() });
        Some(v1::Demand { demand: Some(demand) })
    };
    assert_eq!(modes, [as_wanted(v1::Mode::Upgradable), as_wanted(v1::Mode::Read)]);

    let upgrade = |client: &mut Client, token| {
        let (key, seq) = client.next();
        let upgrade = Some(v1::UpgradeOp { token, wait: None });
        v1::UpgradeRequest { key, seq, seen_through: 0, upgrade }
    };
    let request = upgrade(&mut ann, upgradable);
    let answer = ann.api.locks.upgrade(request).await.expect("an answer").into_inner();
    assert!(matches!(answer.result, Some(v1::upgrade_response::Result::Held(_))), "{answer:?}");
    let request = upgrade(&mut bob, reader);
    let status = bob.api.locks.upgrade(request).await.expect_err("another holder");
    assert_eq!(reason(&status), failed("WOULD_DEADLOCK"));

    bob.release(reader, 0).await.expect("released");
    let request = upgrade(&mut ann, upgradable);
    let answer = ann.api.locks.upgrade(request).await.expect("an answer").into_inner();
    let Some(v1::upgrade_response::Result::Granted(granted)) = answer.result else {
        panic!("{answer:?}")
    };
    assert!(granted.token > upgradable);
    let (key, seq) = ann.next();
    let downgrade = Some(v1::DowngradeOp { token: granted.token, to: v1::Mode::Read.into() });
    let request = v1::DowngradeRequest { key, seq, seen_through: 0, downgrade };
    ann.api.locks.downgrade(request).await.expect("downgraded");
    bob.granted(wanted("table", rwlock(v1::Mode::Read))).await;
}

#[tokio::test]
async fn permits_are_weighed_returned_in_parts_and_resized() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let token = ann.granted(wanted("batch", permits(4, 5))).await;
    let two = ann.acquire(wanted("batch", permits(2, 5))).await.expect("an answer");
    assert!(matches!(two, Acquired::Held(_)), "{two:?}");
    ann.release(token, 3).await.expect("a part");
    ann.granted(wanted("batch", permits(2, 5))).await;
    let Some(Detail::Semaphore(detail)) = ann.detail("batch").await else { panic!("no detail") };
    assert_eq!((detail.declared, detail.limit, detail.in_use, detail.resized), (5, 5, 3, false));

    let resize = |version| v1::ResizeRequest {
        name: "batch".to_owned(),
        limit: 9,
        version,
        by: "ops".to_owned(),
    };
    let status = ann.api.admin.resize(resize(detail.version + 1)).await.expect_err("another one");
    assert_eq!(reason(&status), failed("CONFLICT"));
    let resized = ann.api.admin.resize(resize(detail.version)).await.expect("resized").into_inner();
    assert!(resized.version > detail.version);
    // Create or match goes by what was declared.
    ann.granted(wanted("batch", permits(6, 5))).await;
    let Some(Detail::Semaphore(detail)) = ann.detail("batch").await else { panic!("no detail") };
    assert_eq!((detail.declared, detail.limit, detail.in_use, detail.resized), (5, 9, 9, true));
}

#[tokio::test]
async fn several_objects_are_one_hold() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let items = vec![
        item("a", Demand::Mutex(v1::MutexDemand {})),
        item("b", rwlock(v1::Mode::Read)),
        item("c", permits(2, 2)),
    ];
    let all = v1::AcquireOp { items, ..Default::default() };
    let token = ann.granted(all.clone()).await;
    let again = ann.acquire(all).await.expect("an answer");
    assert!(matches!(&again, Acquired::Held(held) if held.name == "a"), "{again:?}");
    for name in ["a", "b", "c"] {
        let seen = ann.inspect(name).await;
        assert_eq!((seen.holders.len(), seen.holders[0].token), (1, token), "{name}");
    }
    let request = v1::DescribeSessionRequest { session: ann.key.session, stale: false };
    let view = ann.api.admin.describe_session(request).await.expect("described").into_inner();
    assert_eq!((view.holds[0].name.as_str(), view.holds[0].others), ("a", 2));
    ann.release(token, 0).await.expect("released");
    assert!(!ann.inspect("b").await.exists);
}

#[tokio::test]
async fn a_latch_counts_down_by_keys_and_begins_anew() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let create = Change::CreateLatch(v1::CreateLatch { count: 2 });
    let Ok(Edited::Latch(made)) = ann.edit("parts", create.clone()).await else { panic!("made") };
    assert_eq!(made.remaining, 2);
    let waiting = wanted("parts", Demand::Latch(v1::LatchDemand {}));
    assert!(matches!(ann.acquire(waiting.clone()).await, Ok(Acquired::Held(_))));
    let down = |key: &str| Change::CountDown(v1::CountDown { by: 1, key: Some(key.to_owned()) });
    for (key, left) in [("one", 1), ("one", 1), ("two", 0)] {
        let Ok(Edited::Latch(state)) = ann.edit("parts", down(key)).await else { panic!("{key}") };
        assert_eq!((state.round, state.remaining), (made.round, left), "{key}");
    }
    assert_eq!(ann.passed(waiting.clone()).await.version, made.round);
    let reset = Change::ResetLatch(v1::ResetLatch {});
    let Ok(Edited::Latch(state)) = ann.edit("parts", reset).await else { panic!("reset") };
    assert!(state.round > made.round && state.remaining == 2);
    let Some(Detail::Latch(detail)) = ann.detail("parts").await else { panic!("no detail") };
    assert_eq!((detail.count, detail.remaining, detail.round), (2, 2, state.round));
}

#[tokio::test]
async fn a_gate_lets_pass_while_it_is_open() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let gate = || wanted("maintenance", Demand::Gate(v1::GateDemand {}));
    let set = |open| Change::SetGate(v1::SetGate { open });
    let state = |open| Edited::Gate(v1::GateState { open });
    assert_eq!(ann.edit("maintenance", set(false)).await.expect("set"), state(false));
    assert!(matches!(ann.acquire(gate()).await, Ok(Acquired::Held(_))));
    assert_eq!(ann.edit("maintenance", set(true)).await.expect("set"), state(true));
    let passed = ann.passed(gate()).await;
    let Some(Detail::Gate(detail)) = ann.detail("maintenance").await else { panic!("no detail") };
    assert_eq!((detail.open, detail.version), (true, passed.version));
    let delete = v1::DeleteRequest { name: "maintenance".to_owned(), by: "ops".to_owned() };
    ann.api.admin.delete(delete.clone()).await.expect("deleted");
    let status = ann.api.admin.delete(delete).await.expect_err("gone");
    assert_eq!(reason(&status), (Code::NotFound, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn a_once_runs_one_and_keeps_its_result_for_the_others() {
    let server = start().await;
    let (mut ann, mut bob) = (Client::of(&server, "ann").await, Client::of(&server, "bob").await);
    let token = ann.granted(wanted("cache/1", run())).await;
    assert!(matches!(bob.acquire(wanted("cache/1", run())).await, Ok(Acquired::Held(_))));
    let get =
        |version, stale| v1::GetOnceResultRequest { name: "cache/1".to_owned(), version, stale };
    let none = bob.api.objects.get_once_result(get(0, false)).await.expect("read").into_inner();
    assert!(!none.exists);
    let version = ann.complete(token, b"result").await.expect("done");
    assert_eq!(bob.passed(wanted("cache/1", run())).await.version, version);
    for asked in [0, version] {
        let got = bob.api.objects.get_once_result(get(asked, asked == 0)).await.expect("read");
        let got = got.into_inner();
        assert_eq!((got.exists, got.version, &got.value[..]), (true, version, &b"result"[..]));
    }
    let other = bob.api.objects.get_once_result(get(version + 1, false)).await.expect("read");
    assert!(!other.into_inner().exists);
    let status = ann.complete(token, b"again").await.expect_err("it ended");
    assert_eq!(reason(&status), failed("NOT_HOLDER"));
}

#[tokio::test]
async fn a_register_is_written_under_a_guard_and_compared_by_its_version() {
    let server = start().await;
    let (mut ann, mut bob) = (Client::of(&server, "ann").await, Client::of(&server, "bob").await);
    let token = ann.granted(wanted("lock", Demand::Mutex(v1::MutexDemand {}))).await;
    let guard = Some(v1::Guard { name: "lock".to_owned(), token });
    // Whoever writes: the guard is about the holder.
    let first = bob.edit_guarded("config", write(b"one", None), guard.clone()).await;
    let Ok(Edited::Register(first)) = first else { panic!("{first:?}") };
    let absent = write(b"two", Some(v1::expect::Expect::Absent(true)));
    let conflict = ann.edit("config", absent).await.expect("an answer");
    assert_eq!(conflict, Edited::Conflict(v1::Conflict { version: Some(first.version) }));
    let same = write(b"two", Some(v1::expect::Expect::Version(first.version)));
    let Ok(Edited::Register(second)) = ann.edit("config", same).await else { panic!("written") };
    let get = v1::GetRegisterRequest { name: "config".to_owned(), stale: false };
    let got = bob.api.objects.get_register(get.clone()).await.expect("read").into_inner();
    assert_eq!((got.exists, got.version, &got.value[..]), (true, second.version, &b"two"[..]));
    assert_eq!(got.bound_to, None);
    ann.release(token, 0).await.expect("released");
    let fenced = bob.edit_guarded("config", write(b"late", None), guard).await;
    assert_eq!(reason(&fenced.expect_err("a holder of yesterday")), failed("GUARD"));
    let delete = Change::DeleteRegister(v1::DeleteRegister { expect: None });
    let deleted = ann.edit("config", delete).await.expect("an answer");
    assert_eq!(deleted, Edited::RegisterDeleted(v1::RegisterDeleted {}));
    let got = bob.api.objects.get_register(get).await.expect("read").into_inner();
    assert!(!got.exists);

    // Bound to its writer, it vanishes with it.
    let bound = v1::SetRegister { value: b"here".to_vec(), expect: None, bound: true };
    ann.edit("members/ann", Change::SetRegister(bound)).await.expect("written");
    let get = v1::GetRegisterRequest { name: "members/ann".to_owned(), stale: false };
    let got = bob.api.objects.get_register(get.clone()).await.expect("read").into_inner();
    assert_eq!(got.bound_to, Some(ann.key.session));
    let close = v1::CloseRequest { key: Some(ann.key.clone()) };
    ann.api.sessions.close(close).await.expect("closed");
    let got = bob.api.objects.get_register(get).await.expect("read").into_inner();
    assert!(!got.exists);
}

#[tokio::test]
async fn a_counter_adds_and_a_name_has_one_kind() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let add = |delta| Change::AddCounter(v1::AddCounter { delta });
    let state = |value| Edited::Counter(v1::CounterState { value });
    assert_eq!(ann.edit("hits", add(5)).await.expect("added"), state(5));
    assert_eq!(ann.edit("hits", add(-7)).await.expect("added"), state(-2));
    let get = v1::GetCounterRequest { name: "hits".to_owned(), stale: true };
    let got = ann.api.objects.get_counter(get).await.expect("read").into_inner();
    assert_eq!((got.exists, got.value), (true, -2));
    let get = v1::GetRegisterRequest { name: "hits".to_owned(), stale: false };
    let status = ann.api.objects.get_register(get).await.expect_err("a counter");
    assert_eq!(reason(&status), failed("WRONG_KIND"));
    let status = ann.acquire(wanted("hits", lead())).await.expect_err("a counter");
    assert_eq!(reason(&status), failed("WRONG_KIND"));
}
