//! Three nodes of our own on this machine: real processes of the `conclave` binary, each on a loopback address of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave_client::{Client, ClusterStatus};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::process::Process;

/// A cluster forms in about two seconds; a crowded machine takes longer.
const FORM_MAX: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// `a`, `b` and `c`. All die with the handle.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Option<Process>>,
    binary: PathBuf,
    network: [u8; 2],
    folder: TempDir,
}

impl Cluster {
    /// Starts three nodes and waits until they serve.
    pub(crate) async fn start(binary: &Path, folder: TempDir) -> Result<Self, Failure> {
        let network = own_network();
        let nodes = vec![None, None, None];
        let mut cluster = Self { nodes, binary: binary.to_owned(), network, folder };
        for node in 0..cluster.nodes.len() {
            cluster.start_node(node)?;
        }
        cluster.settled().await?;
        Ok(cluster)
    }

    /// Starts a node that is down; its data is where it was.
    pub(crate) fn start_node(&mut self, node: usize) -> Result<(), Failure> {
        let peers: Vec<_> = (0..self.nodes.len())
            .map(|node| format!("{}={}:7421", name(node), self.host(node)))
            .collect();
        let data = self.folder.path().join(name(node));
        let listen = self.endpoint(node);
        let peer_listen = format!("{}:7421", self.host(node));
        let words = ["server", "--name", &name(node), "--listen", &listen, "--log-format", "human"];
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        words.extend(["--peer-listen".into(), peer_listen.into()]);
        words.extend(["--cluster".into(), peers.join(",").into()]);
        words.extend(["--data-dir".into(), data.into_os_string()]);
        let process = Process::start(&name(node), &self.binary, &words, self.folder.path())?;
        self.nodes[node] = Some(process);
        Ok(())
    }

    /// `kill -9` to the node that leads; answers which one.
    pub(crate) async fn kill_leader(&mut self) -> Result<usize, Failure> {
        let status = self.settled().await?;
        let leads = |node: &usize| status.leader.as_ref() == Some(&name(*node));
        let leader = (0..self.nodes.len()).find(leads);
        let leader = leader.ok_or_else(|| Failure::new("the leader is none of the nodes", ""))?;
        // Dropped is killed.
        self.nodes[leader] = None;
        Ok(leader)
    }

    /// The running ones.
    pub(crate) fn processes(&self) -> Vec<&Process> {
        self.nodes.iter().flatten().collect()
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        (0..self.nodes.len()).map(|node| self.endpoint(node)).collect()
    }

    fn endpoint(&self, node: usize) -> String {
        format!("{}:7420", self.host(node))
    }

    fn host(&self, node: usize) -> String {
        format!("127.{}.{}.{}", self.network[0], self.network[1], node + 1)
    }

    /// Waits until every node answers, knows the same leader and hears all the others; answers what one of them says.
    pub(crate) async fn settled(&mut self) -> Result<ClusterStatus, Failure> {
        let client = Client::connect(self.endpoints())
            .map_err(|error| Failure::of("the endpoints of the cluster", error))?;
        let from = Instant::now();
        loop {
            for process in self.nodes.iter_mut().flatten() {
                process.must_run()?;
            }
            let answers = client.admin().status_of_each().await;
            let answers: Vec<_> = answers.into_iter().filter_map(|each| each.status.ok()).collect();
            if answers.len() == self.nodes.len()
                && let Some(first) = answers.first()
                && first.leader.is_some()
                && answers.iter().all(|status| status.leader == first.leader)
            {
                return Ok(first.clone());
            }
            if from.elapsed() > FORM_MAX {
                return Err(Failure::new(
                    format!("no cluster after {} s", FORM_MAX.as_secs()),
                    "is the machine very busy, or does something else use port 7420?",
                ));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn name(node: usize) -> String {
    // Three of them.
    ["a", "b", "c"][node].to_owned()
}

/// Two bytes that hardly any other cluster on this machine has: 127.0 is where people and other programs are.
pub(crate) fn own_network() -> [u8; 2] {
    let [.., high, low] = (std::process::id() % (199 * 256)).to_be_bytes();
    [high + 50, low]
}
