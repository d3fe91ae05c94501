//! A cluster of real `conclave server` processes, each cluster on loopback addresses of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::{Process, Signal, conclave, eventually};

/// What `conclave status -o json` says, as far as tests need it.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    pub leader: Option<String>,
    pub term: u64,
    pub nodes: Vec<NodeStatus>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct NodeStatus {
    pub name: String,
    pub role: String,
    pub applied: u64,
}

/// How a node runs that is not like the others.
#[derive(Debug, Clone, Default)]
pub struct Seat {
    pub environment: Vec<(String, String)>,
    /// The command that runs it; none: it runs by itself.
    pub wrapper: Vec<String>,
    /// None: in the folder of the cluster.
    pub data_dir: Option<PathBuf>,
    /// The address it has; none: one of its own on loopback.
    pub host: Option<String>,
    /// Where clients are told to dial it; none: where it listens.
    pub client_road: Option<String>,
    /// Where peers dial it; none: where it listens.
    pub peer_road: Option<String>,
}

/// However loaded the machine is; a healthy one takes a second or two.
const LEADER_MAX: Duration = Duration::from_secs(30);

/// `a`, `b`, `c`, ... on `127.x.y.1`, `127.x.y.2`, ..., ports 7420 and 7421. All die with the handle.
pub struct Cluster {
    folder: TempDir,
    network: [u8; 2],
    nodes: Vec<Option<Process>>,
    extra: Vec<String>,
    seats: Vec<Seat>,
}

impl Cluster {
    /// Starts `size` nodes and waits until all know the same leader.
    pub fn start(size: usize) -> Self {
        Self::start_with(size, &[])
    }

    /// The same with further arguments of `conclave server`.
    pub fn start_with(size: usize, extra: &[&str]) -> Self {
        Self::start_in(size, extra, &|_| Vec::new())
    }

    /// The same with environment variables of each node.
    pub fn start_in(
        size: usize,
        extra: &[&str],
        environment: &dyn Fn(usize) -> Vec<(String, String)>,
    ) -> Self {
        let seat = |node| Seat { environment: environment(node), ..Seat::default() };
        Self::start_seated(size, extra, &seat)
    }

    /// The same with a seat for each node.
    pub fn start_seated(size: usize, extra: &[&str], seat: &dyn Fn(usize) -> Seat) -> Self {
        let mut cluster = Self::prepare(size, extra, seat);
        for node in 0..size {
            cluster.restart(node);
        }
        cluster.leader();
        cluster
    }

    /// A cluster of which no node runs yet.
    pub fn prepare(size: usize, extra: &[&str], seat: &dyn Fn(usize) -> Seat) -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("conclave-cluster")
                .tempdir()
                .expect("a folder"),
            network: own_network(),
            nodes: (0..size).map(|_| None).collect(),
            extra: extra.iter().map(|&argument| argument.to_owned()).collect(),
            seats: (0..size).map(seat).collect(),
        }
    }

    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Where the output of processes and the data lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data_dir(&self, node: usize) -> PathBuf {
        let seat = self.seats[node].data_dir.clone();
        seat.unwrap_or_else(|| self.folder.path().join(name(node)))
    }

    /// What `--cluster` says on every node.
    pub fn list(&self) -> String {
        (0..self.size())
            .map(|node| {
                let road = self.seats[node].peer_road.clone();
                format!("{}={}", name(node), road.unwrap_or_else(|| self.peer_address(node)))
            })
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The loopback address that is this node's alone; other ports of it are free for a test.
    pub fn host(&self, node: usize) -> String {
        if let Some(host) = &self.seats[node].host {
            return host.clone();
        }
        format!("127.{}.{}.{}", self.network[0], self.network[1], node + 1)
    }

    /// The client address of a node.
    pub fn endpoint(&self, node: usize) -> String {
        format!("{}:7420", self.host(node))
    }

    pub fn peer_address(&self, node: usize) -> String {
        format!("{}:7421", self.host(node))
    }

    /// All client addresses, as `--endpoint` takes them.
    pub fn endpoints(&self) -> String {
        (0..self.size()).map(|node| self.client_road(node)).collect::<Vec<_>>().join(",")
    }

    /// Where clients dial a node.
    pub fn client_road(&self, node: usize) -> String {
        self.seats[node].client_road.clone().unwrap_or_else(|| self.endpoint(node))
    }

    /// How a node runs from its next start on.
    pub fn seat(&mut self, node: usize, seat: Seat) {
        self.seats[node] = seat;
    }

    /// Starts a node that is down; its data is where it was.
    pub fn restart(&mut self, node: usize) {
        let list = self.list();
        self.restart_with(node, &list);
    }

    /// The same with another list of nodes than the others have.
    pub fn restart_with(&mut self, node: usize, list: &str) {
        self.start_node(node, &["--cluster", list]);
    }

    /// Starts a node that is to join those that are asked, by their numbers.
    pub fn join(&mut self, node: usize, asked: &[usize]) {
        let asked: Vec<_> = asked.iter().map(|&node| self.peer_address(node)).collect();
        self.start_node(node, &["--join", &asked.join(",")]);
    }

    /// Starts a node by itself: neither a list nor whom to join.
    pub fn begin(&mut self, node: usize) {
        self.start_node(node, &[]);
    }

    /// The name of a node.
    pub fn name(&self, node: usize) -> String {
        name(node)
    }

    fn start_node(&mut self, node: usize, with: &[&str]) {
        assert!(self.nodes[node].is_none(), "node {node} is running");
        let Seat { environment, wrapper, .. } = &self.seats[node];
        let mut words = wrapper.clone();
        words.push(conclave().display().to_string());
        words.extend(["server".into(), "--name".into(), name(node)]);
        words.extend(["--listen".into(), self.endpoint(node)]);
        words.extend(["--peer-listen".into(), self.peer_address(node)]);
        words.extend(with.iter().map(|&word| word.to_owned()));
        words.extend(["--data-dir".into(), self.data_dir(node).display().to_string()]);
        if let Some(road) = &self.seats[node].client_road {
            words.extend(["--advertise".into(), road.clone()]);
        }
        words.extend(self.extra.iter().cloned());
        let environment: Vec<_> =
            environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let program = Path::new(&words[0]);
        let folder = self.folder.path();
        let process = Process::start(program, &words[1..], &environment, folder, &name(node));
        self.nodes[node] = Some(process);
    }

    /// Waits for a node to end by itself; answers its exit code and what it said.
    pub fn ended(&mut self, node: usize, limit: Duration) -> (i32, String) {
        let mut process = self.nodes[node].take().expect("a running node");
        (process.exit_code(limit), process.errors())
    }

    /// `kill -9`.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].take().expect("a running node").kill();
    }

    /// The process of a running node.
    pub fn node(&mut self, node: usize) -> &mut Process {
        self.nodes[node].as_mut().expect("a running node")
    }

    pub fn running(&self, node: usize) -> bool {
        self.nodes[node].is_some()
    }

    pub fn signal(&mut self, node: usize, signal: Signal) {
        self.node(node).signal(signal);
    }

    /// What this node says of the cluster; nothing while it does not answer.
    pub fn status(&self, node: usize) -> Option<Status> {
        let output = Command::new(conclave())
            .args(["--endpoint", &self.endpoint(node), "status", "-o", "json"])
            .output()
            .expect("conclave runs");
        serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())
    }

    /// The leader on which all running nodes agree, waited for until it serves.
    pub fn leader(&self) -> usize {
        eventually("a leader that all running nodes know and that serves", LEADER_MAX, || {
            let leader = self.known_leader()?;
            // A linearizable read: answered once the leader applied an entry of its own term.
            let read = Command::new(conclave())
                .args(["--endpoint", &self.endpoint(leader), "list", "-o", "json"])
                .output()
                .expect("conclave runs");
            read.status.success().then_some(leader)
        })
    }

    fn known_leader(&self) -> Option<usize> {
        let mut leaders = (0..self.size())
            .filter(|&node| self.running(node))
            .map(|node| self.status(node).and_then(|status| status.leader));
        let first = leaders.next().flatten()?;
        if leaders.any(|leader| leader.as_ref() != Some(&first)) {
            return None;
        }
        (0..self.size()).find(|&node| name(node) == first && self.running(node))
    }
}

/// The name of a node by its number.
fn name(node: usize) -> String {
    char::from(b'a' + u8::try_from(node).expect("a small cluster")).to_string()
}

/// Two bytes that no other cluster of this run has: from the process id and a count.
fn own_network() -> [u8; 2] {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(64) + COUNT.fetch_add(1, Ordering::Relaxed);
    // 127.0 is where people and other programs are.
    let [.., high, low] = (number % (199 * 256)).to_be_bytes();
    [high + 50, low]
}
