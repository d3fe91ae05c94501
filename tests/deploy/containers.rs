//! What happens to containers, and that nobody outside loses anything by it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use conclave_tests::eventually;
use serde_json::Value;

use crate::stage::{NODES, PATIENCE, Stage};

/// A majority that is left goes on within this time on a busy machine.
const FAIL_OVER_MAX: Duration = Duration::from_secs(15);

/// What is played on a cluster that is whole.
pub(crate) type Scenario = fn(&mut Stage);

/// Each with its name, in this order.
pub(crate) const SCENARIOS: &[(&str, Scenario)] = &[
    ("containers_are_confined", confined),
    ("a_killed_leader_is_replaced_and_comes_back", leader_killed),
    ("a_leader_cut_off_from_the_network_is_replaced_and_comes_back", leader_cut_off),
    ("a_follower_cut_off_from_the_network_stops_nobody", follower_cut_off),
    ("a_paused_leader_is_replaced_and_believes_it", leader_paused),
    ("all_nodes_restarted_in_good_order_lose_nothing", all_restarted),
    ("all_nodes_killed_at_once_lose_nothing", all_killed),
    ("containers_made_anew_know_what_is_on_the_volumes", made_anew),
    ("the_workers_of_the_demo_take_turns", demo),
];

/// The other two.
fn others(node: &str) -> Vec<&'static str> {
    NODES.into_iter().filter(|other| *other != node).collect()
}

/// Hurts the leader; the others elect a new one and grants go on. Answers who it was.
fn without_leader(stage: &Stage, hurt: impl FnOnce(&str)) -> &'static str {
    let leader = stage.leader_among(&NODES);
    let from = Instant::now();
    hurt(leader);
    let next = stage.leader_among(&others(leader));
    assert_ne!(next, leader);
    stage.outside.grants_go_on();
    let gap = stage.outside.longest_gap_since(from);
    println!("{leader} led, {next} leads; longest time without a grant: {gap:?}");
    assert!(gap < FAIL_OVER_MAX, "{gap:?} without a grant");
    stage.outside.verdict();
    leader
}

fn confined(stage: &mut Stage) {
    for node in NODES {
        let container = stage.container(node);
        let is = |field: &str| -> Value {
            serde_json::from_str(&stage.engine.inspect(&container, field)).expect("JSON")
        };
        assert_eq!(is(".HostConfig.ReadonlyRootfs"), true);
        assert_eq!(is(".HostConfig.Privileged"), false);
        assert_eq!(is(".HostConfig.CapDrop")[0], "ALL");
        assert_eq!(is(".Config.User"), "65532:65532");
        let ports = is(".NetworkSettings.Ports");
        let published: Vec<_> = ports
            .as_object()
            .expect("ports")
            .iter()
            .flat_map(|(port, places)| {
                places.as_array().into_iter().flatten().map(move |p| (port, p))
            })
            .collect();
        assert_eq!(published.len(), 1, "the port of clients and nothing else: {ports}");
        for (port, place) in published {
            assert_eq!(port, "7420/tcp");
            let address = place["HostIp"].as_str().expect("an address");
            assert!(address.starts_with("127."), "published beyond this machine: {ports}");
        }
    }
}

fn leader_killed(stage: &mut Stage) {
    let leader = without_leader(stage, |leader| {
        stage.engine.docker(&["kill", "--signal", "KILL", &stage.container(leader)]);
    });
    stage.engine.docker(&["start", &stage.container(leader)]);
    stage.all_healthy();
}

fn leader_cut_off(stage: &mut Stage) {
    let leader = without_leader(stage, |leader| stage.disconnect(leader));
    stage.connect(leader);
    stage.all_healthy();
}

fn follower_cut_off(stage: &mut Stage) {
    let leader = stage.leader_among(&NODES);
    let follower = others(leader)[0];
    let term = stage.status(leader).expect("the leader answers").term;
    let from = Instant::now();
    stage.disconnect(follower);
    // Long enough for it to notice and to want an election; nobody votes before it is back.
    let container = stage.container(follower);
    eventually("it says that it is not healthy", PATIENCE, || {
        let health = stage.engine.inspect(&container, ".State.Health.Status");
        (health == "\"unhealthy\"").then_some(())
    });
    stage.outside.grants_go_on();
    let gap = stage.outside.longest_gap_since(from);
    println!("{follower} was cut off; longest time without a grant: {gap:?}");
    stage.connect(follower);
    stage.all_healthy();
    assert!(gap < FAIL_OVER_MAX, "{gap:?} without a grant");
    let seen = stage.status(leader).expect("the leader answers");
    assert_eq!(
        (seen.leader.as_deref(), seen.term),
        (Some(leader), term),
        "who comes back disturbs nobody"
    );
}

fn leader_paused(stage: &mut Stage) {
    let leader = without_leader(stage, |leader| {
        stage.engine.docker(&["pause", &stage.container(leader)]);
    });
    stage.engine.docker(&["unpause", &stage.container(leader)]);
    stage.all_healthy();
}

fn all_restarted(stage: &mut Stage) {
    stage.compose(&["restart", "a", "b", "c"]);
    stage.all_healthy();
}

fn all_killed(stage: &mut Stage) {
    stage.compose(&["kill", "a", "b", "c"]);
    stage.compose(&["start", "a", "b", "c"]);
    stage.all_healthy();
}

fn made_anew(stage: &mut Stage) {
    let before: BTreeSet<_> = NODES.map(|node| stage.container(node)).into();
    stage.compose(&["down"]);
    stage.compose(&["up", "--detach", "--no-build", "a", "b", "c"]);
    let after: BTreeSet<_> = NODES.map(|node| stage.container(node)).into();
    assert!(before.is_disjoint(&after), "they are the old containers");
    stage.all_healthy();
    let seen = inspect(stage, "deploy/held").expect("an answer");
    assert_eq!(seen["holders"][0]["token"], stage.outside.token_held(), "{seen}");
}

fn demo(stage: &mut Stage) {
    stage.compose(&["up", "--detach", "--no-build"]);
    let mut tokens = BTreeSet::new();
    eventually("two of them in turn, while the others wait", Duration::from_secs(60), || {
        let seen = inspect(stage, "demo/report")?;
        let waiting = seen["queue"].as_array()?.len();
        if waiting > 0 {
            tokens.insert(seen["holders"][0]["token"].as_u64()?);
        }
        (tokens.len() >= 2).then_some(())
    });
    stage.compose(&["rm", "--stop", "--force", "worker-1", "worker-2", "worker-3"]);

    let leads = |stage: &Stage| {
        let seen = inspect(stage, "demo/leader")?;
        let [leader] = &seen["holders"].as_array()?[..] else { return None };
        Some(leader["value"].as_str()?.to_owned())
    };
    let first = eventually("a candidate leads", Duration::from_secs(60), || leads(stage));
    stage.compose(&["stop", &first]);
    let second = eventually("the other one leads", Duration::from_secs(60), || {
        leads(stage).filter(|leader| *leader != first)
    });
    assert!(["candidate-1", "candidate-2"].contains(&&*second), "{second}");
    stage.compose(&["rm", "--stop", "--force", "candidate-1", "candidate-2"]);
}

/// What the cluster says of a name, asked from outside.
fn inspect(stage: &Stage, name: &str) -> Option<Value> {
    let output = Command::new(&stage.binary)
        .args(["--endpoint", &stage.endpoints(), "inspect", name, "-o", "json"])
        .output()
        .expect("conclave runs");
    serde_json::from_slice(&output.stdout).ok()
}
