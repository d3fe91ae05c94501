//! Three nodes over loopback: they agree, outlive their leader, catch up, and keep strangers out.

use conclave_machine::{LossNumber, Machine, Outcome, Revision, Token};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::install_snapshot_request::Part;
use conclave_proto::internal::v1::peer_service_client::PeerServiceClient;
use conclave_raft::{
    Consistency, Fatal, Interest, KeepAliveError, Missed, Node, NodeConfig, Position, ProposeError,
    StepDownError, Storage,
};
use conclave_store::SnapshotStore;
use prost::Message as _;
use tonic::{Code, Request};

use crate::support::{
    Places, Running, acquire, decide, filler, leader_of, name, open_session, soon, until,
};

const NAMES: [&str; 3] = ["a", "b", "c"];

struct Cluster {
    places: Places,
    /// In the order of the names; none: not running.
    nodes: Vec<Option<Running>>,
    shape: fn(&mut NodeConfig),
}

impl Cluster {
    async fn start(shape: fn(&mut NodeConfig)) -> Self {
        let places = Places::new(&NAMES).await;
        let mut cluster = Self { places, nodes: Vec::new(), shape };
        for index in 0..NAMES.len() {
            cluster.nodes.push(None);
            cluster.revive(index).await;
        }
        cluster
    }

    async fn revive(&mut self, index: usize) {
        let mut config = self.places.config(NAMES[index]);
        (self.shape)(&mut config);
        let running = Running::start(config).await.expect("it starts");
        self.nodes[index] = Some(running);
    }

    async fn kill(&mut self, index: usize) {
        self.nodes[index].take().expect("it runs").kill().await;
    }

    fn running(&self) -> Vec<&Node> {
        self.nodes.iter().flatten().map(|running| &running.node).collect()
    }

    fn node(&self, index: usize) -> &Node {
        &self.nodes[index].as_ref().expect("it runs").node
    }

    /// The place of the leader.
    async fn leader(&self) -> usize {
        let running: Vec<_> = (0..3).filter(|index| self.nodes[*index].is_some()).collect();
        running[leader_of(&self.running()).await]
    }

    /// Waits until all running nodes have applied as much, and returns their common digest.
    async fn agreed(&self, revision: Revision) -> u64 {
        let mut digests = Vec::new();
        for node in self.running() {
            until("everything is applied", async || applied(node).await >= revision).await;
            let read = node.read(Consistency::Stale, Machine::digest).await.expect("it runs");
            digests.push(read.value);
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "the nodes differ");
        digests[0]
    }

    async fn stop(self) {
        drop(self.stop_keeping().await);
    }

    /// The directories stay as long as what is returned.
    async fn stop_keeping(mut self) -> Places {
        for index in 0..NAMES.len() {
            if self.nodes[index].is_some() {
                self.kill(index).await;
            }
        }
        self.places
    }
}

async fn applied(node: &Node) -> Revision {
    node.read(Consistency::Stale, |_| ()).await.expect("it runs").revision
}

fn granted(outcome: &Outcome) -> Token {
    match outcome {
        Outcome::Granted { token, .. } => *token,
        other => panic!("not granted: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_form_agree_and_tell_where_the_leader_is() {
    let cluster = Cluster::start(|_| {}).await;
    let leader = cluster.leader().await;
    let key = open_session(cluster.node(leader), 1).await;
    let decided = decide(&cluster.running(), acquire(key, 1, "job")).await;
    granted(&decided.outcome);
    cluster.agreed(decided.revision).await;

    for (index, node) in cluster.running().into_iter().enumerate() {
        until("it knows the leader", async || node.status().ready).await;
        let status = node.status();
        let hint = status.leader.expect("known");
        assert_eq!(&*hint.name, NAMES[leader]);
        assert_eq!(&*hint.client_address, format!("{}.example:7420", NAMES[leader]));
        assert_eq!(status.nodes.len(), 3);
        assert_eq!(status.cluster_id, cluster.node(0).status().cluster_id);
        if index != leader {
            let refused = soon("a refusal", node.propose(filler(1))).await;
            let known = matches!(&refused, Err(ProposeError::NotLeader { leader: Some(hint) })
                if &*hint.name == NAMES[leader]);
            assert!(known, "{refused:?}");
        }
    }
    let heard = || cluster.node(leader).status().nodes.iter().all(|node| node.reachable);
    until("the leader hears everybody", async || heard()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_and_comes_back() {
    let mut cluster = Cluster::start(|_| {}).await;
    let first = cluster.leader().await;
    let key = open_session(cluster.node(first), 1).await;
    let before = decide(&cluster.running(), acquire(key, 1, "before")).await;

    cluster.kill(first).await;
    let second = cluster.leader().await;
    assert_ne!(first, second);
    let after = decide(&cluster.running(), acquire(key, 2, "after")).await;
    assert!(granted(&after.outcome) > granted(&before.outcome));
    let held = cluster.node(second).read(Consistency::Linearizable, |machine| {
        machine.inspect(&name("before"), 1).map(|view| view.holders[0].token)
    });
    let held = soon("a read", held).await.expect("it leads");
    assert_eq!(held.value, Some(granted(&before.outcome)));

    cluster.revive(first).await;
    cluster.agreed(after.revision).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_may_stop_at_once() {
    let mut cluster = Cluster::start(|_| {}).await;
    let leader = cluster.leader().await;
    let key = open_session(cluster.node(leader), 1).await;
    let decided = decide(&cluster.running(), acquire(key, 1, "job")).await;
    let digest = cluster.agreed(decided.revision).await;
    for index in 0..NAMES.len() {
        cluster.kill(index).await;
    }
    for index in 0..NAMES.len() {
        cluster.revive(index).await;
    }
    cluster.leader().await;
    assert_eq!(cluster.agreed(decided.revision).await, digest);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_too_far_behind_gets_a_snapshot() {
    let small = |config: &mut NodeConfig| {
        config.retention.snapshot_every_entries = 50;
        config.retention.keep_entries = 5;
        config.retention.lag_entries_max = 100;
    };
    let mut cluster = Cluster::start(small).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    let key = open_session(cluster.node(leader), 1).await;
    decide(&cluster.running(), acquire(key, 1, "job")).await;
    cluster.kill(away).await;

    let mut last = Revision(0);
    for number in 0..400 {
        last = decide(&cluster.running(), filler(number)).await.revision;
    }
    let taken = || cluster.node(leader).status().snapshot_index > 200;
    until("the leader has two snapshots", async || taken()).await;
    cluster.revive(away).await;
    cluster.agreed(last).await;
    let installed = cluster.node(away).status().snapshot_index;
    assert!(installed > 200, "it caught up without a snapshot ({installed})");
    // What the snapshot stands for was never told there: whoever watched elsewhere hears so, and goes on behind it.
    let interest = || Interest::Prefix("".into());
    let before = Position::whole(Revision(1));
    let elsewhere = cluster.node(leader).hub().watch(interest(), before);
    assert!(elsewhere.is_covered());
    let mut watcher = cluster.node(away).hub().watch(interest(), before);
    assert_eq!(soon("a word", watcher.next()).await, Err(Missed));
    watcher.restart(last);
    last = decide(&cluster.running(), acquire(key, 2, "another job")).await.revision;
    let told = soon("an event", watcher.next()).await.expect("nothing was missed");
    assert_eq!(told[0].at.revision, last);

    // What it got is on its disk.
    cluster.kill(away).await;
    cluster.revive(away).await;
    assert!(cluster.node(away).status().snapshot_index >= installed);
    cluster.agreed(last).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_on_demand() {
    let cluster = Cluster::start(|_| {}).await;
    let first = cluster.leader().await;
    let heir = NAMES[(first + 1) % 3];
    let hint = soon("a hand-over", cluster.node(first).step_down(Some(heir))).await;
    assert_eq!(&*hint.expect("handed over").name, heir);
    assert_eq!(NAMES[cluster.leader().await], heir);

    let second = cluster.leader().await;
    let nobody = soon("a refusal", cluster.node(second).step_down(Some("nobody"))).await;
    assert_eq!(nobody, Err(StepDownError::UnknownNode { name: "nobody".to_owned() }));
    let other = (second + 1) % 3;
    let refused = soon("a refusal", cluster.node(other).step_down(None)).await;
    assert!(matches!(refused, Err(StepDownError::NotLeader { .. })), "{refused:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_alone_stops_leading_and_answers_nobody_for_sure() {
    let mut cluster = Cluster::start(|_| {}).await;
    let leader = cluster.leader().await;
    let key = open_session(cluster.node(leader), 1).await;
    let alive = cluster.node(leader).keep_alive(key, LossNumber(0)).await;
    assert!(alive.is_ok(), "{alive:?}");
    cluster.kill((leader + 1) % 3).await;
    cluster.kill((leader + 2) % 3).await;
    let node = cluster.node(leader);
    // It may well still believe that it leads; a keepalive must not be told so.
    let alive = soon("an answer", node.keep_alive(key, LossNumber(0))).await;
    assert!(matches!(alive, Err(KeepAliveError::NotLeader { .. })), "{alive:?}");
    let answer = soon("an answer", node.propose(filler(1))).await;
    let unsure =
        matches!(answer, Err(ProposeError::Unknown { .. } | ProposeError::NotLeader { .. }));
    assert!(unsure, "{answer:?}");
    let mut leadership = node.leadership();
    let resigned = leadership.wait_for(|now| !now.leading && now.leader.is_none());
    soon("it resigns", resigned).await.expect("it runs");
    let read = soon("a read", node.read(Consistency::Linearizable, |_| ())).await;
    assert!(read.is_err(), "{read:?}");
    soon("a stale read", node.read(Consistency::Stale, |_| ())).await.expect("always");

    cluster.revive((leader + 1) % 3).await;
    let decided = decide(&cluster.running(), filler(2)).await;
    cluster.agreed(decided.revision).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_is_told_how_to_rejoin() {
    let mut cluster = Cluster::start(|_| {}).await;
    let leader = cluster.leader().await;
    decide(&cluster.running(), filler(1)).await;
    // The first of the list as well as any other.
    for away in [0, 2] {
        cluster.kill(away).await;
        let directory = cluster.places.directory(NAMES[away]);
        let aside = cluster.places.directory("aside");
        std::fs::rename(&directory, &aside).expect("moved");
        cluster.revive(away).await;
        let fatal = soon("it gives up", cluster.node(away).failed()).await;
        assert!(matches!(fatal, Fatal::Wiped { .. }), "{fatal}");
        assert!(fatal.to_string().contains("conclave member remove"), "{fatal}");
        cluster.kill(away).await;
        std::fs::remove_dir_all(&directory).expect("removed");
        std::fs::rename(&aside, &directory).expect("moved back");
        cluster.revive(away).await;
    }
    let _ = leader;
    let decided = decide(&cluster.running(), filler(2)).await;
    cluster.agreed(decided.revision).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_cluster_of_the_same_names_is_refused() {
    let mut cluster = Cluster::start(|_| {}).await;
    cluster.leader().await;
    let other = Cluster::start(|_| {}).await;
    other.leader().await;
    let kept = other.stop_keeping().await;
    let mut config = cluster.places.config(NAMES[1]);
    config.storage = Storage::Directory(kept.directory(NAMES[1]));
    cluster.kill(1).await;
    let stray = Running::start(config).await.expect("it starts");
    let fatal = soon("it gives up", stray.node.failed()).await;
    assert!(matches!(fatal, Fatal::OtherCluster { .. }), "{fatal}");
    stray.kill().await;

    cluster.revive(1).await;
    let decided = decide(&cluster.running(), filler(2)).await;
    cluster.agreed(decided.revision).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_forms_only_when_all_agree_on_the_list() {
    let places = Places::new(&NAMES).await;
    let a = Running::start(places.config("a")).await.expect("it starts");
    let b = Running::start(places.config("b")).await.expect("it starts");
    let mut other = places.config("c");
    other.token = "another".to_owned();
    let c = Running::start(other).await.expect("it starts");
    let mut client = client(&places, 2).await;
    let asked = soon("an answer", client.introduce(wire::IntroduceRequest {})).await;
    assert_eq!(asked.expect("answered").into_inner().token, "another");
    assert_eq!(a.node.status().cluster_id, None);
    c.kill().await;
    assert_eq!(a.node.status().cluster_id, None);

    std::fs::remove_dir_all(places.directory("c")).expect("removed");
    let c = Running::start(places.config("c")).await.expect("it starts");
    leader_of(&[&a.node, &b.node, &c.node]).await;
    for running in [a, b, c] {
        running.kill().await;
    }
}

async fn client(places: &Places, index: usize) -> PeerServiceClient<tonic::transport::Channel> {
    let address = format!("http://{}", places.members[index].peer_address);
    PeerServiceClient::connect(address).await.expect("it listens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_another_cluster_or_for_another_node_is_refused() {
    let cluster = Cluster::start(|_| {}).await;
    let leader = cluster.leader().await;
    let own = cluster.node(leader).status().cluster_id.expect("formed");
    let id = leader as u64 + 1;
    let from = id % 3 + 1;
    let call = |cluster: u128, from: u64, to: u64| {
        let ballot = wire::Ballot { term: 1_000_000, voted_for: Some(from), committed: true };
        let vote = wire::VoteRequest { ballot: Some(ballot), last: None, transfer: true };
        let mut request = Request::new(vote);
        let metadata = request.metadata_mut();
        metadata.insert("conclave-cluster", format!("{cluster:032x}").parse().expect("ascii"));
        metadata.insert("conclave-from", from.into());
        metadata.insert("conclave-to", to.into());
        request
    };
    let mut peer = client(&cluster.places, leader).await;
    let nameless = Request::new(call(own, from, id).into_inner());
    let forged = [call(own + 1, from, id), call(own, from, id + 1), call(own, id, id), nameless];
    for request in forged {
        let refused = soon("a refusal", peer.vote(request)).await.expect_err("refused");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(!refused.message().is_empty());
    }
    // Nothing of it was heeded: the term is still a small one.
    assert!(cluster.node(leader).status().term.get() < 1_000_000);
    let decided = decide(&cluster.running(), filler(2)).await;
    cluster.agreed(decided.revision).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_leader_of_the_past_does_not_come_as_far_as_the_disk() {
    let mut cluster = Cluster::start(|_| {}).await;
    let leader = cluster.leader().await;
    let own = cluster.node(leader).status().cluster_id.expect("formed");
    let (id, from) = (leader as u64 + 1, (leader as u64 + 1) % 3 + 1);
    let mut peer = client(&cluster.places, leader).await;
    let before = cluster.node(leader).status();
    // The bytes of the format, then what it says.
    let mut meta = vec![1, 3];
    let last = Some(wire::Position { term: 0, index: 1_000_000 });
    let membership = Some(wire::Membership::default());
    wire::SnapshotMeta { last, membership_at: None, membership }
        .encode(&mut meta)
        .expect("encoded");
    let mut install = async |term: u64| {
        let ballot = wire::Ballot { term, voted_for: Some(from), committed: true };
        let (ballot, meta) = (Some(ballot), meta.clone().into());
        let header = wire::SnapshotHeader { ballot, id: String::new(), meta };
        let parts = [Part::Header(header), Part::End(wire::SnapshotEnd { records: 0 })];
        let parts = parts.map(|part| wire::InstallSnapshotRequest { part: Some(part) });
        let mut request = Request::new(futures::stream::iter(parts));
        let metadata = request.metadata_mut();
        metadata.insert("conclave-cluster", format!("{own:032x}").parse().expect("ascii"));
        metadata.insert("conclave-from", from.into());
        metadata.insert("conclave-to", id.into());
        soon("an answer", peer.install_snapshot(request)).await
    };
    let answer = install(0).await.expect("answered").into_inner();
    assert_eq!(answer.ballot.map(|ballot| ballot.term), Some(before.term.get()));
    let refused = install(u64::MAX).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");

    drop(peer);
    cluster.kill(leader).await;
    let directory = cluster.places.directory(NAMES[leader]).join("snapshots");
    let store = SnapshotStore::open(&directory).expect("it opens");
    assert_eq!(store.list(), []);
    drop(store);
    cluster.revive(leader).await;
    let decided = decide(&cluster.running(), filler(2)).await;
    cluster.agreed(decided.revision).await;
    cluster.stop().await;
}
