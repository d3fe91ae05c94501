//! Agreement: the machine of `conclave-machine` replicated by Raft, and the time that only a leader keeps.

mod alarms;
mod answer;
mod appended;
mod apply_times;
mod backup;
mod clock;
mod codec;
mod config;
mod core;
mod counters;
mod deadlines;
mod disk;
mod failure;
mod feed;
mod formation;
mod growth;
mod hub;
mod identity;
mod inbox;
mod keepalive;
mod keeper;
mod launch;
mod leadership;
mod log_store;
mod membership;
mod network;
mod node;
mod orphans;
mod planted;
mod proposer;
mod quorum;
mod read;
mod reader;
mod rebirth;
mod retention;
mod ring;
mod schedule;
mod simulation;
mod snapshots;
mod state_machine;
mod status;
mod survey;
mod types;
mod view;
mod vigil;
mod watchdog;
mod watcher;

pub use answer::{Decided, LeaderHint, Leadership, NotLeader, ProposeError};
pub use apply_times::ApplyTimes;
pub use conclave_store::BACKUP_FORMAT;

pub use backup::{Backup, BackupError, BackupInfo, CheckedBackup};
pub use clock::{Clock, ManualClock, Moment, RealClock};
pub use config::{Member, NodeConfig, Retention, Storage, Timing};
pub use counters::{ClockCounters, SnapshotCounters};
pub use deadlines::Deadlines;
pub use disk::Blocking;
pub use failure::{Fatal, StartError, StepDownError};
pub use feed::{Feed, FeedSender, Notice};
pub use hub::{Hub, Reply, WaitAnswer, WaitTicket};
pub use keepalive::{KeepAliveAck, KeepAliveError, Losses};
pub use membership::MemberError;
pub use network::{PeerEndpoint, Protocols};
pub use node::Node;
pub use read::{Consistency, ReadAnswer, ReadError};
pub use rebirth::{
    Begun, Finished, NewCluster, QUIET_MS_MIN, RebirthError, Survivor, finish_recovery, restore,
};
pub use ring::RING_EVENTS_MAX;
pub use simulation::{Dial, Incoming, SimulatedNetwork, Simulation, Socket};
pub use status::{ClusterStatus, MemberState, NodeStatus, Role};
pub use watcher::{Interest, Missed, NotedEvent, Position, Watcher};

/// What openraft's own tests of storage need to see; nobody else may use it.
#[doc(hidden)]
pub mod storage {
    pub use crate::codec::{
        BatchBuilder, DecodeError, DecodedBatch, decode_batch, decode_membership, decode_record,
        encode_command, encode_membership, encode_record,
    };
    pub use crate::log_store::LogStorage;
    pub use crate::retention::Retained;
    pub use crate::snapshots::Snapshots;
    pub use crate::state_machine::StateMachine;
    pub use crate::types::{Batch, MemberNode, TypeConfig};
}
