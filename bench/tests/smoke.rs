//! The load generator works: it starts three nodes, drives them for a second, and says in JSON what it found.

use std::process::Command;

use conclave_tests::conclave;
use serde_json::Value;

/// What it printed, and whether it was content.
fn bench(arguments: &[&str]) -> (bool, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_conclave-bench"))
        .args(arguments)
        .args(["--output", "json", "--commit", "of-the-test"])
        .arg("--binary")
        .arg(conclave())
        .output()
        .expect("conclave-bench runs");
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.success(), json, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_second_of_own_locks_on_three_nodes() {
    let short = ["--seconds", "1", "--warm-up", "200ms", "--repetitions", "1"];
    let (content, json, errors) =
        bench(&[&["own", "--clients", "4", "--sessions", "2"], &short[..]].concat());
    assert!(content, "{errors}\n{json:#}");
    let machine = &json["machine"];
    assert_eq!(machine["commit"], "of-the-test");
    assert!(machine["cores"].as_u64() > Some(0), "{machine:#}");
    assert!(machine["fsync_us"]["median"].as_u64() > Some(0), "{machine:#}");
    let row = &json["rows"][0];
    assert_eq!((&row["system"], &row["workload"]), (&"conclave".into(), &"own".into()));
    assert_eq!((&row["clients"], &row["sessions"]), (&4.into(), &2.into()));
    assert_eq!(row["shared_connections"], true);
    let repetitions = row["repetitions"].as_array().expect("a list");
    assert_eq!(repetitions.len(), 1);
    let only = &repetitions[0];
    assert_eq!(only["errors"], 0, "{only:#}");
    let cycles = only["cycles"].as_u64().expect("a count");
    assert!(cycles > 4, "{only:#}");
    assert_eq!(row["cycles_per_s"], only["cycles_per_s"]);
    assert!(only["p50_us"].as_u64() > Some(100), "two durable commits take longer: {only:#}");
    assert!(only["p50_us"].as_u64() <= only["p99_us"].as_u64(), "{only:#}");
    let nodes = only["nodes"].as_array().expect("a list");
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| node["memory_kib"].as_u64() > Some(1_000)), "{nodes:#?}");
    let cpu: f64 = nodes.iter().filter_map(|node| node["cpu_seconds"].as_f64()).sum();
    assert!(cpu > 0.0, "{nodes:#?}");
}

#[test]
fn a_queue_is_handed_over_however_long_it_is() {
    let short = ["--seconds", "1", "--warm-up", "200ms", "--repetitions", "1"];
    let (content, json, errors) = bench(&[&["queue", "--waiters", "2,40"], &short[..]].concat());
    assert!(content, "{errors}\n{json:#}");
    assert_eq!(json["workload"], "queue");
    let figures = json["figures"].as_array().expect("a list");
    let figure = |name: &str| {
        let found = figures.iter().find(|figure| figure["name"] == name);
        found.and_then(|figure| figure["value"].as_f64()).unwrap_or_else(|| panic!("{figures:#?}"))
    };
    for length in [2, 40] {
        assert!(figure(&format!("hand_overs_with_{length}_waiters")) > 1.0, "{figures:#?}");
        assert!(figure(&format!("release_p50_with_{length}_waiters")) > 0.1, "{figures:#?}");
    }
    assert!(figure("hand_overs_40_to_2") > 0.0, "{figures:#?}");
}

#[test]
fn what_is_missing_is_said() {
    let (content, _, errors) = bench(&["own", "--data-dir", "/nowhere/at/all"]);
    assert!(!content);
    assert!(errors.contains("/nowhere/at/all"), "{errors}");
}
