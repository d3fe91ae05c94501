//! Nodes that join a running cluster, those that are not let in, and those that were taken out.

use conclave_machine::Revision;
use conclave_raft::{Consistency, Fatal, MemberState, Node, NodeConfig, Role, StartError, Storage};

use crate::support::{PATIENCE, Places, Running, decide, filler, leader_of, leads, soon, until};

/// Begins with `a` alone; whoever else of the places joins asks `a`, and all know the same token.
pub(crate) struct Growing {
    pub(crate) places: Places,
}

impl Growing {
    pub(crate) async fn new() -> Self {
        Self { places: Places::new(&["a", "b", "c", "d", "e"]).await }
    }

    /// As `a` begins: nobody is named to it.
    pub(crate) fn first(&self) -> NodeConfig {
        NodeConfig { cluster: Vec::new(), token: "word".to_owned(), ..self.places.config("a") }
    }

    pub(crate) fn joining(&self, name: &str) -> NodeConfig {
        let asked = self.places.members[0].peer_address.clone();
        NodeConfig {
            cluster: Vec::new(),
            join: vec![asked],
            join_patience: PATIENCE,
            token: "word".to_owned(),
            ..self.places.config(name)
        }
    }

    pub(crate) async fn begin(&self) -> Running {
        let running = Running::start(self.first()).await.expect("it starts");
        leads(&running.node).await;
        running
    }

    /// Starts it and waits until it votes.
    pub(crate) async fn join(&self, name: &str, leader: &Node) -> Running {
        let running = Running::start(self.joining(name)).await.expect("it joins");
        votes(leader, name).await;
        running
    }

    pub(crate) fn wipe(&self, name: &str) {
        std::fs::remove_dir_all(self.places.directory(name)).expect("removed");
    }
}

/// Waits until the leader counts it among the voters, in force.
pub(crate) async fn votes(leader: &Node, name: &str) {
    until("it votes", async || {
        !leader.is_changing_members()
            && role_of(leader, name).is_some_and(|role| role != Role::Learner)
    })
    .await;
}

pub(crate) fn role_of(node: &Node, name: &str) -> Option<Role> {
    let status = node.status();
    status.nodes.into_iter().find(|node| &*node.name == name).map(|node| node.role)
}

pub(crate) fn id_of(node: &Node, name: &str) -> u64 {
    let status = node.status();
    status.nodes.into_iter().find(|node| &*node.name == name).expect("a member").id
}

pub(crate) async fn has_applied(node: &Node, revision: Revision) {
    let applied =
        async || node.read(Consistency::Stale, |_| ()).await.expect("it runs").revision >= revision;
    until("everything is applied", applied).await;
}

/// It stops for good, and does not come back with its data.
pub(crate) async fn is_gone_for_good(running: Running, config: NodeConfig) {
    let fatal = soon("it hears that it was removed", running.node.failed()).await;
    assert!(matches!(fatal, Fatal::Removed { .. }), "{fatal}");
    assert!(fatal.to_string().contains("--join"), "{fatal}");
    running.kill().await;
    let refused = Running::start(config).await.map(drop).expect_err("refused");
    assert!(matches!(refused, StartError::Removed { .. }), "{refused}");
    assert!(refused.to_string().contains("--join"), "{refused}");
}

async fn not_admitted(config: NodeConfig, why: &str) {
    let refused = Running::start(config).await.map(drop).expect_err("refused");
    assert!(matches!(refused, StartError::NotAdmitted { .. }), "{refused}");
    assert!(refused.to_string().contains(why), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_learns_then_votes_and_carries_the_cluster_on() {
    let growing = Growing::new().await;
    let a = growing.begin().await;
    let before = decide(&[&a.node], filler(1)).await.revision;
    let b = growing.join("b", &a.node).await;
    has_applied(&b.node, before).await;
    assert_eq!(a.node.status().cluster_id, b.node.status().cluster_id);
    assert!(id_of(&a.node, "b") >= 1_000);
    let c = growing.join("c", &a.node).await;

    // Without the first one the two that joined are the majority.
    a.kill().await;
    leader_of(&[&b.node, &c.node]).await;
    let after = decide(&[&b.node, &c.node], filler(2)).await.revision;

    // A node that joined is restarted as it was started: it has a place.
    let id = id_of(&c.node, "b");
    b.kill().await;
    let b = Running::start(growing.joining("b")).await.expect("it starts");
    has_applied(&b.node, after).await;
    assert_eq!(b.node.status().id, id);
    let last = decide(&[&b.node, &c.node], filler(3)).await.revision;
    has_applied(&c.node, last).await;
    b.kill().await;
    c.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_never_used_again_not_after_a_removal_a_snapshot_or_a_restart() {
    let growing = Growing::new().await;
    let small = |mut config: NodeConfig| {
        config.retention.snapshot_every_entries = 20;
        config.retention.keep_entries = 5;
        config
    };
    let mut a = Running::start(small(growing.first())).await.expect("it starts");
    let mut ids = Vec::new();
    for round in 0..3 {
        leads(&a.node).await;
        let b = growing.join("b", &a.node).await;
        ids.push(id_of(&a.node, "b"));
        // The newest member goes, so nothing that is left has as high an id.
        soon("it is removed", a.node.remove_member("b")).await.expect("removed");
        is_gone_for_good(b, growing.joining("b")).await;
        growing.wipe("b");
        let before = a.node.status().snapshot_index;
        for number in 0..60 {
            decide(&[&a.node], filler(round * 100 + number)).await;
        }
        until("a snapshot", async || a.node.status().snapshot_index > before + 20).await;
        a.kill().await;
        a = Running::start(small(growing.first())).await.expect("it starts");
    }
    assert!(ids.is_sorted_by(|earlier, later| earlier < later), "{ids:?}");
    a.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_members_name_another_token_and_a_name_nobody_expects_are_refused() {
    let growing = Growing::new().await;
    let a = growing.begin().await;
    let b = growing.join("b", &a.node).await;
    let elsewhere = |config: NodeConfig| NodeConfig {
        peer_address: growing.places.members[3].peer_address.clone(),
        storage: Storage::Directory(growing.places.directory("d")),
        ..config
    };
    not_admitted(elsewhere(growing.joining("b")), "conclave member remove b").await;
    let other = NodeConfig { token: "another".to_owned(), ..growing.joining("d") };
    not_admitted(other, "--cluster-token").await;
    // Nothing came of it.
    assert_eq!(a.node.status().nodes.len(), 2);
    b.kill().await;
    a.kill().await;

    let alone = Growing::new().await;
    let without = |config: NodeConfig| NodeConfig { token: String::new(), ..config };
    let a = Running::start(without(alone.first())).await.expect("it starts");
    leads(&a.node).await;
    not_admitted(without(alone.joining("b")), "conclave member add b").await;
    // With its place prepared it is let in, at that address only.
    let address = alone.places.members[1].peer_address.clone();
    let id = soon("a place", a.node.add_member("b", &address, false)).await.expect("prepared");
    let moved = alone.places.members[2].peer_address.clone();
    let moved = NodeConfig { peer_address: moved, ..without(alone.joining("b")) };
    not_admitted(moved, "--peer-advertise").await;
    let b = Running::start(without(alone.joining("b"))).await.expect("it joins");
    votes(&a.node, "b").await;
    assert_eq!(b.node.status().id, id);
    b.kill().await;
    a.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_never_forms_a_cluster_of_its_own() {
    let growing = Growing::new().await;
    let impatient =
        NodeConfig { join_patience: std::time::Duration::from_millis(500), ..growing.joining("b") };
    // Nobody is there.
    let refused = Running::start(impatient.clone()).await.map(drop).expect_err("refused");
    assert!(matches!(refused, StartError::NoPlace { .. }), "{refused}");
    let again = Running::start(impatient).await.map(drop).expect_err("refused");
    assert!(matches!(again, StartError::NoPlace { .. }), "{again}");
    let a = growing.begin().await;
    let b = growing.join("b", &a.node).await;

    // It has its place, and nothing of the log yet or any more that could be told from nothing: as alone as it is, it leads nobody.
    a.kill().await;
    b.kill().await;
    let b = Running::start(growing.joining("b")).await.expect("it starts");
    let a = Running::start(growing.first()).await.expect("it starts");
    leader_of(&[&a.node, &b.node]).await;
    assert_eq!(a.node.status().cluster_id, b.node.status().cluster_id);
    a.kill().await;
    b.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_shall_stay_one_is_promoted_by_hand_only() {
    let growing = Growing::new().await;
    let a = growing.begin().await;
    let address = growing.places.members[1].peer_address.clone();
    soon("a place", a.node.add_member("b", &address, true)).await.expect("prepared");
    let state =
        || a.node.status().nodes.into_iter().find(|node| &*node.name == "b").map(|b| b.state);
    assert_eq!(state(), Some(MemberState::Expected));
    let refused = soon("a refusal", a.node.promote_member("b")).await.expect_err("refused");
    assert!(refused.to_string().contains("no node has taken the place"), "{refused}");
    let b = Running::start(growing.joining("b")).await.expect("it joins");
    let last = decide(&[&a.node], filler(1)).await.revision;
    has_applied(&b.node, last).await;
    assert_eq!((state(), role_of(&a.node, "b")), (Some(MemberState::Settled), Some(Role::Learner)));
    // It has no vote, so the other one decides without it.
    b.kill().await;
    decide(&[&a.node], filler(2)).await;
    let b = Running::start(growing.joining("b")).await.expect("it starts");
    until("it is promoted", async || a.node.promote_member("b").await.is_ok()).await;
    votes(&a.node, "b").await;
    b.kill().await;
    a.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_moved_is_found_at_its_new_address() {
    let growing = Growing::new().await;
    let a = growing.begin().await;
    let b = growing.join("b", &a.node).await;
    let c = growing.join("c", &a.node).await;
    c.kill().await;
    let address = growing.places.members[3].peer_address.clone();
    let moved = NodeConfig {
        peer_address: address.clone(),
        client_address: "moved.example:1".to_owned(),
        ..growing.joining("c")
    };
    let c = Running::start(moved).await.expect("it starts");
    let last = decide(&[&a.node, &b.node], filler(1)).await.revision;
    has_applied(&c.node, last).await;
    let known = |node: &Node| {
        let member = node.status().nodes.into_iter().find(|node| &*node.name == "c");
        member.is_some_and(|member| {
            *member.peer_address == address && &*member.client_address == "moved.example:1"
        })
    };
    until("everybody knows", async || known(&a.node) && known(&b.node)).await;
    for running in [a, b, c] {
        running.kill().await;
    }
}
