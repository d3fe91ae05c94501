//! openraft's messages as protobuf and back. What a peer sends is believed only as far as it can be understood.

use conclave_proto::internal::v1 as wire;
use conclave_store::{LogEntry, LogPosition};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tonic::Status;

use crate::types::{Entry, LogId, TypeConfig, Vote, entry_of, log_entry, log_id_of, position_of};

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

fn log_id(wire: wire::Position) -> LogId {
    log_id_of(LogPosition { term: wire.term, index: wire.index })
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
    Ok(match wire.committed {
        true => Vote::new_committed(wire.term, voted_for),
        false => Vote::new(wire.term, voted_for),
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
        last_log_id: wire.last.map(log_id),
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
    Ok(VoteResponse::new(vote(wire.ballot)?, wire.last.map(log_id), wire.granted))
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
        let position = LogPosition { term: entry.term, index: entry.index };
        entry_of(LogEntry { position, payload: entry.payload })
            .map_err(|error| Status::invalid_argument(error.to_string()))
    };
    let request = Append {
        vote: vote(wire.ballot)?,
        prev_log_id: wire.previous.map(log_id),
        entries: wire.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        leader_commit: wire.leader_commit.map(log_id),
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
        Wire::Partial(matched) => AppendEntriesResponse::PartialSuccess(matched.last.map(log_id)),
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
        Wire::Matched(matched) => Ok(matched.last.map(log_id)),
        Wire::Conflict(at) => Err(StreamAppendError::Conflict(log_id(at))),
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
    Ok(TransferLeaderRequest::new(vote(wire.from)?, wire.to, wire.last.map(log_id)))
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
            actual: matched.last.map(log_id),
        }),
    })
}
