//! Reads one snapshot, record by record. What it yields was checked block by block; only when it has ended without an
//! error is the whole known to be complete.

use bytes::Bytes;
use sled::Tree;

use crate::checksum::Checksum;
use crate::snapshot_block::BlockRecords;
use crate::snapshot_info::SnapshotInfo;
use crate::snapshot_store::{SnapshotError, SnapshotStore};

/// Yields an error at most once, as its last item; of a damaged snapshot the store takes note. While it lives the snapshot
/// is not removed.
pub struct SnapshotReader {
    store: SnapshotStore,
    tree: Tree,
    info: SnapshotInfo,
    block: BlockRecords,
    next_block: u64,
    records: u64,
    bytes: u64,
    checksum: Checksum,
    ended: bool,
}

impl SnapshotReader {
    pub(crate) fn new(store: SnapshotStore, tree: Tree, info: SnapshotInfo) -> Self {
        Self {
            store,
            tree,
            info,
            block: BlockRecords::default(),
            next_block: 0,
            records: 0,
            bytes: 0,
            checksum: Checksum::default(),
            ended: false,
        }
    }

    /// What the catalogue says about the snapshot that is read.
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    fn damaged(&self, reason: String) -> SnapshotError {
        SnapshotError::Damaged { id: self.info.id, reason }
    }

    fn try_next(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        loop {
            let number = self.next_block;
            let record = self
                .block
                .next()
                .map_err(|()| self.damaged(format!("a length before block {number} is wrong")))?;
            if let Some(record) = record {
                self.records += 1;
                self.bytes += record.len() as u64;
                self.checksum.update_record(&record);
                return Ok(Some(record));
            }
            if number == self.info.blocks {
                return self.check_whole().map(|()| None);
            }
            let value = self.tree.get(number.to_be_bytes()).map_err(|error| match error {
                sled::Error::Io(source) => SnapshotError::Io(source),
                other => self.damaged(format!("block {number}: {other}")),
            })?;
            let value = value.ok_or_else(|| self.damaged(format!("block {number} is missing")))?;
            self.block = BlockRecords::open(&value)
                .ok_or_else(|| self.damaged(format!("block {number} fails its checksum")))?;
            self.next_block += 1;
        }
    }

    fn check_whole(&self) -> Result<(), SnapshotError> {
        let found = (self.records, self.bytes, self.checksum.value());
        let expected = (self.info.records, self.info.bytes, self.info.checksum);
        if found != expected {
            return Err(self.damaged(format!(
                "records, bytes and checksum are {found:?}, the catalogue says {expected:?}"
            )));
        }
        Ok(())
    }
}

impl Iterator for SnapshotReader {
    type Item = Result<Bytes, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.try_next().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        if let Some(Err(SnapshotError::Damaged { .. })) = item {
            self.store.note_damage(self.info.id);
        }
        item
    }
}

impl Drop for SnapshotReader {
    fn drop(&mut self) {
        self.store.release(self.info.id);
    }
}
