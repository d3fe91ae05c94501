//! `conclave latch`, `gate`, `barrier`, `register`, `counter` and `watch` against a real node.

mod support;

use conclave_tests::{Signal, eventually, together};
use serde_json::{Value, json};
use support::{Node, PATIENCE, UNTIL_END, text};

#[test]
fn a_latch_lets_through_when_it_was_counted_down() {
    let _turn = together();
    let node = Node::start();
    let missing = node.run(&["latch", "import", "--wait"]);
    assert_eq!(missing.status.code(), Some(1));
    let said = text(&missing.stderr);
    assert!(said.contains("create it with `conclave latch import --count N`"), "{said}");
    assert_eq!(node.json(&["latch", "import", "--count", "2"])["remaining"], 2);
    let mut waiter = node.start_conclave("waiter", &["latch", "import", "--wait"]);
    node.queued("import", 1);
    let shut = node.run(&["latch", "import", "--wait", "-n"]);
    assert_eq!(shut.status.code(), Some(75), "{}", text(&shut.stderr));
    for _ in 0..2 {
        let answer = node.json(&["latch", "import", "--done", "--key", "shard-1"]);
        assert_eq!(answer["remaining"], 1, "a key counts once");
    }
    assert!(waiter.ended().is_none());
    assert_eq!(node.json(&["latch", "import", "--done"])["remaining"], 0);
    assert_eq!(waiter.exit_code(PATIENCE), 0, "{}", waiter.errors());
    assert_eq!(waiter.output(), "import: passed\n");
    let below = node.run(&["latch", "import", "--done"]);
    assert_eq!(below.status.code(), Some(1));
    assert!(
        text(&below.stderr).contains("import: the latch has only 0 left"),
        "{}",
        text(&below.stderr)
    );
    assert_eq!(node.json(&["latch", "import", "--reset"])["remaining"], 2);
    let detail = &node.json(&["inspect", "import"])["detail"]["latch"];
    assert_eq!((&detail["count"], &detail["remaining"]), (&json!(2), &json!(2)));
}

#[test]
fn a_gate_is_closed_until_it_is_opened() {
    let _turn = together();
    let node = Node::start();
    let shut = node.run(&["gate", "over", "--wait", "-w", "0.2"]);
    assert_eq!(shut.status.code(), Some(75));
    assert!(text(&shut.stderr).contains("over is closed"), "{}", text(&shut.stderr));
    let mut waiter = node.start_conclave("waiter", &["gate", "over", "--wait"]);
    node.queued("over", 1);
    assert_eq!(node.json(&["gate", "over", "--open"])["open"], true);
    assert_eq!(waiter.exit_code(PATIENCE), 0, "{}", waiter.errors());
    assert_eq!(node.run(&["gate", "over", "--wait", "-n"]).status.code(), Some(0));
    assert_eq!(node.json(&["gate", "over", "--close"])["open"], false);
    assert_eq!(node.run(&["gate", "over", "--wait", "-n"]).status.code(), Some(75));
}

#[test]
fn a_barrier_lets_all_through_together() {
    let _turn = together();
    let node = Node::start();
    let arguments = ["barrier", "phase", "--parties", "3", "-o", "json"];
    let alone = node.run(&["barrier", "phase", "--parties", "3", "-w", "0.2"]);
    assert_eq!(alone.status.code(), Some(75), "{}", text(&alone.stderr));
    let mut parties =
        vec![node.start_conclave("a", &arguments), node.start_conclave("b", &arguments)];
    node.queued("phase", 2);
    let mut leaver = node.start_conclave("leaver", &["barrier", "phase", "--parties", "2"]);
    assert_eq!(leaver.exit_code(PATIENCE), 1, "all say the same number");
    assert!(leaver.errors().contains("made with 3, not with 2"), "{}", leaver.errors());
    parties.push(node.start_conclave("c", &arguments));
    let answers: Vec<Value> = parties
        .iter_mut()
        .map(|party| {
            assert_eq!(party.exit_code(PATIENCE), 0, "{}", party.errors());
            serde_json::from_str(&party.output()).expect("JSON")
        })
        .collect();
    let last = answers.iter().filter(|answer| answer["last"] == true).count();
    assert_eq!(last, 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer["generation"] == answers[0]["generation"]));
}

#[test]
fn an_arrival_is_withdrawn_when_its_process_is_asked_to_end() {
    let _turn = together();
    let node = Node::start();
    let mut party = node.start_conclave("party", &["barrier", "phase", "--parties", "2"]);
    node.queued("phase", 1);
    party.signal(Signal::TERM);
    assert_eq!(party.exit_code(PATIENCE), 143);
    assert_eq!(node.json(&["inspect", "phase"])["queue_len"], 0);
}

#[test]
fn a_register_is_written_by_version_and_read() {
    let _turn = together();
    let node = Node::start();
    assert_eq!(node.run(&["register", "get", "mode"]).status.code(), Some(1));
    let version =
        node.json(&["register", "set", "mode", "slow", "--if-absent"])["version"].to_string();
    let again = node.run(&["register", "set", "mode", "fast", "--if-absent"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains(&format!("version {version}")), "{}", text(&again.stderr));
    node.json(&["register", "set", "mode", "fast", "--if-version", &version]);
    let stale = node.run(&["register", "set", "mode", "old", "--if-version", &version]);
    assert_eq!(stale.status.code(), Some(1), "{}", text(&stale.stderr));
    assert_eq!(text(&node.run(&["register", "get", "mode"]).stdout), "fast\n");
    assert_eq!(node.json(&["register", "get", "mode"])["value"], "fast");
}

#[test]
fn a_guarded_write_is_refused_to_a_holder_of_yesterday() {
    let _turn = together();
    let node = Node::start();
    let binary = support::binary().display();
    let write = |value: &str| format!("{binary} register set cursor {value} --guarded");
    let count = format!("{binary} counter add total 5 --guarded");
    let script = format!("{} && {count} && echo $CONCLAVE_TOKEN > token", write("1"));
    let mut holder = node.under("holder", &["lock", "billing"], &script);
    assert_eq!(holder.exit_code(PATIENCE), 0, "{}", holder.errors());
    let token = node.written("token");
    let late = std::process::Command::new(support::binary())
        .args(["register", "set", "cursor", "0", "--guarded"])
        .env("CONCLAVE_ENDPOINTS", node.endpoint())
        .env("CONCLAVE_NAME", "billing")
        .env("CONCLAVE_TOKEN", token)
        .output()
        .expect("conclave runs");
    assert_eq!(late.status.code(), Some(1));
    assert!(text(&late.stderr).contains("the guard does not hold"), "{}", text(&late.stderr));
    assert_eq!(text(&node.run(&["register", "get", "cursor"]).stdout), "1\n");
    let bare = node.run(&["counter", "add", "total", "1", "--guarded"]);
    assert_eq!(bare.status.code(), Some(2), "{}", text(&bare.stderr));
}

#[test]
fn a_counter_adds() {
    let _turn = together();
    let node = Node::start();
    assert_eq!(text(&node.run(&["counter", "get", "n"]).stdout), "0\n");
    assert_eq!(node.json(&["counter", "add", "n", "5"])["value"], 5);
    assert_eq!(text(&node.run(&["counter", "add", "n", "-7"]).stdout), "-2\n");
    assert_eq!(node.json(&["counter", "get", "n"])["value"], -2);
}

#[test]
fn a_watch_tells_what_there_is_and_what_happens() {
    let _turn = together();
    let node = Node::start();
    let script = format!("echo up > up; {UNTIL_END}");
    let mut before = node.under("before", &["lock", "orders/1"], &script);
    node.written("up");
    let mut watch = node.start_conclave("watch", &["watch", "orders/", "-o", "json"]);
    let told = || -> Vec<Value> {
        let output = watch.output();
        let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    };
    eventually("the beginning", PATIENCE, || (!told().is_empty()).then_some(()));
    let first = told().remove(0);
    assert_eq!(
        (&first["event"], &first["objects"][0]["name"]),
        (&json!("resync"), &json!("orders/1"))
    );
    assert_eq!(node.run(&["lock", "elsewhere", "--", "true"]).status.code(), Some(0));
    let output = node.run(&["lock", "orders/2", "--", "sh", "-c", "echo $CONCLAVE_TOKEN"]);
    let token = text(&output.stdout).trim().to_owned();
    let of = |event: &str| {
        eventually(event, PATIENCE, || told().into_iter().find(|told| told["event"] == event))
    };
    let (granted, ended) = (of("granted"), of("ended"));
    assert_eq!(
        (granted["token"].to_string(), &granted["name"]),
        (token.clone(), &json!("orders/2"))
    );
    assert_eq!((ended["token"].to_string(), &ended["lost"]), (token, &json!(false)));
    assert!(told().iter().all(|told| told["name"] != "elsewhere"), "{:?}", told());
    node.end();
    assert_eq!(before.exit_code(PATIENCE), 0);
    watch.signal(Signal::INT);
    assert_eq!(watch.exit_code(PATIENCE), 130);
}
