//! openraft's messages as protobuf and back. What a peer sends is believed only as far as it can be understood.

use conclave_proto::internal::v1 as wire;
use conclave_store::{LogEntry, LogPosition};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tonic::Status;

use crate::snapshots;
use crate::types::{
    Entry, LogId, SnapshotMeta, TypeConfig, Vote, entry_of, log_entry, log_id_of, position_of,
};

type Append = AppendEntriesRequest<TypeConfig>;

fn missing(what: &str) -> Status {
    Status::invalid_argument(format!("{what} is missing"))
}

pub(super) fn position(log_id: &LogId) -> wire::Position {
    let LogPosition { term, index } = position_of(log_id);
    wire::Position { term, index }
}

fn optional_position(log_id: Option<&LogId>) -> Option<wire::Position> {
    log_id.map(position)
}

/// Beyond any term or index that ever was: a million a second take 290,000 years. What is believed stays below, so that the
/// next one exists.
const NUMBER_MAX: u64 = u64::MAX / 2;

fn number(what: &str, number: u64) -> Result<u64, Status> {
    match number <= NUMBER_MAX {
        true => Ok(number),
        false => Err(Status::invalid_argument(format!("no {what} is as high as {number}"))),
    }
}

fn log_id(wire: wire::Position) -> Result<LogId, Status> {
    let term = number("term", wire.term)?;
    Ok(log_id_of(LogPosition { term, index: number("index", wire.index)? }))
}

fn optional_log_id(wire: Option<wire::Position>) -> Result<Option<LogId>, Status> {
    wire.map(log_id).transpose()
}

/// What a snapshot says of itself, and whose leadership it comes with.
pub(super) fn snapshot_header(
    header: wire::SnapshotHeader,
) -> Result<(Vote, SnapshotMeta), Status> {
    let vote = vote(header.ballot)?;
    let meta = snapshots::meta_from(&header.meta)
        .map_err(|error| Status::invalid_argument(format!("the snapshot's header: {error}")))?;
    let contradiction = |what: &str| Err(Status::invalid_argument(format!("{what}: {meta:?}")));
    if !vote.committed {
        return contradiction("a snapshot of a node that does not lead");
    }
    for at in [meta.last_log_id, *meta.last_membership.log_id()].into_iter().flatten() {
        log_id(position(&at))?;
        // Raft takes it for granted, and the node dies of it.
        if position_of(&at).term > vote.leader_id.term || Some(at) > meta.last_log_id {
            return contradiction("a snapshot that reaches beyond its leader or its own end");
        }
    }
    Ok((vote, meta))
}

pub(super) fn ballot(vote: &Vote) -> wire::Ballot {
    wire::Ballot {
        term: vote.leader_id.term,
        voted_for: Some(vote.leader_id.voted_for),
        committed: vote.committed,
    }
}

pub(super) fn vote(wire: Option<wire::Ballot>) -> Result<Vote, Status> {
    let wire = wire.ok_or_else(|| missing("a ballot"))?;
    let voted_for = wire.voted_for.ok_or_else(|| missing("whom the ballot is for"))?;
    let term = number("term", wire.term)?;
    Ok(match wire.committed {
        true => Vote::new_committed(term, voted_for),
        false => Vote::new(term, voted_for),
    })
}

pub(super) fn vote_request(request: &VoteRequest<TypeConfig>) -> wire::VoteRequest {
    wire::VoteRequest {
        ballot: Some(ballot(&request.vote)),
        last: optional_position(request.last_log_id.as_ref()),
        transfer: request.leadership_transfer,
    }
}

pub(super) fn from_vote_request(
    wire: wire::VoteRequest,
) -> Result<VoteRequest<TypeConfig>, Status> {
    Ok(VoteRequest {
        vote: vote(wire.ballot)?,
        last_log_id: optional_log_id(wire.last)?,
        leadership_transfer: wire.transfer,
    })
}

pub(super) fn vote_response(response: &VoteResponse<TypeConfig>) -> wire::VoteResponse {
    wire::VoteResponse {
        ballot: Some(ballot(&response.vote)),
        last: optional_position(response.last_log_id.as_ref()),
        granted: response.vote_granted,
    }
}

pub(super) fn from_vote_response(
    wire: wire::VoteResponse,
) -> Result<VoteResponse<TypeConfig>, Status> {
    Ok(VoteResponse::new(vote(wire.ballot)?, optional_log_id(wire.last)?, wire.granted))
}

pub(super) fn append(request: &Append) -> wire::AppendEntries {
    let entry = |entry: &Entry| {
        let LogEntry { position, payload } = log_entry(entry);
        wire::Entry { term: position.term, index: position.index, payload }
    };
    wire::AppendEntries {
        ballot: Some(ballot(&request.vote)),
        previous: optional_position(request.prev_log_id.as_ref()),
        entries: request.entries.iter().map(entry).collect(),
        leader_commit: optional_position(request.leader_commit.as_ref()),
    }
}

pub(super) fn from_append(wire: Option<wire::AppendEntries>) -> Result<Append, Status> {
    let wire = wire.ok_or_else(|| missing("what to append"))?;
    let entry = |entry: wire::Entry| {
        let position = wire::Position { term: entry.term, index: entry.index };
        let position = position_of(&log_id(position)?);
        entry_of(LogEntry { position, payload: entry.payload })
            .map_err(|error| Status::invalid_argument(error.to_string()))
    };
    let request = Append {
        vote: vote(wire.ballot)?,
        prev_log_id: optional_log_id(wire.previous)?,
        entries: wire.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        leader_commit: optional_log_id(wire.leader_commit)?,
    };
    check_order(&request)?;
    Ok(request)
}

/// openraft takes it for granted that entries follow one another.
fn check_order(request: &Append) -> Result<(), Status> {
    let mut previous = request.prev_log_id;
    for entry in &request.entries {
        let expected = previous.as_ref().map_or(0, |previous| previous.index() + 1);
        let term = |log_id: &LogId| position_of(log_id).term;
        let lower = previous.is_some_and(|previous| term(&entry.log_id) < term(&previous));
        if entry.log_id.index() != expected || lower {
            let found = entry.log_id;
            return Err(Status::invalid_argument(format!("entry {found} does not follow")));
        }
        previous = Some(entry.log_id);
    }
    Ok(())
}

pub(super) fn append_response(
    response: &AppendEntriesResponse<TypeConfig>,
) -> wire::AppendResponse {
    use wire::append_response::Result as Wire;
    let result = match response {
        AppendEntriesResponse::Success => Wire::Success(wire::Empty {}),
        AppendEntriesResponse::PartialSuccess(last) => Wire::Partial(matched(last.as_ref())),
        AppendEntriesResponse::Conflict => Wire::Conflict(wire::Empty {}),
        AppendEntriesResponse::HigherVote(vote) => Wire::HigherBallot(ballot(vote)),
    };
    wire::AppendResponse { result: Some(result) }
}

pub(super) fn from_append_response(
    wire: wire::AppendResponse,
) -> Result<AppendEntriesResponse<TypeConfig>, Status> {
    use wire::append_response::Result as Wire;
    Ok(match wire.result.ok_or_else(|| missing("a result"))? {
        Wire::Success(wire::Empty {}) => AppendEntriesResponse::Success,
        Wire::Partial(matched) => {
            AppendEntriesResponse::PartialSuccess(optional_log_id(matched.last)?)
        }
        Wire::Conflict(wire::Empty {}) => AppendEntriesResponse::Conflict,
        Wire::HigherBallot(ballot) => AppendEntriesResponse::HigherVote(vote(Some(ballot))?),
    })
}

fn matched(last: Option<&LogId>) -> wire::Matched {
    wire::Matched { last: optional_position(last) }
}

pub(super) fn stream_response(
    result: &StreamAppendResult<TypeConfig>,
) -> wire::AppendStreamResponse {
    use wire::append_stream_response::Result as Wire;
    let result = match result {
        Ok(last) => Wire::Matched(matched(last.as_ref())),
        Err(StreamAppendError::Conflict(at)) => Wire::Conflict(position(at)),
        Err(StreamAppendError::HigherVote(vote)) => Wire::HigherBallot(ballot(vote)),
    };
    wire::AppendStreamResponse { result: Some(result) }
}

pub(super) fn from_stream_response(
    wire: wire::AppendStreamResponse,
) -> Result<StreamAppendResult<TypeConfig>, Status> {
    use wire::append_stream_response::Result as Wire;
    Ok(match wire.result.ok_or_else(|| missing("a result"))? {
        Wire::Matched(matched) => Ok(optional_log_id(matched.last)?),
        Wire::Conflict(at) => Err(StreamAppendError::Conflict(log_id(at)?)),
        Wire::HigherBallot(ballot) => Err(StreamAppendError::HigherVote(vote(Some(ballot))?)),
    })
}

pub(super) fn transfer_request(
    request: &TransferLeaderRequest<TypeConfig>,
) -> wire::TransferLeaderRequest {
    wire::TransferLeaderRequest {
        from: Some(ballot(request.from_leader())),
        to: *request.to_node_id(),
        last: optional_position(request.last_log_id()),
    }
}

pub(super) fn from_transfer_request(
    wire: wire::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, Status> {
    Ok(TransferLeaderRequest::new(vote(wire.from)?, wire.to, optional_log_id(wire.last)?))
}

pub(super) fn transfer_response(
    response: &TransferLeaderResponse<TypeConfig>,
) -> wire::TransferLeaderResponse {
    use wire::transfer_leader_response::Result as Wire;
    let result = match response {
        Ok(()) => Wire::Accepted(wire::Empty {}),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => Wire::VoteChanged(ballot(actual)),
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            Wire::LogNotFlushed(matched(actual.as_ref()))
        }
    };
    wire::TransferLeaderResponse { result: Some(result) }
}

pub(super) fn from_transfer_response(
    wire: wire::TransferLeaderResponse,
    request: &TransferLeaderRequest<TypeConfig>,
) -> Result<TransferLeaderResponse<TypeConfig>, Status> {
    use wire::transfer_leader_response::Result as Wire;
    Ok(match wire.result.ok_or_else(|| missing("a result"))? {
        Wire::Accepted(wire::Empty {}) => Ok(()),
        Wire::VoteChanged(ballot) => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: vote(Some(ballot))?,
        }),
        Wire::LogNotFlushed(matched) => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: optional_log_id(matched.last)?,
        }),
    })
}

#[cfg(test)]
mod tests;
