//! Which disk is below: the real one, or one that a test of the whole cluster can make slow, make fail, and make forget what
//! was not synced. Everything above is the same for both.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use conclave_store::{
    LogEntry, LogFailure, LogPosition, LogState, LogStore, OnDurable, SimulatedLog,
    SimulatedReader, SimulatedSnapshots, SimulatedWriter, SnapshotError, SnapshotId, SnapshotInfo,
    SnapshotReader, SnapshotStore, SnapshotWriter, StoredVote, Wal,
};
use tokio::sync::watch;

use crate::config::Storage;

/// The log of a node.
#[derive(Clone)]
pub(crate) enum DiskLog {
    Real(Wal),
    Simulated(SimulatedLog),
}

/// The snapshots of a node.
#[derive(Clone)]
pub enum SnapshotDisk {
    Real(SnapshotStore),
    Simulated(SimulatedSnapshots),
}

/// Writes one snapshot.
pub(crate) enum DiskWriter {
    Real(Box<SnapshotWriter>),
    Simulated(SimulatedWriter),
}

/// Reads one snapshot.
pub(crate) enum DiskReader {
    Real(Box<SnapshotReader>),
    Simulated(SimulatedReader),
}

/// Where work is done that waits for a disk.
#[derive(Debug, Clone, Copy)]
pub enum Blocking {
    /// On a thread that may wait.
    Elsewhere,
    /// Right here, because nothing in it waits: in a simulation, which knows no threads.
    Here,
}

impl Blocking {
    /// What a node does whose bytes live there.
    pub(crate) fn of(storage: &Storage) -> Self {
        match storage {
            Storage::Directory(_) | Storage::Ephemeral => Self::Elsewhere,
            Storage::Simulated(_) => Self::Here,
        }
    }

    /// An error: the work panicked, or the runtime is being shut down.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        match self {
            Self::Elsewhere => tokio::task::spawn_blocking(work).await,
            Self::Here => Ok(work()),
        }
    }
}

impl DiskLog {
    /// Becomes `Some` when the disk failed; it never becomes `None` again.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<LogFailure>> {
        match self {
            Self::Real(log) => log.failed(),
            Self::Simulated(log) => log.failed(),
        }
    }
}

impl LogStore for DiskLog {
    fn state(&self) -> LogState {
        match self {
            Self::Real(log) => log.state(),
            Self::Simulated(log) => log.state(),
        }
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<LogEntry>> {
        match self {
            Self::Real(log) => log.read(range, max_bytes),
            Self::Simulated(log) => log.read(range, max_bytes),
        }
    }

    fn append(&self, entries: Vec<LogEntry>, done: OnDurable) -> io::Result<()> {
        match self {
            Self::Real(log) => log.append(entries, done),
            Self::Simulated(log) => log.append(entries, done),
        }
    }

    async fn save_vote(&self, vote: StoredVote) -> io::Result<()> {
        match self {
            Self::Real(log) => log.save_vote(vote).await,
            Self::Simulated(log) => log.save_vote(vote).await,
        }
    }

    fn save_committed(&self, committed: Option<LogPosition>) -> io::Result<()> {
        match self {
            Self::Real(log) => log.save_committed(committed),
            Self::Simulated(log) => log.save_committed(committed),
        }
    }

    async fn truncate_after(&self, last: Option<LogPosition>) -> io::Result<()> {
        match self {
            Self::Real(log) => log.truncate_after(last).await,
            Self::Simulated(log) => log.truncate_after(last).await,
        }
    }

    async fn purge(&self, upto: LogPosition) -> io::Result<()> {
        match self {
            Self::Real(log) => log.purge(upto).await,
            Self::Simulated(log) => log.purge(upto).await,
        }
    }
}

impl From<SnapshotStore> for SnapshotDisk {
    fn from(store: SnapshotStore) -> Self {
        Self::Real(store)
    }
}

impl SnapshotDisk {
    pub(crate) fn blocking(&self) -> Blocking {
        match self {
            Self::Real(_) => Blocking::Elsewhere,
            Self::Simulated(_) => Blocking::Here,
        }
    }

    pub(crate) fn begin(&self, reach: u64, meta: Bytes) -> Result<DiskWriter, SnapshotError> {
        match self {
            Self::Real(store) => Ok(DiskWriter::Real(Box::new(store.begin(reach, meta)?))),
            Self::Simulated(store) => Ok(DiskWriter::Simulated(store.begin(reach, meta)?)),
        }
    }

    pub(crate) fn list(&self) -> Vec<SnapshotInfo> {
        match self {
            Self::Real(store) => store.list(),
            Self::Simulated(store) => store.list(),
        }
    }

    pub(crate) fn latest(&self) -> Option<SnapshotInfo> {
        self.list().into_iter().next()
    }

    pub(crate) fn latest_verified(&self) -> Result<Option<SnapshotInfo>, SnapshotError> {
        match self {
            Self::Real(store) => store.latest_verified(),
            // Memory is not damaged.
            Self::Simulated(_) => Ok(self.latest()),
        }
    }

    pub(crate) fn is_damaged(&self, id: SnapshotId) -> bool {
        match self {
            Self::Real(store) => store.is_damaged(id),
            Self::Simulated(_) => false,
        }
    }

    pub(crate) fn reader(&self, id: SnapshotId) -> Result<DiskReader, SnapshotError> {
        match self {
            Self::Real(store) => Ok(DiskReader::Real(Box::new(store.reader(id)?))),
            Self::Simulated(store) => Ok(DiskReader::Simulated(store.reader(id)?)),
        }
    }
}

impl DiskWriter {
    pub(crate) fn push(&mut self, record: &[u8]) -> Result<(), SnapshotError> {
        match self {
            Self::Real(writer) => writer.push(record),
            Self::Simulated(writer) => writer.push(record),
        }
    }

    pub(crate) fn commit(self) -> Result<SnapshotInfo, SnapshotError> {
        match self {
            Self::Real(writer) => writer.commit(),
            Self::Simulated(writer) => writer.commit(),
        }
    }
}

impl DiskReader {
    pub(crate) fn info(&self) -> &SnapshotInfo {
        match self {
            Self::Real(reader) => reader.info(),
            Self::Simulated(reader) => reader.info(),
        }
    }
}

impl Iterator for DiskReader {
    type Item = Result<Bytes, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Real(reader) => reader.next(),
            Self::Simulated(reader) => reader.next(),
        }
    }
}
