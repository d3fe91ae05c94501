//! What a node must be told to start: who it is, with whom, where its bytes live, and how patient it is.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that [`Node::start`](crate::Node::start) needs. Addresses are `host:port`.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The name by which the operator and the other nodes know this node.
    pub name: String,
    /// All nodes that form the cluster, this one included, the same list on every node; empty: this node alone.
    pub cluster: Vec<Member>,
    /// Nodes of a running cluster, by their peer addresses: a node without data asks them for a place and never forms a cluster
    /// of its own. With data of a cluster it is only whom else to ask. Empty: it does not join.
    pub join: Vec<String>,
    /// A node that joins gives up when nobody gave it a place for so long.
    pub join_patience: Duration,
    /// A word that all nodes of the cluster share; nodes with another one are not spoken to. It is no secret that keeps
    /// anybody out, it keeps clusters apart. Empty: none.
    pub token: String,
    /// Where clients reach this node, as it is told to them.
    pub client_address: String,
    /// Where peers reach this node. Of a node in `cluster`, the address in that list is what peers dial.
    pub peer_address: String,
    pub storage: Storage,
    pub timing: Timing,
    pub retention: Retention,
}

/// One line of the list of nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub name: String,
    pub peer_address: String,
}

/// Where the log, the snapshots and the identity live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// Created when it is missing.
    Directory(PathBuf),
    /// A fresh directory below the system's temporary one, removed when the node is gone. Everything is written and synced
    /// as in a real one, so it is no faster; it only leaves nothing behind.
    Ephemeral,
}

/// How patient the nodes are with one another. The same on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The leader is heard from this often.
    pub heartbeat: Duration,
    /// A follower campaigns when it heard nothing for `election_max` and a random time between these two on top.
    pub election_min: Duration,
    pub election_max: Duration,
    /// A snapshot on its way may stand still for this long. Altogether it may take as long, and a second more for each megabyte.
    pub install_snapshot: Duration,
    /// A read waits for a majority this long.
    pub read: Duration,
    /// A graceful stop gives its parts this long altogether.
    pub shutdown: Duration,
}

/// How much of the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// A snapshot is taken every so many log entries.
    pub snapshot_every_entries: u64,
    /// A snapshot is also taken when the log grew by so many bytes since the last one.
    pub snapshot_every_bytes: u64,
    /// Log entries that are kept behind the newest snapshot.
    pub keep_entries: u64,
    /// And no more of them than these bytes, however few entries that is; but never less than the older of the two kept
    /// snapshots needs.
    pub keep_bytes: u64,
    /// A follower that is further behind than this gets a snapshot instead of entries.
    pub lag_entries_max: u64,
}

impl NodeConfig {
    /// A cluster of one on loopback, with default patience.
    #[must_use]
    pub fn alone(name: &str, client_address: &str, peer_address: &str, storage: Storage) -> Self {
        Self {
            name: name.to_owned(),
            cluster: Vec::new(),
            join: Vec::new(),
            join_patience: Duration::from_secs(60),
            token: String::new(),
            client_address: client_address.to_owned(),
            peer_address: peer_address.to_owned(),
            storage,
            timing: Timing::default(),
            retention: Retention::default(),
        }
    }

    /// The list of nodes, sorted by name: the same on all nodes, whatever the order they were given it in.
    pub(crate) fn members(&self) -> Vec<Member> {
        if self.cluster.is_empty() {
            let alone = Member { name: self.name.clone(), peer_address: self.peer_address.clone() };
            return vec![alone];
        }
        let mut members = self.cluster.clone();
        members.sort();
        members
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            // Also how long openraft waits for the answer to one: see docs/decisions/0005.
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
            install_snapshot: Duration::from_secs(30),
            read: Duration::from_secs(2),
            shutdown: Duration::from_secs(5),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            snapshot_every_entries: 50_000,
            snapshot_every_bytes: 128 << 20,
            // Never fewer: an installed snapshot's purge must not overtake an apply (openraft#2116).
            keep_entries: 50_000,
            keep_bytes: 256 << 20,
            lag_entries_max: 150_000,
        }
    }
}
