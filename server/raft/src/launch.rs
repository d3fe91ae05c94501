//! From a data directory to a running Raft core, refusing every directory that this node must not run with.

use std::path::Path;
use std::sync::Arc;

use conclave_store::{
    DataDir, Identity, IdentityError, LogStore as _, SnapshotStore, Wal, WalOptions,
};
use openraft::Raft;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::config::{NodeConfig, Storage};
use crate::core;
use crate::disk::{Blocking, DiskLog, SnapshotDisk};
use crate::failure::StartError;
use crate::growth::Growth;
use crate::hub::Hub;
use crate::identity::{Myself, id_in};
use crate::log_store::LogStorage;
use crate::network::{Connections, Network, Patience};
use crate::retention::Retained;
use crate::snapshots::Snapshots;
use crate::state_machine::StateMachine;
use crate::types::{TypeConfig, position_of};
use crate::view::View;

/// Everything that was started.
pub(crate) struct Launched {
    pub(crate) myself: Myself,
    pub(crate) connections: Connections,
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) view: View,
    pub(crate) log: DiskLog,
    pub(crate) growth: Growth,
    pub(crate) snapshots: Snapshots,
    pub(crate) place: Place,
}

/// Where the bytes are. Kept until everything in it is closed.
#[derive(Debug)]
pub(crate) struct Place {
    directory: DataDir,
    /// None: it stays.
    _temporary: Option<TempDir>,
}

pub(crate) async fn launch(
    config: &NodeConfig,
    hub: &Hub,
    tasks: &TaskTracker,
) -> Result<Launched, StartError> {
    check(config)?;
    let core = core::config(&config.timing, &config.retention)
        .map_err(|error| StartError::Config { field: "timing", reason: error.to_string() })?;
    // Reads everything that there is.
    let open = {
        let (config, hub) = (config.clone(), hub.clone());
        Blocking::of(&config.storage).run(move || open(&config, hub)).await
    };
    let opened = open.map_err(|error| StartError::Core { reason: error.to_string() })??;
    let Opened { place, identity, log, retained, snapshots, machine } = opened;

    let myself = Myself::new(&identity, place.directory.identity(), config);
    let timing = &config.timing;
    let connections = Connections::new(
        Patience {
            connect: timing.election_max,
            call: timing.election_max,
            entries: timing.install_snapshot,
            ping: 2 * timing.election_max,
        },
        config.storage.dial(),
    );
    let view = machine.view();
    let network = Network { myself: myself.clone(), connections: connections.clone() };
    let storage = LogStorage::new(log.clone(), retained).tracked(tasks.token());
    let growth = storage.growth();
    let machine = machine.tracked(tasks.token());
    let raft = Raft::new(identity.node_id, Arc::new(core), network, storage, machine)
        .await
        .map_err(|error| StartError::Core { reason: error.to_string() })?;
    let launched = Launched { myself, connections, raft, view, log, growth, snapshots, place };
    launched.check_list().await?;
    Ok(launched)
}

/// What was found in the directory.
struct Opened {
    place: Place,
    identity: Identity,
    log: DiskLog,
    retained: Retained,
    snapshots: Snapshots,
    machine: StateMachine,
}

/// Blocks.
fn open(config: &NodeConfig, hub: Hub) -> Result<Opened, StartError> {
    let place = Place::open(&config.storage)?;
    let (identity, log) = open_log(&place, config)?;
    let retained = Retained::everything();
    let disk = match &config.storage {
        Storage::Directory(_) | Storage::Ephemeral => {
            SnapshotDisk::Real(SnapshotStore::open(&place.directory.snapshots())?)
        }
        Storage::Simulated(simulation) => SnapshotDisk::Simulated(simulation.snapshots.clone()),
    };
    let snapshots = Snapshots::new(disk, retained.clone());
    let machine = restore(&place, snapshots.clone(), hub, &log)?;
    Ok(Opened { place, identity, log, retained, snapshots, machine })
}

fn check(config: &NodeConfig) -> Result<(), StartError> {
    let refuse = |field, reason: String| Err(StartError::Config { field, reason });
    let members = config.members();
    if config.name.is_empty() || config.name.chars().any(char::is_control) {
        return refuse("name", "must not be empty or contain a control character".to_owned());
    }
    if id_in(&members, &config.name).is_none() {
        return refuse("cluster", format!("does not list this node, {:?}", config.name));
    }
    for pair in members.windows(2) {
        if pair[0].name == pair[1].name {
            return refuse("cluster", format!("lists {:?} twice", pair[0].name));
        }
    }
    Ok(())
}

impl Place {
    fn open(storage: &Storage) -> Result<Self, StartError> {
        match storage {
            Storage::Directory(path) => {
                Ok(Self { directory: DataDir::open(path)?, _temporary: None })
            }
            Storage::Ephemeral => {
                let temporary = tempfile::Builder::new().prefix("conclave-").tempdir()?;
                let directory = DataDir::open(temporary.path())?;
                Ok(Self { directory, _temporary: Some(temporary) })
            }
            Storage::Simulated(simulation) => {
                Ok(Self { directory: DataDir::open(&simulation.directory)?, _temporary: None })
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn shown(&self) -> String {
        self.directory.path().display().to_string()
    }
}

/// The identity is written last: where there is one, there must be a log.
fn open_log(place: &Place, config: &NodeConfig) -> Result<(Identity, DiskLog), StartError> {
    let file = place.directory.identity();
    let wal = place.directory.wal();
    let open = || match &config.storage {
        Storage::Directory(_) | Storage::Ephemeral => {
            Ok::<_, StartError>(DiskLog::Real(Wal::open(&wal, &WalOptions::default())?))
        }
        Storage::Simulated(simulation) => Ok(DiskLog::Simulated(simulation.log.clone())),
    };
    let is_gone = || match &config.storage {
        Storage::Directory(_) | Storage::Ephemeral => is_empty(&wal),
        Storage::Simulated(_) => false,
    };
    match Identity::load(&file) {
        Ok(identity) if identity.name != config.name => Err(StartError::OtherNode {
            dir: place.shown(),
            found: identity.name,
            wanted: config.name.clone(),
        }),
        Ok(_) if is_gone() => {
            Err(StartError::DataGone { dir: place.shown(), name: config.name.clone(), what: "log" })
        }
        Ok(identity) if identity.cluster_id.is_some() => Ok((identity, open()?)),
        // Unformed: nobody has heard of this node yet, and the list may have been put right since the last start.
        Ok(Identity { .. }) | Err(IdentityError::Missing { .. }) => {
            let log = open()?;
            let node_id = id_in(&config.members(), &config.name).unwrap_or_default();
            let identity = Identity { name: config.name.clone(), node_id, cluster_id: None };
            identity.save(&file)?;
            Ok((identity, log))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

fn restore(
    place: &Place,
    snapshots: Snapshots,
    hub: Hub,
    log: &DiskLog,
) -> Result<StateMachine, StartError> {
    let unrecoverable = |reason| StartError::Unrecoverable { dir: place.shown(), reason };
    let machine =
        StateMachine::restore(snapshots, hub).map_err(|error| unrecoverable(error.to_string()))?;
    let reaches = machine.applied().map(|last| position_of(&last).index);
    match (reaches, log.state().purged) {
        (None, Some(purged)) => Err(unrecoverable(format!(
            "there is none, and the log begins after entry {}",
            purged.index
        ))),
        (Some(reaches), Some(purged)) if reaches < purged.index => Err(unrecoverable(format!(
            "it ends at entry {reaches}, and the log begins after entry {}",
            purged.index
        ))),
        (_, _) => Ok(machine),
    }
}

impl Launched {
    /// The directory knows who the cluster is; the list must name the same nodes.
    async fn check_list(&self) -> Result<(), StartError> {
        let membership = self.raft.with_raft_state(|state| {
            let nodes = state.membership_state.effective().nodes();
            nodes.map(|(_, node)| node.name.clone()).collect::<Vec<_>>()
        });
        let mut found =
            membership.await.map_err(|error| StartError::Core { reason: error.to_string() })?;
        found.sort();
        let members = self.myself.members().iter();
        let wanted: Vec<_> = members.map(|member| member.name.clone()).collect();
        if found.is_empty() || found == wanted {
            return Ok(());
        }
        // An error: the core stops anyway.
        let _ = self.raft.shutdown().await;
        Err(StartError::OtherCluster {
            dir: self.place.shown(),
            found: found.join(", "),
            wanted: wanted.join(", "),
        })
    }
}
