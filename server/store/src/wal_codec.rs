//! How our types look inside raft-log: the bytes of a vote, a position and a payload, all big-endian.
//!
//! These are on disk for ever. `wal_scan` reads the same bytes without raft-log and must be changed with this file.

use std::cmp::Ordering;
use std::io;
use std::io::Read as _;

use bytes::Bytes;
use raft_log::codeq::{Decode, Encode};

use crate::port::{LogPosition, StoredVote};
use crate::rules;
use crate::wal_writer::Completion;

/// The types that raft-log is instantiated with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WalTypes;

impl raft_log::Types for WalTypes {
    type LogId = LogPosition;
    type LogPayload = WalPayload;
    type Vote = WalVote;
    type Callback = Completion;
    type UserData = ();

    fn log_index(position: &LogPosition) -> u64 {
        position.index
    }

    fn payload_size(payload: &WalPayload) -> u64 {
        payload.0.len() as u64
    }
}

/// The bytes of an entry.
#[derive(Debug, Clone)]
pub(crate) struct WalPayload(pub(crate) Bytes);

/// A vote in the order that Raft needs, which raft-log checks on every write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalVote(pub(crate) StoredVote);

impl PartialOrd for WalVote {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        rules::compare_votes(&self.0, &other.0)
    }
}

impl Encode for LogPosition {
    fn encode<W: io::Write>(&self, mut w: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut w)? + self.index.encode(&mut w)?)
    }
}

impl Decode for LogPosition {
    fn decode<R: io::Read>(mut r: R) -> io::Result<Self> {
        Ok(Self { term: u64::decode(&mut r)?, index: u64::decode(&mut r)? })
    }
}

impl Encode for WalVote {
    fn encode<W: io::Write>(&self, mut w: W) -> io::Result<usize> {
        let vote = &self.0;
        let mut written = vote.term.encode(&mut w)?;
        written += vote.voted_for.encode(&mut w)?;
        written += u8::from(vote.committed).encode(&mut w)?;
        Ok(written)
    }
}

impl Decode for WalVote {
    fn decode<R: io::Read>(mut r: R) -> io::Result<Self> {
        let term = u64::decode(&mut r)?;
        let voted_for = Option::<u64>::decode(&mut r)?;
        let committed = match u8::decode(&mut r)? {
            0 => false,
            1 => true,
            other => {
                let message = format!("committed flag of a vote is {other}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        };
        Ok(Self(StoredVote { term, voted_for, committed }))
    }
}

impl Encode for WalPayload {
    fn encode<W: io::Write>(&self, mut w: W) -> io::Result<usize> {
        let len = u32::try_from(self.0.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "entry over 4 GiB"))?;
        len.encode(&mut w)?;
        w.write_all(&self.0)?;
        Ok(self.0.len() + 4)
    }
}

impl Decode for WalPayload {
    fn decode<R: io::Read>(mut r: R) -> io::Result<Self> {
        let len = u64::from(u32::decode(&mut r)?);
        // Not allocated up front: a damaged length must not ask for 4 GiB.
        let mut payload = Vec::new();
        r.take(len).read_to_end(&mut payload)?;
        if payload.len() as u64 != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self(Bytes::from(payload)))
    }
}
