//! `LockService`: one call, one proposal. Only `Acquire` may wait, see `acquire`.

use conclave_machine::{Command, Op, Outcome, Token};
use conclave_proto::v1;
use conclave_proto::v1::lock_service_client::LockServiceClient;
use conclave_proto::v1::lock_service_server::LockService;
use conclave_raft::{Consistency, Decided};
use tonic::{Request, Response, Status};

use crate::convert::answer::{granted, unexpected};
use crate::convert::{request, view};
use crate::edge::Edge;
use crate::services::acquire;
use crate::status::Failure;

#[derive(Clone)]
pub(crate) struct Locks {
    edge: Edge,
}

impl Locks {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    async fn release_here(
        &self,
        message: v1::ReleaseRequest,
    ) -> Result<v1::ReleaseResponse, Failure> {
        let op = Op::Release { token: Token(message.token) };
        let key = request::key(message.key)?;
        let command = request::in_order(key, message.seq, message.seen_through, op)?;
        let Decided { revision, outcome } = self.edge.propose(command).await?;
        match outcome {
            Outcome::Released => Ok(v1::ReleaseResponse { revision: revision.get() }),
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn adopt_here(&self, message: v1::AdoptRequest) -> Result<v1::AdoptResponse, Failure> {
        let op = Op::Adopt { token: Token(message.token) };
        let key = request::key(message.key)?;
        let command = request::in_order(key, message.seq, message.seen_through, op)?;
        let Decided { revision, outcome } = self.edge.propose(command).await?;
        match outcome {
            Outcome::Granted { token, waiting } => Ok(v1::AdoptResponse {
                granted: Some(granted(token, waiting)),
                revision: revision.get(),
            }),
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn cancel_here(&self, message: v1::CancelRequest) -> Result<v1::CancelResponse, Failure> {
        let key = request::key(message.key)?;
        let seq = request::seq(message.seq, "seq")?;
        let Decided { revision, outcome } = self.edge.propose(Command::Cancel { key, seq }).await?;
        let granted = match outcome {
            // The grant came first.
            Outcome::Granted { token, waiting } => Some(granted(token, waiting)),
            // Nothing waits under this seq any more, whatever its answer was.
            Outcome::Cancelled | Outcome::TimedOut(_) | Outcome::Held(_) | Outcome::Released => {
                None
            }
            Outcome::Refused(refusal) => return Err(refusal.into()),
            other => return Err(unexpected(&other)),
        };
        Ok(v1::CancelResponse { granted, revision: revision.get() })
    }

    async fn check_here(&self, message: v1::CheckRequest) -> Result<v1::CheckResponse, Failure> {
        let name = request::name(&message.name, "name")?;
        let token = Token(message.token);
        let query = move |machine: &conclave_machine::Machine| machine.check(&name, token);
        let answer = self.edge.read(Consistency::Linearizable, query).await?;
        Ok(view::check(answer.value, answer.revision))
    }
}

#[tonic::async_trait]
impl LockService for Locks {
    async fn acquire(
        &self,
        request: Request<v1::AcquireRequest>,
    ) -> Result<Response<v1::AcquireResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, deadline| acquire::acquire(&self.edge, message, deadline),
                |channel, request| async move {
                    LockServiceClient::new(channel).acquire(request).await
                },
            )
            .await
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.release_here(message),
                |channel, request| async move {
                    LockServiceClient::new(channel).release(request).await
                },
            )
            .await
    }

    async fn adopt(
        &self,
        request: Request<v1::AdoptRequest>,
    ) -> Result<Response<v1::AdoptResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.adopt_here(message),
                |channel, request| async move {
                    LockServiceClient::new(channel).adopt(request).await
                },
            )
            .await
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.cancel_here(message),
                |channel, request| async move {
                    LockServiceClient::new(channel).cancel(request).await
                },
            )
            .await
    }

    async fn check(
        &self,
        request: Request<v1::CheckRequest>,
    ) -> Result<Response<v1::CheckResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.check_here(message),
                |channel, request| async move {
                    LockServiceClient::new(channel).check(request).await
                },
            )
            .await
    }
}
