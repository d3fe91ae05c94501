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
    #[error(
        "the data directory {dir} belongs to a cluster of {found}, the list names {wanted}; \
         start it with the list it was formed with or name another data directory"
    )]
    OtherCluster { dir: String, found: String, wanted: String },
    #[error(
        "the data directory {dir} knows who it is, but its {what} is gone: what this node promised its peers is lost, so it must \
         not vote as {name:?} any more; remove the directory and join the cluster again as a new node, or restore it"
    )]
    DataGone { dir: String, name: String, what: &'static str },
    #[error(
        "no snapshot in {dir} can be read and the log does not reach back to the beginning: {reason}; \
         with peers, remove the directory and join again as a new node; alone, restore a backup"
    )]
    Unrecoverable { dir: String, reason: String },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Log(#[from] WalOpenError),
    #[error(
        "{0}; with peers, remove the data directory and join again as a new node; alone, restore a backup"
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
        "this node has no data, but {peer:?} is part of a running cluster that knows it; \
         join the cluster again as a new node, under a new name"
    )]
    Wiped { peer: String },
    /// Most of the listed peers are another cluster.
    #[error(
        "the data directory is of cluster {own}, but the listed peers are of cluster {theirs}; \
         name their data directory or list the peers of this cluster"
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
