//! Who belongs to the cluster: looks, judges (`judge`), and has Raft decide it. Only the leader changes anything, one thing at a
//! time; what a crash leaves half done the next leader finishes (`steward`).

mod attendance;
mod joining;
mod judge;
mod member_error;
mod steward;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use conclave_proto::internal::v1 as proto;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::Precondition;
use openraft::{Instant as _, Raft};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::answer::{LeaderHint, Leadership};
use crate::config::Timing;
use crate::identity::Myself;
use crate::read::ReadError;
use crate::reader::Reader;
use crate::state_machine::StateMachine;
use crate::types::{MemberNode, Membership as Config, Payload, TypeConfig};

pub use member_error::MemberError;

pub(crate) use attendance::{Attendance, peers};
pub(crate) use joining::{Place, ask_for_a_place};
pub(crate) use judge::has_joined;
pub(crate) use member_error::MEMBERS_MAX;
pub(crate) use steward::Steward;

use judge::{Admission, Change, Known, Members, Newcomer, Removal};

/// A change is two commits, so a moment; without a majority it takes for ever, and somebody waits.
const CHANGE_PATIENCE: Duration = Duration::from_secs(5);

/// The leader is the one to be taken out; whoever asked must make it hand over and ask the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MustHandOver;

/// A cheap handle. What it can do while this node does not lead is to say so.
#[derive(Clone)]
pub(crate) struct Membership {
    shared: Arc<Shared>,
}

struct Shared {
    myself: Myself,
    raft: Raft<TypeConfig, StateMachine>,
    reader: Arc<Reader>,
    leadership: watch::Receiver<Leadership>,
    /// Silence after which a member counts as not reached.
    silence_max: Duration,
    /// Held by the one change that is under way here.
    turn: Mutex<()>,
    /// Which leadership of this node it is, and when it was first seen.
    since: Lock<Option<(u64, Instant)>>,
}

impl Membership {
    pub(crate) fn new(
        myself: Myself,
        raft: Raft<TypeConfig, StateMachine>,
        reader: Arc<Reader>,
        leadership: watch::Receiver<Leadership>,
        timing: Timing,
    ) -> Self {
        let shared = Shared {
            myself,
            raft,
            reader,
            leadership,
            silence_max: 2 * timing.election_max,
            turn: Mutex::new(()),
            since: Lock::new(None),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Prepares a place: its id.
    pub(crate) async fn add(
        &self,
        name: &str,
        peer_address: &str,
        stays_learner: bool,
    ) -> Result<u64, MemberError> {
        let turn = self.turn().await?;
        let members = self.look().await?;
        let (id, change) = members.add(name, peer_address, stays_learner)?;
        self.change(&turn, &members, change).await?;
        tracing::info!(id, name, peer_address, "a place in the cluster is prepared");
        Ok(id)
    }

    /// Gives a place to a node without data: its id.
    async fn join(&self, newcomer: &Newcomer, token: &str) -> Result<u64, MemberError> {
        let own = self.shared.myself.token();
        if own != token {
            return Err(MemberError::OtherToken);
        }
        let turn = self.turn().await?;
        let members = self.look().await?;
        match members.join(newcomer, !own.is_empty())? {
            Admission::Has(id) => Ok(id),
            Admission::Gets(id, change) => {
                self.change(&turn, &members, change).await?;
                let Newcomer { name, peer_address, .. } = newcomer;
                tracing::info!(id, name, peer_address, "a node joined; it learns");
                Ok(id)
            }
        }
    }

    pub(crate) async fn promote(&self, name: &str) -> Result<(), MemberError> {
        let turn = self.turn().await?;
        let members = self.look().await?;
        let change = members.promote(name)?;
        self.change(&turn, &members, change).await?;
        tracing::info!(name, "a learner votes now");
        Ok(())
    }

    /// Takes a member out: its id, or that this node must hand over first.
    pub(crate) async fn remove(
        &self,
        name: &str,
    ) -> Result<Result<u64, MustHandOver>, MemberError> {
        let turn = self.turn().await?;
        let members = self.look().await?;
        match members.remove(name)? {
            Removal::HandOver => Ok(Err(MustHandOver)),
            Removal::Change(id, change) => {
                self.change(&turn, &members, change).await?;
                tracing::info!(id, name, "a member was taken out");
                Ok(Ok(id))
            }
        }
    }

    /// What a crash in the middle of taking out a member leaves behind, for tests: the first half is decided, and this node does
    /// nothing about the members any more.
    pub(crate) async fn leave_half_done(&self, name: &str) -> Result<(), MemberError> {
        let turn = self.turn().await?;
        let members = self.look().await?;
        let ids = |keep: &dyn Fn(&Known) -> bool| {
            let kept = members.nodes.iter().filter(|(_, known)| known.voter && keep(known));
            kept.map(|(id, _)| *id).collect::<BTreeSet<_>>()
        };
        let sets = vec![ids(&|_| true), ids(&|known| known.node.name != name)];
        let nodes: BTreeMap<_, _> =
            members.nodes.iter().map(|(id, known)| (*id, known.node.clone())).collect();
        let joint = Config::new(sets, nodes).map_err(|_| MemberError::NoDecision)?;
        let first = self.shared.raft.append_membership(joint, Payload::Blank, []).await;
        std::mem::forget(turn);
        first.map(drop).map_err(not_changed)
    }

    /// A change is decided or not: the membership is not between two sets of voters.
    pub(crate) fn is_changing(&self) -> bool {
        let metrics = self.shared.raft.server_metrics().borrow_watched().clone();
        let settled = metrics.membership_config == metrics.committed_membership_config;
        !settled || metrics.membership_config.membership().get_joint_config().len() > 1
    }

    /// What a node says of itself, and whether it still belongs.
    async fn attend(&self, request: &proto::AttendRequest) -> Result<bool, MemberError> {
        self.leads()?;
        // What is said of a removal must be true for ever: a majority confirms that this node knows all that was decided.
        self.shared.reader.index().await.map_err(not_confirmed)?;
        let metrics = self.shared.raft.server_metrics().borrow_watched().clone();
        let is_in = |config: &Config| config.get_node(&request.id).is_some();
        let committed = is_in(metrics.committed_membership_config.membership());
        if !committed && !is_in(metrics.membership_config.membership()) {
            return Ok(false);
        }
        let said = MemberNode {
            name: request.name.clone(),
            peer_address: request.peer_address.clone(),
            client_address: request.client_address.clone(),
            ..MemberNode::default()
        };
        // Somebody else changes something: this node asks again as long as it is known under the old ones.
        if let Ok(turn) = self.shared.turn.try_lock() {
            self.adopt(&turn, request.id, &said).await?;
        }
        Ok(true)
    }

    /// Writes down where a member is reached now.
    async fn adopt(
        &self,
        turn: &MutexGuard<'_, ()>,
        id: u64,
        said: &MemberNode,
    ) -> Result<(), MemberError> {
        let members = self.look().await?;
        let same_name = |known: &Known| known.node.name == said.name;
        if !members.nodes.get(&id).is_some_and(same_name) {
            return Ok(());
        }
        let Some(change) = members.moved(id, said) else { return Ok(()) };
        tracing::info!(id, ?said, "a member has other addresses now");
        self.change(turn, &members, change).await?;
        self.shared.myself.reached_at(id, said);
        Ok(())
    }

    /// Answers a node that asks for a place.
    pub(crate) async fn answer_join(&self, request: proto::JoinRequest) -> proto::JoinResponse {
        use proto::join_response::Result as Answer;
        let proto::JoinRequest { name, peer_address, client_address, token, claim } = request;
        let newcomer = Newcomer { name, peer_address, client_address, claim };
        let later = |reason: String| Answer::Later(proto::Later { reason });
        let cluster = self.shared.myself.cluster();
        let result = match self.join(&newcomer, &token).await {
            Ok(id) => match cluster {
                Some(cluster) => Answer::Place(proto::Place {
                    id,
                    cluster_id: cluster.to_be_bytes().to_vec().into(),
                }),
                None => later("it belongs to no cluster yet".to_owned()),
            },
            Err(MemberError::NotLeader { leader: Some(leader) }) => {
                Answer::Leader(elsewhere(&leader))
            }
            Err(error) if error.passes() => later(error.to_string()),
            Err(error) => Answer::Refused(proto::Refused { reason: error.to_string() }),
        };
        proto::JoinResponse { result: Some(result) }
    }

    /// Answers a node that asks whether it is a member.
    pub(crate) async fn answer_attend(
        &self,
        request: proto::AttendRequest,
    ) -> proto::AttendResponse {
        use proto::attend_response::Result as Answer;
        let own = self.shared.myself.cluster().map(|id| id.to_be_bytes().to_vec());
        let same = own.is_some_and(|own| own[..] == request.cluster_id[..]);
        let unknown = Answer::Unknown(proto::Empty {});
        let result = if !same || request.token != self.shared.myself.token() {
            unknown
        } else {
            match self.attend(&request).await {
                Ok(true) => Answer::Member(proto::Empty {}),
                Ok(false) => Answer::Removed(proto::Empty {}),
                Err(MemberError::NotLeader { leader: Some(leader) }) => {
                    Answer::Leader(elsewhere(&leader))
                }
                Err(error) => {
                    tracing::debug!(%error, from = request.id, "cannot tell whether it belongs");
                    unknown
                }
            }
        };
        proto::AttendResponse { result: Some(result) }
    }

    async fn turn(&self) -> Result<MutexGuard<'_, ()>, MemberError> {
        self.leads()?;
        let turn = tokio::time::timeout(CHANGE_PATIENCE, self.shared.turn.lock()).await;
        turn.map_err(|_| MemberError::UnderWay)
    }

    fn leads(&self) -> Result<u64, MemberError> {
        let Leadership { leading, leader, serving, .. } = self.shared.leadership.borrow().clone();
        match leading {
            true => Ok(serving),
            false => Err(MemberError::NotLeader { leader }),
        }
    }

    /// What the leader knows now.
    async fn look(&self) -> Result<Members, MemberError> {
        let serving = self.leads()?;
        let state = self.shared.raft.with_raft_state(|state| {
            let membership = &state.membership_state;
            let effective = membership.effective().clone();
            let settled = effective.log_id() == membership.committed().log_id();
            let last = state.log_ids.last().map_or(0, |last| last.index());
            (effective, settled, last)
        });
        let (effective, settled, last_index) = state.await.map_err(|_| MemberError::Stopped)?;
        let metrics = self.shared.raft.metrics().borrow_watched().clone();
        let own = self.shared.myself.id();
        let config = effective.membership();
        let known = |(id, node): (&u64, &MemberNode)| {
            let matched = metrics.replication.as_ref().and_then(|all| all.get(id).copied());
            let matched = matched.flatten().map(|last| last.index());
            let heard = metrics.heartbeat.as_ref().and_then(|all| all.get(id).copied().flatten());
            let heard = heard.is_some_and(|at| at.elapsed() < self.shared.silence_max);
            let known = Known {
                node: node.clone(),
                voter: config.voter_ids().any(|voter| voter == *id),
                heard: *id == own || heard,
                behind: match *id == own {
                    true => Some(0),
                    false => matched.map(|matched| last_index.saturating_sub(matched)),
                },
            };
            (*id, known)
        };
        Ok(Members {
            own,
            nodes: config.nodes().map(known).collect::<BTreeMap<_, _>>(),
            last_index,
            at: *effective.log_id(),
            joint: config.get_joint_config().len() > 1,
            settled,
            young: self.leads_for(serving) < self.shared.silence_max,
        })
    }

    /// For how long this leadership has been seen.
    fn leads_for(&self, serving: u64) -> Duration {
        let mut since = self.shared.since.lock().unwrap_or_else(PoisonError::into_inner);
        match *since {
            Some((known, at)) if known == serving => at.elapsed(),
            Some(_) | None => {
                *since = Some((serving, Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// Has it decided. The membership must still be the one that was looked at.
    async fn change(
        &self,
        _turn: &MutexGuard<'_, ()>,
        members: &Members,
        change: Change,
    ) -> Result<(), MemberError> {
        let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: members.at };
        // Voters that go do not stay as learners.
        let change = self.shared.raft.change_membership_if(change, false, [unchanged]);
        match tokio::time::timeout(CHANGE_PATIENCE, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(not_changed(error)),
            Err(_) => Err(MemberError::NoDecision),
        }
    }
}

fn not_changed(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> MemberError {
    match error {
        // Of the two entries of a change the first may be decided, whatever became of this one.
        RaftError::APIError(
            ClientWriteError::ForwardToLeader(_) | ClientWriteError::LogEntryDiscarded(_),
        ) => MemberError::NoDecision,
        RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => MemberError::UnderWay,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::InProgress(_)
            | ChangeMembershipError::UncommittedLeaderLog(_) => MemberError::UnderWay,
            ChangeMembershipError::EmptyMembership(_)
            | ChangeMembershipError::LearnerNotFound(_)
            | ChangeMembershipError::NodeMetadataChanged(_)
            | ChangeMembershipError::UnsupportedMembershipTransition(_) => {
                // Judged before, on the very membership that it was proposed for.
                tracing::error!(%error, "a change of the members was judged wrongly");
                MemberError::NoDecision
            }
        },
        RaftError::Fatal(_) => MemberError::Stopped,
    }
}

fn not_confirmed(error: ReadError) -> MemberError {
    match error {
        ReadError::NotLeader { leader } => MemberError::NotLeader { leader },
        ReadError::NoQuorum => MemberError::NoQuorum,
        ReadError::Stopped => MemberError::Stopped,
    }
}

fn elsewhere(leader: &LeaderHint) -> proto::Elsewhere {
    proto::Elsewhere {
        name: leader.name.to_string(),
        peer_address: leader.peer_address.to_string(),
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Membership")
    }
}
