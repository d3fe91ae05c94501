//! Durable bytes: the write-ahead log, the snapshot store and the identity file. Knows nothing of Raft commands or of openraft.

mod change;
mod checksum;
mod directory;
mod failure;
mod identity;
mod limits;
mod planted;
mod port;
mod rules;
mod simulated;
mod snapshot_block;
mod snapshot_info;
mod snapshot_manifest;
mod snapshot_reader;
mod snapshot_store;
mod snapshot_writer;
mod wal;
mod wal_codec;
mod wal_files;
mod wal_open;
mod wal_record;
mod wal_scan;
mod wal_tail;
mod wal_writer;

pub use directory::{DataDir, DataDirError};
pub use failure::LogFailure;
pub use identity::{Identity, IdentityError};
pub use limits::{SNAPSHOT_META_BYTES_MAX, SNAPSHOT_RECORD_BYTES_MAX};
pub use port::{LogEntry, LogPosition, LogState, LogStore, OnDurable, StoredVote};
pub use simulated::SimulatedLog;
pub use snapshot_info::{SnapshotId, SnapshotInfo};
pub use snapshot_reader::SnapshotReader;
pub use snapshot_store::{SnapshotError, SnapshotOpenError, SnapshotStore};
pub use snapshot_writer::SnapshotWriter;
pub use wal::Wal;
pub use wal_open::{WalOpenError, WalOptions};
