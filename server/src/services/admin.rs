//! `AdminService`: what the cluster is and keeps, and the operator's verbs.

use conclave_machine::{Machine, Outcome, Refusal, SessionId};
use conclave_proto::v1;
use conclave_proto::v1::admin_service_client::AdminServiceClient;
use conclave_proto::v1::admin_service_server::AdminService;
use conclave_raft::{Consistency, Decided, NodeStatus, Role};
use tonic::{Request, Response, Status};

use crate::convert::answer::{self, DisplayClock, unexpected};
use crate::convert::{request, view};
use crate::edge::Edge;
use crate::services::here;
use crate::status::Failure;

#[derive(Clone)]
pub(crate) struct Admin {
    edge: Edge,
}

impl Admin {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    async fn status_here(&self) -> Result<v1::StatusResponse, Failure> {
        let status = self.edge.node().status();
        let counts = self.edge.read(Consistency::Stale, Machine::counts).await?.value;
        Ok(v1::StatusResponse {
            cluster_id: status.cluster_id.map(|id| format!("{id:032x}")).unwrap_or_default(),
            node: status.name.into(),
            leader: status.leader.as_ref().map(answer::leader),
            term: status.term.get(),
            nodes: status.nodes.into_iter().map(node_status).collect(),
            revision: counts.revision,
            sessions: counts.sessions,
            objects: counts.objects,
            holds: counts.holds,
            waiters: counts.waiters,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    async fn inspect_here(
        &self,
        message: v1::InspectRequest,
    ) -> Result<v1::InspectResponse, Failure> {
        let name = request::name(&message.name, "name")?;
        let queue_max = request::page(message.queue_max, "queue_max")?;
        let query =
            move |machine: &Machine| (machine.inspect(&name, queue_max), machine.revision());
        let (found, revision) =
            self.edge.read_at_length(Edge::consistency(message.stale), query).await?;
        Ok(view::inspect(message.name, found, revision, DisplayClock::now()))
    }

    async fn list_here(&self, message: v1::ListRequest) -> Result<v1::ListResponse, Failure> {
        let consistency = Edge::consistency(message.stale);
        let list = request::list(message)?;
        let query = move |machine: &Machine| {
            machine.list(&list.prefix, list.sort, list.after.as_deref(), list.limit)
        };
        let page = self.edge.read_at_length(consistency, query).await?;
        Ok(view::list(page, DisplayClock::now()))
    }

    async fn list_sessions_here(
        &self,
        message: v1::ListSessionsRequest,
    ) -> Result<v1::ListSessionsResponse, Failure> {
        let limit = request::page(message.limit, "limit")?;
        let after = (message.after != 0).then_some(SessionId(message.after));
        let prefix = message.prefix;
        let query = move |machine: &Machine| machine.sessions(&prefix, after, limit);
        let page = self.edge.read_at_length(Edge::consistency(message.stale), query).await?;
        Ok(view::sessions(&page, DisplayClock::now()))
    }

    async fn describe_session_here(
        &self,
        message: v1::DescribeSessionRequest,
    ) -> Result<v1::DescribeSessionResponse, Failure> {
        let query = move |machine: &Machine| {
            (machine.session(SessionId(message.session)), machine.revision())
        };
        let (found, revision) =
            self.edge.read_at_length(Edge::consistency(message.stale), query).await?;
        let found = found.ok_or(Refusal::NotFound)?;
        Ok(view::session(&found, revision, DisplayClock::now()))
    }

    async fn kill_session_here(
        &self,
        message: v1::KillSessionRequest,
    ) -> Result<v1::KillSessionResponse, Failure> {
        let command = request::kill(&message)?;
        let Decided { revision, outcome } = self.edge.propose(command).await?;
        match outcome {
            Outcome::Ended => {
                let (session, by, reason) = (message.session, message.by, message.reason);
                tracing::warn!(session, by, reason, "an operator ended a session");
                Ok(v1::KillSessionResponse { revision: revision.get() })
            }
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn force_release_here(
        &self,
        message: v1::ForceReleaseRequest,
    ) -> Result<v1::ForceReleaseResponse, Failure> {
        let command = request::force_release(&message)?;
        let Decided { revision, outcome } = self.edge.propose(command).await?;
        match outcome {
            Outcome::Forced { revoked } => {
                let v1::ForceReleaseRequest { name, token, now, by } = message;
                tracing::warn!(name, token, now, by, "an operator took a hold away");
                Ok(v1::ForceReleaseResponse { revoked, revision: revision.get() })
            }
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn resize_here(&self, message: v1::ResizeRequest) -> Result<v1::ResizeResponse, Failure> {
        let command = request::resize(&message)?;
        let Decided { revision, outcome } = self.edge.propose(command).await?;
        match outcome {
            Outcome::Resized { version } => {
                let v1::ResizeRequest { name, limit, by, version: _ } = message;
                tracing::warn!(name, limit, by, "an operator resized a semaphore");
                Ok(v1::ResizeResponse { version: version.get(), revision: revision.get() })
            }
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn transfer_here(
        &self,
        message: v1::TransferRequest,
    ) -> Result<v1::TransferResponse, Failure> {
        let command = request::transfer(&message)?;
        let Decided { revision, outcome } = self.edge.propose(command).await?;
        match outcome {
            Outcome::Transferred => {
                let v1::TransferRequest { name, term, to_session, by } = message;
                tracing::warn!(name, term, to_session, by, "an operator handed a leadership over");
                Ok(v1::TransferResponse { revision: revision.get() })
            }
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn delete_here(&self, message: v1::DeleteRequest) -> Result<v1::DeleteResponse, Failure> {
        let command = request::delete(&message)?;
        let Decided { revision, outcome } = self.edge.propose(command).await?;
        match outcome {
            Outcome::Deleted => {
                let v1::DeleteRequest { name, by } = message;
                tracing::warn!(name, by, "an operator deleted an object");
                Ok(v1::DeleteResponse { revision: revision.get() })
            }
            Outcome::Refused(refusal) => Err(refusal.into()),
            other => Err(unexpected(&other)),
        }
    }

    async fn step_down_here(
        &self,
        message: v1::StepDownRequest,
    ) -> Result<v1::StepDownResponse, Failure> {
        let to = Some(message.to.as_str()).filter(|to| !to.is_empty());
        let leader = self.edge.node().step_down(to).await?;
        Ok(v1::StepDownResponse { leader: Some(answer::leader(&leader)) })
    }
}

fn node_status(node: NodeStatus) -> v1::NodeStatus {
    let role = match node.role {
        Role::Leader => v1::node_status::Role::Leader,
        Role::Follower => v1::node_status::Role::Follower,
        Role::Candidate => v1::node_status::Role::Candidate,
        Role::Learner => v1::node_status::Role::Learner,
    };
    v1::NodeStatus {
        id: node.id,
        name: node.name.into(),
        role: role.into(),
        applied: node.applied.unwrap_or(0),
        peer_address: node.peer_address.into(),
        client_address: node.client_address.into(),
        reachable: node.reachable,
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn status(
        &self,
        _request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        here(self.status_here()).await
    }

    async fn inspect(
        &self,
        request: Request<v1::InspectRequest>,
    ) -> Result<Response<v1::InspectResponse>, Status> {
        if request.get_ref().stale {
            return here(self.inspect_here(request.into_inner())).await;
        }
        self.edge
            .serve(
                request,
                |message, _| self.inspect_here(message),
                |channel, request| async move { client(channel).inspect(request).await },
            )
            .await
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        if request.get_ref().stale {
            return here(self.list_here(request.into_inner())).await;
        }
        self.edge
            .serve(
                request,
                |message, _| self.list_here(message),
                |channel, request| async move { client(channel).list(request).await },
            )
            .await
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        if request.get_ref().stale {
            return here(self.list_sessions_here(request.into_inner())).await;
        }
        self.edge
            .serve(
                request,
                |message, _| self.list_sessions_here(message),
                |channel, request| async move { client(channel).list_sessions(request).await },
            )
            .await
    }

    async fn describe_session(
        &self,
        request: Request<v1::DescribeSessionRequest>,
    ) -> Result<Response<v1::DescribeSessionResponse>, Status> {
        if request.get_ref().stale {
            return here(self.describe_session_here(request.into_inner())).await;
        }
        self.edge
            .serve(
                request,
                |message, _| self.describe_session_here(message),
                |channel, request| async move { client(channel).describe_session(request).await },
            )
            .await
    }

    async fn kill_session(
        &self,
        request: Request<v1::KillSessionRequest>,
    ) -> Result<Response<v1::KillSessionResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.kill_session_here(message),
                |channel, request| async move { client(channel).kill_session(request).await },
            )
            .await
    }

    async fn force_release(
        &self,
        request: Request<v1::ForceReleaseRequest>,
    ) -> Result<Response<v1::ForceReleaseResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.force_release_here(message),
                |channel, request| async move { client(channel).force_release(request).await },
            )
            .await
    }

    async fn resize(
        &self,
        request: Request<v1::ResizeRequest>,
    ) -> Result<Response<v1::ResizeResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.resize_here(message),
                |channel, request| async move { client(channel).resize(request).await },
            )
            .await
    }

    async fn transfer(
        &self,
        request: Request<v1::TransferRequest>,
    ) -> Result<Response<v1::TransferResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.transfer_here(message),
                |channel, request| async move { client(channel).transfer(request).await },
            )
            .await
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::DeleteResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.delete_here(message),
                |channel, request| async move { client(channel).delete(request).await },
            )
            .await
    }

    async fn step_down(
        &self,
        request: Request<v1::StepDownRequest>,
    ) -> Result<Response<v1::StepDownResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.step_down_here(message),
                |channel, request| async move { client(channel).step_down(request).await },
            )
            .await
    }
}

/// Lists are long: the answer of a leader is taken as long as it may be.
fn client(channel: tonic::transport::Channel) -> AdminServiceClient<tonic::transport::Channel> {
    AdminServiceClient::new(channel).max_decoding_message_size(crate::limits::ANSWER_BYTES_MAX)
}
