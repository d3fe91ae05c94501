//! Snapshots between the machine and the snapshot store: written from a clone while apply goes on, read back into a machine,
//! and never believed before every byte was checked. Everything here blocks.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use conclave_machine::{Machine, Record, RestoreError};
use conclave_store::{
    LogPosition, SnapshotError, SnapshotId, SnapshotInfo, SnapshotReader, SnapshotStore,
    SnapshotWriter,
};

use crate::codec::{self, DecodeError};
use crate::counters::SnapshotCounters;
use crate::retention::Retained;
use crate::types::{SnapshotMeta, StoredMembership, log_id_of, position_of};

/// A cheap handle to all snapshots of this node.
#[derive(Clone)]
pub struct Snapshots {
    shared: Arc<Shared>,
}

struct Shared {
    store: SnapshotStore,
    retained: Retained,
    /// The good one that reaches furthest; none: there is none.
    current: Mutex<Option<(SnapshotMeta, SnapshotId)>>,
    counters: SnapshotCounters,
}

/// The same without keeping the store open.
#[derive(Debug, Clone)]
pub(crate) struct WeakSnapshots {
    shared: Weak<Shared>,
}

impl WeakSnapshots {
    /// None: the store is closed.
    pub(crate) fn upgrade(&self) -> Option<Snapshots> {
        Some(Snapshots { shared: self.shared.upgrade()? })
    }
}

/// A snapshot in the store of one node: what openraft passes around instead of bytes.
#[derive(Clone)]
pub struct StoredSnapshot {
    pub(crate) snapshots: Snapshots,
    pub(crate) id: SnapshotId,
}

/// Why a snapshot cannot be read into a machine. The store is whole; this snapshot is not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Store(#[from] SnapshotError),
    #[error("a record cannot be read: {0}")]
    Decode(#[from] DecodeError),
    #[error("its records make no machine: {0}")]
    Restore(RestoreError),
}

impl From<LoadError> for io::Error {
    fn from(error: LoadError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshots")
    }
}

impl Snapshots {
    /// What the log keeps from now on is what the snapshots here need.
    #[must_use]
    pub fn new(store: SnapshotStore, retained: Retained) -> Self {
        let (current, counters) = (Mutex::new(None), SnapshotCounters::default());
        let shared = Shared { store, retained, current, counters };
        Self { shared: Arc::new(shared) }
    }

    /// Reads the snapshot that reaches furthest, or the one before it when that one is damaged. None: there is none.
    pub(crate) fn restore(&self) -> Result<Option<(Machine, SnapshotMeta)>, LoadError> {
        let Some(newest) = self.shared.store.latest() else { return Ok(None) };
        let info = match self.load(newest.id) {
            Ok(restored) => {
                self.adopt(&restored.1, newest.id);
                return Ok(Some(restored));
            }
            Err(error) => {
                tracing::error!(%error, id = %newest.id, "the newest snapshot is damaged");
                // Marks the damaged one, so that it goes first when the next one is taken.
                self.shared.store.latest_verified()?.filter(|info| info.id != newest.id)
            }
        };
        let Some(info) = info else { return self.load(newest.id).map(Some) };
        let restored = self.load(info.id)?;
        self.adopt(&restored.1, info.id);
        Ok(Some(restored))
    }

    /// Writes the machine, durably. None: those that were taken meanwhile reach further, so it is not needed.
    pub(crate) fn write(
        &self,
        machine: &Machine,
        meta: &SnapshotMeta,
    ) -> io::Result<Option<SnapshotId>> {
        let mut writer = self.begin(meta).map_err(io_error)?;
        for record in machine.records() {
            writer.push(&codec::encode_record(&record)).map_err(io_error)?;
        }
        match writer.commit() {
            Ok(info) => {
                self.adopt(meta, info.id);
                Ok(Some(info.id))
            }
            Err(SnapshotError::Superseded { .. }) => Ok(None),
            Err(error) => Err(io_error(error)),
        }
    }

    /// Starts one whose records come from elsewhere; [`Self::adopt`] it when it is committed.
    pub(crate) fn begin(&self, meta: &SnapshotMeta) -> Result<SnapshotWriter, SnapshotError> {
        let reach = meta.last_log_id.as_ref().map_or(0, |last| last.index());
        self.shared.store.begin(reach, encode_meta(meta))
    }

    /// The snapshot is committed: it may be given to others, and the log behind the one before it may go.
    pub(crate) fn adopt(&self, meta: &SnapshotMeta, id: SnapshotId) {
        let mut current = self.current_mut();
        if current.as_ref().is_none_or(|(newest, _)| newest.last_log_id <= meta.last_log_id) {
            *current = Some((meta.clone(), id));
        }
        drop(current);
        if let [_, older] = &self.shared.store.list()[..]
            && !self.shared.store.is_damaged(older.id)
            && let Ok(meta) = codec::decode_snapshot_meta(&older.meta)
            && let Some(last) = meta.last
        {
            self.shared.retained.only_after(last);
        }
    }

    pub(crate) fn downgrade(&self) -> WeakSnapshots {
        WeakSnapshots { shared: Arc::downgrade(&self.shared) }
    }

    pub(crate) fn current(&self) -> Option<(SnapshotMeta, StoredSnapshot)> {
        let current = self.current_mut().clone();
        current.map(|(meta, id)| (meta, StoredSnapshot { snapshots: self.clone(), id }))
    }

    /// Index and bytes of the good one that reaches furthest; zeros: there is none.
    pub(crate) fn extent(&self) -> (u64, u64) {
        let Some((_, id)) = self.current_mut().clone() else { return (0, 0) };
        let found = self.shared.store.list().into_iter().find(|info| info.id == id);
        found.map_or((0, 0), |info| (info.reach, info.bytes))
    }

    /// The one that others would be given was found damaged: it is time for another.
    pub(crate) fn is_spoiled(&self) -> bool {
        let current = self.current_mut().clone();
        current.is_some_and(|(_, id)| self.shared.store.is_damaged(id))
    }

    pub(crate) fn counters(&self) -> &SnapshotCounters {
        &self.shared.counters
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn load(&self, id: SnapshotId) -> Result<(Machine, SnapshotMeta), LoadError> {
        let reader = self.shared.store.reader(id)?;
        let meta = decode_meta(reader.info())?;
        Ok((machine_from(reader)?, meta))
    }

    fn current_mut(&self) -> MutexGuard<'_, Option<(SnapshotMeta, SnapshotId)>> {
        self.shared.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoredSnapshot {
    pub(crate) fn reader(&self) -> Result<SnapshotReader, SnapshotError> {
        self.snapshots.shared.store.reader(self.id)
    }

    /// Of its records; zero when it is gone.
    pub(crate) fn bytes(&self) -> u64 {
        let list = self.snapshots.shared.store.list();
        list.iter().find(|info| info.id == self.id).map_or(0, |info| info.bytes)
    }

    pub(crate) fn machine(&self) -> Result<Machine, LoadError> {
        machine_from(self.reader()?)
    }

    /// The same snapshot in another store.
    pub(crate) fn copy_to(&self, other: &Snapshots, meta: &SnapshotMeta) -> io::Result<Self> {
        let mut writer = other.begin(meta).map_err(io_error)?;
        for record in self.reader().map_err(io_error)? {
            writer.push(&record.map_err(io_error)?).map_err(io_error)?;
        }
        let info = writer.commit().map_err(io_error)?;
        Ok(Self { snapshots: other.clone(), id: info.id })
    }
}

/// The machine counts only when the reader came to its end without an error: only then the whole is known to be complete.
fn machine_from(reader: SnapshotReader) -> Result<Machine, LoadError> {
    let mut failure = None;
    let records = reader.map_while(|record| match decode(record) {
        Ok(record) => Some(record),
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let machine = Machine::from_records(records);
    match failure {
        Some(error) => Err(error),
        None => machine.map_err(LoadError::Restore),
    }
}

fn decode(record: Result<Bytes, SnapshotError>) -> Result<Record, LoadError> {
    Ok(codec::decode_record(&record?)?)
}

pub(crate) fn encode_meta(meta: &SnapshotMeta) -> Bytes {
    codec::encode_snapshot_meta(&codec::SnapshotMeta {
        last: meta.last_log_id.as_ref().map(position_of),
        membership_at: meta.last_membership.log_id().as_ref().map(position_of),
        membership: meta.last_membership.membership().clone(),
    })
}

pub(crate) fn meta_from(bytes: &Bytes) -> Result<SnapshotMeta, DecodeError> {
    let meta = codec::decode_snapshot_meta(bytes)?;
    let at = |position: LogPosition| log_id_of(position);
    Ok(SnapshotMeta {
        last_log_id: meta.last.map(at),
        last_membership: StoredMembership::new(meta.membership_at.map(at), meta.membership),
    })
}

fn decode_meta(info: &SnapshotInfo) -> Result<SnapshotMeta, DecodeError> {
    meta_from(&info.meta)
}

pub(crate) fn io_error(error: SnapshotError) -> io::Error {
    match error {
        SnapshotError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
