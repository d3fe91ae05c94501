//! From the wire's messages to what looking shows.

use conclave_proto::v1;
use conclave_proto::v1::node_status::Role as WireRole;

use super::{
    Blocker, Checked, ClusterStatus, Detail, Forced, Kind, LeaderView, NodeView, ObjectLine,
    ObjectList, ObjectView, Role, SessionDetails, SessionHold, SessionLine, SessionList,
    SessionWait, Statistics, Waiter,
};
use crate::demand::Demand;
use crate::error::DeadlockStep;
use crate::heldby::{HoldState, Holder};
use crate::ids::{SessionId, Token};

impl From<v1::Leader> for LeaderView {
    fn from(leader: v1::Leader) -> Self {
        Self { name: leader.name, address: leader.address }
    }
}

impl From<v1::StatusResponse> for ClusterStatus {
    fn from(status: v1::StatusResponse) -> Self {
        let (leader, leader_address) = match status.leader {
            Some(leader) => {
                (Some(leader.name), Some(leader.address).filter(|address| !address.is_empty()))
            }
            None => (None, None),
        };
        Self {
            cluster_id: status.cluster_id,
            node: status.node,
            leader,
            leader_address,
            term: status.term,
            nodes: status.nodes.into_iter().map(NodeView::from).collect(),
            revision: status.revision,
            sessions: status.sessions,
            objects: status.objects,
            holds: status.holds,
            waiters: status.waiters,
            version: status.version,
        }
    }
}

impl From<v1::NodeStatus> for NodeView {
    fn from(node: v1::NodeStatus) -> Self {
        let role = match WireRole::try_from(node.role) {
            Ok(WireRole::Leader) => Role::Leader,
            Ok(WireRole::Follower) => Role::Follower,
            Ok(WireRole::Candidate) => Role::Candidate,
            Ok(WireRole::Learner) => Role::Learner,
            Ok(WireRole::Unspecified) | Err(_) => Role::Unknown,
        };
        Self {
            id: node.id,
            name: node.name,
            role,
            applied: node.applied,
            peer_address: node.peer_address,
            client_address: node.client_address,
            reachable: node.reachable,
        }
    }
}

impl From<v1::InspectResponse> for ObjectView {
    fn from(object: v1::InspectResponse) -> Self {
        Self {
            name: object.name,
            kind: Kind::from_wire(object.kind),
            holders: object.holders.into_iter().map(Holder::from).collect(),
            queue: object.queue.into_iter().map(Waiter::from).collect(),
            queue_len: object.queue_len,
            aside: object.aside.into_iter().map(Waiter::from).collect(),
            detail: object.detail.map(Detail::from),
            deadlock: object.deadlock.into_iter().map(DeadlockStep::from).collect(),
            statistics: object.statistics.map(Statistics::from).unwrap_or_default(),
            revision: object.revision,
        }
    }
}

impl From<v1::Waiter> for Waiter {
    fn from(waiter: v1::Waiter) -> Self {
        Self {
            session: SessionId::new(waiter.session),
            session_name: waiter.session_name,
            labels: waiter.labels.into_iter().collect(),
            priority: waiter.priority,
            position: waiter.position,
            demand: Demand::from(waiter.demand),
            owner: waiter.owner,
            waited_ms: waiter.waited_ms,
        }
    }
}

impl From<v1::Statistics> for Statistics {
    fn from(statistics: v1::Statistics) -> Self {
        Self {
            age_ms: statistics.age_ms,
            grants: statistics.grants,
            releases: statistics.releases,
            timeouts: statistics.timeouts,
            cancels: statistics.cancels,
            losses: statistics.losses,
            passes: statistics.passes,
            queue_len_max: statistics.queue_len_max,
        }
    }
}

impl From<v1::ListResponse> for ObjectList {
    fn from(list: v1::ListResponse) -> Self {
        Self {
            objects: list.objects.into_iter().map(ObjectLine::from).collect(),
            total: list.total,
            revision: list.revision,
        }
    }
}

impl From<v1::ObjectSummary> for ObjectLine {
    fn from(object: v1::ObjectSummary) -> Self {
        Self {
            name: object.name,
            kind: Kind::from_wire(object.kind),
            holders: object.holders,
            queue_len: object.queue_len,
            longest_wait_ms: object.longest_wait_ms,
            holder: object.holder.map(Holder::from),
        }
    }
}

impl From<v1::ListSessionsResponse> for SessionList {
    fn from(list: v1::ListSessionsResponse) -> Self {
        Self {
            sessions: list.sessions.into_iter().map(SessionLine::from).collect(),
            total: list.total,
            revision: list.revision,
        }
    }
}

impl From<v1::SessionSummary> for SessionLine {
    fn from(session: v1::SessionSummary) -> Self {
        Self {
            session: SessionId::new(session.session),
            name: session.name,
            labels: session.labels.into_iter().collect(),
            ttl_ms: session.ttl_ms,
            age_ms: session.age_ms,
            holds: session.holds,
            waits: session.waits,
            ended: session.ended,
        }
    }
}

impl From<v1::DescribeSessionResponse> for SessionDetails {
    fn from(session: v1::DescribeSessionResponse) -> Self {
        Self {
            line: session.summary.unwrap_or_default().into(),
            lock_delay_ms: session.lock_delay_ms,
            epoch: session.epoch,
            held: session.holds.into_iter().map(SessionHold::from).collect(),
            waiting: session.waits.into_iter().map(SessionWait::from).collect(),
            blocked_by: session.blocked_by.into_iter().map(Blocker::from).collect(),
            revision: session.revision,
        }
    }
}

impl From<v1::SessionHold> for SessionHold {
    fn from(hold: v1::SessionHold) -> Self {
        Self {
            name: hold.name,
            others: hold.others,
            kind: Kind::from_wire(hold.kind),
            token: Token::new(hold.token),
            state: HoldState::from_wire(hold.state).unwrap_or(HoldState::Unknown),
            held_ms: hold.held_ms,
        }
    }
}

impl From<v1::SessionWait> for SessionWait {
    fn from(wait: v1::SessionWait) -> Self {
        Self {
            name: wait.name,
            others: wait.others,
            kind: Kind::from_wire(wait.kind),
            position: wait.position,
            waited_ms: wait.waited_ms,
            priority: wait.priority,
        }
    }
}

impl From<v1::Blocker> for Blocker {
    fn from(blocker: v1::Blocker) -> Self {
        Self {
            waiter: SessionId::new(blocker.waiter),
            name: blocker.name,
            holder: SessionId::new(blocker.holder),
            holder_name: blocker.holder_name,
            token: Token::new(blocker.token),
        }
    }
}

impl From<v1::ForceReleaseResponse> for Forced {
    fn from(forced: v1::ForceReleaseResponse) -> Self {
        Self { revoked: forced.revoked, revision: forced.revision }
    }
}

impl From<v1::CheckResponse> for Checked {
    fn from(check: v1::CheckResponse) -> Self {
        let state = HoldState::from_wire(check.state);
        Self { held: check.held, state, revision: check.revision }
    }
}
