//! `LockService`: one call, one proposal. Only `Acquire` and `Upgrade` may wait.

use conclave_machine::{Command, Machine, Token};
use conclave_proto::v1;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::lock_service_client::LockServiceClient;
use conclave_proto::v1::lock_service_server::LockService;
use conclave_raft::{Consistency, Decided};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::convert::answer::{CallResult, DisplayClock, granted, passed};
use crate::convert::request::{self, unary_call};
use crate::convert::view;
use crate::edge::Edge;
use crate::services::call::{decide, wait_for};
use crate::status::Failure;

#[derive(Clone)]
pub(crate) struct Locks {
    edge: Edge,
}

impl Locks {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    async fn acquire_here(
        &self,
        message: v1::AcquireRequest,
        deadline: Option<Instant>,
    ) -> Result<v1::AcquireResponse, Failure> {
        let v1::AcquireRequest { key, seq, seen_through, acquire } = message;
        let call = unary_call(key, seq, seen_through, acquire.map(Op::Acquire), "acquire")?;
        let (result, revision) = wait_for(&self.edge, call, deadline).await?;
        let result = Some(result.of_acquire(DisplayClock::now())?);
        Ok(v1::AcquireResponse { result, revision: revision.get() })
    }

    async fn upgrade_here(
        &self,
        message: v1::UpgradeRequest,
        deadline: Option<Instant>,
    ) -> Result<v1::UpgradeResponse, Failure> {
        let v1::UpgradeRequest { key, seq, seen_through, upgrade } = message;
        let call = unary_call(key, seq, seen_through, upgrade.map(Op::Upgrade), "upgrade")?;
        let (result, revision) = wait_for(&self.edge, call, deadline).await?;
        let result = Some(result.of_upgrade(DisplayClock::now())?);
        Ok(v1::UpgradeResponse { result, revision: revision.get() })
    }

    async fn release_here(
        &self,
        message: v1::ReleaseRequest,
    ) -> Result<v1::ReleaseResponse, Failure> {
        let v1::ReleaseRequest { key, seq, seen_through, token, permits } = message;
        let op = Op::Release(v1::ReleaseOp { token, permits });
        let call = unary_call(key, seq, seen_through, Some(op), "token")?;
        match decide(&self.edge, call).await? {
            (CallResult::Released, at) => Ok(v1::ReleaseResponse { revision: at.get() }),
            (other, _) => Err(other.into_failure()),
        }
    }

    async fn adopt_here(&self, message: v1::AdoptRequest) -> Result<v1::AdoptResponse, Failure> {
        let v1::AdoptRequest { key, seq, seen_through, token } = message;
        let op = Op::Adopt(v1::AdoptOp { token });
        let call = unary_call(key, seq, seen_through, Some(op), "token")?;
        match decide(&self.edge, call).await? {
            (CallResult::Granted { token, waiting }, at) => {
                Ok(v1::AdoptResponse { granted: Some(granted(token, waiting)), revision: at.get() })
            }
            (other, _) => Err(other.into_failure()),
        }
    }

    async fn downgrade_here(
        &self,
        message: v1::DowngradeRequest,
    ) -> Result<v1::DowngradeResponse, Failure> {
        let v1::DowngradeRequest { key, seq, seen_through, downgrade } = message;
        let op = downgrade.map(Op::Downgrade);
        let call = unary_call(key, seq, seen_through, op, "downgrade")?;
        match decide(&self.edge, call).await? {
            (CallResult::Downgraded, at) => Ok(v1::DowngradeResponse { revision: at.get() }),
            (other, _) => Err(other.into_failure()),
        }
    }

    async fn cancel_here(&self, message: v1::CancelRequest) -> Result<v1::CancelResponse, Failure> {
        let key = request::key(message.key)?;
        let seq = request::seq(message.seq, "seq")?;
        let Decided { revision, outcome } = self.edge.propose(Command::Cancel { key, seq }).await?;
        let mut response = v1::CancelResponse { revision: revision.get(), ..Default::default() };
        match CallResult::of_outcome(outcome) {
            // The grant came first.
            CallResult::Granted { token, waiting } => {
                response.granted = Some(granted(token, waiting));
            }
            CallResult::Passed(how) => response.passed = Some(passed(how)),
            // Nothing waits under this seq any more, whatever its answer was.
            CallResult::Cancelled
            | CallResult::TimedOut(_)
            | CallResult::Held(_)
            | CallResult::Deadlock(_)
            | CallResult::Released
            | CallResult::Downgraded
            | CallResult::Proclaimed
            | CallResult::EligibleSet
            | CallResult::Completed { .. }
            | CallResult::Edited(_) => {}
            other @ (CallResult::Queued { .. } | CallResult::Failed(_)) => {
                return Err(other.into_failure());
            }
        }
        Ok(response)
    }

    async fn check_here(&self, message: v1::CheckRequest) -> Result<v1::CheckResponse, Failure> {
        let name = request::name(&message.name, "name")?;
        let token = Token(message.token);
        let query = move |machine: &Machine| machine.check(&name, token);
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
                |message, deadline| self.acquire_here(message, deadline),
                |channel, request| async move {
                    LockServiceClient::new(channel).acquire(request).await
                },
            )
            .await
    }

    async fn upgrade(
        &self,
        request: Request<v1::UpgradeRequest>,
    ) -> Result<Response<v1::UpgradeResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, deadline| self.upgrade_here(message, deadline),
                |channel, request| async move {
                    LockServiceClient::new(channel).upgrade(request).await
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

    async fn downgrade(
        &self,
        request: Request<v1::DowngradeRequest>,
    ) -> Result<Response<v1::DowngradeResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.downgrade_here(message),
                |channel, request| async move {
                    LockServiceClient::new(channel).downgrade(request).await
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
