//! etcd: three members, and clients that lock by its own lock service, at its leader.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

use self::wire::lease_client::LeaseClient;
use self::wire::maintenance_client::MaintenanceClient;
use self::wire_lock::lock_client::LockClient;
use super::START_MAX;
use crate::failure::Failure;
use crate::load::{Load, Times, Worker, run};
use crate::process::Process;
use crate::shape::{Shape, Work};

#[expect(unused_qualifications, unreachable_pub, reason = "generated")]
mod wire {
    tonic::include_proto!("etcdserverpb");
}
#[expect(unused_qualifications, unreachable_pub, reason = "generated")]
mod wire_lock {
    tonic::include_proto!("v3lockpb");
}

/// Longer than one repetition: nobody keeps the leases alive, which spares etcd that work.
const LEASE_SECONDS: i64 = 600;
const NAMES: [&str; 3] = ["etcd-a", "etcd-b", "etcd-c"];

#[derive(Debug)]
pub(crate) struct Etcd {
    pub(crate) processes: Vec<Process>,
    leader: Endpoint,
    pub(crate) version: String,
    /// A number that no other repetition has.
    runs: u32,
    _folder: TempDir,
}

impl Etcd {
    pub(crate) async fn start(
        binary: &Path,
        network: [u8; 2],
        folder: TempDir,
    ) -> Result<Self, Failure> {
        let host = |node: usize| format!("127.{}.{}.{}", network[0], network[1], node + 1);
        let peers: Vec<_> = NAMES
            .iter()
            .enumerate()
            .map(|(n, name)| format!("{name}=http://{}:2380", host(n)))
            .collect();
        let mut processes = Vec::new();
        for (node, name) in NAMES.iter().enumerate() {
            let (client, peer) =
                (format!("http://{}:2379", host(node)), format!("http://{}:2380", host(node)));
            let mut words: Vec<OsString> = vec!["--name".into(), (*name).into()];
            words.extend(["--data-dir".into(), folder.path().join(name).into_os_string()]);
            words.extend(["--listen-client-urls".into(), client.clone().into()]);
            words.extend(["--advertise-client-urls".into(), client.into()]);
            words.extend(["--listen-peer-urls".into(), peer.clone().into()]);
            words.extend(["--initial-advertise-peer-urls".into(), peer.into()]);
            words.extend(["--initial-cluster".into(), peers.join(",").into()]);
            words.extend(["--initial-cluster-state".into(), "new".into()]);
            words.extend(["--logger".into(), "zap".into(), "--log-level".into(), "error".into()]);
            processes.push(Process::start(name, binary, &words, folder.path())?);
        }
        let from = Instant::now();
        loop {
            for process in &mut processes {
                process.must_run()?;
            }
            for node in 0..NAMES.len() {
                if let Some((leader, version)) = leads(&host(node)).await {
                    let runs = 0;
                    return Ok(Self { processes, leader, version, runs, _folder: folder });
                }
            }
            if from.elapsed() > START_MAX {
                return Err(Failure::new("etcd elected no leader", ""));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// One repetition. Clients that share sessions share connections; each has a lease of its own.
    pub(crate) async fn measure(&mut self, shape: Shape, times: Times) -> Result<Load, Failure> {
        self.runs += 1;
        let failed = |error: &dyn std::fmt::Display| Failure::of("etcd", error);
        let mut channels = Vec::new();
        for _ in 0..shape.sessions {
            channels.push(self.leader.connect().await.map_err(|error| failed(&error))?);
        }
        let mut workers = Vec::new();
        for number in 0..shape.clients {
            let channel = channels[number as usize % channels.len()].clone();
            let request = wire::LeaseGrantRequest { ttl: LEASE_SECONDS };
            let lease = LeaseClient::new(channel.clone()).lease_grant(request).await;
            let lease = lease.map_err(|status| failed(&status.message()))?.into_inner().id;
            let name = match shape.work {
                Work::Own => format!("bench/{}/{number}", self.runs),
                Work::One => format!("bench/{}", self.runs),
                Work::Rw | Work::Sem | Work::Elect => {
                    return Err(Failure::new("etcd's lock service has mutexes only", ""));
                }
            };
            let client = LockClient::new(channel);
            workers.push(EtcdWorker { client, name: name.into_bytes(), lease });
        }
        Ok(run(workers, times, &self.processes.iter().collect::<Vec<_>>()).await)
    }
}

/// The endpoint of this member and its version, if it answers and leads.
async fn leads(host: &str) -> Option<(Endpoint, String)> {
    let endpoint = Endpoint::from_shared(format!("http://{host}:2379")).ok()?.tcp_nodelay(true);
    let channel = endpoint.connect().await.ok()?;
    let status = MaintenanceClient::new(channel).status(wire::StatusRequest {}).await.ok()?;
    let status = status.into_inner();
    let own = status.header.map_or(0, |header| header.member_id);
    (status.leader != 0 && status.leader == own).then_some((endpoint, status.version))
}

/// One client.
struct EtcdWorker {
    client: LockClient<Channel>,
    name: Vec<u8>,
    lease: i64,
}

impl Worker for EtcdWorker {
    async fn cycle(&mut self) -> Result<(), String> {
        let request = wire_lock::LockRequest { name: self.name.clone(), lease: self.lease };
        let locked = self.client.lock(request).await.map_err(|status| status.to_string())?;
        let request = wire_lock::UnlockRequest { key: locked.into_inner().key };
        self.client.unlock(request).await.map_err(|status| status.to_string())?;
        Ok(())
    }
}
