//! Looks at the cluster from this node, without asking anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conclave_machine::{Machine, Term};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, Raft, RaftMetrics, ServerState};
use tokio_util::sync::CancellationToken;

use crate::answer::Leadership;
use crate::config::Timing;
use crate::failure::StepDownError;
use crate::identity::{Myself, id_in};
use crate::network::Heard;
use crate::state_machine::StateMachine;
use crate::status::{ClusterStatus, MemberState, NodeStatus, Role};
use crate::types::{MemberNode, TypeConfig};
use crate::view::View;

#[derive(Clone)]
pub(crate) struct Survey {
    myself: Myself,
    raft: Raft<TypeConfig, StateMachine>,
    view: View,
    heard: Heard,
    /// Silence after which a node counts as out of reach.
    silence_max: Duration,
    recovered: Arc<AtomicBool>,
}

impl Survey {
    pub(crate) fn new(
        myself: Myself,
        raft: Raft<TypeConfig, StateMachine>,
        view: View,
        heard: Heard,
        timing: Timing,
    ) -> Self {
        let silence_max = 2 * timing.election_max;
        Self { myself, raft, view, heard, silence_max, recovered: Arc::default() }
    }

    /// Ends when everything is applied that this node may have applied before it was started.
    pub(crate) async fn recover(self, stopping: CancellationToken) {
        tokio::select! {
            recovered = self.raft.wait_for_recovery(None) => match recovered {
                Ok(_) => self.recovered.store(true, Ordering::Release),
                Err(error) => tracing::debug!(%error, "stopped before it recovered"),
            },
            () = stopping.cancelled() => {}
        }
    }

    pub(crate) fn status(&self, leadership: &Leadership) -> ClusterStatus {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let mut nodes: Vec<_> = membership
            .nodes()
            .map(|(id, node)| self.node(&metrics, leadership, *id, node))
            .collect();
        if nodes.is_empty() {
            nodes = self.listed();
        }
        let index = |log_id: &crate::types::LogId| log_id.index();
        ClusterStatus {
            cluster_id: self.myself.cluster(),
            id: self.myself.id(),
            name: self.myself.name().into(),
            term: Term(metrics.vote.leader_id.term),
            leader: leadership.leader.clone(),
            ready: self.recovered.load(Ordering::Acquire) && leadership.leader.is_some(),
            nodes,
            revision: self.view.look(Machine::revision),
            last_index: metrics.last_log_index.unwrap_or_default(),
            snapshot_index: metrics.snapshot.as_ref().map(index).unwrap_or_default(),
        }
    }

    fn node(
        &self,
        metrics: &RaftMetrics<TypeConfig>,
        leadership: &Leadership,
        id: u64,
        node: &MemberNode,
    ) -> NodeStatus {
        let own = id == self.myself.id();
        let leads = leadership.leader.as_ref().is_some_and(|leader| leader.id == id);
        let voter = metrics.membership_config.membership().voter_ids().any(|voter| voter == id);
        let role = match metrics.state {
            _ if leads => Role::Leader,
            ServerState::Candidate if own => Role::Candidate,
            ServerState::Learner
            | ServerState::Follower
            | ServerState::Candidate
            | ServerState::Leader
            | ServerState::Shutdown => match voter {
                true => Role::Follower,
                false => Role::Learner,
            },
        };
        let applied = match &metrics.replication {
            _ if own => metrics.last_applied.as_ref().map(|applied| applied.index()),
            Some(matched) => {
                matched.get(&id).and_then(|matched| matched.as_ref()).map(|last| last.index())
            }
            None => None,
        };
        let last = metrics.last_log_index.unwrap_or_default();
        NodeStatus {
            id,
            behind: applied.map(|applied| last.saturating_sub(applied)),
            state: match (voter, node.claim, node.stays_learner) {
                (true, _, _) => MemberState::Settled,
                (false, 0, _) => MemberState::Expected,
                (false, _, true) => MemberState::Settled,
                (false, _, false) => MemberState::Joining,
            },
            name: node.name.as_str().into(),
            client_address: node.client_address.as_str().into(),
            peer_address: self.myself.dial(node).into(),
            role,
            applied,
            reachable: own || self.is_heard(metrics, id),
        }
    }

    fn is_heard(&self, metrics: &RaftMetrics<TypeConfig>, id: u64) -> bool {
        let silence = match &metrics.heartbeat {
            Some(heard) => heard.get(&id).and_then(|at| at.as_ref()).map(|at| at.elapsed()),
            None => self.heard.silence_of(id),
        };
        silence.is_some_and(|silence| silence < self.silence_max)
    }

    /// Before the cluster has formed: what the operator said.
    fn listed(&self) -> Vec<NodeStatus> {
        let members = self.myself.members();
        let status = |member: &crate::config::Member| {
            let own = member.name == self.myself.name();
            NodeStatus {
                id: id_in(members, &member.name).unwrap_or_default(),
                name: member.name.as_str().into(),
                client_address: match own {
                    true => self.myself.node().client_address.into(),
                    false => "".into(),
                },
                peer_address: member.peer_address.as_str().into(),
                role: Role::Learner,
                applied: None,
                behind: None,
                state: MemberState::Settled,
                reachable: own,
            }
        };
        members.iter().map(status).collect()
    }

    /// Who takes over leadership: the named voter, or of those that are heard the one that is least behind.
    pub(crate) fn heir(&self, name: Option<&str>) -> Result<u64, StepDownError> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let voters = membership.voter_ids().filter(|id| *id != self.myself.id());
        match name {
            Some(name) => {
                let named =
                    |id: &u64| membership.get_node(id).is_some_and(|node| node.name == name);
                let mut voters = voters;
                let unknown = || StepDownError::UnknownNode { name: name.to_owned() };
                voters.find(named).ok_or_else(unknown)
            }
            None => {
                let matched = |id: &u64| {
                    let replication = metrics.replication.as_ref()?;
                    replication.get(id)?.as_ref().map(|last| last.index())
                };
                let heard = |id: &u64| self.is_heard(&metrics, *id);
                voters.max_by_key(|id| (heard(id), matched(id))).ok_or(StepDownError::Alone)
            }
        }
    }
}
