//! `conclave elect`: one leads, another stands by, and whoever watches sees it.

mod support;

use std::process::Command;

use conclave_tests::{Cluster, Process, Signal, alone, eventually, together};
use serde_json::{Value, json};
use support::{Node, PATIENCE, UNTIL_END, binary, text};

/// The lines of JSON that an observer wrote so far.
fn events(observer: &Process) -> Vec<Value> {
    let output = observer.output();
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn words(observer: &Process) -> Vec<String> {
    let told = events(observer);
    told.iter().filter_map(|event| event["event"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_warm_standby_leads_when_the_leader_is_killed() {
    let _turn = alone();
    let cluster = Cluster::start(3);
    let environment = [("CONCLAVE_ENDPOINTS", &*cluster.endpoints())];
    let written = |name: &str| {
        eventually(name, PATIENCE, || {
            let text = std::fs::read_to_string(cluster.folder().join(name)).ok()?;
            text.ends_with('\n').then(|| text.trim_end().to_owned())
        })
    };
    let start = |label: &str| {
        let folder = cluster.folder().display();
        let script = format!("cd {folder}; echo $CONCLAVE_TERM > {label}; {UNTIL_END}; exit 3");
        let arguments =
            ["elect", "scheduler", "--ttl", "5", "--value", label, "--", "sh", "-c", &script];
        Process::start(binary(), arguments, &environment, cluster.folder(), label)
    };
    let mut leader = start("leader");
    let first: u64 = written("leader").parse().expect("a term");
    let mut standby = start("standby");
    let look = || {
        let output = Command::new(binary())
            .args(["--endpoint", &cluster.endpoints(), "inspect", "scheduler", "-o", "json"])
            .output()
            .expect("conclave runs");
        serde_json::from_slice::<Value>(&output.stdout).ok()
    };
    eventually("a candidate", PATIENCE, || (look()?["queue_len"] == 1).then_some(()));
    assert_eq!(look().expect("an answer")["holders"][0]["value"], "leader");
    assert!(!cluster.folder().join("standby").exists(), "two lead");
    leader.kill();
    let second: u64 = written("standby").parse().expect("a term");
    assert!(second > first, "{second} after {first}");
    std::fs::write(cluster.folder().join("end"), "").expect("a file");
    assert_eq!(standby.exit_code(PATIENCE), 3, "the code of the command: {}", standby.errors());
}

#[test]
fn forever_it_leads_again_and_ends_when_it_is_asked_to() {
    let _turn = together();
    let node = Node::start();
    let script = "echo $CONCLAVE_TERM >> terms; [ $(wc -l < terms) -lt 2 ] || { echo up > up; exec sleep 60; }";
    let mut job = node.under("job", &["elect", "scheduler", "--forever"], script);
    node.written("up");
    let terms = node.written("terms");
    let terms: Vec<u64> = terms.lines().map(|term| term.parse().expect("a term")).collect();
    assert!(terms.len() == 2 && terms[0] < terms[1], "{terms:?}");
    assert!(job.errors().contains("the command ended with 0; standing again"), "{}", job.errors());
    job.signal(Signal::TERM);
    assert_eq!(job.exit_code(PATIENCE), 143, "{}", job.errors());
    assert_eq!(node.json(&["inspect", "scheduler"])["holders"], json!([]));
}

#[test]
fn forever_outlives_a_cluster_that_went_away() {
    let _turn = together();
    let mut cluster = Cluster::start(1);
    let script =
        format!("cd {}; echo $CONCLAVE_TERM >> terms; exec sleep 60", cluster.folder().display());
    let environment = [("CONCLAVE_ENDPOINTS", &*cluster.endpoints())];
    let arguments =
        ["--connect-timeout", "1", "elect", "scheduler", "--ttl", "5", "--forever", "--"];
    let arguments = arguments.into_iter().chain(["sh", "-c", &script]);
    let mut job = Process::start(binary(), arguments, &environment, cluster.folder(), "job");
    let path = cluster.folder().join("terms");
    let led = |times: usize| {
        eventually("a term", PATIENCE, || {
            let terms = std::fs::read_to_string(&path).ok()?;
            (terms.lines().count() == times).then_some(())
        });
    };
    led(1);
    cluster.kill(0);
    eventually("it misses the cluster", PATIENCE, || {
        job.errors().contains("; trying again\n").then_some(())
    });
    cluster.restart(0);
    led(2);
    job.signal(Signal::TERM);
    assert_eq!(job.exit_code(PATIENCE), 143, "{}", job.errors());
    assert!(
        job.errors().contains("the cluster does not answer; stopping the command"),
        "{}",
        job.errors()
    );
}

#[test]
fn a_transfer_stops_the_leader_before_the_other_leads() {
    let _turn = together();
    let node = Node::start();
    let leading = "echo $CONCLAVE_TERM > term; trap 'sleep 0.3; rm term; exit 0' TERM; while :; do sleep 0.02; done";
    let mut old = node.under("old", &["elect", "scheduler", "--forever"], leading);
    let term = node.written("term");
    let next = format!("[ -f term ] && echo yes > both; echo up > next; {UNTIL_END}");
    let mut new = node.under("new", &["elect", "scheduler", "--priority", "-1"], &next);
    node.queued("scheduler", 1);
    let session = node.json(&["inspect", "scheduler"])["queue"][0]["session"].to_string();
    let wrong = node.run(&["transfer", "scheduler", "1", &session]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("no leader of term 1"), "{}", text(&wrong.stderr));
    assert_eq!(
        node.json(&["transfer", "scheduler", &term, &session])["session"].to_string(),
        session
    );
    node.written("next");
    assert_eq!(node.read("both"), None, "two led at once");
    assert!(old.errors().contains("transferred by"), "{}", old.errors());
    // It stands again, and leads again when the other has ended.
    node.queued("scheduler", 1);
    node.end();
    assert_eq!(new.exit_code(PATIENCE), 0, "{}", new.errors());
    assert_ne!(node.written("term"), term);
    old.signal(Signal::TERM);
    // The trap of the command answers the forwarded signal.
    assert_eq!(old.exit_code(PATIENCE), 0, "{}", old.errors());
}

#[test]
fn an_observer_sees_leaders_and_vacancy() {
    let _turn = together();
    let node = Node::start();
    let mut observer =
        node.start_conclave("observer", &["elect", "scheduler", "--observe", "-o", "json"]);
    eventually("the beginning", PATIENCE, || (!events(&observer).is_empty()).then_some(()));
    assert_eq!(
        (&events(&observer)[0]["event"], &events(&observer)[0]["leader"]),
        (&json!("view"), &json!(null))
    );
    let script = "echo $CONCLAVE_TERM > term";
    let arguments = ["elect", "scheduler", "--value", "host-7:80", "--session-name", "host-7"];
    let mut job = node.under("job", &arguments, script);
    assert_eq!(job.exit_code(PATIENCE), 0);
    eventually("vacancy", PATIENCE, || {
        words(&observer).iter().any(|word| word == "vacant").then_some(())
    });
    let told = events(&observer);
    let elected = told.iter().find(|event| event["event"] == "elected").expect("a leader");
    assert_eq!(elected["term"].to_string(), node.written("term"), "{elected}");
    assert_eq!(
        (&elected["value"], &elected["session_name"]),
        (&json!("host-7:80"), &json!("host-7"))
    );
    let vacant = told.iter().find(|event| event["event"] == "vacant").expect("vacancy");
    assert_eq!((&vacant["term"], &vacant["lost"]), (&elected["term"], &json!(false)));
    observer.signal(Signal::INT);
    assert_eq!(observer.exit_code(PATIENCE), 130);
}

#[test]
fn a_try_says_who_leads() {
    let _turn = together();
    let node = Node::start();
    let script = format!("echo up > up; {UNTIL_END}");
    let mut leader = node.under("leader", &["elect", "scheduler"], &script);
    node.written("up");
    let refused = node.run(&["elect", "scheduler", "-n", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75));
    let said = text(&refused.stderr);
    assert!(
        said.contains("scheduler is led by ") && said.contains(&format!("pid {}", leader.id())),
        "{said}"
    );
    node.end();
    assert_eq!(leader.exit_code(PATIENCE), 0);
}
