//! Agreement: the machine of `conclave-machine` replicated by Raft, and the time that only a leader keeps.

mod alarms;
mod answer;
mod clock;
mod config;
mod counters;
mod deadlines;
mod failure;
mod feed;
mod hub;
mod inbox;
mod keepalive;
mod orphans;
mod quorum;
mod read;
mod schedule;
mod status;
mod vigil;

pub use answer::{Decided, LeaderHint, Leadership, NotLeader, ProposeError};
pub use clock::{Clock, ManualClock, Moment, RealClock};
pub use config::{Member, NodeConfig, Retention, Storage, Timing};
pub use counters::ClockCounters;
pub use deadlines::Deadlines;
pub use failure::{Fatal, StartError, StepDownError};
pub use feed::{Feed, FeedSender, Notice};
pub use hub::{Hub, Reply, WaitAnswer, WaitTicket};
pub use keepalive::{KeepAliveAck, KeepAliveError};
pub use read::{Consistency, ReadAnswer, ReadError};
pub use status::{ClusterStatus, NodeStatus, Role};
