//! The answering side of the calls between peers.

use std::sync::Arc;

use conclave_proto::internal::v1 as proto;
use conclave_proto::internal::v1::peer_service_server::{PeerService, PeerServiceServer};
use futures::stream::{BoxStream, StreamExt as _};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Request, Response, Status, Streaming};

use super::header::{Answerer, Parties};
use super::heard::Heard;
use super::{MESSAGE_BYTES_MAX, snapshot, wire};
use crate::formation;
use crate::identity::Myself;
use crate::membership::Membership;
use crate::snapshots::WeakSnapshots;
use crate::state_machine::StateMachine;
use crate::types::{TypeConfig, Vote};

/// Answers peers; made by [`Node::peer_service`](crate::Node::peer_service).
#[derive(Debug)]
pub struct PeerEndpoint {
    myself: Myself,
    raft: Raft<TypeConfig, StateMachine>,
    /// A connection may outlive the node, whose files must be closed by then.
    snapshots: WeakSnapshots,
    heard: Heard,
    membership: Membership,
    stopping: CancellationToken,
    /// One snapshot comes in at a time.
    installing: Arc<Semaphore>,
}

impl PeerEndpoint {
    pub(crate) fn server(
        myself: Myself,
        raft: Raft<TypeConfig, StateMachine>,
        snapshots: WeakSnapshots,
        heard: Heard,
        membership: Membership,
        stopping: CancellationToken,
    ) -> PeerServiceServer<Self> {
        let installing = Arc::new(Semaphore::new(1));
        let endpoint = Self { myself, raft, snapshots, heard, membership, stopping, installing };
        PeerServiceServer::new(endpoint)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Lets peers of this cluster pass.
    fn admit<T>(&self, request: &Request<T>) -> Result<Parties, Status> {
        let answerer = Answerer { cluster: self.myself.cluster(), id: self.myself.id() };
        let parties = answerer.admit(request.metadata())?;
        self.heard.note(parties.from);
        Ok(parties)
    }

    /// Resolves when the node stops: a stream on which nothing comes would keep a stopping server waiting.
    fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.stopping.clone().cancelled_owned()
    }

    async fn begun(&self) -> Result<bool, Status> {
        self.raft.is_initialized().await.map_err(stopped)
    }
}

/// The vote that this node gave to somebody else since.
fn higher_vote(raft: &Raft<TypeConfig, StateMachine>, vote: &Vote) -> Option<Vote> {
    let own = raft.server_metrics().borrow_watched().vote;
    (*vote < own).then_some(own)
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("this node is stopping: {error}"))
}

#[tonic::async_trait]
impl PeerService for PeerEndpoint {
    type AppendStreamStream = BoxStream<'static, Result<proto::AppendStreamResponse, Status>>;

    async fn introduce(
        &self,
        _request: Request<proto::IntroduceRequest>,
    ) -> Result<Response<proto::IntroduceResponse>, Status> {
        Ok(Response::new(formation::introduction(&self.myself, self.begun().await?)))
    }

    async fn form(
        &self,
        request: Request<proto::FormRequest>,
    ) -> Result<Response<proto::FormResponse>, Status> {
        let begun = self.begun().await?;
        formation::form(&self.myself, request.into_inner()).await?;
        Ok(Response::new(proto::FormResponse { begun }))
    }

    async fn vote(
        &self,
        request: Request<proto::VoteRequest>,
    ) -> Result<Response<proto::VoteResponse>, Status> {
        self.admit(&request)?;
        let vote = wire::from_vote_request(request.into_inner())?;
        let answer = self.raft.vote(vote).await.map_err(stopped)?;
        Ok(Response::new(wire::vote_response(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<proto::PreVoteRequest>,
    ) -> Result<Response<proto::PreVoteResponse>, Status> {
        self.admit(&request)?;
        let vote = request.into_inner().request.unwrap_or_default();
        let answer = self.raft.pre_vote(wire::from_vote_request(vote)?).await.map_err(stopped)?;
        let response = Some(wire::vote_response(&answer));
        Ok(Response::new(proto::PreVoteResponse { response }))
    }

    async fn append(
        &self,
        request: Request<proto::AppendRequest>,
    ) -> Result<Response<proto::AppendResponse>, Status> {
        self.admit(&request)?;
        let append = wire::from_append(request.into_inner().append)?;
        let answer = self.raft.append_entries(append).await.map_err(stopped)?;
        Ok(Response::new(wire::append_response(&answer)))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<proto::AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let parties = self.admit(&request)?;
        let requests = request.into_inner().scan((), move |(), request| {
            let append = request.and_then(|request| wire::from_append(request.append));
            std::future::ready(match append {
                Ok(append) => Some(append),
                Err(status) => {
                    // The stream ends here; the sender begins a new one where it was acknowledged last.
                    tracing::info!(from = parties.from, %status, "a stream of entries broke off");
                    None
                }
            })
        });
        let answers =
            self.raft.stream_append(requests.take_until(self.stopped())).map(
                |answer| match answer {
                    Ok(answer) => Ok(wire::stream_response(&answer)),
                    Err(fatal) => Err(stopped(fatal)),
                },
            );
        Ok(Response::new(answers.take_until(self.stopped()).boxed()))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::InstallSnapshotRequest>>,
    ) -> Result<Response<proto::InstallSnapshotResponse>, Status> {
        self.admit(&request)?;
        let busy = |_| Status::unavailable("another snapshot is coming in");
        let turn = self.installing.clone().try_acquire_owned().map_err(busy)?;
        let snapshots = self.snapshots.upgrade().ok_or_else(|| stopped("closed"))?;
        let incoming = snapshot::Incoming::begin(request.into_inner()).await?;
        let vote = incoming.vote;
        // Raft judges in the end, but a snapshot of a leader of the past must not come as far as the disk.
        if let Some(higher) = higher_vote(&self.raft, &vote) {
            let ballot = Some(wire::ballot(&higher));
            return Ok(Response::new(proto::InstallSnapshotResponse { ballot }));
        }
        let raft = self.raft.clone();
        let welcome = move |vote: &Vote| match higher_vote(&raft, vote) {
            Some(_) => Err(Status::aborted("another leader was elected meanwhile")),
            None => Ok(()),
        };
        let (snapshot, _turn) = incoming.receive(&snapshots, turn, welcome).await?;
        let answer = self.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        let ballot = Some(wire::ballot(&answer.vote));
        Ok(Response::new(proto::InstallSnapshotResponse { ballot }))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Result<Response<proto::TransferLeaderResponse>, Status> {
        self.admit(&request)?;
        let transfer = wire::from_transfer_request(request.into_inner())?;
        let answer = self.raft.handle_transfer_leader(transfer).await.map_err(stopped)?;
        Ok(Response::new(wire::transfer_response(&answer)))
    }

    async fn join(
        &self,
        request: Request<proto::JoinRequest>,
    ) -> Result<Response<proto::JoinResponse>, Status> {
        Ok(Response::new(self.membership.answer_join(request.into_inner()).await))
    }

    async fn attend(
        &self,
        request: Request<proto::AttendRequest>,
    ) -> Result<Response<proto::AttendResponse>, Status> {
        Ok(Response::new(self.membership.answer_attend(request.into_inner()).await))
    }
}
