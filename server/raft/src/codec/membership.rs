//! Who belongs to the cluster, in an entry of the log and in a snapshot, and what a snapshot says of itself.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use conclave_proto::internal::v1 as wire;
use conclave_store::LogPosition;
use openraft::Membership;

use super::{DecodeError, Kind, open_as, seal};

/// What the cluster knows of one of its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberNode {
    pub name: String,
    /// Where peers reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub client_address: String,
    /// Drawn by the node that took this place when it joined. Zero: nobody has taken it yet, or the node was in the list that
    /// formed the cluster.
    pub claim: u64,
    /// It is not made a voter by itself once it has caught up.
    pub stays_learner: bool,
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SnapshotMeta {
    /// None: of an empty log.
    pub(crate) last: Option<LogPosition>,
    /// None: no entry set the membership.
    pub(crate) membership_at: Option<LogPosition>,
    pub(crate) membership: Membership<u64, MemberNode>,
}

/// As it stands in an entry of the log.
pub fn encode_membership(membership: &Membership<u64, MemberNode>) -> Bytes {
    seal(Kind::Membership, &wire_membership(membership))
}

/// # Errors
/// Bytes that [`encode_membership`] did not write.
pub fn decode_membership(payload: &Bytes) -> Result<Membership<u64, MemberNode>, DecodeError> {
    membership(open_as(Kind::Membership, payload)?)
}

pub(crate) fn encode_snapshot_meta(meta: &SnapshotMeta) -> Bytes {
    let message = wire::SnapshotMeta {
        last: meta.last.map(wire_position),
        membership_at: meta.membership_at.map(wire_position),
        membership: Some(wire_membership(&meta.membership)),
    };
    seal(Kind::SnapshotMeta, &message)
}

pub(crate) fn decode_snapshot_meta(bytes: &Bytes) -> Result<SnapshotMeta, DecodeError> {
    let message: wire::SnapshotMeta = open_as(Kind::SnapshotMeta, bytes)?;
    let wire = message.membership.ok_or(DecodeError::Missing { what: "a membership" })?;
    Ok(SnapshotMeta {
        last: message.last.map(position),
        membership_at: message.membership_at.map(position),
        membership: membership(wire)?,
    })
}

pub(crate) fn wire_position(position: LogPosition) -> wire::Position {
    wire::Position { term: position.term, index: position.index }
}

pub(crate) fn position(wire: wire::Position) -> LogPosition {
    LogPosition { term: wire.term, index: wire.index }
}

fn wire_membership(membership: &Membership<u64, MemberNode>) -> wire::Membership {
    let voters = |ids: &BTreeSet<u64>| wire::Voters { ids: ids.iter().copied().collect() };
    let node = |(id, node): (&u64, &MemberNode)| wire::MemberNode {
        id: *id,
        name: node.name.clone(),
        peer_address: node.peer_address.clone(),
        client_address: node.client_address.clone(),
        claim: node.claim,
        stays_learner: node.stays_learner,
    };
    wire::Membership {
        configurations: membership.get_joint_config().iter().map(voters).collect(),
        nodes: membership.nodes().map(node).collect(),
    }
}

fn membership(wire: wire::Membership) -> Result<Membership<u64, MemberNode>, DecodeError> {
    let mut nodes = BTreeMap::new();
    for node in wire.nodes {
        let member = MemberNode {
            name: node.name,
            peer_address: node.peer_address,
            client_address: node.client_address,
            claim: node.claim,
            stays_learner: node.stays_learner,
        };
        if nodes.insert(node.id, member).is_some() {
            return Err(DecodeError::Invalid { what: "a membership" });
        }
    }
    let voters = |voters: wire::Voters| voters.ids.into_iter().collect::<BTreeSet<_>>();
    let configurations: Vec<_> = wire.configurations.into_iter().map(voters).collect();
    if configurations.is_empty() && nodes.is_empty() {
        // The membership of a log that no entry ever set.
        return Ok(Membership::default());
    }
    Membership::new(configurations, nodes)
        .map_err(|_| DecodeError::Invalid { what: "a membership" })
}
