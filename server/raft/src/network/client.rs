//! The calling side: openraft's network over the connections to one peer.
//!
//! openraft gives every call the heartbeat interval as its time to live, replication included. Taken at its word that turns
//! a slow fsync of a follower into an error, so entries have a patience of their own.

use std::future::Future;
use std::time::Duration;

use conclave_proto::internal::v1 as proto;
use futures::stream::{self, BoxStream, StreamExt as _};
use futures::{FutureExt as _, Stream, future::BoxFuture};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkV2};
use tonic::{Response, Status};

use super::connections::{Client, Connections, Lane};
use super::header::Parties;
use super::pace::Pace;
use super::pipeline::{Broken, Requests};
use super::rest::Rest;
use super::{snapshot, wire};
use crate::appended::Appended;
use crate::clock::Clock;
use crate::counters::count;
use crate::identity::Myself;
use crate::snapshots::{Snapshots, StoredSnapshot};
use crate::types::{MemberNode, Snapshot, TypeConfig, Vote};

type Error = RPCError<TypeConfig>;

/// Makes the clients that openraft asks for.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) myself: Myself,
    pub(crate) connections: Connections,
    /// Of the log that openraft replicates.
    pub(crate) appended: Appended,
}

/// One peer on one lane.
#[derive(Debug)]
pub(crate) struct PeerClient {
    network: Network,
    target: u64,
    lane: Lane,
}

impl Network {
    fn peer(&self, target: u64, node: &MemberNode, lane: Lane) -> PeerClient {
        self.myself.reached_at(target, node);
        PeerClient { network: self.clone(), target, lane }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &MemberNode) -> PeerClient {
        self.peer(target, node, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &MemberNode) -> PeerClient {
        self.peer(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &MemberNode) -> PeerClient {
        self.peer(target, node, Lane::Snapshots)
    }
}

impl PeerClient {
    fn client(&self, lane: Lane) -> Result<Client, Error> {
        // Looked up each time: openraft keeps this client when the member moves.
        let address = self.network.myself.address_of(self.target);
        let address = address.ok_or_else(|| Unreachable::from_string("it has no address"))?;
        let made = self.network.connections.client(&address, lane);
        made.map_err(|error| Unreachable::new(&error).into())
    }

    fn parties(&self) -> Result<Parties, Error> {
        let cluster = self.network.myself.cluster();
        let cluster = cluster.ok_or_else(|| Unreachable::from_string("this node is unformed"))?;
        let myself = &self.network.myself;
        let (from, protocols) = (myself.id(), myself.protocols());
        Ok(Parties { cluster, from, to: self.target, protocols })
    }

    fn timeout(&self, action: RPCTypes, timeout: Duration) -> Error {
        let (id, target) = (self.network.myself.id(), self.target);
        Timeout { action, id, target, timeout }.into()
    }

    /// A small call, with a patience of its own.
    async fn call<T>(
        &self,
        action: RPCTypes,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        let patience = self.network.connections.patience().call;
        match tokio::time::timeout(patience, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(unreachable(&status)),
            Err(_) => Err(self.timeout(action, patience)),
        }
    }

    /// Entries without waiting for each answer. Answers come in the order of the requests.
    async fn pipelined<'s, S>(
        &'s self,
        input: S,
    ) -> Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, Error>>, Error>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let mut requests = Requests::new(input, Rest::new(&self.network.appended));
        let patience = self.network.connections.patience().entries;
        // openraft's pause after an error is part of the stream of requests: connecting before the first one was asked for
        // would mean to try again without any pause.
        let Some(first) = requests.next().await else { return Ok(stream::empty().boxed()) };
        let answered = requests.answered_by(patience);
        let mut client = self.client(Lane::Entries)?;
        let requests = stream::iter([first]).chain(requests);
        let messages = requests
            .map(|request| proto::AppendStreamRequest { append: Some(wire::append(&request)) });
        let request = self.parties()?.sign(messages);
        let answers = self.call(RPCTypes::AppendEntries, client.append_stream(request)).await?;
        let broken = move |broken| match broken {
            Broken::Late => self.timeout(RPCTypes::AppendEntries, patience),
            Broken::Status(status) => unreachable(&status),
        };
        Ok(answered.over(answers).map(move |answer| answer.map_err(broken)).boxed())
    }
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = StoredSnapshot;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Error> {
        let mut client = self.client(self.lane)?;
        let message = proto::AppendRequest { append: Some(wire::append(&rpc)) };
        let request = self.parties()?.sign(message);
        let answer = self.call(RPCTypes::AppendEntries, client.append(request)).await?;
        wire::from_append_response(answer).map_err(|status| unreachable(&status))
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, Error>>, Error>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        match self.lane {
            Lane::Entries | Lane::Snapshots => self.pipelined(input).boxed(),
            // A heartbeat is one question and one answer.
            Lane::Control => stream_append_sequential(self, input, option),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Error> {
        let mut client = self.client(Lane::Control)?;
        let request = self.parties()?.sign(wire::vote_request(&rpc));
        let answer = self.call(RPCTypes::Vote, client.vote(request)).await?;
        wire::from_vote_response(answer).map_err(|status| unreachable(&status))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Error> {
        let mut client = self.client(Lane::Control)?;
        let message = proto::PreVoteRequest { request: Some(wire::vote_request(&rpc)) };
        let request = self.parties()?.sign(message);
        let answer = self.call(RPCTypes::Vote, client.pre_vote(request)).await?;
        let answer = answer.response.ok_or_else(|| Unreachable::from_string("no answer"))?;
        wire::from_vote_response(answer).map_err(|status| unreachable(&status))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<StoredSnapshot>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let mut client = self.client(Lane::Snapshots).map_err(StreamingError::from)?;
        let parties = self.parties().map_err(StreamingError::from)?;
        let (bytes, still_max) = (snapshot.snapshot.bytes(), option.hard_ttl());
        let outcome = Outcome::of(&snapshot.snapshot);
        let parts = snapshot::parts(vote, snapshot);
        let (parts, pace) = Pace::over(parts, bytes, still_max, Clock::real());
        let answer = tokio::select! {
            sent = client.install_snapshot(parties.sign(parts)) => {
                sent.map_err(|status| unreachable(&status))?.into_inner()
            }
            limit = pace.exceeded() => {
                return Err(self.timeout(RPCTypes::InstallSnapshot, limit).into());
            }
            closed = cancel => return Err(StreamingError::Closed(closed)),
        };
        let theirs = wire::vote(answer.ballot).map_err(|status| unreachable(&status))?;
        if theirs <= vote {
            outcome.sent();
        }
        Ok(SnapshotResponse::new(theirs))
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Error> {
        let mut client = self.client(Lane::Control)?;
        let request = self.parties()?.sign(wire::transfer_request(&req));
        let answer = self.call(RPCTypes::TransferLeader, client.transfer_leader(request)).await?;
        wire::from_transfer_response(answer, &req).map_err(|status| unreachable(&status))
    }
}

/// Counts a snapshot as not sent unless it was.
struct Outcome {
    snapshots: Snapshots,
    sent: bool,
}

impl Outcome {
    fn of(snapshot: &StoredSnapshot) -> Self {
        Self { snapshots: snapshot.snapshots.clone(), sent: false }
    }

    fn sent(mut self) {
        self.sent = true;
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let counters = self.snapshots.counters();
        count(if self.sent { &counters.sent } else { &counters.sends_failed }, 1);
    }
}

/// Worth a pause before the next attempt.
fn unreachable(status: &Status) -> Error {
    Unreachable::from_string(format!("{:?}: {}", status.code(), status.message())).into()
}
