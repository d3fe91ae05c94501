//! The one checksum of this crate: CRC-32 (IEEE), as raft-log uses it.

use std::hash::Hasher as _;

use raft_log::codeq::config::{CodeqConfig, Crc32fast};

/// A running checksum.
#[derive(Default, Clone)]
pub(crate) struct Checksum(<Crc32fast as CodeqConfig>::Hasher);

impl Checksum {
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut checksum = Self::default();
        checksum.update(bytes);
        checksum.value()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(crate) fn value(&self) -> u32 {
        u32::try_from(self.0.finish() & u64::from(u32::MAX)).unwrap_or_default()
    }
}
