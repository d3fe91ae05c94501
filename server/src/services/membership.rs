//! `MembershipService`: who belongs to the cluster, and the operator's verbs that change it.

use conclave_proto::v1;
use conclave_proto::v1::membership_service_client::MembershipServiceClient;
use conclave_proto::v1::membership_service_server::MembershipService;
use conclave_raft::{Consistency, MemberState, NodeStatus, Role};
use tonic::{Request, Response, Status};

use crate::convert::answer;
use crate::edge::Edge;
use crate::services::here;
use crate::status::Failure;

#[derive(Clone)]
pub(crate) struct Members {
    edge: Edge,
}

impl Members {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    async fn list_here(
        &self,
        consistency: Consistency,
    ) -> Result<v1::ListMembersResponse, Failure> {
        self.edge.read(consistency, |_| ()).await?;
        let node = self.edge.node();
        let status = node.status();
        Ok(v1::ListMembersResponse {
            cluster_id: status.cluster_id.map(|id| format!("{id:032x}")).unwrap_or_default(),
            node: status.name.into(),
            leader: status.leader.as_ref().map(answer::leader),
            members: status.nodes.into_iter().map(member).collect(),
            changing: node.is_changing_members(),
        })
    }

    async fn add_here(
        &self,
        message: v1::AddMemberRequest,
    ) -> Result<v1::AddMemberResponse, Failure> {
        let v1::AddMemberRequest { name, peer_address, learner, by } = message;
        let id = self.edge.node().add_member(&name, &peer_address, learner).await?;
        tracing::warn!(
            name,
            peer_address,
            learner,
            by,
            "an operator prepared a place for a member"
        );
        Ok(v1::AddMemberResponse { id })
    }

    async fn promote_here(
        &self,
        message: v1::PromoteMemberRequest,
    ) -> Result<v1::PromoteMemberResponse, Failure> {
        let v1::PromoteMemberRequest { name, by } = message;
        self.edge.node().promote_member(&name).await?;
        tracing::warn!(name, by, "an operator made a learner a voter");
        Ok(v1::PromoteMemberResponse {})
    }

    async fn remove_here(
        &self,
        message: v1::RemoveMemberRequest,
    ) -> Result<v1::RemoveMemberResponse, Failure> {
        let v1::RemoveMemberRequest { name, by } = message;
        let id = self.edge.node().remove_member(&name).await?;
        tracing::warn!(name, id, by, "an operator removed a member");
        Ok(v1::RemoveMemberResponse { id })
    }
}

fn member(node: NodeStatus) -> v1::Member {
    let role = match node.role {
        Role::Leader => v1::MemberRole::Leader,
        Role::Follower | Role::Candidate => v1::MemberRole::Voter,
        Role::Learner => v1::MemberRole::Learner,
    };
    let state = match node.state {
        MemberState::Settled => v1::MemberState::Settled,
        MemberState::Expected => v1::MemberState::Expected,
        MemberState::Joining => v1::MemberState::Joining,
    };
    v1::Member {
        id: node.id,
        name: node.name.into(),
        role: role.into(),
        peer_address: node.peer_address.into(),
        client_address: node.client_address.into(),
        reachable: node.reachable,
        behind: node.behind,
        state: state.into(),
    }
}

#[tonic::async_trait]
impl MembershipService for Members {
    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        if request.get_ref().stale {
            return here(self.list_here(Consistency::Stale)).await;
        }
        self.edge
            .serve(
                request,
                |_, _| self.list_here(Consistency::Linearizable),
                |channel, request| async move {
                    MembershipServiceClient::new(channel).list_members(request).await
                },
            )
            .await
    }

    async fn add_member(
        &self,
        request: Request<v1::AddMemberRequest>,
    ) -> Result<Response<v1::AddMemberResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.add_here(message),
                |channel, request| async move {
                    MembershipServiceClient::new(channel).add_member(request).await
                },
            )
            .await
    }

    async fn promote_member(
        &self,
        request: Request<v1::PromoteMemberRequest>,
    ) -> Result<Response<v1::PromoteMemberResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.promote_here(message),
                |channel, request| async move {
                    MembershipServiceClient::new(channel).promote_member(request).await
                },
            )
            .await
    }

    async fn remove_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::RemoveMemberResponse>, Status> {
        self.edge
            .serve(
                request,
                |message, _| self.remove_here(message),
                |channel, request| async move {
                    MembershipServiceClient::new(channel).remove_member(request).await
                },
            )
            .await
    }
}
