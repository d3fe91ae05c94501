//! From a data directory to a running Raft core, refusing every directory that this node must not run with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conclave_machine::RestoreError;
use conclave_store::{
    DataDir, Identity, IdentityError, LogState, LogStore as _, SnapshotStore, Wal, WalOptions,
};
use openraft::Raft;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::codec::DecodeError;
use crate::config::{NodeConfig, Storage, Timing};
use crate::core;
use crate::disk::{Blocking, DiskLog, SnapshotDisk};
use crate::failure::StartError;
use crate::growth::Growth;
use crate::hub::Hub;
use crate::identity::{Myself, id_in};
use crate::log_store::LogStorage;
use crate::membership::{MEMBERS_MAX, Place as Given, ask_for_a_place};
use crate::network::{Connections, Network, Patience};
use crate::retention::Retained;
use crate::snapshots::{LoadError, Snapshots};
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
    let mut core = core::config(&config.timing, &config.retention)
        .map_err(|error| StartError::Config { field: "timing", reason: error.to_string() })?;
    let patience = patience(&config.timing);
    let lost = |error: tokio::task::JoinError| StartError::Core { reason: error.to_string() };
    let (place, has_a_place) = {
        let config = config.clone();
        Blocking::of(&config.storage).run(move || enter(&config)).await.map_err(lost)??
    };
    let given = match has_a_place || config.join.is_empty() {
        true => None,
        false => Some(ask_for_a_place(config, patience).await?),
    };
    // Reads everything that there is.
    let open = {
        let (config, hub) = (config.clone(), hub.clone());
        Blocking::of(&config.storage).run(move || open(&config, place, given, hub)).await
    };
    let Opened { place, identity, log, retained, snapshots, machine } = open.map_err(lost)??;

    // A log that nobody has built upon, a restored backup's say, is no reason to lead before the cluster has formed.
    let LogState { vote, last, .. } = log.state();
    core.enable_elect = vote.is_some() || last.is_none() || config.members().len() == 1;
    let myself = Myself::new(&identity, place.directory.identity(), config);
    let connections = Connections::new(patience, config.storage.dial());
    let view = machine.view();
    let storage = LogStorage::new(log.clone(), retained).tracked(tasks.token());
    let appended = storage.appended();
    let network = Network { myself: myself.clone(), connections: connections.clone(), appended };
    let growth = storage.growth();
    let machine = machine.tracked(tasks.token());
    let raft = Raft::new(identity.node_id, Arc::new(core), network, storage, machine)
        .await
        .map_err(|error| StartError::Core { reason: error.to_string() })?;
    let launched = Launched { myself, connections, raft, view, log, growth, snapshots, place };
    launched.compare_list().await;
    Ok(launched)
}

fn patience(timing: &Timing) -> Patience {
    Patience {
        connect: timing.election_max,
        call: timing.election_max,
        entries: timing.install_snapshot,
        ping: 2 * timing.election_max,
    }
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

/// Takes the directory for this process, and looks whether a node of a cluster lives there. Blocks.
fn enter(config: &NodeConfig) -> Result<(Place, bool), StartError> {
    let place = Place::open(&config.storage)?;
    if conclave_store::is_marked_removed(&place.directory.removed())? {
        return Err(StartError::Removed { dir: place.shown(), name: config.name.clone() });
    }
    match Identity::load(&place.directory.identity()) {
        Ok(identity) => Ok((place, identity.cluster_id.is_some())),
        Err(IdentityError::Missing { .. }) if place.is_unfinished()? => {
            Err(StartError::Unfinished { dir: place.shown() })
        }
        Err(IdentityError::Missing { .. }) => Ok((place, false)),
        Err(error) => Err(error.into()),
    }
}

/// Blocks.
fn open(
    config: &NodeConfig,
    place: Place,
    given: Option<Given>,
    hub: Hub,
) -> Result<Opened, StartError> {
    // Before anything is opened, so that nothing was changed.
    SnapshotStore::check_version(&place.directory.snapshots())
        .map_err(|error| StartError::Newer { what: error.to_string() })?;
    let (identity, log) = open_log(&place, config, given)?;
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
    if members.len() > MEMBERS_MAX {
        return refuse("cluster", format!("lists more than {MEMBERS_MAX} nodes"));
    }
    if !config.join.is_empty() && !config.cluster.is_empty() {
        return refuse("join", "a node joins a cluster or is in the list of one".to_owned());
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

    /// Where the mark of a node that was taken out belongs.
    pub(crate) fn removed(&self) -> PathBuf {
        self.directory.removed()
    }

    /// Somebody began to bring a state here and did not finish. Only asked where there is no identity: that comes last.
    fn is_unfinished(&self) -> Result<bool, StartError> {
        Ok(!is_empty(&self.directory.snapshots()) || self.directory.is_half_replaced()?)
    }

    fn shown(&self) -> String {
        self.directory.path().display().to_string()
    }
}

/// The identity is written last: where there is one, there must be a log.
fn open_log(
    place: &Place,
    config: &NodeConfig,
    given: Option<Given>,
) -> Result<(Identity, DiskLog), StartError> {
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
        found @ (Ok(Identity { .. }) | Err(IdentityError::Missing { .. })) => {
            let log = open()?;
            // A log with something in it is of a node that had an identity, and votes of its own.
            let LogState { vote, last, .. } = log.state();
            if let Err(missing) = found
                && (vote.is_some() || last.is_some())
            {
                return Err(missing.into());
            }
            let (node_id, cluster_id) = match given {
                Some(Given { id, cluster }) => (id, Some(cluster)),
                None => (id_in(&config.members(), &config.name).unwrap_or_default(), None),
            };
            let identity = Identity { name: config.name.clone(), node_id, cluster_id };
            identity.save(&file)?;
            Ok((identity, log))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

/// Why the snapshots make no state. Nobody is told to throw away what only a newer program can read.
fn no_state(dir: String, error: &LoadError) -> StartError {
    match error {
        LoadError::Decode(DecodeError::OtherVersion { .. })
        | LoadError::Restore(RestoreError::WrongVersion { .. }) => {
            StartError::Newer { what: format!("the newest snapshot in {dir}: {error}") }
        }
        LoadError::Store(_) | LoadError::Decode(_) | LoadError::Restore(_) => {
            StartError::Unrecoverable { dir, reason: error.to_string() }
        }
    }
}

fn restore(
    place: &Place,
    snapshots: Snapshots,
    hub: Hub,
    log: &DiskLog,
) -> Result<StateMachine, StartError> {
    let unrecoverable = |reason| StartError::Unrecoverable { dir: place.shown(), reason };
    let machine =
        StateMachine::restore(snapshots, hub).map_err(|error| no_state(place.shown(), &error))?;
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
    /// Once a cluster has formed, its members are whom the log says, and the list only says where they are. It may well name
    /// others: members come and go without anybody's list being changed. Who reads the log of this node shall know.
    async fn compare_list(&self) {
        let membership = self.raft.with_raft_state(|state| {
            let nodes = state.membership_state.effective().nodes();
            nodes.map(|(_, node)| node.name.clone()).collect::<Vec<_>>()
        });
        // An error: the core died, which is told elsewhere.
        let Ok(mut members) = membership.await else { return };
        members.sort();
        let list: Vec<_> = self.myself.members().iter().map(|member| member.name.clone()).collect();
        let is_told = list.len() > 1 && !members.is_empty();
        if is_told && members != list {
            let (members, list) = (members.join(", "), list.join(", "));
            tracing::info!(
                members,
                list,
                "the list names others than the members; the members count"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_a_newer_program_wrote_is_not_called_damaged() {
        let newer = [
            LoadError::Restore(RestoreError::WrongVersion { version: 3 }),
            LoadError::Decode(DecodeError::OtherVersion { found: 2 }),
        ];
        for error in newer {
            let said = no_state("data".to_owned(), &error).to_string();
            assert!(said.contains("newest snapshot in data"), "{said}");
            assert!(said.contains("newer program: start that one, nothing was changed"), "{said}");
        }
        let damaged = no_state("data".to_owned(), &LoadError::Restore(RestoreError::NoHeader));
        assert!(matches!(damaged, StartError::Unrecoverable { .. }), "{damaged}");
    }
}
