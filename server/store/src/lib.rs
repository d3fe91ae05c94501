//! Durable bytes: the write-ahead log, the snapshot store and the identity file. Knows nothing of Raft commands or of openraft.

mod failure;
mod port;
mod rules;
mod simulated;

pub use failure::LogFailure;
pub use port::{LogEntry, LogPosition, LogState, LogStore, OnDurable, StoredVote};
pub use simulated::SimulatedLog;
