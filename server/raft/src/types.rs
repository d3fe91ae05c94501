//! The types that Conclave gives openraft. Only this crate names openraft, and only here is it configured.

use std::fmt;
use std::io;

use bytes::Bytes;
use conclave_machine::{Event, Outcome, Revision};
use conclave_store::{LogEntry, LogPosition, StoredVote};
use openraft::raft::responder::Responder;

use crate::codec::{self, DecodeError, Kind};

pub use crate::codec::MemberNode;

/// A log of batches over standard Raft: one leader a term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Batch;
    type R = Applied;
    type NodeId = u64;
    type Node = MemberNode;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Batch, u64, MemberNode>;
    type Entry = openraft::impls::Entry<
        <Self::LeaderId as openraft::vote::RaftLeaderId>::Committed,
        Self::Payload,
    >;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder<T>
        = Callback<T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type Payload = openraft::type_config::alias::PayloadOf<TypeConfig>;
pub(crate) type Snapshot<D> = openraft::type_config::alias::SnapshotOf<TypeConfig, D>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<u64, MemberNode>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type WriteResult = openraft::raft::ClientWriteResult<TypeConfig>;

/// The payload of an entry with commands, encoded once by its proposer, format bytes included.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    pub(crate) payload: Bytes,
}

impl Batch {
    #[must_use]
    pub fn new(payload: Bytes) -> Self {
        Self { payload }
    }
}

impl fmt::Debug for Batch {
    /// Commands carry secrets, so never the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} bytes)", self.payload.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What became of the commands of one entry, in order. Empty for an entry without commands.
#[derive(Debug, Default)]
pub struct Applied {
    pub(crate) commands: Vec<AppliedCommand>,
}

#[derive(Debug)]
pub(crate) struct AppliedCommand {
    pub(crate) revision: Revision,
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<Event>,
}

/// Called by openraft with the result of a write, at most once.
pub struct Callback<T> {
    call: Box<dyn FnOnce(T) + Send>,
}

impl<T> Callback<T> {
    pub(crate) fn new(call: impl FnOnce(T) + Send + 'static) -> Self {
        Self { call: Box::new(call) }
    }
}

impl<T: Send + 'static> Responder<TypeConfig, T> for Callback<T> {
    fn on_complete(self, result: T) {
        (self.call)(result);
    }
}

pub(crate) fn position_of(log_id: &LogId) -> LogPosition {
    LogPosition { term: log_id.committed_leader_id().term, index: log_id.index() }
}

pub(crate) fn log_id_of(position: LogPosition) -> LogId {
    LogId::new(committed_leader(position.term), position.index)
}

/// The leader of a term, as an entry names it.
pub(crate) fn committed_leader(
    term: u64,
) -> openraft::type_config::alias::CommittedLeaderIdOf<TypeConfig> {
    term.into()
}

pub(crate) fn stored_vote(vote: &Vote) -> StoredVote {
    StoredVote {
        term: vote.leader_id.term,
        voted_for: Some(vote.leader_id.voted_for),
        committed: vote.committed,
    }
}

pub(crate) fn vote_of(stored: StoredVote) -> io::Result<Vote> {
    let voted_for = stored.voted_for.ok_or_else(|| invalid("a vote for nobody"))?;
    Ok(match stored.committed {
        true => Vote::new_committed(stored.term, voted_for),
        false => Vote::new(stored.term, voted_for),
    })
}

pub(crate) fn log_entry(entry: &Entry) -> LogEntry {
    let payload = match &entry.payload {
        Payload::Blank => Bytes::copy_from_slice(&codec::prefix(Kind::Blank)),
        Payload::Normal(batch) => batch.payload.clone(),
        Payload::Membership(membership) => codec::encode_membership(membership),
    };
    LogEntry { position: position_of(&entry.log_id), payload }
}

/// The commands of a batch stay encoded until they are applied.
pub(crate) fn entry_of(stored: LogEntry) -> io::Result<Entry> {
    let log_id = log_id_of(stored.position);
    let payload = payload_of(stored.payload).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("entry {log_id}: {error}"))
    })?;
    Ok(Entry { log_id, payload })
}

fn payload_of(payload: Bytes) -> Result<Payload, DecodeError> {
    let (kind, _) = codec::open(&payload)?;
    match kind {
        Kind::Blank => Ok(Payload::Blank),
        Kind::Batch => Ok(Payload::Normal(Batch { payload })),
        Kind::Membership => Ok(Payload::Membership(codec::decode_membership(&payload)?)),
        Kind::SnapshotMeta | Kind::Record => Err(DecodeError::OtherKind { found: payload[1] }),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
