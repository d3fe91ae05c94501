//! Where it is measured: a cluster that was named, or three nodes that this program starts and ends.

use std::path::PathBuf;

use conclave_client::Client;

use crate::args::Global;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::machine::{Circumstances, data_folder};
use crate::process::Process;

/// The node that leads.
pub(crate) struct Leader {
    pub(crate) name: String,
    pub(crate) address: String,
}

pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) endpoints: Vec<String>,
    pub(crate) circumstances: Circumstances,
    /// None: the cluster is not ours, so nothing is known of its processes.
    pub(crate) cluster: Option<Cluster>,
}

impl Stage {
    /// The cluster of `--endpoint`, or a new one.
    pub(crate) async fn set(global: &Global) -> Result<Self, Failure> {
        let commit = global.commit.as_deref();
        if !global.endpoint.is_empty() {
            let circumstances = Circumstances::look(commit, None)?;
            let client = client_of(&global.endpoint)?;
            let endpoints = global.endpoint.clone();
            return Ok(Self { client, endpoints, circumstances, cluster: None });
        }
        let folder = data_folder(global.data_dir.as_deref())?;
        let circumstances = Circumstances::look(commit, Some(folder.path()))?;
        let cluster = Cluster::start(&binary(global)?, folder).await?;
        let endpoints = cluster.endpoints();
        let client = client_of(&endpoints)?;
        Ok(Self { client, endpoints, circumstances, cluster: Some(cluster) })
    }

    /// Who leads, and where it is reached.
    pub(crate) async fn leader(&self) -> Result<Leader, Failure> {
        let status = self.client.admin().status().await;
        let status = status.map_err(|error| Failure::of("the status", error))?;
        match (status.leader, status.leader_address) {
            (Some(name), Some(address)) => Ok(Leader { name, address }),
            _ => Err(Failure::new("the cluster has no leader", "see `conclave status`")),
        }
    }

    /// The servers that were started here.
    pub(crate) fn processes(&self) -> Vec<&Process> {
        self.cluster.iter().flat_map(Cluster::processes).collect()
    }
}

pub(crate) fn client_of(endpoints: &[String]) -> Result<Client, Failure> {
    Client::connect(endpoints).map_err(|error| {
        Failure::new(error.to_string(), "name one endpoint or more as HOST:PORT,HOST:PORT")
    })
}

/// The one of `--binary`, or the one beside this program.
pub(crate) fn binary(global: &Global) -> Result<PathBuf, Failure> {
    let beside = || {
        let own = std::env::current_exe().map_err(|error| Failure::of("this program", error))?;
        Ok::<_, Failure>(own.with_file_name("conclave"))
    };
    let path = global.binary.clone().map_or_else(beside, Ok)?;
    match path.canonicalize() {
        Ok(path) if path.is_file() => Ok(path),
        Ok(_) | Err(_) => Err(Failure::new(
            format!("there is no binary at {}", path.display()),
            "build it with `cargo build --release -p conclave`, or name one with --binary",
        )),
    }
}
