//! Agreement: the machine of `conclave-machine` replicated by Raft, and the time that only a leader keeps.

mod answer;
mod feed;
mod hub;
mod inbox;
mod keepalive;
mod quorum;

pub use answer::{Decided, LeaderHint, Leadership, NotLeader, ProposeError};
pub use feed::{Feed, FeedSender, Notice};
pub use hub::{Hub, Reply, WaitAnswer, WaitTicket};
pub use keepalive::{KeepAliveAck, KeepAliveError};
