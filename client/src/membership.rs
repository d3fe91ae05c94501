//! Who belongs to the cluster, and the verbs that change it. Unary calls to whichever node answers, which asks the leader.

use std::fmt;

use conclave_proto::v1;
use conclave_proto::v1::membership_service_client::MembershipServiceClient;
use serde::Serialize;

use crate::admin::{Admin, Consistency};
use crate::error::Error;
use crate::rpc::Repeat;

/// The members of a cluster. JSON that tools may rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Members {
    /// Hexadecimal; empty before the cluster has formed.
    pub cluster_id: String,
    /// The node that answered.
    pub node: String,
    /// `None`: no leader is known.
    pub leader: Option<String>,
    /// A change is under way.
    pub changing: bool,
    /// By id.
    pub members: Vec<Member>,
}

/// One member of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Member {
    /// Never used by another node, before or after.
    pub id: u64,
    /// Unique at one time.
    pub name: String,
    /// What it does.
    pub role: MemberRole,
    /// Whether something is still to come.
    pub state: MemberState,
    /// The answering leader heard from it a moment ago. A follower knows this only of itself and the leader.
    pub reachable: bool,
    /// Log entries that it lacks; `None`: the node that answered does not know.
    pub behind: Option<u64>,
    /// `HOST:PORT` for clients; empty when it is not known yet.
    pub client_address: String,
    /// `HOST:PORT` for the other nodes.
    pub peer_address: String,
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MemberRole {
    /// Leads, and votes.
    Leader,
    /// Votes.
    Voter,
    /// Gets everything and has no vote.
    Learner,
}

/// Whether something is still to come of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MemberState {
    /// A voter, or a learner that stays one until it is promoted.
    Settled,
    /// Its place is prepared; no node has taken it.
    Expected,
    /// It joined and becomes a voter by itself once it has caught up.
    Joining,
}

impl Admin {
    /// The members as the leader sees them, or with [`Consistency::Stale`] as the answering node does, without a quorum.
    ///
    /// # Errors
    /// As [`Admin`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn members(&self, consistency: Consistency) -> Result<Members, Error> {
        let stale = consistency == Consistency::Stale;
        let answer = self.rpc().call(Repeat::Freely, async |channel| {
            let request = v1::ListMembersRequest { stale };
            MembershipServiceClient::new(channel).list_members(request).await
        });
        answer.await.map(|answer| Members::from(answer.into_inner()))
    }

    /// Prepares a place for a node that is started to join under that name at that peer address: its id. With `learner` it
    /// stays one until it is promoted.
    ///
    /// # Errors
    /// [`Refusal::Member`](crate::Refusal::Member): a member of that name is there, another change is under way, ...
    /// [`Error::NotAnswered`], also when it may have happened: it is never asked twice. Else as [`Admin`].
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn add_member(
        &self,
        name: &str,
        peer_address: &str,
        learner: bool,
        by: &str,
    ) -> Result<u64, Error> {
        let answer = self.rpc().call(Repeat::IfNotDone, |channel| {
            let [name, peer_address, by] = [name, peer_address, by].map(str::to_owned);
            let request = v1::AddMemberRequest { name, peer_address, learner, by };
            async move { MembershipServiceClient::new(channel).add_member(request).await }
        });
        answer.await.map(|answer| answer.into_inner().id)
    }

    /// Makes a learner that has caught up a voter.
    ///
    /// # Errors
    /// [`Refusal::Member`](crate::Refusal::Member): it lags, is not reached, votes already, ...
    /// [`Refusal::NotFound`](crate::Refusal::NotFound). Else as [`add_member`](Self::add_member).
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn promote_member(&self, name: &str, by: &str) -> Result<(), Error> {
        let answer = self.rpc().call(Repeat::IfNotDone, |channel| {
            let [name, by] = [name, by].map(str::to_owned);
            let request = v1::PromoteMemberRequest { name, by };
            async move { MembershipServiceClient::new(channel).promote_member(request).await }
        });
        answer.await.map(|_| ())
    }

    /// Takes a member out for good, the leader too: the id that it had. It stops by itself when it hears of it.
    ///
    /// # Errors
    /// [`Refusal::Member`](crate::Refusal::Member): too few of the others live, it is the only voter, ...
    /// [`Refusal::NotFound`](crate::Refusal::NotFound). Else as [`add_member`](Self::add_member).
    ///
    /// # Cancel safety
    /// Not cancel safe: it may have happened.
    pub async fn remove_member(&self, name: &str, by: &str) -> Result<u64, Error> {
        let answer = self.rpc().call(Repeat::IfNotDone, |channel| {
            let [name, by] = [name, by].map(str::to_owned);
            let request = v1::RemoveMemberRequest { name, by };
            async move { MembershipServiceClient::new(channel).remove_member(request).await }
        });
        answer.await.map(|answer| answer.into_inner().id)
    }
}

impl From<v1::ListMembersResponse> for Members {
    fn from(wire: v1::ListMembersResponse) -> Self {
        Self {
            cluster_id: wire.cluster_id,
            node: wire.node,
            leader: wire.leader.map(|leader| leader.name),
            changing: wire.changing,
            members: wire.members.into_iter().map(Member::from).collect(),
        }
    }
}

impl From<v1::Member> for Member {
    fn from(wire: v1::Member) -> Self {
        let role = match wire.role() {
            v1::MemberRole::Leader => MemberRole::Leader,
            v1::MemberRole::Voter => MemberRole::Voter,
            v1::MemberRole::Learner | v1::MemberRole::Unspecified => MemberRole::Learner,
        };
        let state = match wire.state() {
            v1::MemberState::Settled | v1::MemberState::Unspecified => MemberState::Settled,
            v1::MemberState::Expected => MemberState::Expected,
            v1::MemberState::Joining => MemberState::Joining,
        };
        Self {
            id: wire.id,
            role,
            state,
            reachable: wire.reachable,
            behind: wire.behind,
            name: wire.name,
            client_address: wire.client_address,
            peer_address: wire.peer_address,
        }
    }
}

impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
        })
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settled => "settled",
            Self::Expected => "expected",
            Self::Joining => "joining",
        })
    }
}
