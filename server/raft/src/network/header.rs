//! Who calls whom: carried by every call between peers, and checked before anything else of it is looked at.

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};

use super::protocol::Protocols;

const CLUSTER: &str = "conclave-cluster";
const FROM: &str = "conclave-from";
const TO: &str = "conclave-to";

/// The two ends of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parties {
    pub(crate) cluster: u128,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// What the caller's build speaks.
    pub(crate) protocols: Protocols,
}

impl Parties {
    pub(crate) fn sign<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, ascii(&format!("{:032x}", self.cluster)));
        metadata.insert(FROM, MetadataValue::from(self.from));
        metadata.insert(TO, MetadataValue::from(self.to));
        self.protocols.write(metadata);
        request
    }

    /// What the caller says of itself; an error when it says nothing that can be understood.
    fn read(metadata: &MetadataMap) -> Option<Self> {
        let text = |key| metadata.get(key)?.to_str().ok();
        Some(Self {
            cluster: u128::from_str_radix(text(CLUSTER)?, 16).ok()?,
            from: text(FROM)?.parse().ok()?,
            to: text(TO)?.parse().ok()?,
            protocols: Protocols::read(metadata)?,
        })
    }
}

/// Who answers, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answerer {
    /// None: it belongs to no cluster yet.
    pub(crate) cluster: Option<u128>,
    pub(crate) id: u64,
    pub(crate) protocols: Protocols,
}

impl Answerer {
    /// Lets a call of a node of the same cluster, meant for this node, pass.
    pub(crate) fn admit(self, metadata: &MetadataMap) -> Result<Parties, Status> {
        let Some(parties) = Parties::read(metadata) else {
            return Err(Status::failed_precondition(
                "a call between peers must name its cluster, its node and the node that it means; \
                 this is the address for peers, clients have another one",
            ));
        };
        let Some(cluster) = self.cluster else {
            return Err(Status::failed_precondition(format!(
                "node {} belongs to no cluster yet, the caller is of cluster {:032x}; if this node lost its data, \
                 take it out and let it join anew",
                self.id, parties.cluster
            )));
        };
        if cluster != parties.cluster {
            return Err(Status::failed_precondition(format!(
                "node {} is of cluster {cluster:032x}, the caller (node {}) is of cluster {:032x}; one of them has the \
                 data directory or the peer addresses of another cluster",
                self.id, parties.from, parties.cluster
            )));
        }
        if parties.to != self.id {
            return Err(Status::failed_precondition(format!(
                "this is node {}, the caller (node {}) means node {}; check the peer addresses",
                self.id, parties.from, parties.to
            )));
        }
        if parties.from == self.id {
            return Err(Status::failed_precondition(format!(
                "the caller says that it is node {}, which is this node; an id is never used twice",
                self.id
            )));
        }
        self.check_protocols(&parties)?;
        Ok(parties)
    }

    fn check_protocols(self, caller: &Parties) -> Result<(), Status> {
        let (own, theirs) = (self.protocols, caller.protocols);
        if own.common(theirs).is_some() {
            return Ok(());
        }
        let older = if own.is_older_than(theirs) { self.id } else { caller.from };
        Err(Status::failed_precondition(format!(
            "node {} speaks version {own} of what peers say, the caller (node {}) {theirs}; upgrade node {older} first, one release \
             at a time",
            self.id, caller.from
        )))
    }
}

fn ascii(text: &str) -> MetadataValue<Ascii> {
    // Hexadecimal digits are ASCII.
    MetadataValue::try_from(text).expect("hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn here() -> Answerer {
        Answerer { cluster: Some(7), id: 2, protocols: Protocols::default() }
    }

    fn call(cluster: u128, from: u64, to: u64) -> Parties {
        Parties { cluster, from, to, protocols: Protocols::default() }
    }

    fn admit(parties: Parties) -> Result<Parties, Status> {
        here().admit(parties.sign(()).metadata())
    }

    #[test]
    fn a_peer_of_the_same_cluster_passes() {
        let parties = call(7, 1, 2);
        assert_eq!(admit(parties).expect("admitted"), parties);
    }

    #[test]
    fn strangers_are_told_why_not() {
        let refused = |parties: Parties, why: &str| {
            let status = admit(parties).expect_err("refused");
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert!(status.message().contains(why), "{status:?}");
        };
        refused(call(8, 1, 2), "another cluster");
        refused(call(7, 1, 3), "means node 3");
        refused(call(7, 2, 2), "never used twice");
    }

    #[test]
    fn a_call_without_names_is_refused_and_an_unformed_node_answers_nobody() {
        let status = here().admit(Request::new(()).metadata()).expect_err("refused");
        assert_eq!(status.code(), Code::FailedPrecondition);
        let unformed = Answerer { cluster: None, ..here() };
        let call = call(7, 1, 2).sign(());
        let status = unformed.admit(call.metadata()).expect_err("refused");
        assert!(status.message().contains("no cluster yet"), "{status:?}");
    }
    #[test]
    fn a_build_that_is_too_old_or_too_new_is_told_which_node_to_upgrade() {
        let from = |range: &str| {
            let protocols = Protocols::parse(range).expect("a range");
            admit(Parties { protocols, ..call(7, 1, 2) })
        };
        assert!(from("0").is_ok(), "the release before this one");
        assert!(from("1-2").is_ok(), "the release after this one");
        let too_new = from("2-3").expect_err("refused");
        assert!(too_new.message().contains("upgrade node 2 first"), "{too_new:?}");
        let newer = Answerer { protocols: Protocols::parse("2-3").expect("a range"), ..here() };
        let too_old = newer.admit(call(7, 1, 2).sign(()).metadata()).expect_err("refused");
        assert_eq!(too_old.code(), Code::FailedPrecondition);
        assert!(too_old.message().contains("upgrade node 1 first"), "{too_old:?}");
    }
}
