//! Agreement: the machine of `conclave-machine` replicated by Raft, and the time that only a leader keeps.

mod answer;
mod config;
mod failure;
mod feed;
mod hub;
mod inbox;
mod keepalive;
mod quorum;
mod read;
mod status;

pub use answer::{Decided, LeaderHint, Leadership, NotLeader, ProposeError};
pub use config::{Member, NodeConfig, Retention, Storage, Timing};
pub use failure::{Fatal, StartError, StepDownError};
pub use feed::{Feed, FeedSender, Notice};
pub use hub::{Hub, Reply, WaitAnswer, WaitTicket};
pub use keepalive::{KeepAliveAck, KeepAliveError};
pub use read::{Consistency, ReadAnswer, ReadError};
pub use status::{ClusterStatus, NodeStatus, Role};
