//! The one checksum of all that is stored or on its way: CRC-32 (IEEE), as raft-log uses it.

use std::hash::Hasher as _;

use raft_log::codeq::config::{CodeqConfig, Crc32fast};

/// A running checksum.
#[derive(Default, Clone)]
pub struct Checksum(<Crc32fast as CodeqConfig>::Hasher);

impl Checksum {
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut checksum = Self::default();
        checksum.update(bytes);
        checksum.value()
    }

    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Goes on with a record: its length, then its bytes, so that where one ends is part of it.
    pub fn update_record(&mut self, record: &[u8]) {
        self.update(&(record.len() as u32).to_be_bytes());
        self.update(record);
    }

    /// Of everything so far.
    #[must_use]
    pub fn value(&self) -> u32 {
        u32::try_from(self.0.finish() & u64::from(u32::MAX)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.value())
    }
}
