//! What the catalogue says about a snapshot, and its bytes: the final key that makes a snapshot exist.
//!
//! The bytes are on disk for ever; a new layout gets a new version, and so must the manifest then: that is looked at first,
//! before sled has changed anything.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::checksum::Checksum;

const VERSION: u8 = 1;

/// Names a committed snapshot in its store. Rises with every snapshot begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub(crate) u64);

impl std::fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A committed snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    pub id: SnapshotId,
    /// How far it reaches: the index of the last entry in it. The highest are kept.
    pub reach: u64,
    /// The caller's own bytes: log id, membership, format.
    pub meta: Bytes,
    pub records: u64,
    /// Bytes of all records together.
    pub bytes: u64,
    /// Over the length and the bytes of every record, in order.
    pub checksum: u32,
    pub(crate) blocks: u64,
}

impl SnapshotInfo {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = BytesMut::with_capacity(64 + self.meta.len());
        out.put_u8(VERSION);
        out.put_u64(self.id.0);
        out.put_u64(self.reach);
        out.put_u64(self.records);
        out.put_u64(self.bytes);
        out.put_u64(self.blocks);
        out.put_u32(self.checksum);
        out.put_u64(self.meta.len() as u64);
        out.put_slice(&self.meta);
        out.put_u32(Checksum::of(&out));
        out.to_vec()
    }

    /// The reason, when the bytes are not what `encode` wrote.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, String> {
        const FIXED: usize = 1 + 5 * 8 + 4 + 8;
        let Some((body, mut sum)) = value.split_last_chunk::<4>().map(|(b, s)| (b, &s[..])) else {
            return Err("the catalogue entry is cut short".to_owned());
        };
        if body.len() < FIXED || sum.get_u32() != Checksum::of(body) {
            return Err("the catalogue entry does not match its checksum".to_owned());
        }
        let mut body = Bytes::copy_from_slice(body);
        let version = body.get_u8();
        if version != VERSION {
            return Err(format!("the catalogue entry has version {version}, this is {VERSION}"));
        }
        let id = SnapshotId(body.get_u64());
        let reach = body.get_u64();
        let records = body.get_u64();
        let bytes = body.get_u64();
        let blocks = body.get_u64();
        let checksum = body.get_u32();
        let meta_len = body.get_u64();
        if meta_len != body.len() as u64 {
            return Err("the catalogue entry has a wrong length".to_owned());
        }
        Ok(Self { id, reach, meta: body, records, bytes, checksum, blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_entry_of_a_newer_version_is_refused_with_a_sentence() {
        let info = SnapshotInfo {
            id: SnapshotId(3),
            reach: 9,
            meta: Bytes::from_static(b"meta"),
            records: 1,
            bytes: 2,
            checksum: 4,
            blocks: 1,
        };
        let good = info.encode();
        assert_eq!(SnapshotInfo::decode(&good), Ok(info));
        let mut newer = good[..good.len() - 4].to_vec();
        newer[0] = 2;
        newer.put_u32(Checksum::of(&newer));
        let said = SnapshotInfo::decode(&newer).unwrap_err();
        assert_eq!(said, "the catalogue entry has version 2, this is 1");
    }
}
