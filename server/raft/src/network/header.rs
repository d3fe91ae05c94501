//! Who calls whom: carried by every call between peers, and checked before anything else of it is looked at.

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};

const CLUSTER: &str = "conclave-cluster";
const FROM: &str = "conclave-from";
const TO: &str = "conclave-to";

/// The two ends of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parties {
    pub(crate) cluster: u128,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Parties {
    pub(crate) fn sign<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER, ascii(&format!("{:032x}", self.cluster)));
        metadata.insert(FROM, MetadataValue::from(self.from));
        metadata.insert(TO, MetadataValue::from(self.to));
        request
    }

    /// What the caller says of itself; an error when it says nothing that can be understood.
    fn read(metadata: &MetadataMap) -> Option<Self> {
        let text = |key| metadata.get(key)?.to_str().ok();
        Some(Self {
            cluster: u128::from_str_radix(text(CLUSTER)?, 16).ok()?,
            from: text(FROM)?.parse().ok()?,
            to: text(TO)?.parse().ok()?,
        })
    }
}

/// Who answers, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answerer {
    /// None: it belongs to no cluster yet.
    pub(crate) cluster: Option<u128>,
    pub(crate) id: u64,
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
        Ok(parties)
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

    const HERE: Answerer = Answerer { cluster: Some(7), id: 2 };

    fn admit(parties: Parties) -> Result<Parties, Status> {
        HERE.admit(parties.sign(()).metadata())
    }

    #[test]
    fn a_peer_of_the_same_cluster_passes() {
        let parties = Parties { cluster: 7, from: 1, to: 2 };
        assert_eq!(admit(parties).expect("admitted"), parties);
    }

    #[test]
    fn strangers_are_told_why_not() {
        let refused = |parties: Parties, why: &str| {
            let status = admit(parties).expect_err("refused");
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert!(status.message().contains(why), "{status:?}");
        };
        refused(Parties { cluster: 8, from: 1, to: 2 }, "another cluster");
        refused(Parties { cluster: 7, from: 1, to: 3 }, "means node 3");
        refused(Parties { cluster: 7, from: 2, to: 2 }, "never used twice");
    }

    #[test]
    fn a_call_without_names_is_refused_and_an_unformed_node_answers_nobody() {
        let status = HERE.admit(Request::new(()).metadata()).expect_err("refused");
        assert_eq!(status.code(), Code::FailedPrecondition);
        let unformed = Answerer { cluster: None, id: 2 };
        let call = Parties { cluster: 7, from: 1, to: 2 }.sign(());
        let status = unformed.admit(call.metadata()).expect_err("refused");
        assert!(status.message().contains("no cluster yet"), "{status:?}");
    }
}
