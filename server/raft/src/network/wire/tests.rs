//! What a peer says is believed only as far as it can be true.

use tonic::Code;

use super::*;
use crate::types::{Payload, StoredMembership};

fn at(term: u64, index: u64) -> LogId {
    log_id_of(LogPosition { term, index })
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>) {
    let status = result.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[test]
fn numbers_without_a_next_one_are_refused() {
    let ballot = |term| Some(wire::Ballot { term, voted_for: Some(1), committed: true });
    vote(ballot(NUMBER_MAX)).expect("believed");
    refused(vote(ballot(NUMBER_MAX + 1)));
    refused(vote(ballot(u64::MAX)));

    let blank = log_entry(&Entry { log_id: at(1, 1), payload: Payload::Blank });
    let high = Some(wire::Position { term: 1, index: u64::MAX });
    let later = Some(wire::Position { term: u64::MAX, index: 1 });
    for position in [high, later] {
        let good = wire::AppendEntries { ballot: ballot(1), ..Default::default() };
        from_append(Some(good.clone())).expect("believed");
        refused(from_append(Some(wire::AppendEntries { previous: position, ..good.clone() })));
        refused(from_append(Some(wire::AppendEntries { leader_commit: position, ..good.clone() })));
        let entry = position.map(|at| wire::Entry {
            term: at.term,
            index: at.index,
            payload: blank.payload.clone(),
        });
        let entries = entry.into_iter().collect();
        refused(from_append(Some(wire::AppendEntries { entries, ..good })));

        let request = wire::VoteRequest { ballot: ballot(1), last: position, transfer: false };
        refused(from_vote_request(request));
        let response = wire::VoteResponse { ballot: ballot(1), last: position, granted: true };
        refused(from_vote_response(response));
        use wire::append_stream_response::Result as Answer;
        for answer in [
            Answer::Matched(wire::Matched { last: position }),
            Answer::Conflict(position.expect("one")),
        ] {
            let response = wire::AppendStreamResponse { result: Some(answer) };
            refused(from_stream_response(response));
        }
    }
}

fn header(vote: Vote, last: Option<LogId>, membership_at: Option<LogId>) -> wire::SnapshotHeader {
    let membership = StoredMembership::default().membership().clone();
    let meta = SnapshotMeta {
        last_log_id: last,
        last_membership: StoredMembership::new(membership_at, membership),
    };
    let (ballot, id) = (Some(ballot(&vote)), String::new());
    wire::SnapshotHeader { ballot, id, meta: snapshots::encode_meta(&meta) }
}

#[test]
fn a_snapshot_beyond_its_leader_is_refused_before_raft_dies_of_it() {
    let leads = Vote::new_committed(3, 1);
    let good = header(leads, Some(at(3, 10)), Some(at(2, 10)));
    let (vote, meta) = snapshot_header(good).expect("believed");
    assert_eq!((vote, meta.last_log_id), (leads, Some(at(3, 10))));
    refused(snapshot_header(header(leads, Some(at(4, 10)), None)));
    refused(snapshot_header(header(leads, Some(at(3, 10)), Some(at(3, 11)))));
    refused(snapshot_header(header(leads, None, Some(at(3, 1)))));
    refused(snapshot_header(header(leads, Some(at(3, u64::MAX)), None)));
    refused(snapshot_header(header(Vote::new(3, 1), Some(at(3, 10)), None)));
}
