//! `SessionService`: the session stream, and each of its operations as a unary call.

use conclave_machine::{
    Command, Epoch, LossNumber, Machine, Outcome, Refusal, Resume, SessionId, SessionKey,
};
use conclave_proto::v1;
use conclave_proto::v1::session_service_client::SessionServiceClient;
use conclave_proto::v1::session_service_server::SessionService;
use conclave_raft::{Consistency, Decided};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::convert::answer::{self, unexpected};
use crate::convert::request::{self, ResumeRequest};
use crate::edge::Edge;
use crate::limits::ANSWER_BYTES_MAX;
use crate::status::Failure;
use crate::stream::SessionStream;

#[derive(Clone)]
pub(crate) struct Sessions {
    edge: Edge,
}

impl Sessions {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    async fn open_here(&self, message: v1::OpenRequest) -> Result<v1::OpenResponse, Failure> {
        let open = request::open(message, self.edge.ttl_floor())?;
        let Decided { revision, outcome } = self.edge.propose(Command::Open(open)).await?;
        answer::opened(outcome, revision)
    }

    async fn attach_here(&self, message: v1::AttachRequest) -> Result<v1::AttachResponse, Failure> {
        let attach = request::attach(message)?;
        let session = attach.key.id;
        let Decided { revision, outcome } = self.edge.propose(Command::Attach(attach)).await?;
        match outcome {
            Outcome::Attached(standing) => Ok(v1::AttachResponse {
                standing: Some(answer::standing(&standing)),
                ttl_ms: ttl_ms(&self.edge, session).await?,
                revision: revision.get(),
            }),
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn resume_here(&self, message: v1::ResumeRequest) -> Result<v1::ResumeResponse, Failure> {
        let resume = compare_and_raise(&self.edge, request::resume(&message)?).await?;
        let Decided { revision, outcome } = self.edge.propose(Command::Resume(resume)).await?;
        answer::resumed(outcome, revision)
    }

    async fn keep_alive_here(
        &self,
        message: v1::KeepAliveRequest,
    ) -> Result<v1::KeepAliveResponse, Failure> {
        let key = request::key(message.key)?;
        let through = LossNumber(message.losses_seen_through);
        let ack = self.edge.keep_alive(key, through).await?;
        Ok(v1::KeepAliveResponse {
            number: message.number,
            losses: ack.losses.iter().map(answer::loss).collect(),
            revision: ack.revision.get(),
        })
    }

    async fn close_here(&self, message: v1::CloseRequest) -> Result<v1::CloseResponse, Failure> {
        let key = request::key(message.key)?;
        let Decided { revision, outcome } = self.edge.propose(Command::Close { key }).await?;
        match outcome {
            Outcome::Ended => Ok(v1::CloseResponse { revision: revision.get() }),
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn ack_stopped_here(
        &self,
        message: v1::AckStoppedRequest,
    ) -> Result<v1::AckStoppedResponse, Failure> {
        let command = request::ack_stopped(&message)?;
        let Decided { revision, outcome } = self.edge.propose(command).await?;
        match outcome {
            Outcome::Stopped => Ok(v1::AckStoppedResponse { revision: revision.get() }),
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }
}

/// A resume names the epoch it raises; asked for "whatever it is now", that is read here.
pub(crate) async fn compare_and_raise(
    edge: &Edge,
    request: ResumeRequest,
) -> Result<Resume, Failure> {
    let ResumeRequest { session, secret, expected, nonce } = request;
    let expected = match expected {
        Some(expected) => expected,
        None => {
            let query = move |machine: &Machine| machine.epoch(session);
            // Linearizable: an old state must not say that a living session does not exist.
            let epoch = edge.read(Consistency::Linearizable, query).await?.value;
            epoch.ok_or(Refusal::SessionExpired)?
        }
    };
    Ok(Resume { session, secret, expected, nonce })
}

/// The TTL of a session that was just attached.
pub(crate) async fn ttl_ms(edge: &Edge, session: SessionId) -> Result<u64, Failure> {
    let query = move |machine: &Machine| machine.session(session).map(|view| view.ttl_ms);
    let ttl_ms = edge.read(Consistency::Stale, query).await?.value;
    // It ended between the attach and this look.
    Ok(ttl_ms.ok_or(Refusal::SessionExpired)?)
}

/// Whether this node's state knows the session under this secret and, unless zero, this epoch.
pub(crate) async fn is_known(edge: &Edge, key: SessionKey) -> Result<bool, Failure> {
    let query = move |machine: &Machine| match key.epoch {
        Epoch(0) => machine
            .epoch(key.id)
            .is_some_and(|epoch| machine.authenticate(&SessionKey { epoch, ..key }).is_ok()),
        Epoch(_) => machine.authenticate(&key).is_ok(),
    };
    Ok(edge.read(Consistency::Stale, query).await?.value)
}

#[tonic::async_trait]
impl SessionService for Sessions {
    type StreamStream = SessionStream;

    async fn stream(
        &self,
        request: Request<Streaming<v1::StreamRequest>>,
    ) -> Result<Response<SessionStream>, Status> {
        Ok(Response::new(SessionStream::new(self.edge.clone(), request.into_inner())))
    }

    async fn open(
        &self,
        request: Request<v1::OpenRequest>,
    ) -> Result<Response<v1::OpenResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.open_here(message),
                |channel, request| async move { client(channel).open(request).await },
            )
            .await
    }

    async fn attach(
        &self,
        request: Request<v1::AttachRequest>,
    ) -> Result<Response<v1::AttachResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.attach_here(message),
                |channel, request| async move { client(channel).attach(request).await },
            )
            .await
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.resume_here(message),
                |channel, request| async move { client(channel).resume(request).await },
            )
            .await
    }

    async fn keep_alive(
        &self,
        request: Request<v1::KeepAliveRequest>,
    ) -> Result<Response<v1::KeepAliveResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.keep_alive_here(message),
                |channel, request| async move { client(channel).keep_alive(request).await },
            )
            .await
    }

    async fn close(
        &self,
        request: Request<v1::CloseRequest>,
    ) -> Result<Response<v1::CloseResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.close_here(message),
                |channel, request| async move { client(channel).close(request).await },
            )
            .await
    }

    async fn ack_stopped(
        &self,
        request: Request<v1::AckStoppedRequest>,
    ) -> Result<Response<v1::AckStoppedResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.ack_stopped_here(message),
                |channel, request| async move { client(channel).ack_stopped(request).await },
            )
            .await
    }
}

/// A standing is long: the answer of a leader is taken as long as it may be.
fn client(channel: Channel) -> SessionServiceClient<Channel> {
    SessionServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}
