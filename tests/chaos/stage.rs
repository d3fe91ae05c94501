//! The cluster and its clients, ready to be hurt.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use conclave_tests::{
    Cluster, Network, Process, Proxy, Seat, Signal, SmallDisk, conclave, eventually,
};
use tempfile::TempDir;

use crate::TTL;
use crate::campaign::{Plan, Roads};
use crate::client::Orders;
use crate::facts;
use crate::overheard::{self, Calls};
use crate::work::Work;

pub(crate) const NODES: usize = 3;
pub(crate) const CLIENTS: usize = 3;
/// The one client that may be stopped: it does no work that only a clock guards.
pub(crate) const STOPPABLE: usize = 2;
/// The node on a small disk, and the one whose wall clock can be moved.
pub(crate) const ON_SMALL_DISK: usize = 1;
pub(crate) const UNDER_FAKETIME: usize = 2;

/// Snapshots are taken again and again, and nothing of the log is purged: the oracle reads all of it.
const EXTRA: &[&str] = &[
    "--insecure",
    "--ttl-floor",
    "1s",
    "--snapshot-entries",
    "5000",
    "--keep-entries",
    "100000000",
    "--lag-entries",
    "200000000",
];

const DISK_BYTES: u64 = 512 * 1024 * 1024;
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// A healed cluster serves everybody again within this time; a client may first have to lose its session.
const RECOVERY_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) name: String,
    history: PathBuf,
}

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) network: Option<Network>,
    /// Before each node: where its peers dial it, and where its clients do.
    pub(crate) roads: Vec<[Proxy; 2]>,
    pub(crate) disk: Option<SmallDisk>,
    /// What the moved clock is told.
    pub(crate) clock: Option<PathBuf>,
    pub(crate) clients: Vec<Option<Running>>,
    folder: TempDir,
    seed: u64,
    /// All histories of all processes that ever ran.
    pub(crate) histories: Vec<PathBuf>,
}

impl Stage {
    pub(crate) fn build(plan: &Plan) -> Self {
        let folder = tempfile::Builder::new().prefix("conclave-chaos").tempdir().expect("a folder");
        let network = plan.isolated.then(|| Network::new(NODES + CLIENTS)).flatten();
        let direct = plan.roads == Roads::Direct;
        let disk = direct.then(|| SmallDisk::new(DISK_BYTES)).flatten();
        let clock = (direct && Path::new(FAKETIME).exists()).then(|| folder.path().join("clock"));
        if let Some(clock) = &clock {
            fs::write(clock, "+0\n").expect("a file");
        }
        // Without a network of its own the proxies, too, are on loopback: each node's addresses are known before it is prepared.
        let (mut roads, mut seats) = (Vec::new(), Vec::new());
        for node in 0..NODES {
            let mut seat = match &disk {
                Some(disk) if node == ON_SMALL_DISK => disk.seat(),
                _ => Seat::default(),
            };
            if let (Some(clock), UNDER_FAKETIME) = (&clock, node) {
                seat.environment = moved_by(clock);
            }
            let host = match &network {
                Some(network) => {
                    seat.wrapper.splice(0..0, network.wrapper(node));
                    network.host(node)
                }
                None => format!("127.98.0.{}", node + 1),
            };
            if plan.roads == Roads::Proxied {
                let before = |port: u16| {
                    let listen = if network.is_some() { "10.98.0.254:0" } else { "127.98.0.254:0" };
                    Proxy::start(listen, &format!("{host}:{port}"), plan.seed)
                };
                let [peers, clients] = [before(7421), before(7420)];
                seat.peer_road = Some(peers.address().to_string());
                seat.client_road = Some(clients.address().to_string());
                roads.push([peers, clients]);
            }
            seat.host = Some(host);
            seats.push(seat);
        }
        let cluster = Cluster::start_seated(NODES, EXTRA, &|node| seats[node].clone());
        let mut stage = Self {
            cluster,
            network,
            roads,
            disk,
            clock,
            clients: (0..CLIENTS).map(|_| None).collect(),
            folder,
            seed: plan.seed,
            histories: Vec::new(),
        };
        for client in 0..CLIENTS {
            stage.start_client(client);
        }
        stage
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a client that is not running; it has a name that none had before.
    pub(crate) fn start_client(&mut self, client: usize) {
        let number = self.histories.len();
        let name = format!("client-{number}");
        let history = self.folder().join(format!("{name}.jsonl"));
        let mut works = vec![
            Work::Fenced,
            Work::Fenced,
            Work::Register,
            Work::Long,
            Work::Permits,
            Work::Permits,
            Work::ReadWrite,
            Work::ReadWrite,
            Work::Election,
            Work::Barrier,
            Work::Counter,
            Work::Several,
            Work::Once,
            Work::Latch,
            Work::Small,
        ];
        if client != STOPPABLE {
            works.push(Work::Open);
        }
        let orders = Orders {
            endpoints: (0..NODES).map(|node| self.cluster.client_road(node)).collect(),
            name: name.clone(),
            ttl_ms: u64::try_from(TTL.as_millis()).expect("a short time"),
            seed: self.seed.wrapping_add(1000 * number as u64),
            history: history.clone(),
            folder: self.folder().to_owned(),
            works,
        };
        let mut words = match &self.network {
            Some(network) => network.wrapper(NODES + client),
            None => Vec::new(),
        };
        words.push(std::env::current_exe().expect("a path").display().to_string());
        words.push("client".to_owned());
        words.push(serde_json::to_string(&orders).expect("orders have a text"));
        let process = Process::start(Path::new(&words[0]), &words[1..], &[], self.folder(), &name);
        eventually("the client has begun its history", Duration::from_secs(20), || {
            history.exists().then_some(())
        });
        self.histories.push(history.clone());
        self.clients[client] = Some(Running { process, name, history });
    }

    /// All nodes run and agree on a leader.
    pub(crate) fn agrees(&mut self) {
        for node in 0..NODES {
            if self.cluster.node(node).ended().is_some() {
                let (code, said) = self.cluster.ended(node, Duration::ZERO);
                panic!("node {node} ended by itself with {code}: {said}");
            }
        }
        self.cluster.leader();
    }

    /// That, and every client is granted something again.
    pub(crate) fn recovers(&mut self) {
        self.agrees();
        for client in self.clients.iter_mut().flatten() {
            assert!(
                client.process.ended().is_none(),
                "{} ended: {}",
                client.name,
                client.process.errors()
            );
            let mut history = File::open(&client.history).expect("a history");
            history.seek(SeekFrom::End(0)).expect("a file");
            let mut fresh = Vec::new();
            eventually("a client is granted something again", RECOVERY_MAX, || {
                history.read_to_end(&mut fresh).expect("a file");
                String::from_utf8_lossy(&fresh).contains("\"Granted\"").then_some(())
            });
        }
    }

    /// The clients come to their end in good order.
    pub(crate) fn stop_clients(&mut self) {
        for client in self.clients.iter().flatten() {
            client.process.signal(Signal::TERM);
        }
        for client in &mut self.clients {
            let mut client = client.take().expect("it runs");
            let code = client.process.exit_code(Duration::from_secs(60));
            assert_eq!(code, 0, "{}: {}", client.name, client.process.errors());
            let over = facts::read(&client.history).pop().map(|line| line.fact);
            assert_eq!(over, Some(facts::Fact::Over), "{}", client.name);
        }
    }

    /// Where the data of a node is, as seen from here.
    pub(crate) fn data_dir(&self, node: usize) -> PathBuf {
        match &self.disk {
            Some(disk) if node == ON_SMALL_DISK => disk.path().join("data"),
            _ => self.cluster.data_dir(node),
        }
    }

    /// What the sessions of all processes said and heard.
    pub(crate) fn overheard(&self) -> conclave_oracle::History {
        let mut calls = Calls::default();
        for history in &self.histories {
            let client = history.file_stem().expect("a file").to_string_lossy();
            calls.take(&client, &overheard::words(history));
        }
        calls.history
    }

    /// Sessions, holds and waiters that a node knows.
    pub(crate) fn counts(&self, node: usize) -> Option<[u64; 3]> {
        let output = Command::new(conclave())
            .args(["--endpoint", &self.cluster.endpoint(node), "status", "-o", "json"])
            .output()
            .expect("conclave runs");
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let count = |key: &str| status[key].as_u64();
        Some([count("sessions")?, count("holds")?, count("waiters")?])
    }
}

fn moved_by(clock: &Path) -> Vec<(String, String)> {
    [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}
