//! The bytes of one log record as raft-log 0.4 lays them out, read without raft-log and without trusting a byte.
//!
//! A record is a type (`u32`), a body whose length follows from the type and its own bytes, and the CRC-32 of both as a
//! `u64`; all big-endian. Must say the same as `wal_codec` and raft-log's `RaftLogAction` and `RaftLogState`.

use crate::checksum::Checksum;

const CHECKSUM_BYTES: usize = 8;
const POSITION_BYTES: usize = 16;
pub(crate) const CHECKPOINT_VERSION: u8 = 1;
const CHECKPOINT: u32 = 5;
/// Longer than any checkpoint of the version that is read here.
const CHECKPOINT_BYTES_MAX: usize = 256;

/// What stands at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A record that matches its checksum.
    Whole { len: usize, checkpoint: bool },
    /// The bytes end before the record does.
    Short,
    /// A record would end here, but does not match its checksum.
    Mismatch { len: usize },
    /// No record begins like this.
    Unknown,
}

pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut cursor = Cursor { bytes, at: 0 };
    let kind = match cursor.u32() {
        Ok(kind) => kind,
        Err(stop) => return stop.into(),
    };
    if let Err(stop) = cursor.body(kind) {
        return stop.into();
    }
    let body_len = cursor.at;
    let Ok(stored) = cursor.take(CHECKSUM_BYTES) else {
        return Parsed::Short;
    };
    let expected = u64::from(Checksum::of(&bytes[..body_len])).to_be_bytes();
    if stored == expected {
        Parsed::Whole { len: cursor.at, checkpoint: kind == CHECKPOINT }
    } else {
        Parsed::Mismatch { len: cursor.at }
    }
}

/// The version in a checkpoint at the start of some bytes, if it is a later one than is read here. One that is only a damaged
/// byte, with which the record would be sound, is none.
pub(crate) fn other_version(bytes: &[u8]) -> Option<u8> {
    let (kind, rest) = bytes.split_first_chunk::<4>()?;
    let found = *rest.first()?;
    if u32::from_be_bytes(*kind) != CHECKPOINT || found <= CHECKPOINT_VERSION {
        return None;
    }
    let end = bytes.len().min(CHECKPOINT_BYTES_MAX);
    let mut restored = bytes[..end].to_vec();
    restored[4] = CHECKPOINT_VERSION;
    (!matches!(parse(&restored), Parsed::Whole { .. })).then_some(found)
}

enum Stop {
    Short,
    Unknown,
}

impl From<Stop> for Parsed {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Short => Parsed::Short,
            Stop::Unknown => Parsed::Unknown,
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        if rest.len() < len {
            return Err(Stop::Short);
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// A byte that can only be 0 or 1.
    fn flag(&mut self) -> Result<bool, Stop> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Stop::Unknown),
        }
    }

    fn optional(&mut self, len: usize) -> Result<(), Stop> {
        if self.flag()? {
            self.take(len)?;
        }
        Ok(())
    }

    fn vote(&mut self) -> Result<(), Stop> {
        self.take(8)?;
        self.optional(8)?;
        self.flag().map(drop)
    }

    fn body(&mut self, kind: u32) -> Result<(), Stop> {
        match kind {
            0 => self.vote(),
            1 => {
                self.take(POSITION_BYTES)?;
                let len = self.u32()?;
                self.take(len as usize).map(drop)
            }
            2 | 4 => self.take(POSITION_BYTES).map(drop),
            3 => self.optional(POSITION_BYTES),
            CHECKPOINT => self.checkpoint(),
            _ => Err(Stop::Unknown),
        }
    }

    /// Version, vote, last, committed, purged, and user data that we never set (and that has no bytes).
    fn checkpoint(&mut self) -> Result<(), Stop> {
        if self.take(1)? != [CHECKPOINT_VERSION] {
            return Err(Stop::Unknown);
        }
        if self.flag()? {
            self.vote()?;
        }
        for _ in 0..3 {
            self.optional(POSITION_BYTES)?;
        }
        self.optional(0)
    }
}

/// Whether some bytes are a complete record, ended by its checksum, in which exactly one byte of the body was changed.
///
/// It tells a record whose damaged length points past the end of the file from a record that was cut short. The
/// CRC is linear: undoing a change of one byte, followed by `k` others, changes the CRC by a value that depends on
/// the change and `k` alone, so the difference is rolled back byte by byte until it is that of a single byte.
pub(crate) fn has_one_changed_byte(bytes: &[u8]) -> bool {
    let Some((body, stored)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return false;
    };
    let stored = u64::from_be_bytes(*stored);
    let Ok(stored) = u32::try_from(stored) else {
        return false;
    };
    let mut difference = Checksum::of(body) ^ stored;
    if difference == 0 {
        return false;
    }
    for _ in body {
        let change = BY_TOP_BYTE[(difference >> 24) as usize];
        let entry = CRC_TABLE[change as usize];
        if entry == difference {
            return true;
        }
        difference = (difference ^ entry) << 8 | u32::from(change);
    }
    false
}

/// The table of CRC-32 (IEEE, reflected).
const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// The index of the entry with a given top byte; every top byte occurs once.
static BY_TOP_BYTE: [u8; 256] = by_top_byte();

const fn by_top_byte() -> [u8; 256] {
    let mut inverse = [0; 256];
    let mut index = 0;
    while index < 256 {
        inverse[(CRC_TABLE[index] >> 24) as usize] = index as u8;
        index += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raft_log::codeq::Encode;
    use raft_log::{RaftLogAction, RaftLogRecord};

    use super::{Parsed, has_one_changed_byte, parse};
    use crate::port::{LogPosition, StoredVote};
    use crate::wal_codec::{WalPayload, WalTypes, WalVote};

    type Action = RaftLogAction<WalTypes>;

    const POSITION: LogPosition = LogPosition { term: 3, index: 258 };

    fn vote(voted_for: Option<u64>, committed: bool) -> Action {
        Action::SaveVote(WalVote(StoredVote { term: 3, voted_for, committed }))
    }

    fn actions() -> Vec<Action> {
        let payload = |len: usize| WalPayload(Bytes::from(vec![0xa5; len]));
        vec![
            vote(None, false),
            vote(Some(7), true),
            Action::Append(POSITION, payload(0)),
            Action::Append(POSITION, payload(70)),
            Action::Commit(POSITION),
            Action::TruncateAfter(None),
            Action::TruncateAfter(Some(POSITION)),
            Action::PurgeUpto(POSITION),
        ]
    }

    fn encode(action: Action) -> Vec<u8> {
        let mut bytes = Vec::new();
        RaftLogRecord::<WalTypes>::Action(action).encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reads_what_raft_log_writes() {
        for action in actions() {
            let shown = format!("{action:?}");
            let mut bytes = encode(action);
            let len = bytes.len();
            assert_eq!(parse(&bytes), Parsed::Whole { len, checkpoint: false }, "{shown}");
            for cut in 0..len {
                assert_eq!(parse(&bytes[..cut]), Parsed::Short, "{shown} cut at {cut}");
                assert!(!has_one_changed_byte(&bytes[..cut]), "{shown} cut at {cut}");
            }
            bytes.push(0xff);
            assert_eq!(parse(&bytes), Parsed::Whole { len, checkpoint: false }, "{shown}");
        }
    }

    #[test]
    fn knows_a_changed_byte_from_a_torn_record() {
        for action in actions() {
            let shown = format!("{action:?}");
            let good = encode(action);
            assert!(!has_one_changed_byte(&good), "{shown}");
            for at in 0..good.len() {
                for change in [1, 2, 4, 8, 16, 32, 64, 128, 0xa5, 0xff] {
                    let mut bad = good.clone();
                    bad[at] ^= change;
                    assert!(!matches!(parse(&bad), Parsed::Whole { .. }), "{shown} at {at}");
                    let in_body = at < good.len() - 8;
                    assert_eq!(has_one_changed_byte(&bad), in_body, "{shown} at {at}");
                }
            }
        }
    }

    #[test]
    fn bytes_of_raft_log_0_4_are_golden() {
        assert_eq!(
            encode(vote(Some(7), true)),
            [
                0, 0, 0, 0, // type
                0, 0, 0, 0, 0, 0, 0, 3, // term
                1, 0, 0, 0, 0, 0, 0, 0, 7, // voted for
                1, // committed
                0, 0, 0, 0, 230, 79, 26, 142, // checksum
            ]
        );
        assert_eq!(
            encode(Action::Append(POSITION, WalPayload(Bytes::from_static(b"hi")))),
            [
                0, 0, 0, 1, // type
                0, 0, 0, 0, 0, 0, 0, 3, // term
                0, 0, 0, 0, 0, 0, 1, 2, // index
                0, 0, 0, 2, b'h', b'i', // payload
                0, 0, 0, 0, 228, 25, 195, 21, // checksum
            ]
        );
    }
}
