//! Commands, records and memberships as bytes that are for ever. Decoding refuses whatever encoding could not have written;
//! it never guesses and never panics.
//!
//! In front of every message stand two bytes: the version of the format and what kind of message follows.

mod call;
mod command;
mod demand;
mod edit;
mod membership;
mod parts;
mod record;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;

pub use command::{BatchBuilder, DecodedBatch, decode_batch, encode_command};
pub use membership::{MemberNode, decode_membership, encode_membership};
pub use record::{decode_record, encode_record};

pub(crate) use membership::{SnapshotMeta, decode_snapshot_meta, encode_snapshot_meta};

/// The version of every format here. A reader refuses any other one.
const VERSION: u8 = 1;

/// What follows the version. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An entry without a payload: a new leader's first.
    Blank,
    Batch,
    Membership,
    SnapshotMeta,
    Record,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Blank => 0,
            Self::Batch => 1,
            Self::Membership => 2,
            Self::SnapshotMeta => 3,
            Self::Record => 4,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Blank),
            1 => Some(Self::Batch),
            2 => Some(Self::Membership),
            3 => Some(Self::SnapshotMeta),
            4 => Some(Self::Record),
            _ => None,
        }
    }
}

/// Why bytes are not what this program writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("no format bytes")]
    Empty,
    #[error("format version {found}, this program reads {VERSION}")]
    OtherVersion { found: u8 },
    #[error("kind {found} has no place here")]
    OtherKind { found: u8 },
    #[error("no protobuf message: {0}")]
    Message(#[from] prost::DecodeError),
    #[error("{what} is missing")]
    Missing { what: &'static str },
    #[error("{what} is not what it must be")]
    Invalid { what: &'static str },
}

/// The kind of what follows, and the rest.
pub(crate) fn open(bytes: &Bytes) -> Result<(Kind, Bytes), DecodeError> {
    let (&version, &kind) = bytes.first().zip(bytes.get(1)).ok_or(DecodeError::Empty)?;
    if version != VERSION {
        return Err(DecodeError::OtherVersion { found: version });
    }
    let found = Kind::of(kind).ok_or(DecodeError::OtherKind { found: kind })?;
    Ok((found, bytes.slice(2..)))
}

/// What stands before a message of this kind.
pub(crate) const fn prefix(kind: Kind) -> [u8; 2] {
    [VERSION, kind.byte()]
}

fn seal(kind: Kind, message: &impl Message) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + message.encoded_len());
    out.put_slice(&prefix(kind));
    message.encode_raw(&mut out);
    out.freeze()
}

fn open_as<M: Message + Default>(kind: Kind, bytes: &Bytes) -> Result<M, DecodeError> {
    let (found, rest) = open(bytes)?;
    if found != kind {
        return Err(DecodeError::OtherKind { found: found.byte() });
    }
    Ok(M::decode(rest)?)
}
