//! A leader that does not exist, for showing what a node does with snapshots that no real one would send, or at a moment that
//! no real one could choose.

use bytes::Bytes;
use conclave_machine::{Context, Machine, Term};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::append_response::Result as Appended;
use conclave_proto::internal::v1::install_snapshot_request::Part;
use conclave_proto::internal::v1::peer_service_client::PeerServiceClient;
use conclave_raft::storage::encode_record;
use conclave_raft::{Node, NodeConfig};
use conclave_store::Checksum;
use prost::Message as _;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::support::{Places, Running, leads, open, soon};

/// Whom the forged leader calls itself.
const FROM: u64 = 2;
/// The node that it speaks to.
const TO: u64 = 1;
/// Of its leadership.
pub(crate) const TERM: u64 = 100;

/// A node alone that does not campaign while the test runs, and a leader of a later term that speaks to it.
pub(crate) struct Forged {
    pub(crate) running: Running,
    _places: Places,
    cluster: u128,
    client: PeerServiceClient<Channel>,
}

/// A snapshot as it goes over the wire.
pub(crate) struct Parts {
    header: wire::SnapshotHeader,
    records: Vec<Bytes>,
    pub(crate) checksum: u32,
}

impl Forged {
    pub(crate) async fn start() -> Self {
        let places = Places::new(&["a"]).await;
        let running = Running::start(patient(places.config("a"))).await.expect("it starts");
        leads(&running.node).await;
        let cluster = running.node.status().cluster_id.expect("formed");
        let address = format!("http://{}", places.members[0].peer_address);
        let client = PeerServiceClient::connect(address).await.expect("it listens");
        let status = running.node.status();
        let decided = wire::Position { term: status.term.get(), index: status.last_index };
        let mut forged = Self { running, _places: places, cluster, client };
        // The only voter would campaign at once; one of two waits for its election timeout.
        let mut payload = vec![1, 2];
        membership(forged.node()).encode(&mut payload).expect("encoded");
        let entry =
            wire::Entry { term: TERM, index: decided.index + 1, payload: Bytes::from(payload) };
        forged.send(decided, vec![entry]).await;
        forged
    }

    /// The last entry that it has: the membership that makes it one of two, not decided yet.
    pub(crate) fn last(&self) -> wire::Position {
        wire::Position { term: TERM, index: self.node().status().last_index }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.running.node
    }

    fn sign<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        let cluster = format!("{:032x}", self.cluster);
        metadata.insert("conclave-cluster", cluster.parse().expect("ascii"));
        metadata.insert("conclave-from", FROM.into());
        metadata.insert("conclave-to", TO.into());
        request
    }

    /// Entries without commands behind the last one of the node, up to which everything is decided; they are not.
    pub(crate) async fn append(&mut self, last: wire::Position, count: u64) {
        let entry = |index| wire::Entry { term: TERM, index, payload: Bytes::from_static(&[1, 0]) };
        self.send(last, (last.index + 1..=last.index + count).map(entry).collect()).await;
    }

    async fn send(&mut self, previous: wire::Position, entries: Vec<wire::Entry>) {
        let append = wire::AppendEntries {
            ballot: Some(ballot()),
            previous: Some(previous),
            entries,
            leader_commit: Some(previous),
        };
        let request = self.sign(wire::AppendRequest { append: Some(append) });
        let answer = soon("an answer", self.client.append(request)).await.expect("taken");
        let result = answer.into_inner().result;
        assert!(matches!(result, Some(Appended::Success(_))), "{result:?}");
    }

    /// The call, to be awaited or dropped.
    pub(crate) fn install(
        &self,
        parts: Parts,
    ) -> impl Future<Output = Result<Response<wire::InstallSnapshotResponse>, Status>> + use<> {
        let mut messages = vec![Part::Header(parts.header)];
        let count = parts.records.len() as u64;
        for records in parts.records.chunks(1_000) {
            messages.push(Part::Records(wire::SnapshotRecords { records: records.to_vec() }));
        }
        messages.push(Part::End(wire::SnapshotEnd { records: count, checksum: parts.checksum }));
        let messages =
            messages.into_iter().map(|part| wire::InstallSnapshotRequest { part: Some(part) });
        let request = self.sign(futures::stream::iter(messages));
        let mut client = self.client.clone();
        async move { client.install_snapshot(request).await }
    }
}

/// It leads at once when it forms, and then nobody hurries it.
fn patient(mut config: NodeConfig) -> NodeConfig {
    config.timing.election_min = Duration::from_secs(200);
    config.timing.election_max = Duration::from_secs(300);
    config
}

fn ballot() -> wire::Ballot {
    wire::Ballot { term: TERM, voted_for: Some(FROM), committed: true }
}

/// A snapshot that ends there, of a machine with so many sessions.
pub(crate) fn snapshot(node: &Node, last: wire::Position, sessions: u64) -> Parts {
    let membership = Some(membership(node));
    // Somewhere in it.
    let membership_at = Some(wire::Position { term: 0, index: 0 });
    let meta = wire::SnapshotMeta { last: Some(last), membership_at, membership };
    // The bytes of the format, then what it says.
    let mut bytes = vec![1, 3];
    meta.encode(&mut bytes).expect("encoded");
    let meta = Bytes::from(bytes);
    let records: Vec<_> =
        machine(sessions).records().map(|record| encode_record(&record)).collect();
    let mut checksum = Checksum::default();
    checksum.update(&meta);
    records.iter().for_each(|record| checksum.update_record(record));
    let header = wire::SnapshotHeader { ballot: Some(ballot()), id: String::new(), meta };
    Parts { header, records, checksum: checksum.value() }
}

/// The node and the forged leader.
fn membership(node: &Node) -> wire::Membership {
    let own = node.status().nodes.into_iter().find(|node| node.id == TO).expect("it is one");
    let member = |id, name: &str| wire::MemberNode {
        id,
        name: name.to_owned(),
        peer_address: own.peer_address.to_string(),
        client_address: own.client_address.to_string(),
        claim: 0,
        stays_learner: false,
    };
    wire::Membership {
        configurations: vec![wire::Voters { ids: vec![TO, FROM] }],
        nodes: vec![member(TO, "a"), member(FROM, "forged")],
    }
}

fn machine(sessions: u64) -> Machine {
    let mut machine = Machine::default();
    let context = Context { term: Term(1), stamp_ms: 0 };
    for number in 0..sessions {
        machine.apply(&context, open(u128::from(number) + 1), &mut Vec::new());
    }
    machine
}
