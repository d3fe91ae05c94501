//! Good bytes, to be changed: a message of every request, payloads and snapshots of random runs of the machine, a chunk of a
//! real log.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc;

use bytes::Bytes;
use conclave_machine::Machine;
use conclave_model::{Generator, Profile, Rng};
use conclave_proto::v1;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::item::Demand;
use conclave_proto::v1::stream_request::Message as Said;
use conclave_raft::storage::{BatchBuilder, encode_command, encode_record};
use conclave_server::fuzzing::REQUESTS;
use conclave_store::{LogEntry, LogPosition, LogStore, StoredVote, Wal, WalOptions};
use prost::Message;

/// The secret of the session that the stage opened first.
fn secret() -> Vec<u8> {
    1_u128.to_be_bytes().to_vec()
}

fn key() -> Option<v1::SessionKey> {
    Some(v1::SessionKey { session: 1, secret: secret(), epoch: 1 })
}

fn forever() -> Option<v1::Wait> {
    Some(v1::Wait { kind: Some(v1::wait::Kind::Forever(true)) })
}

fn text(of: &str) -> String {
    of.to_owned()
}

fn demands() -> Vec<(&'static str, Demand)> {
    vec![
        ("mutex", Demand::Mutex(v1::MutexDemand {})),
        ("rwlock", Demand::Rwlock(v1::RwlockDemand { mode: v1::Mode::Write.into() })),
        ("semaphore", Demand::Permits(v1::PermitsDemand { weight: 2, limit: 5 })),
        ("once", Demand::Run(v1::RunDemand { attempts_max: 0 })),
        ("latch", Demand::Latch(v1::LatchDemand {})),
        ("gate", Demand::Gate(v1::GateDemand {})),
        ("barrier", Demand::Arrive(v1::ArriveDemand { parties: 2, break_on_loss: true })),
        ("election", Demand::Lead(v1::LeadDemand {})),
    ]
}

/// One of each kind, one for several objects.
fn acquires() -> Vec<v1::AcquireOp> {
    let item = |(name, demand)| v1::Item { name: text(name), demand: Some(demand) };
    let acquire = |items| v1::AcquireOp {
        items,
        wait: forever(),
        priority: 1,
        max_hold_ms: 60_000,
        owner: Some(text("owner")),
        metadata: HashMap::from([(text("key"), text("value"))]),
        fail_on_deadlock: true,
        campaign: None,
    };
    let mut found: Vec<_> =
        demands().into_iter().map(|demand| acquire(vec![item(demand)])).collect();
    found.push(acquire(demands().into_iter().take(3).map(item).collect()));
    let campaign = v1::Campaign {
        value: b"here".to_vec(),
        eligible: Some(false),
        preempt_after_ms: Some(100),
    };
    if let Some(lead) = found.get_mut(7) {
        lead.campaign = Some(campaign);
    }
    found
}

fn edits() -> Vec<v1::EditOp> {
    let expect = Some(v1::Expect { expect: Some(v1::expect::Expect::Version(1)) });
    let changes = [
        ("latch", Change::CreateLatch(v1::CreateLatch { count: 3 })),
        ("latch", Change::CountDown(v1::CountDown { by: 1, key: Some(text("key")) })),
        ("latch", Change::ResetLatch(v1::ResetLatch {})),
        ("gate", Change::SetGate(v1::SetGate { open: true })),
        (
            "register",
            Change::SetRegister(v1::SetRegister { value: b"new".to_vec(), expect, bound: true }),
        ),
        ("register", Change::DeleteRegister(v1::DeleteRegister { expect })),
        ("counter", Change::AddCounter(v1::AddCounter { delta: -3 })),
    ];
    let edit = |(name, change)| v1::EditOp {
        name: text(name),
        guard: Some(v1::Guard { name: text("mutex"), token: 5 }),
        change: Some(change),
    };
    changes.into_iter().map(edit).collect()
}

/// Every operation that a call may have.
fn ops() -> Vec<Op> {
    let mut ops: Vec<_> = acquires().into_iter().map(Op::Acquire).collect();
    ops.extend(edits().into_iter().map(Op::Edit));
    ops.extend([
        Op::Release(v1::ReleaseOp { token: 5, permits: 0 }),
        Op::Adopt(v1::AdoptOp { token: 5 }),
        Op::Downgrade(v1::DowngradeOp { token: 6, to: v1::Mode::Read.into() }),
        Op::Upgrade(v1::UpgradeOp { token: 6, wait: forever() }),
        Op::Proclaim(v1::ProclaimOp { term: 8, value: b"there".to_vec() }),
        Op::SetEligible(v1::SetEligibleOp { campaign_seq: 4, eligible: false }),
        Op::Complete(v1::CompleteOp { token: 9, value: b"done".to_vec(), retention_ms: 60_000 }),
    ]);
    ops
}

/// The number of the request, then its message: what `wire_edge` takes.
#[must_use]
pub fn wire_messages() -> Vec<Vec<u8>> {
    let mut found = Seeds::default();
    sessions(&mut found);
    calls(&mut found);
    operators(&mut found);
    looks(&mut found);
    found.0
}

#[derive(Default)]
struct Seeds(Vec<Vec<u8>>);

impl Seeds {
    fn add(&mut self, request: &str, message: &impl Message) {
        let at = REQUESTS.iter().position(|known| known.name == request);
        let at = at.unwrap_or_else(|| panic!("no request is called {request}"));
        let mut bytes = vec![u8::try_from(at).expect("few requests")];
        message.encode(&mut bytes).expect("into memory");
        self.0.push(bytes);
    }

    fn said(&mut self, message: Said) {
        self.add("stream", &v1::StreamRequest { message: Some(message) });
    }
}

fn sessions(found: &mut Seeds) {
    let labels = HashMap::from([(text("host"), text("a"))]);
    let (secret, name) = (7_u128.to_be_bytes().to_vec(), text("eve"));
    let open = v1::OpenRequest { secret, ttl_ms: 10_000, lock_delay_ms: 100, name, labels };
    let (held, waiting) = (vec![5, 6, 7], vec![6]);
    let attach = v1::AttachRequest { key: key(), held, waiting, next_seq: 11, number: 1 };
    let (expected_epoch, nonce) = (1, 9_u128.to_be_bytes().to_vec());
    let resume = v1::ResumeRequest { session: 1, secret: self::secret(), expected_epoch, nonce };
    let alive = v1::KeepAliveRequest { key: key(), number: 1, losses_seen_through: 0 };
    found.add("open", &open);
    found.add("attach", &attach);
    found.add("resume", &resume);
    found.add("keep_alive", &alive);
    found.add("close", &v1::CloseRequest { key: key() });
    let (secret, token) = (self::secret(), 5);
    found.add("ack_stopped", &v1::AckStoppedRequest { session: 1, secret, token });
    found.said(Said::Open(open));
    found.said(Said::Attach(attach));
    found.said(Said::Resume(resume));
    found.said(Said::CancelSeq(6));
    found.said(Said::KeepAlive(v1::StreamKeepAlive { number: 1, losses_seen_through: 1 }));
    found.said(Said::AckStoppedToken(5));
    found.said(Said::Close(v1::StreamClose {}));
    for op in ops() {
        found.said(Said::Call(v1::CallRequest { seq: 11, seen_through: 3, op: Some(op) }));
    }
}

fn calls(found: &mut Seeds) {
    /// The unary request of an operation.
    macro_rules! unary {
        ($name:expr, $message:ident, $field:ident, $op:expr) => {
            found.add(
                $name,
                &v1::$message { key: key(), seq: 11, seen_through: 3, $field: Some($op) },
            )
        };
    }
    for op in ops() {
        match op {
            Op::Acquire(op) => unary!("acquire", AcquireRequest, acquire, op),
            Op::Edit(op) => unary!("edit", EditRequest, edit, op),
            Op::Downgrade(op) => unary!("downgrade", DowngradeRequest, downgrade, op),
            Op::Upgrade(op) => unary!("upgrade", UpgradeRequest, upgrade, op),
            Op::Proclaim(op) => unary!("proclaim", ProclaimRequest, proclaim, op),
            Op::SetEligible(op) => unary!("set_eligible", SetEligibleRequest, set_eligible, op),
            Op::Complete(op) => unary!("complete", CompleteRequest, complete, op),
            Op::Release(v1::ReleaseOp { token, permits }) => {
                let (key, seq, seen_through) = (key(), 11, 3);
                let release = v1::ReleaseRequest { key, seq, seen_through, token, permits };
                found.add("release", &release);
            }
            Op::Adopt(v1::AdoptOp { token }) => {
                let (key, seq, seen_through) = (key(), 11, 3);
                found.add("adopt", &v1::AdoptRequest { key, seq, seen_through, token });
            }
        }
    }
    found.add("cancel", &v1::CancelRequest { key: key(), seq: 6 });
}

fn operators(found: &mut Seeds) {
    let by = || text("operator");
    let (session, reason) = (1, text("why"));
    found.add("kill", &v1::KillSessionRequest { session, by: by(), reason });
    let (name, token, now) = (text("mutex"), 5, true);
    found.add("force_release", &v1::ForceReleaseRequest { name, token, now, by: by() });
    let (name, limit, version) = (text("semaphore"), 2, 7);
    found.add("resize", &v1::ResizeRequest { name, limit, version, by: by() });
    let (name, term, to_session) = (text("election"), 8, 1);
    found.add("transfer", &v1::TransferRequest { name, term, to_session, by: by() });
    found.add("delete", &v1::DeleteRequest { name: text("gate"), by: by() });
}

fn looks(found: &mut Seeds) {
    let name = || text("register");
    found.add("check", &v1::CheckRequest { name: name(), token: 5 });
    found.add("get_register", &v1::GetRegisterRequest { name: name(), stale: true });
    found.add("get_counter", &v1::GetCounterRequest { name: name(), stale: false });
    found.add("get_once_result", &v1::GetOnceResultRequest { name: name(), ..Default::default() });
    let election = v1::GetElectionRequest { name: name(), candidates_max: 3, ..Default::default() };
    found.add("get_election", &election);
    found.add("inspect", &v1::InspectRequest { name: name(), stale: false, queue_max: 5 });
    let after = text("a");
    let list = v1::ListRequest { prefix: text("r"), sort: 1, limit: 5, stale: false, after };
    found.add("list", &list);
    found.add("list_sessions", &v1::ListSessionsRequest { limit: 9, ..Default::default() });
    let prefix = text("r");
    found.add("watch", &v1::WatchRequest { prefix, after_revision: 3, after_n: 1 });
    let observe =
        v1::ObserveRequest { name: name(), after_revision: 3, after_n: 1, candidates_max: 2 };
    found.add("observe", &observe);
}

/// A machine after some random commands, and the commands.
fn random_run(seed: u64, steps: usize) -> (Machine, Vec<conclave_machine::Command>) {
    let mut rng = Rng::new(seed);
    let mut generator = Generator::new(Profile::draw(&mut Rng::new(!seed)));
    let (mut machine, mut commands) = (Machine::new(), Vec::new());
    for _ in 0..steps {
        let (context, command) = generator.command(rng.draw());
        let mut events = Vec::new();
        let (_, outcome) = machine.apply(&context, command.clone(), &mut events);
        generator.learn(&command, &outcome, &events);
        commands.push(command);
    }
    (machine, commands)
}

/// Payloads of entries with one to four commands each.
#[must_use]
pub fn log_payloads(seed: u64) -> Vec<Bytes> {
    let (_, commands) = random_run(seed, 120);
    let pieces = commands.chunks(1 + usize::try_from(seed % 4).expect("few"));
    let payload = |commands: &[conclave_machine::Command]| {
        let mut batch = BatchBuilder::new(seed);
        commands.iter().for_each(|command| batch.push(&encode_command(command)));
        batch.finish()
    };
    pieces.map(payload).collect()
}

/// The records of a snapshot.
#[must_use]
pub fn snapshots(seed: u64) -> Vec<Bytes> {
    let (machine, _) = random_run(seed, 150);
    machine.records().map(|record| encode_record(&record)).collect()
}

/// The only chunk of a log with every kind of record, and its entries.
#[must_use]
pub fn some_chunk(scratch: &Path, seed: u64) -> (Vec<u8>, Vec<LogEntry>) {
    let dir = scratch.join("good");
    let _ = fs::remove_dir_all(&dir);
    let log = Wal::open(&dir, &WalOptions::default()).expect("a new log");
    let mut entries = Vec::new();
    for (index, payload) in (0..12).zip(log_payloads(seed)) {
        let position = LogPosition { term: 1 + index / 5, index };
        entries.push(LogEntry { position, payload });
    }
    let vote = StoredVote { term: 4, voted_for: Some(2), committed: true };
    for piece in entries.chunks(3) {
        let (done, durable) = mpsc::channel();
        let told = Box::new(move |result| done.send(result).expect("somebody waits"));
        log.append(piece.to_vec(), told).expect("queued");
        durable.recv().expect("told").expect("durable");
        log.save_committed(piece.last().map(|entry| entry.position)).expect("recorded");
    }
    drop(log.save_vote(vote));
    drop(log);
    let mut files =
        fs::read_dir(&dir).expect("a directory").map(|file| file.expect("a file").path());
    let chunk = files.find(|path| path.extension().is_some_and(|extension| extension == "wal"));
    (fs::read(chunk.expect("a chunk")).expect("readable"), entries)
}
