//! Durable bytes: the write-ahead log, the snapshot store and the identity file. Knows nothing of Raft commands or of openraft.

mod port;

pub use port::{LogEntry, LogPosition, LogState, LogStore, OnDurable, StoredVote};
