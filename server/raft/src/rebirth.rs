//! New clusters from old state, with no node running: a backup restored, and a cluster that lost its majority for good.
//!
//! One node of the new cluster gets the state, the others come empty and form the cluster with it as they always do: it must be
//! the first of the list, who begins (docs/decisions/0007). Its directory holds a snapshot at the place of the log's first
//! entry, a log that begins behind it, no vote, and last an identity of a new cluster id.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use conclave_machine::{Machine, limits};
use conclave_store::{
    DataDir, DataDirError, Identity, IdentityError, LogPosition, LogStore as _, SnapshotOpenError,
    SnapshotStore, Wal, WalOpenError, WalOptions, is_unused,
};
use futures::executor::block_on;
use openraft::Membership;

use crate::backup::CheckedBackup;
use crate::config::Member;
use crate::hub::Hub;
use crate::identity::id_in;
use crate::retention::Retained;
use crate::snapshots::Snapshots;
use crate::state_machine::StateMachine;
use crate::types::{MemberNode, SnapshotMeta, StoredMembership, entry_of, log_id_of, position_of};

/// Nobody grants before this, in milliseconds: 1.1 of the TTL that clients have by default. Sessions that are newer than the
/// state are not in it, and their TTL is not known.
pub const QUIET_MS_MIN: u64 = 11_000;

/// Entries of the log that are read at once.
const READ_BYTES_MAX: usize = 4 << 20;

/// The place of the state: where the first entry of a log that was begun the usual way stands.
const BEGINNING: LogPosition = LogPosition { term: 0, index: 0 };

/// The cluster that begins.
#[derive(Debug, Clone)]
pub struct NewCluster {
    /// The node that gets the state: the first of the list by name.
    pub name: String,
    /// Empty: that node alone.
    pub cluster: Vec<Member>,
    /// Grants are made at once, without a quiet time.
    pub now: bool,
}

/// What began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub cluster_id: u128,
    /// Zero: none.
    pub quiet_ms: u64,
    pub revision: u64,
    /// What was kept.
    pub objects: u64,
    /// What ended.
    pub sessions: u64,
    pub holds: u64,
}

/// Why nothing began.
#[derive(Debug, thiserror::Error)]
pub enum RebirthError {
    #[error("the data directory {dir} is not empty; name a new one, nothing in it is overwritten")]
    NotEmpty { dir: String },
    /// It lacks whatever its cluster decided since.
    #[error(
        "the node in {dir} was taken out of its cluster, and lacks what was acknowledged since; name the data directory of one that \
         was a member to the end, and only if there is none remove the file \"removed\" from this one and do it again"
    )]
    Removed { dir: String },
    #[error("there is no node in {dir}; name the data directory of the node that is left")]
    NoNode { dir: String },
    #[error("--cluster does not list this node, {name:?}; name the node that gets the state")]
    NotListed { name: String },
    #[error(
        "{name:?} is not the first of the list, and the first one begins: do this on {first:?}, or name the nodes so that \
         this one comes first"
    )]
    NotFirst { name: String, first: String },
    #[error("--cluster lists {name:?} twice")]
    Twice { name: String },
    #[error(
        "the state in {dir} cannot be read: {reason}; restore a backup with `conclave snapshot restore`"
    )]
    Unreadable { dir: String, reason: String },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Log(#[from] WalOpenError),
    #[error("{0}; restore a backup with `conclave snapshot restore`")]
    Snapshots(#[from] SnapshotOpenError),
    #[error("cannot write {dir}: {source}")]
    Io { dir: String, source: io::Error },
}

impl NewCluster {
    /// Sorted, as all nodes sort it, with this node the first.
    fn members(&self) -> Result<Vec<Member>, RebirthError> {
        let name = || self.name.clone();
        let mut members = self.cluster.clone();
        members.sort();
        if members.is_empty() {
            return Ok(vec![Member { name: name(), peer_address: String::new() }]);
        }
        if let Some(pair) = members.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(RebirthError::Twice { name: pair[0].name.clone() });
        }
        match id_in(&members, &self.name) {
            Some(1) => Ok(members),
            Some(_) => Err(RebirthError::NotFirst { name: name(), first: members[0].name.clone() }),
            None => Err(RebirthError::NotListed { name: name() }),
        }
    }
}

/// Makes the data directory of the first node of a new cluster. Blocks.
///
/// # Errors
/// [`RebirthError`]; then the directory is as it was, or has no identity and no node starts in it.
pub fn restore(backup: CheckedBackup, dir: &Path, new: &NewCluster) -> Result<Begun, RebirthError> {
    let members = new.members()?;
    let shown = || dir.display().to_string();
    if !is_unused(dir).map_err(|source| RebirthError::Io { dir: shown(), source })? {
        return Err(RebirthError::NotEmpty { dir: shown() });
    }
    let place = DataDir::open(dir)?;
    // Once more, now that nobody else may use it: another restore, or a node, had it until a moment ago.
    if !is_unused(dir).map_err(|source| RebirthError::Io { dir: shown(), source })? {
        return Err(RebirthError::NotEmpty { dir: shown() });
    }
    begin(&place, backup.machine, new, &members)
}

/// A recovery that had broken off, and is finished now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub name: String,
    pub cluster_id: Option<u128>,
    /// Where the old content is.
    pub aside: PathBuf,
}

/// Finishes a recovery that broke off after it had begun to replace the content of the directory. What that one was told counts.
/// None: there was none. Blocks.
///
/// # Errors
/// [`RebirthError`]; nothing is lost, and it may be tried again.
pub fn finish_recovery(dir: &Path) -> Result<Option<Finished>, RebirthError> {
    let io = |source| RebirthError::Io { dir: dir.display().to_string(), source };
    if is_unused(dir).map_err(io)? {
        return Ok(None);
    }
    let place = DataDir::open(dir)?;
    let Some(aside) = place.finish_replacement().map_err(io)? else { return Ok(None) };
    let Identity { name, cluster_id, .. } = Identity::load(&place.identity())?;
    Ok(Some(Finished { name, cluster_id, aside }))
}

/// What a node that is left of a cluster still has. Keeps its directory locked.
#[derive(Debug)]
pub struct Survivor {
    place: DataDir,
    name: String,
    cluster_id: Option<u128>,
    members: Vec<String>,
    own_address: String,
    last: LogPosition,
    machine: Machine,
}

impl Survivor {
    /// Reads the snapshot and the whole log of a node that does not run. Blocks.
    ///
    /// All of the log counts, also what this node does not know to be committed: whatever a client was told of and this node
    /// has, is in there.
    ///
    /// # Errors
    /// [`RebirthError`]; nothing was changed.
    pub fn open(dir: &Path) -> Result<Self, RebirthError> {
        let shown = || dir.display().to_string();
        if is_unused(dir).map_err(|source| RebirthError::Io { dir: shown(), source })? {
            return Err(RebirthError::NoNode { dir: shown() });
        }
        let place = DataDir::open(dir)?;
        let io = |source| RebirthError::Io { dir: shown(), source };
        if conclave_store::is_marked_removed(&place.removed()).map_err(io)? {
            return Err(RebirthError::Removed { dir: shown() });
        }
        let identity = Identity::load(&place.identity())?;
        let unreadable = |reason: String| RebirthError::Unreadable { dir: shown(), reason };
        let store = SnapshotStore::open(&place.snapshots())?;
        let log = Wal::open(&place.wal(), &WalOptions::default())?;
        let snapshots = Snapshots::new(store, Retained::everything());
        let state = StateMachine::restore(snapshots, Hub::new());
        let mut state = state.map_err(|error| unreadable(error.to_string()))?;
        let reach = state.applied().map(|last| position_of(&last));
        let mut next = reach.map_or(0, |last| last.index + 1);
        let found = log.state();
        if let Some(purged) = found.purged
            && purged.index >= next
        {
            return Err(unreadable(format!("the log begins after entry {}", purged.index)));
        }
        while found.last.is_some_and(|last| last.index >= next) {
            let entries = log.read(next..u64::MAX, READ_BYTES_MAX);
            let entries = entries.map_err(|error| unreadable(error.to_string()))?;
            if entries.is_empty() {
                return Err(unreadable(format!("entry {next} is missing")));
            }
            for entry in entries {
                let applied = entry_of(entry).and_then(|entry| state.replay(entry));
                applied.map_err(|error| unreadable(error.to_string()))?;
                next += 1;
            }
        }
        let nodes: Vec<MemberNode> = state.members();
        let own = nodes.iter().find(|node| node.name == identity.name);
        Ok(Self {
            name: identity.name.clone(),
            cluster_id: identity.cluster_id,
            own_address: own.map(|node| node.peer_address.clone()).unwrap_or_default(),
            members: nodes.into_iter().map(|node| node.name).collect(),
            last: found.last.max(reach).unwrap_or(BEGINNING),
            machine: state.view().look(Machine::clone),
            place,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its peers reached it; empty when that was never said.
    #[must_use]
    pub fn own_address(&self) -> &str {
        &self.own_address
    }

    /// The cluster that it was of.
    #[must_use]
    pub fn cluster_id(&self) -> Option<u128> {
        self.cluster_id
    }

    /// The names of its nodes.
    #[must_use]
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// Term and index of the last entry that it has.
    #[must_use]
    pub fn last(&self) -> (u64, u64) {
        (self.last.term, self.last.index)
    }

    #[must_use]
    pub fn counts(&self) -> conclave_machine::Counts {
        self.machine.counts()
    }

    /// Puts the old content of the directory aside, and a new cluster's beginning in its place. Says where the old one is. Blocks.
    ///
    /// # Errors
    /// [`RebirthError`]; the old content is still there, in its place or aside.
    pub fn begin_anew(self, new: &NewCluster) -> Result<(Begun, PathBuf), RebirthError> {
        let members = new.members()?;
        let io = |source| RebirthError::Io { dir: self.place.path().display().to_string(), source };
        let ready = self.place.make_room().map_err(io)?;
        let begun = {
            let ready = DataDir::open(&ready)?;
            begin(&ready, self.machine, new, &members)?
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let aside = self.place.replace_content(now.as_secs()).map_err(io)?;
        Ok((begun, aside))
    }
}

/// The identity comes last: without it no node starts in the directory.
fn begin(
    place: &DataDir,
    machine: Machine,
    new: &NewCluster,
    members: &[Member],
) -> Result<Begun, RebirthError> {
    let before = machine.counts();
    let quiet_ms = match new.now {
        true => 0,
        false => machine.belief_ms().clamp(QUIET_MS_MIN, limits::QUIET_MS_MAX),
    };
    let machine = machine.reborn(quiet_ms);
    let cluster_id: u128 = rand::random();
    let io = |source| RebirthError::Io { dir: place.path().display().to_string(), source };
    let meta = meta(members).map_err(io)?;
    {
        let store = SnapshotStore::open(&place.snapshots())?;
        let written = Snapshots::new(store, Retained::everything()).write(&machine, &meta);
        written.map_err(io)?;
        let log = Wal::open(&place.wal(), &WalOptions::default())?;
        block_on(log.purge(BEGINNING)).map_err(io)?;
    }
    let identity = Identity { name: new.name.clone(), node_id: 1, cluster_id: Some(cluster_id) };
    identity.save(&place.identity())?;
    Ok(Begun {
        cluster_id,
        quiet_ms,
        revision: before.revision,
        objects: machine.counts().objects,
        sessions: before.sessions,
        holds: before.holds,
    })
}

/// Of a snapshot that stands for the entry by which a cluster begins.
fn meta(members: &[Member]) -> io::Result<SnapshotMeta> {
    let mut nodes = BTreeMap::new();
    for (place, Member { name, peer_address }) in members.iter().enumerate() {
        // Where clients reach it, each says itself as soon as it hears of the others (`Attendance`).
        let node = MemberNode {
            name: name.clone(),
            peer_address: peer_address.clone(),
            ..MemberNode::default()
        };
        nodes.insert(place as u64 + 1, node);
    }
    let voters: BTreeSet<u64> = nodes.keys().copied().collect();
    let membership = Membership::new(vec![voters], nodes).map_err(io::Error::other)?;
    let at = Some(log_id_of(BEGINNING));
    Ok(SnapshotMeta { last_log_id: at, last_membership: StoredMembership::new(at, membership) })
}
