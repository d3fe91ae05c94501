//! Nodes that die and come back: nothing acknowledged is lost, and who was away catches up.

use std::process::Command;
use std::time::{Duration, Instant};

use conclave_tests::raw::{Acquired, Raw, Wait};
use conclave_tests::{Cluster, alone, conclave, eventually};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn all_three_killed_at_once_keep_holds_and_queues() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    let holder = node.open("holder", LONG, Duration::ZERO).await.unwrap();
    let mut tokens = Vec::new();
    for number in 0..50 {
        tokens.push(node.acquire_now(&holder, number + 1, &format!("held/{number}")).await);
    }
    let mut waiters = Vec::new();
    for number in 1..=5 {
        let key = node.open(&format!("waiter-{number}"), LONG, Duration::ZERO).await.unwrap();
        assert_eq!(node.enqueue(&key, 1, "held/0").await, number);
        waiters.push(key);
    }
    let queue = node.queue("held/0").await.unwrap();

    for node in 0..cluster.size() {
        cluster.kill(node);
    }
    for node in 0..cluster.size() {
        cluster.restart(node);
    }

    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    for (number, token) in tokens.iter().enumerate() {
        assert!(node.check(&format!("held/{number}"), *token).await.unwrap().held, "held/{number}");
    }
    assert_eq!(node.queue("held/0").await.unwrap(), queue);
    node.keep_alive(&holder, 1).await.unwrap();
    node.release(&holder, 100, 0, tokens[0]).await.unwrap();
    let granted = node.acquire(&waiters[0], 1, "held/0", Wait::Forever(true)).await.unwrap();
    let Acquired::Granted(granted) = granted else { panic!("{granted:?}") };
    assert!(granted.token > *tokens.iter().max().unwrap(), "tokens still rise");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_for_200_000_commands_catches_up() {
    let _turn = alone();
    const COMMANDS: u64 = 200_000;
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let away = (leader + 1) % 3;
    let from = revision(&cluster, leader);
    cluster.kill(away);

    let started = Instant::now();
    while revision(&cluster, leader) < from + COMMANDS {
        assert!(started.elapsed() < Duration::from_secs(240), "the load makes no progress");
        let load = Command::new(conclave())
            .args(["--endpoint", &cluster.endpoints(), "bench", "lock"])
            .args(["--clients", "128", "--sessions", "4", "--seconds", "5", "-o", "json"])
            .output()
            .expect("conclave runs");
        assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
    }

    cluster.restart(away);
    let target = applied(&cluster, leader).expect("the leader answers");
    eventually("the node that was away has applied everything", Duration::from_secs(90), || {
        applied(&cluster, away).filter(|&applied| applied >= target)
    });
    // And it serves: all state is there, read from its own copy.
    let [there, here] = [leader, away].map(|node| sessions_and_objects(&cluster, node));
    assert_eq!(there, here);
}

/// The log index that this node has applied.
fn applied(cluster: &Cluster, node: usize) -> Option<u64> {
    let name = char::from(b'a' + node as u8).to_string();
    let status = cluster.status(node)?;
    status.nodes.into_iter().find(|other| other.name == name).map(|node| node.applied)
}

fn status(cluster: &Cluster, node: usize) -> serde_json::Value {
    let output = Command::new(conclave())
        .args(["--endpoint", &cluster.endpoint(node), "status", "-o", "json"])
        .output()
        .expect("conclave runs");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The number of commands that this node has applied.
fn revision(cluster: &Cluster, node: usize) -> u64 {
    status(cluster, node)["revision"].as_u64().expect("a status has a revision")
}

fn sessions_and_objects(cluster: &Cluster, node: usize) -> [u64; 3] {
    let status = status(cluster, node);
    ["sessions", "objects", "holds"].map(|key| status[key].as_u64().expect("a number"))
}
