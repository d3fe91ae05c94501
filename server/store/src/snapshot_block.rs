//! A block: some records of a snapshot, each behind its length, and a checksum. One value in sled.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::checksum::Checksum;
use crate::limits::{BLOCK_BYTES, SNAPSHOT_RECORD_BYTES_MAX};

/// Collects records until the block is full.
pub(crate) struct BlockBuilder {
    buffer: BytesMut,
}

impl BlockBuilder {
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::with_capacity(BLOCK_BYTES + 8) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether a record of `len` bytes should go into the next block.
    pub(crate) fn is_full_for(&self, len: usize) -> bool {
        !self.is_empty() && self.buffer.len() + len > BLOCK_BYTES
    }

    pub(crate) fn push(&mut self, record: &[u8]) {
        debug_assert!(record.len() <= SNAPSHOT_RECORD_BYTES_MAX);
        self.buffer.put_u32(record.len() as u32);
        self.buffer.put_slice(record);
    }

    /// The value for sled. The block is empty again.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let sum = Checksum::of(&self.buffer);
        self.buffer.put_u32(sum);
        let value = self.buffer.to_vec();
        self.buffer.clear();
        value
    }
}

/// Hands out the records of one block.
#[derive(Default)]
pub(crate) struct BlockRecords {
    rest: Bytes,
}

impl BlockRecords {
    /// `None` when the value does not match its checksum.
    pub(crate) fn open(value: &[u8]) -> Option<Self> {
        let (body, sum) = value.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*sum) != Checksum::of(body) {
            return None;
        }
        Some(Self { rest: Bytes::copy_from_slice(body) })
    }

    /// The next record; `Ok(None)` at the end, `Err` when a length points outside.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, ()> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.rest.len() < 4 {
            return Err(());
        }
        let len = self.rest.get_u32() as usize;
        if len > self.rest.len() {
            return Err(());
        }
        Ok(Some(self.rest.split_to(len)))
    }
}
