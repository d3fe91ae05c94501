//! Where it is measured: a cluster that was named, or three nodes that this program starts and ends.

use std::path::PathBuf;

use conclave_client::Client;

use crate::args::Global;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::machine::{Circumstances, data_folder};
use crate::process::Process;

pub(crate) struct Stage {
    pub(crate) client: Client,
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
            return Ok(Self { client, circumstances, cluster: None });
        }
        let folder = data_folder(global.data_dir.as_deref())?;
        let circumstances = Circumstances::look(commit, Some(folder.path()))?;
        let cluster = Cluster::start(&binary(global)?, folder).await?;
        let client = client_of(&cluster.endpoints())?;
        Ok(Self { client, circumstances, cluster: Some(cluster) })
    }

    /// The servers that were started here.
    pub(crate) fn processes(&self) -> Vec<&Process> {
        self.cluster.iter().flat_map(Cluster::processes).collect()
    }
}

fn client_of(endpoints: &[String]) -> Result<Client, Failure> {
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
