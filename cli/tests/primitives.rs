//! Running a command under what is no plain mutex: shared locks, permits, several locks at once, as real processes against a
//! real node. That the command is guarded as under a lock is shown in `danger`; the code is the same.

mod support;

use conclave_tests::{Process, eventually, together};
use serde_json::json;
use support::{Node, PATIENCE, UNTIL_END, text};

/// A job that says that it runs and goes on until it is told.
fn job(node: &Node, label: &str, arguments: &[&str]) -> Process {
    node.under(label, arguments, &format!("echo $CONCLAVE_TOKEN > {label}; {UNTIL_END}"))
}

#[test]
fn two_share_a_lock_and_a_writer_waits_for_both_and_before_the_next_reader() {
    let _turn = together();
    let node = Node::start();
    let shared = ["rwlock", "--shared", "schema"];
    let mut readers = [job(&node, "first", &shared), job(&node, "second", &shared)];
    assert_ne!(node.written("first"), node.written("second"), "both run, each with its token");
    let writer = "ls first second > seen && rm first second && echo yes > written";
    let mut writer = node.under("writer", &["rwlock", "schema"], writer);
    node.queued("schema", 1);
    let late = "[ -f written ] && echo after > late";
    let mut late = node.under("late", &shared, late);
    node.queued("schema", 2);
    assert_eq!((node.read("seen"), node.read("late")), (None, None));
    let seen = node.json(&["inspect", "schema"]);
    assert_eq!(seen["kind"], "rwlock");
    assert_eq!(seen["holders"].as_array().map(Vec::len), Some(2), "{seen}");
    assert_eq!(
        (&seen["holders"][0]["demand"], &seen["queue"][0]["demand"]),
        (&json!("read"), &json!("write"))
    );
    let table = text(&node.run(&["inspect", "schema"]).stdout);
    assert!(
        table.contains("HOLDS") && table.contains("read") && table.contains("write"),
        "{table}"
    );
    let said = eventually("a line about the queue", PATIENCE, || {
        Some(writer.errors()).filter(|said| said.ends_with('\n'))
    });
    assert!(said.starts_with("waiting: position 1, behind "), "{said}");
    let refused = node.run(&["rwlock", "-n", "schema", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75));
    assert!(text(&refused.stderr).contains("schema is held by "), "{}", text(&refused.stderr));
    node.end();
    for reader in &mut readers {
        assert_eq!(reader.exit_code(PATIENCE), 0);
    }
    assert_eq!(writer.exit_code(PATIENCE), 0);
    assert_eq!(late.exit_code(PATIENCE), 0, "the late reader came before the writer");
}

#[test]
fn two_of_three_run_under_a_semaphore_of_two() {
    let _turn = together();
    let node = Node::start();
    let arguments = ["sem", "gpu", "--limit", "2"];
    let mut first = [job(&node, "a", &arguments), job(&node, "b", &arguments)];
    node.written("a");
    node.written("b");
    let mut third = job(&node, "c", &arguments);
    node.queued("gpu", 1);
    assert_eq!(node.read("c"), None);
    let seen = node.json(&["inspect", "gpu"]);
    let detail = &seen["detail"]["semaphore"];
    assert_eq!((&detail["limit"], &detail["in_use"]), (&json!(2), &json!(2)), "{seen}");
    assert_eq!(seen["holders"][0]["demand"], json!({"permits": {"weight": 1, "limit": 2}}));
    let other = node.run(&["sem", "gpu", "--limit", "3", "--", "true"]);
    assert_eq!(other.status.code(), Some(125));
    let said = text(&other.stderr);
    assert!(said.contains("gpu: it was made with 2, not with 3; say the same"), "{said}");
    let heavy = node.run(&["sem", "gpu", "--limit", "2", "--weight", "3", "--", "true"]);
    assert_eq!(heavy.status.code(), Some(125), "{}", text(&heavy.stderr));
    let kind = node.run(&["lock", "gpu", "--", "true"]);
    assert_eq!(kind.status.code(), Some(125));
    assert!(text(&kind.stderr).contains("in use for a semaphore"), "{}", text(&kind.stderr));
    node.end();
    for job in first.iter_mut().chain([&mut third]) {
        assert_eq!(job.exit_code(PATIENCE), 0);
    }
    node.written("c");
}

#[test]
fn a_resize_grants_at_once_and_stays() {
    let _turn = together();
    let node = Node::start();
    let arguments = ["sem", "gpu", "--limit", "1"];
    let nothing = node.run(&["resize", "gpu", "2"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("gpu is no semaphore but nothing"));
    let mut first = job(&node, "a", &arguments);
    node.written("a");
    let mut second = job(&node, "b", &arguments);
    node.queued("gpu", 1);
    let version = node.json(&["inspect", "gpu"])["detail"]["semaphore"]["version"].to_string();
    let resized = node.json(&["resize", "gpu", "2"]);
    assert_eq!(resized["limit"], 2);
    node.written("b");
    let stale = node.run(&["resize", "gpu", "5", "--if-version", &version]);
    assert_eq!(stale.status.code(), Some(1), "somebody resized it since");
    assert!(text(&stale.stderr).contains("has changed meanwhile"), "{}", text(&stale.stderr));
    node.end();
    assert_eq!((first.exit_code(PATIENCE), second.exit_code(PATIENCE)), (0, 0));
    assert_eq!(node.json(&["inspect", "gpu"])["detail"]["semaphore"]["limit"], 2);
    assert_eq!(node.json(&["delete", "gpu"])["name"], "gpu");
    assert_eq!(node.json(&["inspect", "gpu"])["kind"], json!(null));
}

#[test]
fn several_locks_are_held_together_or_not_at_all() {
    let _turn = together();
    let node = Node::start();
    let mut first = job(&node, "first", &["lock", "b"]);
    node.written("first");
    let refused = node.run(&["lock", "-n", "a", "b", "c", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75));
    assert!(text(&refused.stderr).contains("b is held by "), "{}", text(&refused.stderr));
    let script = "echo \"$CONCLAVE_NAME\" | tr '\\n' ' ' > names; echo >> names";
    let mut all = node.under("all", &["lock", "a", "b", "c"], script);
    node.queued("b", 1);
    for name in ["a", "c"] {
        let seen = node.json(&["inspect", name]);
        assert_eq!(seen["holders"], json!([]), "who waits holds nothing: {seen}");
    }
    assert_eq!(node.read("names"), None);
    node.end();
    assert_eq!((first.exit_code(PATIENCE), all.exit_code(PATIENCE)), (0, 0));
    assert_eq!(node.written("names"), "a b c");
    let twice = node.run(&["lock", "a", "b", "a", "--", "true"]);
    assert_eq!(twice.status.code(), Some(125));
    assert!(text(&twice.stderr).contains("a is named twice"), "{}", text(&twice.stderr));
}

#[test]
fn locks_in_opposite_orders_never_wait_for_each_other() {
    let _turn = together();
    let node = Node::start();
    // A folder is made by one only: two at once would be told.
    let critical =
        "mkdir critical || echo clash >> clashes; sleep 0.01; rmdir critical; echo $$ >> done";
    let mut jobs: Vec<_> = (0..12)
        .map(|number| {
            let names = [["lock", "a", "b"], ["lock", "b", "a"]][number % 2];
            node.under(&format!("job-{number}"), &names, critical)
        })
        .collect();
    for job in &mut jobs {
        assert_eq!(job.exit_code(PATIENCE * 2), 0, "{}", job.errors());
    }
    assert_eq!(node.read("clashes"), None);
    assert_eq!(node.written("done").lines().count(), 12);
}

#[test]
fn whatever_it_runs_under_a_loss_stops_the_command() {
    let _turn = together();
    let node = Node::start();
    let flags = ["--max-hold", "0.5"];
    let under = |label: &str, arguments: &[&str]| {
        let script =
            format!("trap 'echo told > {label}-told; exit 0' TERM; while :; do sleep 0.02; done");
        (label.to_owned(), node.under(label, &[arguments, &flags].concat(), &script))
    };
    let mut jobs = [
        under("all", &["lock", "a", "b"]),
        under("read", &["rwlock", "--shared", "schema"]),
        under("write", &["rwlock", "other-schema"]),
        under("sem", &["sem", "gpu", "--limit", "1"]),
        under("elect", &["elect", "scheduler"]),
        under("once", &["once", "key"]),
    ];
    for (label, job) in &mut jobs {
        assert_eq!(job.exit_code(PATIENCE), 76, "{label}: {}", job.errors());
        assert!(
            job.errors().contains("held longer than its max-hold"),
            "{label}: {}",
            job.errors()
        );
        assert_eq!(node.written(&format!("{label}-told")), "told");
    }
    let ran = node.run(&["once", "key", "--", "echo", "anew"]);
    assert_eq!(text(&ran.stdout), "anew\n", "a lost run is no result");
}

#[test]
fn every_kind_is_listed() {
    let _turn = together();
    let node = Node::start();
    let mut jobs = [
        job(&node, "lock", &["lock", "k/lock"]),
        job(&node, "rwlock", &["rwlock", "k/rwlock"]),
        job(&node, "sem", &["sem", "k/sem", "--limit", "1"]),
        job(&node, "elect", &["elect", "k/elect"]),
        node.under("once", &["once", "k/once"], &format!("echo up > once; {UNTIL_END}")),
        node.start_conclave("barrier", &["barrier", "k/barrier", "--parties", "2"]),
    ];
    for label in ["lock", "rwlock", "sem", "elect", "once"] {
        node.written(label);
    }
    node.queued("k/barrier", 1);
    node.json(&["latch", "k/latch", "--count", "2"]);
    node.json(&["gate", "k/gate", "--open"]);
    node.json(&["register", "set", "k/register", "v"]);
    node.json(&["counter", "add", "k/counter", "1"]);
    let list = node.json(&["list", "k/"]);
    let kinds: Vec<_> =
        list["objects"].as_array().expect("a list").iter().map(|line| &line["kind"]).collect();
    let expected = [
        "barrier",
        "counter",
        "election",
        "gate",
        "latch",
        "mutex",
        "once",
        "register",
        "rwlock",
        "semaphore",
    ];
    assert_eq!(kinds, expected.map(|kind| json!(kind)).iter().collect::<Vec<_>>(), "{list}");
    for name in [
        "barrier", "counter", "elect", "gate", "latch", "lock", "once", "register", "rwlock", "sem",
    ] {
        let output = node.run(&["inspect", &format!("k/{name}")]);
        assert!(output.status.success() && output.stdout.starts_with(b"k/"), "{name}");
    }
    node.end();
    assert_eq!(node.run(&["barrier", "k/barrier", "--parties", "2"]).status.code(), Some(0));
    for job in &mut jobs {
        assert_eq!(job.exit_code(PATIENCE), 0, "{}", job.errors());
    }
}
