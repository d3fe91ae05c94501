//! What may become of the membership, judged from what the leader knows. Pure: it looks at nothing and changes nothing.
//!
//! * An id is never used twice. The fresh one is above the index of the last entry of the leader's log, and the entry that
//!   hands it out is appended only while the membership is still the one that was looked at. So of any two entries of one
//!   log that hand out ids, the later one was made by a node whose log had the earlier one, and its id is higher. Nothing has
//!   to be remembered for that, so a snapshot, a restart or the removal of the newest member cannot make it forgotten.
//!   (Indices go on with the log; a cluster that begins anew from a backup is another one, and ids of the old do not count.)
//! * A learner never votes, so a place that is given up or taken over before it was promoted took no promise along. A voter that
//!   lost its data broke its promises: it is let in again only under a fresh id, after it was taken out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use openraft::ChangeMembers;

use super::member_error::{LAG_MAX, MEMBERS_MAX, MemberError};
use crate::types::{LogId, MemberNode};

pub(crate) type Change = ChangeMembers<u64, MemberNode>;

/// Nodes that formed the cluster have ids from 1 by their place in the list; those of nodes that joined begin here.
const JOINED_IDS_FROM: u64 = 1_000;
/// Longest name of a member, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest address, in bytes: a host name has 253 at most.
const ADDRESS_BYTES_MAX: usize = 300;

/// The node got its id from a running cluster: it never forms one of its own.
pub(crate) fn has_joined(id: u64) -> bool {
    id >= JOINED_IDS_FROM
}

/// One member as the leader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) node: MemberNode,
    pub(crate) voter: bool,
    /// It answered a moment ago.
    pub(crate) heard: bool,
    /// Entries that it lacks; none: not known.
    pub(crate) behind: Option<u64>,
}

/// The membership in force, and what the leader knows of everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    /// The leader.
    pub(crate) own: u64,
    pub(crate) nodes: BTreeMap<u64, Known>,
    /// The last entry of the leader's log.
    pub(crate) last_index: u64,
    /// The entry that set it.
    pub(crate) at: Option<LogId>,
    /// Between two sets of voters.
    pub(crate) joint: bool,
    /// The entry that set it is committed.
    pub(crate) settled: bool,
    /// This leadership has just begun: who is silent may only not have been asked yet.
    pub(crate) young: bool,
}

/// A node that asks for a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newcomer {
    pub(crate) name: String,
    pub(crate) peer_address: String,
    pub(crate) client_address: String,
    pub(crate) claim: u64,
}

/// What comes of asking for a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It has this one already: it asks again.
    Has(u64),
    /// It gets it by this change.
    Gets(u64, Change),
}

/// What taking out a member needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The leader itself: somebody else must lead first.
    HandOver,
    Change(u64, Change),
}

impl Members {
    fn ready(&self) -> Result<(), MemberError> {
        match self.settled && !self.joint {
            true => Ok(()),
            false => Err(MemberError::UnderWay),
        }
    }

    fn named(&self, name: &str) -> Option<(u64, &Known)> {
        self.nodes.iter().find(|(_, known)| known.node.name == name).map(|(id, known)| (*id, known))
    }

    fn expect(&self, name: &str) -> Result<(u64, &Known), MemberError> {
        self.named(name).ok_or_else(|| MemberError::Unknown { name: name.to_owned() })
    }

    /// See the head of this file.
    fn fresh_id(&self) -> u64 {
        JOINED_IDS_FROM + self.last_index
    }

    fn room(&self) -> Result<(), MemberError> {
        match self.nodes.len() < MEMBERS_MAX {
            true => Ok(()),
            false => Err(MemberError::TooMany),
        }
    }

    /// Prepares a place under a fresh id.
    pub(crate) fn add(
        &self,
        name: &str,
        peer_address: &str,
        stays_learner: bool,
    ) -> Result<(u64, Change), MemberError> {
        check_name(name)?;
        check_address("the peer address", peer_address)?;
        self.ready()?;
        if let Some((_, known)) = self.named(name) {
            return Err(exists(&known.node));
        }
        self.room()?;
        self.all_addressed()?;
        let node = MemberNode {
            name: name.to_owned(),
            peer_address: peer_address.to_owned(),
            stays_learner,
            ..MemberNode::default()
        };
        let id = self.fresh_id();
        Ok((id, Change::AddNodes(BTreeMap::from([(id, node)]))))
    }

    /// Gives a place to a node without data. `trusted`: it knows the token of the cluster, and there is one.
    pub(crate) fn join(
        &self,
        newcomer: &Newcomer,
        trusted: bool,
    ) -> Result<Admission, MemberError> {
        check_name(&newcomer.name)?;
        check_address("the peer address", &newcomer.peer_address)?;
        check_address("the client address", &newcomer.client_address)?;
        if newcomer.claim == 0 {
            let (value, reason) = ("0".to_owned(), "is none");
            return Err(MemberError::Invalid { what: "the claim", value, reason });
        }
        self.ready()?;
        self.all_addressed()?;
        let node = |stays_learner| MemberNode {
            name: newcomer.name.clone(),
            peer_address: newcomer.peer_address.clone(),
            client_address: newcomer.client_address.clone(),
            claim: newcomer.claim,
            stays_learner,
        };
        let fresh = self.fresh_id();
        let Some((id, known)) = self.named(&newcomer.name) else {
            if !trusted {
                let Newcomer { name, peer_address, .. } = newcomer.clone();
                return Err(MemberError::NotExpected { name, peer_address });
            }
            self.room()?;
            return Ok(Admission::Gets(fresh, add_node(fresh, node(false))));
        };
        if known.node.claim == newcomer.claim {
            return Ok(Admission::Has(id));
        }
        if known.voter {
            return Err(exists(&known.node));
        }
        let stays_learner = known.node.stays_learner;
        if known.node.claim == 0 {
            if known.node.peer_address != newcomer.peer_address {
                return Err(MemberError::OtherAddress {
                    name: newcomer.name.clone(),
                    expected: known.node.peer_address.clone(),
                    found: newcomer.peer_address.clone(),
                });
            }
            // Nobody was ever told this id.
            let taken = Change::SetNodes(BTreeMap::from([(id, node(stays_learner))]));
            return Ok(Admission::Gets(id, taken));
        }
        if known.heard {
            return Err(exists(&known.node));
        }
        if self.young {
            return Err(MemberError::UnderWay);
        }
        // A learner that is gone, most likely this very node before it lost its data: what it acknowledged is gone too, so
        // its id is not given again.
        let gone = Change::RemoveNodes(BTreeSet::from([id]));
        let change = Change::Batch(vec![gone, add_node(fresh, node(stays_learner))]);
        Ok(Admission::Gets(fresh, change))
    }

    pub(crate) fn promote(&self, name: &str) -> Result<Change, MemberError> {
        self.ready()?;
        let (id, known) = self.expect(name)?;
        if known.voter {
            return Err(MemberError::VotesAlready { name: name.to_owned() });
        }
        may_vote(known)?;
        let promoted = BTreeSet::from([id]);
        self.check_quorum(self.voters().chain(promoted.iter().copied()))?;
        Ok(Change::AddVoterIds(promoted))
    }

    /// Those that joined and have caught up, all together. None: there is nobody to promote.
    pub(crate) fn promote_all_ready(&self) -> Option<Change> {
        self.ready().ok()?;
        let ready = |known: &Known| {
            let joined = known.node.claim != 0 && !known.node.stays_learner;
            !known.voter && joined && may_vote(known).is_ok()
        };
        let ids: BTreeSet<_> =
            self.nodes.iter().filter(|(_, known)| ready(known)).map(|(id, _)| *id).collect();
        if ids.is_empty() || self.check_quorum(self.voters().chain(ids.iter().copied())).is_err() {
            return None;
        }
        Some(Change::AddVoterIds(ids))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<Removal, MemberError> {
        self.ready()?;
        let (id, known) = self.expect(name)?;
        if !known.voter {
            return Ok(Removal::Change(id, Change::RemoveNodes(BTreeSet::from([id]))));
        }
        if self.voters().all(|voter| voter == id) {
            return Err(MemberError::LastVoter { name: name.to_owned() });
        }
        self.check_quorum(self.voters().filter(|voter| *voter != id))?;
        if id == self.own {
            return Ok(Removal::HandOver);
        }
        Ok(Removal::Change(id, Change::RemoveVoters(BTreeSet::from([id]))))
    }

    /// Takes over addresses that a member says of itself. None: they are known.
    pub(crate) fn moved(&self, id: u64, said: &MemberNode) -> Option<Change> {
        let known = &self.nodes.get(&id)?.node;
        let (peer, client) = (&said.peer_address, &said.client_address);
        if known.peer_address == *peer && known.client_address == *client {
            return None;
        }
        self.ready().ok()?;
        let moved = MemberNode {
            peer_address: peer.clone(),
            client_address: client.clone(),
            ..known.clone()
        };
        Some(Change::SetNodes(BTreeMap::from([(id, moved)])))
    }

    fn voters(&self) -> impl Iterator<Item = u64> {
        self.nodes.iter().filter(|(_, known)| known.voter).map(|(id, _)| *id)
    }

    /// Enough of these are reached to decide anything. Never to be overridden: when they are not, the change itself could not
    /// be decided, and neither could anything behind it.
    fn check_quorum(&self, voters: impl Iterator<Item = u64>) -> Result<(), MemberError> {
        let voters: BTreeSet<_> = voters.collect();
        let is_living = |id: &&u64| self.nodes.get(id).is_some_and(|known| known.heard);
        let living = voters.iter().filter(is_living).count();
        let (voters, needed) = (voters.len(), voters.len() / 2 + 1);
        match (living >= needed, self.young) {
            (true, _) => Ok(()),
            (false, true) => Err(MemberError::UnderWay),
            (false, false) => Err(MemberError::QuorumLost { voters, living, needed }),
        }
    }

    /// A newcomer must reach everybody, since any of them may lead.
    fn all_addressed(&self) -> Result<(), MemberError> {
        let nodes = || self.nodes.values().map(|known| &known.node);
        match nodes().find(|node| leads_nowhere(&node.peer_address)) {
            None => Ok(()),
            Some(MemberNode { name, peer_address, .. }) => Err(MemberError::Unaddressed {
                name: name.clone(),
                peer_address: peer_address.clone(),
            }),
        }
    }
}

fn add_node(id: u64, node: MemberNode) -> Change {
    Change::AddNodes(BTreeMap::from([(id, node)]))
}

fn exists(node: &MemberNode) -> MemberError {
    MemberError::Exists { name: node.name.clone(), peer_address: node.peer_address.clone() }
}

fn may_vote(known: &Known) -> Result<(), MemberError> {
    let name = || known.node.name.clone();
    if known.node.claim == 0 {
        return Err(MemberError::NotThere { name: name() });
    }
    if !known.heard {
        return Err(MemberError::Unreachable { name: name() });
    }
    match known.behind {
        Some(behind) if behind <= LAG_MAX => Ok(()),
        behind => Err(MemberError::Lagging { name: name(), behind }),
    }
}

fn check_name(name: &str) -> Result<(), MemberError> {
    let wrong = |reason| {
        let value: String = name.chars().take(NAME_BYTES_MAX).collect();
        Err(MemberError::Invalid { what: "the name", value, reason })
    };
    if name.is_empty() || name.chars().any(char::is_control) {
        return wrong("is empty or has control characters");
    }
    match name.len() <= NAME_BYTES_MAX {
        true => Ok(()),
        false => wrong("is longer than 64 bytes"),
    }
}

fn check_address(what: &'static str, address: &str) -> Result<(), MemberError> {
    let wrong = |reason| {
        let value: String = address.chars().take(ADDRESS_BYTES_MAX).collect();
        Err(MemberError::Invalid { what, value, reason })
    };
    if address.len() > ADDRESS_BYTES_MAX {
        return wrong("is too long");
    }
    let whole = address.rsplit_once(':').is_some_and(|(host, port)| {
        let host_is_whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        let plain = !host.is_empty() && !host.chars().any(|c| c.is_control() || c.is_whitespace());
        plain && host_is_whole && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if !whole {
        return wrong("is not HOST:PORT");
    }
    match leads_nowhere(address) {
        true => wrong("can be reached by nobody"),
        false => Ok(()),
    }
}

/// "All addresses" of a machine are none to dial.
fn leads_nowhere(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

#[cfg(test)]
mod tests;
