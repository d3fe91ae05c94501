//! Snapshots in memory, for tests of a whole cluster: a snapshot that was committed survives a crash, one that was being written
//! is gone with it, and the disk may refuse.
//!
//! Deterministic: no thread, no clock, no randomness. It keeps what `SnapshotStore` keeps, in the same order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::checksum::Checksum;
use crate::limits::{SNAPSHOT_META_BYTES_MAX, SNAPSHOT_RECORD_BYTES_MAX, SNAPSHOTS_KEPT};
use crate::snapshot_info::{SnapshotId, SnapshotInfo};
use crate::snapshot_store::SnapshotError;

/// A disk for snapshots. Clones share it, also across a crash of whoever uses it.
#[derive(Clone, Default)]
pub struct SimulatedSnapshots {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Default)]
struct Disk {
    committed: BTreeMap<SnapshotId, (SnapshotInfo, Arc<[Bytes]>)>,
    begun: u64,
    commits: u64,
    fail_next_commit: bool,
}

/// Writes one snapshot. Dropped without `commit` it leaves nothing behind.
pub struct SimulatedWriter {
    disk: SimulatedSnapshots,
    info: SnapshotInfo,
    records: Vec<Bytes>,
    checksum: Checksum,
}

/// Reads one snapshot, record by record, whatever becomes of it in the store.
pub struct SimulatedReader {
    info: SnapshotInfo,
    records: Arc<[Bytes]>,
    next: usize,
}

impl SimulatedSnapshots {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next commit fails, and leaves nothing behind.
    pub fn fail_next_commit(&self) {
        self.disk().fail_next_commit = true;
    }

    /// How many snapshots were ever committed.
    #[must_use]
    pub fn commit_count(&self) -> u64 {
        self.disk().commits
    }

    /// As `SnapshotStore::begin`.
    pub fn begin(&self, reach: u64, meta: Bytes) -> Result<SimulatedWriter, SnapshotError> {
        if meta.len() > SNAPSHOT_META_BYTES_MAX {
            return Err(SnapshotError::MetaTooLarge { bytes: meta.len() });
        }
        let mut disk = self.disk();
        disk.begun += 1;
        let id = SnapshotId(disk.begun);
        drop(disk);
        let info = SnapshotInfo { id, reach, meta, records: 0, bytes: 0, checksum: 0, blocks: 0 };
        let checksum = Checksum::default();
        Ok(SimulatedWriter { disk: self.clone(), info, records: Vec::new(), checksum })
    }

    /// Every committed snapshot, the furthest reaching first.
    #[must_use]
    pub fn list(&self) -> Vec<SnapshotInfo> {
        let mut list: Vec<_> =
            self.disk().committed.values().map(|(info, _)| info.clone()).collect();
        list.sort_by_key(|info| std::cmp::Reverse((info.reach, info.id)));
        list
    }

    /// As `SnapshotStore::reader`.
    pub fn reader(&self, id: SnapshotId) -> Result<SimulatedReader, SnapshotError> {
        let disk = self.disk();
        let found = disk.committed.get(&id).ok_or(SnapshotError::NotFound { id })?;
        Ok(SimulatedReader { info: found.0.clone(), records: found.1.clone(), next: 0 })
    }
}

impl SimulatedWriter {
    /// As `SnapshotWriter::push`.
    pub fn push(&mut self, record: &[u8]) -> Result<(), SnapshotError> {
        if record.len() > SNAPSHOT_RECORD_BYTES_MAX {
            return Err(SnapshotError::RecordTooLarge { bytes: record.len() });
        }
        self.info.records += 1;
        self.info.bytes += record.len() as u64;
        self.checksum.update(&(record.len() as u32).to_be_bytes());
        self.checksum.update(record);
        self.records.push(Bytes::copy_from_slice(record));
        Ok(())
    }

    /// As `SnapshotWriter::commit`.
    pub fn commit(mut self) -> Result<SnapshotInfo, SnapshotError> {
        self.info.checksum = self.checksum.value();
        let mut disk = self.disk.disk();
        if std::mem::take(&mut disk.fail_next_commit) {
            return Err(SnapshotError::Io(io::Error::other("the disk refused (simulated)")));
        }
        let further = disk.committed.values().filter(|(kept, _)| kept.reach > self.info.reach);
        if further.count() >= SNAPSHOTS_KEPT {
            return Err(SnapshotError::Superseded { reach: self.info.reach });
        }
        let records = std::mem::take(&mut self.records).into();
        disk.committed.insert(self.info.id, (self.info.clone(), records));
        disk.commits += 1;
        let mut order: Vec<_> =
            disk.committed.values().map(|(info, _)| (info.reach, info.id)).collect();
        order.sort_by_key(|key| std::cmp::Reverse(*key));
        for (_, surplus) in order.into_iter().skip(SNAPSHOTS_KEPT) {
            disk.committed.remove(&surplus);
        }
        Ok(self.info.clone())
    }
}

impl SimulatedReader {
    /// What the catalogue says about the snapshot that is read.
    #[must_use]
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }
}

impl Iterator for SimulatedReader {
    type Item = Result<Bytes, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.get(self.next)?.clone();
        self.next += 1;
        Some(Ok(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(disk: &SimulatedSnapshots, reach: u64) -> Result<SnapshotInfo, SnapshotError> {
        let mut writer = disk.begin(reach, Bytes::from_static(b"meta"))?;
        writer.push(&reach.to_be_bytes())?;
        writer.commit()
    }

    #[test]
    fn of_simulated_snapshots_the_two_that_reach_furthest_are_kept() {
        let disk = SimulatedSnapshots::new();
        for reach in [10, 30, 20] {
            taken(&disk, reach).expect("taken");
        }
        let reaches: Vec<_> = disk.list().iter().map(|info| info.reach).collect();
        assert_eq!(reaches, [30, 20]);
        assert!(matches!(taken(&disk, 5), Err(SnapshotError::Superseded { reach: 5 })));
        let newest = disk.list()[0].id;
        let records: Vec<_> =
            disk.reader(newest).expect("there").map(|r| r.expect("whole")).collect();
        assert_eq!(records, [Bytes::copy_from_slice(&30_u64.to_be_bytes())]);
    }

    #[test]
    fn a_simulated_snapshot_that_was_not_committed_leaves_nothing() {
        let disk = SimulatedSnapshots::new();
        let mut writer = disk.begin(1, Bytes::new()).expect("begun");
        writer.push(b"lost").expect("pushed");
        drop(writer);
        disk.fail_next_commit();
        assert!(taken(&disk, 2).is_err());
        assert!(disk.list().is_empty());
        taken(&disk, 3).expect("taken");
        assert_eq!(disk.list().len(), 1);
    }
}
