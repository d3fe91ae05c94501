//! Members that are taken out: the dead, the leader, the one that lost its data; what is refused, and what a crash leaves.

use conclave_raft::{Fatal, MemberError, Node, NodeConfig, StartError};

use crate::joining::{Growing, has_applied, id_of, is_gone_for_good, role_of, votes};
use crate::support::{Places, Running, decide, filler, leader_of, soon, until};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Three nodes that formed a cluster by their list.
async fn three() -> (Places, Vec<Running>) {
    let places = Places::new(&NAMES).await;
    let mut running = Vec::new();
    for name in NAMES {
        running.push(Running::start(places.config(name)).await.expect("it starts"));
    }
    leader_of(&nodes(&running)).await;
    (places, running)
}

fn nodes(running: &[Running]) -> Vec<&Node> {
    running.iter().map(|running| &running.node).collect()
}

/// Asks whoever leads, until it is decided or refused for good.
async fn remove(nodes: &[&Node], name: &str) -> Result<u64, MemberError> {
    soon("a decision", async {
        loop {
            for node in nodes {
                match node.remove_member(name).await {
                    Err(MemberError::NotLeader { .. } | MemberError::UnderWay) => {}
                    decided => return decided,
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn stop(running: Vec<Running>) {
    for running in running {
        running.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_member_is_removed_and_a_living_one_that_is_needed_is_not() {
    let (places, mut running) = three().await;
    let leader = leader_of(&nodes(&running)).await;
    let away = (leader + 1) % 3;
    let other = NAMES[(leader + 2) % 3];
    running.remove(away).kill().await;
    let left = nodes(&running);
    until("it is not reached", async || {
        let leader = leader_of(&left).await;
        let status = left[leader].status();
        status.nodes.iter().any(|node| &*node.name == NAMES[away] && !node.reachable)
    })
    .await;
    for needed in [other, NAMES[leader]] {
        let refused = remove(&left, needed).await.expect_err("refused");
        assert!(matches!(refused, MemberError::QuorumLost { living: 1, .. }), "{refused}");
    }
    let unknown = remove(&left, "nobody").await.expect_err("refused");
    assert_eq!(unknown, MemberError::Unknown { name: "nobody".to_owned() });

    remove(&left, NAMES[away]).await.expect("removed");
    decide(&left, filler(1)).await;
    let leader = leader_of(&left).await;
    assert_eq!(role_of(left[leader], NAMES[away]), None);
    // It was away, so nobody told it.
    let back = Running::start(places.config(NAMES[away])).await.expect("it starts");
    is_gone_for_good(back, places.config(NAMES[away])).await;
    decide(&left, filler(2)).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_removed_and_the_others_go_on() {
    let (places, mut running) = three().await;
    let leader = leader_of(&nodes(&running)).await;
    decide(&nodes(&running), filler(1)).await;
    let id = remove(&nodes(&running), NAMES[leader]).await.expect("removed");
    assert_eq!(id, leader as u64 + 1);
    is_gone_for_good(running.remove(leader), places.config(NAMES[leader])).await;
    let last = decide(&nodes(&running), filler(2)).await.revision;
    for node in nodes(&running) {
        has_applied(node, last).await;
    }
    // Down to one, which is the last.
    let other = leader_of(&nodes(&running)).await;
    let name = running[1 - other].node.status().name;
    remove(&nodes(&running), &name).await.expect("removed");
    is_gone_for_good(running.remove(1 - other), places.config(&name)).await;
    let last = running[0].node.status().name;
    let refused = remove(&nodes(&running), &last).await.expect_err("refused");
    assert!(matches!(refused, MemberError::LastVoter { .. }), "{refused}");
    decide(&nodes(&running), filler(3)).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_lost_its_data_comes_back_under_a_fresh_id_only() {
    let (places, mut running) = three().await;
    let leader = leader_of(&nodes(&running)).await;
    let away = (leader + 1) % 3;
    let name = NAMES[away];
    running.remove(away).kill().await;
    std::fs::remove_dir_all(places.directory(name)).expect("removed");

    let listed = Running::start(places.config(name)).await.expect("it starts");
    let fatal = soon("it gives up", listed.node.failed()).await;
    assert!(matches!(fatal, Fatal::Wiped { .. }), "{fatal}");
    assert!(fatal.to_string().contains(&format!("conclave member remove {name}")), "{fatal}");
    assert!(fatal.to_string().contains("--join"), "{fatal}");
    listed.kill().await;
    std::fs::remove_dir_all(places.directory(name)).expect("removed");

    let asked = NAMES.iter().zip(&places.members).filter(|(other, _)| **other != name);
    let joining = NodeConfig {
        cluster: Vec::new(),
        join: asked.map(|(_, member)| member.peer_address.clone()).collect(),
        join_patience: crate::support::PATIENCE,
        ..places.config(name)
    };
    let refused = Running::start(joining.clone()).await.map(drop).expect_err("refused");
    assert!(matches!(refused, StartError::NotAdmitted { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("conclave member remove {name}")), "{refused}");

    remove(&nodes(&running), name).await.expect("removed");
    let leads = leader_of(&nodes(&running)).await;
    let place = running[leads].node.add_member(name, &joining.peer_address, false);
    let id = soon("a place", place).await.expect("prepared");
    assert!(id > 3);
    let back = Running::start(joining).await.expect("it joins");
    votes(&running[leads].node, name).await;
    assert_eq!((back.node.status().id, id_of(&running[leads].node, name)), (id, id));
    running.push(back);
    // With its vote there is a majority without the leader.
    running.remove(leads).kill().await;
    leader_of(&nodes(&running)).await;
    decide(&nodes(&running), filler(1)).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_a_crash_left_half_done_is_finished_by_the_next_leader() {
    let (places, mut running) = three().await;
    let leader = leader_of(&nodes(&running)).await;
    let going = NAMES[(leader + 1) % 3];
    let begun = running[leader].node.leave_removal_half_done(going);
    soon("the first half is decided", begun).await.expect("decided");
    assert!(running[leader].node.is_changing_members());
    let refused = soon("a refusal", running[leader].node.add_member("x", "x:1", false));
    let busy = tokio::time::timeout(std::time::Duration::from_millis(200), refused).await;
    assert!(busy.is_err(), "nothing else is changed there: {busy:?}");

    running.remove(leader).kill().await;
    // Both sets of voters must agree: of three the two that are left, of the new two both, so the old leader must come back.
    running.push(Running::start(places.config(NAMES[leader])).await.expect("it starts"));
    let done = |node: &Node| !node.is_changing_members() && role_of(node, going).is_none();
    let staying = || nodes(&running).into_iter().filter(|node| &*node.status().name != going);
    until("it is finished", async || staying().all(done)).await;
    let place = running.iter().position(|running| &*running.node.status().name == going);
    is_gone_for_good(running.remove(place.expect("it runs")), places.config(going)).await;
    decide(&nodes(&running), filler(1)).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joining_node_whose_directory_was_lost_before_it_voted_gets_another_id() {
    let growing = Growing::new().await;
    let a = growing.begin().await;
    let address = growing.places.members[1].peer_address.clone();
    soon("a place", a.node.add_member("b", &address, true)).await.expect("prepared");
    let b = Running::start(growing.joining("b")).await.expect("it joins");
    let first = b.node.status().id;
    b.kill().await;
    growing.wipe("b");
    // While the leader still thinks that it lives its name is taken; then it is let in as somebody new.
    let mut again = None;
    until("it is let in again", async || {
        again = Running::start(growing.joining("b")).await.ok();
        again.is_some()
    })
    .await;
    let b = again.expect("it runs");
    assert!(b.node.status().id > first);
    assert_eq!(a.node.status().nodes.len(), 2);
    let last = decide(&[&a.node], filler(1)).await.revision;
    has_applied(&b.node, last).await;
    b.kill().await;
    a.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_names_others_than_the_members_changes_nothing() {
    let (places, mut running) = three().await;
    running.remove(2).kill().await;
    let mut config = places.config("c");
    config.cluster.retain(|member| member.name != "a");
    let stranger = places.members[0].clone();
    config.cluster.push(conclave_raft::Member { name: "x".to_owned(), ..stranger });
    let c = Running::start(config).await.expect("it starts");
    let last = decide(&nodes(&running), filler(1)).await.revision;
    has_applied(&c.node, last).await;
    let names: Vec<_> = c.node.status().nodes.into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["a", "b", "c"].map(Box::from));
    running.push(c);
    stop(running).await;
}
