//! The server under attack, and the client beside it that must not notice.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use conclave_client::Client;
use conclave_tests::{Cluster, Turn, alone, eventually};
use tokio::task::JoinHandle;

/// A cycle of the neighbour may take so long on a loaded machine while the server is flooded: less than its session lives without a
/// keepalive (9 s).
const CYCLE_MAX: Duration = Duration::from_secs(8);
/// It must have done at least so many, or nothing was shown.
const CYCLES_MIN: usize = 20;
/// Descriptors that may be left over: files that the log opened meanwhile, a connection about to close.
const DESCRIPTORS_MORE: usize = 24;

pub(crate) struct Victim {
    pub(crate) cluster: Cluster,
    rss_kib: u64,
    descriptors: usize,
    neighbour: Neighbour,
    _turn: Turn,
}

struct Neighbour {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Duration>>,
}

impl Victim {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further arguments of the server.
    pub(crate) async fn start_with(extra: &[&str]) -> Self {
        let turn = alone();
        let mut cluster = Cluster::start_with(1, extra);
        let neighbour = Neighbour::begin(&cluster).await;
        let process = cluster.node(0).id();
        let (rss_kib, descriptors) = (memory(process, "VmRSS"), descriptors(process));
        Self { cluster, rss_kib, descriptors, neighbour, _turn: turn }
    }

    /// Where clients, and where peers connect.
    pub(crate) fn ports(&self) -> [String; 2] {
        [self.cluster.endpoint(0), self.cluster.peer_address(0)]
    }

    pub(crate) fn process(&mut self) -> u32 {
        self.cluster.node(0).id()
    }

    /// The server runs, at its worst it took at most so many MiB more than before, and gave back its descriptors; the neighbour had its
    /// lock again and again.
    pub(crate) async fn goes_on(mut self, mib_more: u64) {
        let cycles = self.neighbour.ends().await;
        let worst = cycles.iter().max().copied().unwrap_or_default();
        assert!(cycles.len() >= CYCLES_MIN, "only {} cycles beside it", cycles.len());
        assert!(worst <= CYCLE_MAX, "a cycle of somebody else took {worst:?}");
        let node = self.cluster.node(0);
        assert!(node.ended().is_none(), "the server ended: {}", node.errors());
        assert!(!node.errors().contains("panicked"), "{}", node.errors());
        let process = node.id();
        let more = memory(process, "VmHWM").saturating_sub(self.rss_kib) / 1024;
        println!(
            "{} cycles beside it, the longest {worst:?}; at most {more} MiB more",
            cycles.len()
        );
        assert!(more <= mib_more, "{more} MiB more, {mib_more} are allowed");
        let allowed = self.descriptors + DESCRIPTORS_MORE;
        eventually("the descriptors are given back", Duration::from_secs(60), || {
            (descriptors(process) <= allowed).then_some(())
        });
    }
}

impl Neighbour {
    async fn begin(cluster: &Cluster) -> Self {
        let client = Client::connect([cluster.endpoint(0)]).expect("an address");
        let session = client.session().name("neighbour").open().await.expect("a session");
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut cycles = Vec::new();
            while !stopping.load(Ordering::SeqCst) || cycles.len() < CYCLES_MIN {
                let from = Instant::now();
                let guard = session.mutex("neighbour").lock().await.expect("a grant");
                guard.release().await.expect("it held");
                cycles.push(from.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            session.close().await.expect("it lived to the end");
            cycles
        });
        Self { stop, task }
    }

    async fn ends(&mut self) -> Vec<Duration> {
        self.stop.store(true, Ordering::SeqCst);
        (&mut self.task).await.expect("the neighbour is served")
    }
}

/// A line of the process's status, in KiB.
fn memory(process: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with(what)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

pub(crate) fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count()
}
