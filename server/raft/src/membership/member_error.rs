//! Why the membership was not changed. Each says what to do next.

use crate::answer::LeaderHint;

/// A change of the membership that did not happen; only [`Self::Unknown`] may have happened, or may happen yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Surely not changed: another node leads.
    #[error("this node does not lead")]
    NotLeader { leader: Option<LeaderHint> },
    #[error("there is no member {name:?}")]
    Unknown { name: String },
    /// A node of that name belongs to the cluster.
    #[error(
        "a member named {name:?} is there already, at {peer_address}; choose another name, or take that one out first: \
         conclave member remove {name}"
    )]
    Exists { name: String, peer_address: String },
    /// One change at a time.
    #[error(
        "another change of the members is under way, or the leader is new; try again in a moment"
    )]
    UnderWay,
    #[error("{name:?} votes already")]
    VotesAlready { name: String },
    /// Its place is prepared and no node took it.
    #[error("no node has taken the place of {name:?} yet; start one with that name and --join")]
    NotThere { name: String },
    #[error(
        "{name:?} is not reached now, and a voter that is not there is a risk; see that it runs, then try again"
    )]
    Unreachable { name: String },
    /// So many entries behind; none: the leader has not heard how far it is.
    #[error(
        "{name:?} has not caught up, it lacks {} log entries; it is promoted once it lacks no more than {LAG_MAX}",
        behind.map_or("an unknown number of".to_owned(), |behind| behind.to_string())
    )]
    Lagging { name: String, behind: Option<u64> },
    #[error("{name:?} is the only voter; a cluster without one is none")]
    LastVoter { name: String },
    /// As etcd's strict-reconfig-check: the voters that would be left are not alive in sufficient number.
    #[error(
        "of the {voters} voters that there would be, only {living} are reached, and {needed} are needed to decide anything: \
         nothing would be granted any more; bring back the others first, or take out those that are gone for good"
    )]
    QuorumLost { voters: usize, living: usize, needed: usize },
    #[error("the cluster has {MEMBERS_MAX} members, and no more are taken")]
    TooMany,
    #[error("{what} {value:?} {reason}")]
    Invalid { what: &'static str, value: String, reason: &'static str },
    /// Of a cluster without a token, or with another one.
    #[error(
        "the cluster has no token by which a node could show that it belongs here, so its place must be prepared: \
         conclave member add {name} {peer_address}"
    )]
    NotExpected { name: String, peer_address: String },
    #[error("its cluster token is another one; give --cluster-token as the other nodes have it")]
    OtherToken,
    #[error(
        "the place of {name:?} is prepared for {expected}, and it says that it is reached at {found}; start it with \
         --peer-advertise {expected}, or prepare another place: conclave member remove {name}, conclave member add {name} {found}"
    )]
    OtherAddress { name: String, expected: String, found: String },
    /// A member whose address leads nowhere from another machine.
    #[error(
        "the other nodes know {name:?} at {peer_address}, where nobody can reach it; start it with --peer-advertise HOST:PORT"
    )]
    Unaddressed { name: String, peer_address: String },
    /// The leader is to be taken out, and nobody took over.
    #[error(
        "the leader must hand over before it is taken out, and nobody took over: {reason}; try again"
    )]
    NotHandedOver { reason: String },
    /// A majority did not confirm it in time.
    #[error("no majority of the nodes answers")]
    NoQuorum,
    #[error("no decision was heard of; it may have happened: look at `conclave member list`")]
    NoDecision,
    #[error("this node is stopping")]
    Stopped,
}

impl MemberError {
    /// Not for a reason that stays: whoever asks again may hear something else.
    pub(crate) fn passes(&self) -> bool {
        matches!(
            self,
            Self::NotLeader { .. }
                | Self::UnderWay
                | Self::NoQuorum
                | Self::NoDecision
                | Self::NotHandedOver { .. }
                | Self::Stopped
        )
    }
}

/// Members of a cluster at most, learners included. Each of them costs the leader a stream, a heartbeat and an acknowledgement.
pub(crate) const MEMBERS_MAX: usize = 32;

/// A learner that lacks more log entries than this is not promoted: until it had them it would count as a voter and help nobody.
pub(crate) const LAG_MAX: u64 = 1_000;
