//! A node of the cluster on its host: the whole server, over a simulated network and a simulated disk whose syncs take time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conclave_raft::{Member, Node, Protocols, Retention, Simulation, Storage, Timing};
use conclave_server::{LogFormat, Server, ServerConfig};
use conclave_store::{SimulatedLog, SimulatedSnapshots};

use crate::chance::Chance;
use crate::dialling;
use crate::host::Host;
use crate::network::{Network, Power};

/// The shortest TTL that a session may ask for.
pub const TTL_FLOOR: Duration = Duration::from_millis(4800);

pub struct ClusterMember {
    pub host: Host,
    directory: PathBuf,
    log: SimulatedLog,
    pub snapshots: SimulatedSnapshots,
    life: Arc<Mutex<Life>>,
    /// A sync takes so long: at least, at most.
    pub sync_ms: (u64, u64),
    sync_due: Option<u64>,
    /// Of the log in the present life, what was looked at.
    pub looked_at: u64,
}

/// What the tasks tell the world.
#[derive(Default)]
struct Life {
    node: Option<Node>,
    ended: Option<String>,
}

impl ClusterMember {
    #[must_use]
    pub fn new(name: &str, root: &Path) -> Self {
        Self {
            host: Host::new(name),
            directory: root.join(name),
            log: SimulatedLog::new(),
            snapshots: SimulatedSnapshots::new(),
            life: Arc::default(),
            sync_ms: (0, 3),
            sync_due: None,
            looked_at: 0,
        }
    }

    /// Power comes back, or a new process starts.
    pub fn start(&mut self, network: &Network, names: &[String]) {
        network.set_power(&self.host.name, Power::On);
        self.log = self.log.restart();
        self.log.hold_syncs();
        self.sync_due = None;
        self.looked_at = 0;
        self.life = Arc::default();
        let config = self.config(network, names);
        self.host.boot();
        self.host.spawn(serve(config, self.life.clone()));
    }

    fn config(&self, network: &Network, names: &[String]) -> ServerConfig {
        let name = &self.host.name;
        let member =
            |name: &String| Member { name: name.clone(), peer_address: peer_address(name) };
        ServerConfig {
            name: name.clone(),
            listen: client_address(name),
            peer_listen: peer_address(name),
            advertise: Some(client_address(name)),
            peer_advertise: Some(peer_address(name)),
            cluster: names.iter().map(member).collect(),
            cluster_token: String::new(),
            storage: Storage::Simulated(Simulation {
                directory: self.directory.clone(),
                log: self.log.clone(),
                snapshots: self.snapshots.clone(),
                network: dialling::of_node(network, name),
            }),
            ready_file: None,
            insecure: false,
            log_format: LogFormat::Auto,
            timing: Timing::default(),
            retention: Retention {
                snapshot_every_entries: 120,
                keep_entries: 200,
                lag_entries_max: 400,
                ..Retention::default()
            },
            ttl_floor: TTL_FLOOR,
            // All of them form the cluster.
            join: Vec::new(),
            join_patience: Duration::ZERO,
            protocols: Protocols::default(),
        }
    }

    /// The process is gone at once. With the power (`Off`) also what was not synced, except the first `kept` writes. How many
    /// writes were lost.
    pub fn crash(&mut self, network: &Network, power: Power, kept: usize) -> usize {
        network.set_power(&self.host.name, power);
        let unsynced = self.log.unsynced_count();
        self.host.inside(|| drop(std::mem::take(&mut *lock(&self.life))));
        self.host.halt();
        let kept = match power {
            // The kernel has it all and writes it down some time.
            Power::ProcessGone => usize::MAX,
            Power::Off | Power::On => kept,
        };
        self.log.crash_keeping(kept);
        unsynced.saturating_sub(kept)
    }

    /// Its process ended by itself: why.
    pub fn ended(&self) -> Option<String> {
        lock(&self.life).ended.clone()
    }

    /// None: it does not run.
    pub fn node(&self) -> Option<Node> {
        lock(&self.life).node.clone()
    }

    pub fn log(&self) -> &SimulatedLog {
        &self.log
    }

    /// The next sync fails.
    pub fn fail_disk(&self) {
        self.log.fail_next_sync();
    }

    /// Syncs that are due. A stopped process hears of none.
    pub fn work_disk(&mut self, now_ms: u64, chance: &mut Chance) {
        if !self.host.is_awake() || self.log.unsynced_count() == 0 {
            return;
        }
        match self.sync_due {
            None => self.sync_due = Some(now_ms + chance.between(self.sync_ms.0, self.sync_ms.1)),
            Some(due) if due <= now_ms => {
                self.sync_due = None;
                let log = self.log.clone();
                self.host.inside(|| log.sync());
            }
            Some(_) => {}
        }
    }
}

#[must_use]
pub fn client_address(name: &str) -> String {
    format!("{name}:7420")
}

fn peer_address(name: &str) -> String {
    format!("{name}:7421")
}

async fn serve(config: ServerConfig, life: Arc<Mutex<Life>>) {
    let server = match Server::start(config).await {
        Ok(server) => server,
        Err(error) => {
            lock(&life).ended = Some(format!("does not start: {error}"));
            return;
        }
    };
    lock(&life).node = Some(server.node().clone());
    let fatal = server.failed().await;
    lock(&life).ended = Some(fatal.to_string());
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
