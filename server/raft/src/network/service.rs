//! The answering side of the calls between peers.

use std::sync::Arc;

use conclave_proto::internal::v1 as proto;
use conclave_proto::internal::v1::peer_service_server::{PeerService, PeerServiceServer};
use futures::stream::{BoxStream, StreamExt as _};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Request, Response, Status, Streaming};

use super::header::{Answerer, Parties};
use super::heard::Heard;
use super::snapshot::NotTaken;
use super::{MESSAGE_BYTES_MAX, snapshot, wire};
use crate::counters::count;
use crate::failure::Fatal;
use crate::formation;
use crate::identity::Myself;
use crate::snapshots::WeakSnapshots;
use crate::state_machine::StateMachine;
use crate::types::{LogId, SnapshotMeta, TypeConfig, Vote};

/// Answers peers; made by [`Node::peer_service`](crate::Node::peer_service).
#[derive(Debug)]
pub struct PeerEndpoint {
    myself: Myself,
    raft: Raft<TypeConfig, StateMachine>,
    /// A connection may outlive the node, whose files must be closed by then.
    snapshots: WeakSnapshots,
    heard: Heard,
    stopping: CancellationToken,
    /// One snapshot comes in at a time, from its header to the end of its installation.
    installing: Arc<Semaphore>,
    /// What shows that this node must not go on.
    broken: watch::Sender<Option<Fatal>>,
}

impl PeerEndpoint {
    pub(crate) fn server(
        myself: Myself,
        raft: Raft<TypeConfig, StateMachine>,
        snapshots: WeakSnapshots,
        heard: Heard,
        stopping: CancellationToken,
        broken: watch::Sender<Option<Fatal>>,
    ) -> PeerServiceServer<Self> {
        let installing = Arc::new(Semaphore::new(1));
        let own = Self { myself, raft, snapshots, heard, stopping, installing, broken };
        PeerServiceServer::new(own)
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

    /// Two histories that both claim to be committed: Raft would panic, and whoever is right, going on would be wrong.
    async fn must_not_contradict(&self, meta: &SnapshotMeta, from: u64) -> Result<(), Status> {
        let committed = self.raft.with_raft_state(|state| state.local_committed().copied()).await;
        let (Some(own), Some(theirs)) = (committed.map_err(stopped)?, meta.last_log_id) else {
            return Ok(());
        };
        if theirs <= own || theirs.index() > own.index() {
            return Ok(());
        }
        let [own, theirs] = [own, theirs].map(|at| at.to_string());
        let fatal = Fatal::Contradicted { from, theirs, own };
        let refused = Status::failed_precondition(fatal.to_string());
        self.broken.send_replace(Some(fatal));
        Err(refused)
    }

    /// The log of this node has what such a snapshot ends with: it was written under the same leader, so it is the same. The
    /// leader goes on from there with entries; Raft, given that snapshot, would set itself back, which it takes for impossible.
    fn reaches(&self, vote: &Vote, meta: &SnapshotMeta) -> bool {
        let own = self.raft.server_metrics().borrow_watched().vote;
        let last = self.raft.data_metrics().borrow_watched().last_log;
        let beyond = |(own, theirs): (LogId, LogId)| {
            own.committed_leader_id().term == vote.leader_id.term && own.index() >= theirs.index()
        };
        own == *vote && last.zip(meta.last_log_id).is_some_and(beyond)
    }

    fn not_taken(&self, from: u64, why: NotTaken) -> Status {
        match why {
            NotTaken::Refused(status) => {
                tracing::warn!(from, %status, "a snapshot was not taken");
                status
            }
            NotTaken::Disk(reason) => {
                let status = Status::internal(format!("the snapshot cannot be stored: {reason}"));
                self.broken.send_replace(Some(Fatal::Disk { reason }));
                status
            }
        }
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
        let from = self.admit(&request)?.from;
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
        self.must_not_contradict(&incoming.meta, from).await?;
        if self.reaches(&vote, &incoming.meta) {
            tracing::info!(from, "the log has what the snapshot ends with");
            let ballot = Some(wire::ballot(&vote));
            return Ok(Response::new(proto::InstallSnapshotResponse { ballot }));
        }
        let received = incoming.receive(&snapshots, turn, welcome).await;
        let (snapshot, turn) = received.map_err(|why| {
            count(&snapshots.counters().refused, 1);
            self.not_taken(from, why)
        })?;
        count(&snapshots.counters().received, 1);
        drop(snapshots);
        self.must_not_contradict(&snapshot.meta, from).await?;
        let raft = self.raft.clone();
        // Goes on when the sender gives up. While one is being installed no other may come to Raft: it would cut off the log
        // that Raft is about to apply, and panic (openraft#2116).
        let install = tokio::spawn(async move {
            let answer = raft.install_full_snapshot(vote, snapshot).await;
            drop(turn);
            answer
        });
        let answer = install.await.map_err(stopped)?.map_err(stopped)?;
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
}
