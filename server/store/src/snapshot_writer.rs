//! Writes one snapshot. Dropped without `commit` it leaves nothing behind.

use bytes::Bytes;
use sled::{Batch, Tree};

use crate::checksum::Checksum;
use crate::limits::{BATCH_BYTES, SNAPSHOT_RECORD_BYTES_MAX};
use crate::snapshot_block::BlockBuilder;
use crate::snapshot_info::{SnapshotId, SnapshotInfo};
use crate::snapshot_store::{SnapshotError, SnapshotStore};

pub struct SnapshotWriter {
    store: SnapshotStore,
    tree: Tree,
    info: SnapshotInfo,
    checksum: Checksum,
    block: BlockBuilder,
    batch: Batch,
    batch_bytes: usize,
    committed: bool,
}

impl SnapshotWriter {
    pub(crate) fn new(
        store: SnapshotStore,
        tree: Tree,
        id: SnapshotId,
        reach: u64,
        meta: Bytes,
    ) -> Self {
        let info = SnapshotInfo { id, reach, meta, records: 0, bytes: 0, checksum: 0, blocks: 0 };
        Self {
            store,
            tree,
            info,
            checksum: Checksum::default(),
            block: BlockBuilder::new(),
            batch: Batch::default(),
            batch_bytes: 0,
            committed: false,
        }
    }

    /// Adds a record of at most `SNAPSHOT_RECORD_BYTES_MAX` bytes.
    pub fn push(&mut self, record: &[u8]) -> Result<(), SnapshotError> {
        if record.len() > SNAPSHOT_RECORD_BYTES_MAX {
            return Err(SnapshotError::RecordTooLarge { bytes: record.len() });
        }
        if self.block.is_full_for(record.len()) {
            self.close_block()?;
        }
        self.info.records += 1;
        self.info.bytes += record.len() as u64;
        self.checksum.update_record(record);
        self.block.push(record);
        Ok(())
    }

    /// Makes the snapshot durable, reads it back and removes those that are no longer kept. Until this is `Ok` the
    /// snapshot must not be relied upon; after an error it is gone.
    pub fn commit(mut self) -> Result<SnapshotInfo, SnapshotError> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        self.write_batch()?;
        self.info.checksum = self.checksum.value();
        let info = self.store.commit(self.info.clone())?;
        self.committed = true;
        Ok(info)
    }

    fn close_block(&mut self) -> Result<(), SnapshotError> {
        let value = self.block.take();
        self.batch_bytes += value.len();
        self.batch.insert(&self.info.blocks.to_be_bytes(), value);
        self.info.blocks += 1;
        if self.batch_bytes >= BATCH_BYTES {
            self.write_batch()?;
        }
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), SnapshotError> {
        self.batch_bytes = 0;
        Ok(self.tree.apply_batch(std::mem::take(&mut self.batch))?)
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.committed {
            self.store.abandon(self.info.id);
        }
    }
}
