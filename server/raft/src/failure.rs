//! Why a node does not start, or why its process must end.

use std::io;

use conclave_store::{DataDirError, IdentityError, SnapshotError, SnapshotOpenError, WalOpenError};

use crate::answer::LeaderHint;

/// Why a node does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{field}: {reason}")]
    Config { field: &'static str, reason: String },
    #[error(
        "the data directory {dir} belongs to the node {found:?}, this is {wanted:?}; \
         start it under its own name or name another data directory"
    )]
    OtherNode { dir: String, found: String, wanted: String },
    /// The cluster took this node out.
    #[error(
        "{name:?} was removed from its cluster and must not run with the data in {dir} any more; to let it in again, remove the \
         directory and start it with --join"
    )]
    Removed { dir: String, name: String },
    /// The leader does not let this node in.
    #[error("the cluster does not let {name:?} in: {reason}")]
    NotAdmitted { name: String, reason: String },
    /// Nobody gave this node a place in time.
    #[error(
        "no place in the cluster at {peers}: {reason}; see that its nodes run and that --join names their peer addresses"
    )]
    NoPlace { peers: String, reason: String },
    #[error(
        "the data directory {dir} knows who it is, but its {what} is gone: what this node promised its peers is lost, so it must \
         not vote as {name:?} any more; put the {what} back, or take it out with `conclave member remove {name}`, remove the \
         directory and start it with --join; where there is no cluster any more, restore a backup into an empty directory with \
         `conclave snapshot restore FILE --data-dir DIR --name {name}`"
    )]
    DataGone { dir: String, name: String, what: &'static str },
    #[error(
        "no snapshot in {dir} can be read and the log does not reach back to the beginning: {reason}; \
         with peers, take it out with `conclave member remove NAME`, remove the directory and start it with --join; alone, restore \
         a backup into an empty directory with `conclave snapshot restore FILE --data-dir DIR --name NODE`"
    )]
    Unrecoverable { dir: String, reason: String },
    /// Nobody is told to throw anything away: it is whole.
    #[error("{what}; it was written by a newer program: start that one, nothing was changed")]
    Newer { what: String },
    #[error(
        "the data directory {dir} was left behind by a restore or a recovery that did not finish; after a restore remove the \
         directory and restore again, after a recovery do `conclave recover --data-dir {dir}` once more: it is finished then"
    )]
    Unfinished { dir: String },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Log(#[from] WalOpenError),
    #[error(
        "{0}; with peers, take it out with `conclave member remove NAME`, remove the directory and start it with --join; alone, \
         restore a backup into an empty directory with `conclave snapshot restore FILE --data-dir DIR --name NODE`"
    )]
    Snapshots(#[from] SnapshotOpenError),
    #[error("cannot read the snapshots: {0}")]
    Snapshot(#[from] SnapshotError),
    #[error("cannot read the log or make a temporary directory: {0}")]
    Io(#[from] io::Error),
    #[error("the Raft core does not start: {reason}")]
    Core { reason: String },
}

/// Why a running node must end: its process exits non-zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    #[error("the Raft core died: {reason}")]
    Core { reason: String },
    #[error(
        "{task} of this node ended: {reason}; this is a bug, and nothing that was acknowledged is lost; start this node again"
    )]
    Task { task: &'static str, reason: String },
    #[error(
        "{reason}; nothing that was acknowledged is lost; free space or mend the disk, then start this node again"
    )]
    Log { reason: String },
    #[error(
        "{reason}; nothing that was acknowledged is lost; if the disk is full or fails, free space or mend it, then start this \
         node again"
    )]
    Disk { reason: String },
    /// This node has no data, but its peers have formed a cluster.
    #[error(
        "this node has no data, but {peer:?} is part of a running cluster; if it is to be a member, start it with --join instead of \
         --cluster; if it was one and its data is lost, take that one out first: conclave member remove {name}"
    )]
    Wiped { peer: String, name: String },
    /// A leader confirmed that it was taken out.
    #[error(
        "{name:?} was removed from the cluster and stops for good; to let it in again, remove its data directory and start it with \
         --join"
    )]
    Removed { name: String },
    /// Most of the listed peers are another cluster.
    #[error(
        "the data directory is of cluster {own}, but the listed peers are of cluster {theirs}; \
         name their data directory or list the peers of this cluster; a node that joins another cluster needs an empty directory"
    )]
    OtherCluster { own: String, theirs: String },
    #[error("the identity file cannot be written: {reason}")]
    Identity { reason: String },
    /// Both cannot be: the cluster decided one entry at each place.
    #[error(
        "node {from} sent a snapshot that ends at {theirs}, but this node knows that {own} was decided: these are two histories, \
         so one of the two nodes has the data of another time or cluster; keep both directories, find out which was copied or put \
         back, and let that one join again as a new node"
    )]
    Contradicted { from: u64, theirs: String, own: String },
}

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepDownError {
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    #[error("there is no other voter {name:?}")]
    UnknownNode { name: String },
    #[error("there is no other voter")]
    Alone,
    #[error("nobody took over in time")]
    TimedOut,
    #[error("this node is stopping")]
    Stopped,
}
