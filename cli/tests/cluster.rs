//! The command line against three nodes: what it shows, and that a change of leader is no reason to stop a command.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use conclave_tests::{Cluster, Process, alone, eventually, together};
use serde_json::Value;
use support::{PATIENCE, binary, text};

fn json(cluster: &Cluster, arguments: &[&str]) -> Option<Value> {
    let output = Command::new(binary())
        .args(["--endpoint", &cluster.endpoints()])
        .args(arguments)
        .args(["-o", "json"])
        .output()
        .expect("conclave runs");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn lock(cluster: &Cluster, label: &str, script: &str) -> Process {
    let script = format!("cd {}; {script}", cluster.folder().display());
    let environment = [("CONCLAVE_ENDPOINTS", &*cluster.endpoints())];
    let arguments = ["lock", "job", "--", "sh", "-c", &script];
    Process::start(binary(), arguments, &environment, cluster.folder(), label)
}

fn written(path: &Path) -> String {
    eventually(&path.display().to_string(), PATIENCE, || {
        let text = std::fs::read_to_string(path).ok()?;
        text.ends_with('\n').then(|| text.trim_end().to_owned())
    })
}

#[test]
fn status_shows_the_leader_the_term_and_all_nodes() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let status = json(&cluster, &["status"]).expect("an answer");
    let leader = status["leader"].as_str().expect("a leader");
    assert!(status["term"].as_u64().is_some_and(|term| term > 0), "{status}");
    let nodes = status["nodes"].as_array().expect("a list");
    let names: Vec<_> = nodes.iter().filter_map(|node| node["name"].as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    for node in nodes {
        assert!(node["applied"].is_u64(), "{node}");
        let role = if node["name"] == leader { "leader" } else { "follower" };
        assert_eq!(node["role"], role, "{status}");
    }
}

#[test]
fn a_leader_change_alone_terms_nobody() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let script = "trap 'echo told > told' TERM; echo $CONCLAVE_TOKEN > token; \
                  while [ ! -f end ]; do sleep 0.05; done; exit 9";
    let mut job = lock(&cluster, "job", script);
    let token = written(&cluster.folder().join("token"));
    let old = cluster.leader();
    cluster.kill(old);
    let new = cluster.leader();
    assert_ne!(old, new);
    // Once by death, once in good order; each time the hold is still there.
    cluster.restart(old);
    cluster.leader();
    eventually("a step down", PATIENCE, || json(&cluster, &["step-down"]));
    cluster.leader();
    let holder = eventually("an answer of the new leader", PATIENCE, || {
        json(&cluster, &["inspect", "job"]).map(|answer| answer["holders"][0].clone())
    });
    assert_eq!(holder["token"].to_string(), token);
    // Longer than 2/3 of the TTL since the first change: whoever wanted to stop it would have.
    let quiet = Duration::from_secs(8).saturating_sub(job.started().elapsed());
    std::thread::sleep(quiet);
    std::fs::write(cluster.folder().join("end"), "").expect("a file");
    assert_eq!(job.exit_code(PATIENCE), 9, "{}", job.errors());
    assert!(!cluster.folder().join("told").exists());
    assert_eq!(job.errors(), "");
}

#[test]
fn a_bench_tells_what_it_measured_and_leaves_nothing_behind() {
    let _turn = together();
    let cluster = Cluster::start(1);
    let own = ["bench", "lock", "--clients", "8", "--sessions", "2", "--seconds", "1"];
    for arguments in [&own[..], &[&own[..], &["--one"]].concat()] {
        let report = json(&cluster, arguments).expect("a report");
        for key in ["cycles_per_s", "p50_us", "p99_us", "max_us"] {
            assert!(report[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {report}");
        }
        assert!(report["p50_us"].as_u64() <= report["max_us"].as_u64(), "{report}");
        assert_eq!((&report["clients"], &report["sessions"]), (&8.into(), &2.into()));
        assert_eq!(report["errors"], 0, "{report}");
    }
    assert_eq!(json(&cluster, &["list"]).expect("a list")["total"], 0);
    assert_eq!(json(&cluster, &["sessions"]).expect("a list")["total"], 0);
}

#[test]
fn a_development_node_keeps_its_data() {
    let _turn = together();
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut last = 0;
    for _ in 0..2 {
        let ready = folder.path().join("ready.json");
        let data = folder.path().join("data");
        let arguments =
            ["dev".as_ref(), "--listen".as_ref(), "127.0.0.1:0".as_ref(), "--data-dir".as_ref()];
        let arguments = arguments.into_iter().chain([
            data.as_os_str(),
            "--ready-file".as_ref(),
            ready.as_os_str(),
        ]);
        let mut node = Process::start(binary(), arguments, &[], folder.path(), "dev");
        let endpoint = eventually("a node that is ready", PATIENCE, || {
            let ready: Value = serde_json::from_str(&std::fs::read_to_string(&ready).ok()?).ok()?;
            ready["client"].as_str().map(str::to_owned)
        });
        let output = Command::new(binary())
            .args([
                "--endpoint",
                &endpoint,
                "lock",
                "job",
                "--",
                "sh",
                "-c",
                "echo $CONCLAVE_TOKEN",
            ])
            .output()
            .expect("conclave runs");
        let token: u64 = text(&output.stdout).trim().parse().expect("a token");
        assert!(token > last, "{token} after {last}");
        last = token;
        let banner = node.output();
        assert!(banner.contains(&format!("conclave --endpoint {endpoint} lock demo")), "{banner}");
        node.signal(conclave_tests::Signal::TERM);
        assert_eq!(node.exit_code(PATIENCE), 0, "{}", node.errors());
        std::fs::remove_file(&ready).expect("was there");
    }
}
