//! Durable bytes: the write-ahead log, the snapshot store and the identity file. Knows nothing of Raft commands or of openraft.

mod change;
mod failure;
mod limits;
mod port;
mod rules;
mod simulated;
mod wal;
mod wal_codec;
mod wal_open;
mod wal_tail;
mod wal_writer;

pub use failure::LogFailure;
pub use port::{LogEntry, LogPosition, LogState, LogStore, OnDurable, StoredVote};
pub use simulated::SimulatedLog;
pub use wal::Wal;
pub use wal_open::{WalOpenError, WalOptions};
