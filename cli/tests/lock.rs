//! `conclave lock` as real processes against a real node: who waits, who gets it, which code comes out.

mod support;

use std::time::Duration;

use conclave_tests::{Process, Signal, alone, eventually, together};
use support::{Node, PATIENCE, is_alive, text};

#[test]
fn the_second_waits_and_says_behind_whom() {
    let _turn = together();
    let node = Node::start();
    let mut first = node.lock("first", &[], "job", "echo $$ > holds; read _ < /dev/null; sleep 60");
    node.written("holds");
    let mut second =
        node.lock("second", &["--session-name", "billing"], "job", "echo yes > second-ran");
    let said = eventually("a line about the queue", PATIENCE, || {
        let said = second.errors();
        said.ends_with('\n').then_some(said)
    });
    let holder = node.json(&["inspect", "job"])["holders"][0].clone();
    let name = holder["session_name"].as_str().expect("a name");
    let pid = first.id();
    assert!(
        said.starts_with(&format!("waiting: position 1, behind {name} pid {pid}, held ")),
        "{said}"
    );
    assert_eq!(node.read("second-ran"), None, "two at once");
    first.signal(Signal::TERM);
    assert_eq!(first.exit_code(PATIENCE), 143);
    assert_eq!(second.exit_code(PATIENCE), 0);
    assert_eq!(node.written("second-ran"), "yes");
}

#[test]
fn inspect_shows_holders_and_queue() {
    let _turn = together();
    let node = Node::start();
    let _first = node.lock("first", &[], "job", "echo $CONCLAVE_TOKEN > token; sleep 60");
    let token = node.written("token");
    let _second = node.lock("second", &["--session-name", "billing"], "job", "true");
    node.queued("job", 1);
    let answer = node.json(&["inspect", "job"]);
    assert_eq!(answer["kind"], "mutex");
    let holder = &answer["holders"][0];
    assert_eq!(holder["token"].to_string(), token);
    assert!(holder["session"].is_u64() && holder["held_ms"].is_u64(), "{holder}");
    let waiter = &answer["queue"][0];
    assert_eq!(waiter["session_name"], "billing");
    assert_eq!(waiter["position"], 1);
    assert!(waiter["waited_ms"].is_u64(), "{waiter}");
}

#[test]
fn nonblock_exits_75_at_once_and_names_the_holder() {
    let _turn = alone();
    let node = Node::start();
    let first = node.lock("first", &[], "job", "echo yes > holds; sleep 60");
    node.written("holds");
    let mut try_it = node.lock("try", &["-n"], "job", "echo no > ran");
    assert_eq!(try_it.exit_code(PATIENCE), 75);
    assert!(try_it.started().elapsed() < Duration::from_secs(2));
    let said = try_it.errors();
    assert!(said.contains(&format!("pid {}", first.id())) && said.contains("held "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(node.read("ran"), None);
    let mut other_code = node.lock("code", &["-n", "-E", "9"], "job", "true");
    assert_eq!(other_code.exit_code(PATIENCE), 9);
}

#[test]
fn wait_2_exits_75_after_2_seconds() {
    let _turn = alone();
    let node = Node::start();
    let first = node.lock("first", &[], "job", "echo yes > holds; sleep 60");
    node.written("holds");
    let mut waiter = node.lock("waiter", &["-w", "2"], "job", "echo no > ran");
    assert_eq!(waiter.exit_code(PATIENCE), 75);
    let took = waiter.started().elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(4), "{took:?}");
    let said = waiter.errors();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains(&format!("pid {}", first.id())), "{said}");
    assert_eq!(node.read("ran"), None);
}

#[test]
fn the_code_of_the_command_comes_through() {
    let _turn = together();
    let node = Node::start();
    let code = |arguments: &[&str]| {
        let output = node.run(&[&["lock", "job", "--"], arguments].concat());
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(code(&["sh", "-c", "exit 7"]).0, Some(7));
    assert_eq!(code(&["true"]), (Some(0), String::new()), "silent when all is well");
    assert_eq!(code(&["sh", "-c", "kill -9 $$"]).0, Some(137));
    let (missing, said) = code(&["/does/not/exist"]);
    assert_eq!(missing, Some(127), "{said}");
    assert_eq!(code(&["/etc/passwd"]).0, Some(126));
    // Nothing of all this left the lock held.
    assert_eq!(node.json(&["inspect", "job"])["holders"], serde_json::json!([]));
}

#[test]
fn the_command_sees_its_grant_and_tokens_rise() {
    let _turn = together();
    let node = Node::start();
    let mut last = 0;
    for _ in 0..3 {
        let script = "echo $CONCLAVE_NAME $CONCLAVE_TOKEN $CONCLAVE_SESSION $CONCLAVE_TERM";
        let output = node.run(&["lock", "a job", "--", "sh", "-c", script]);
        let line = text(&output.stdout);
        let words: Vec<_> = line.trim_end().trim_start_matches("a job ").split(' ').collect();
        let token: u64 = words[0].parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(token > last, "{token} after {last}");
        assert!(words[1].parse::<u64>().is_ok(), "{line}");
        assert_eq!(words[2], words[0], "{line}");
        last = token;
    }
    let inner = "\"$0\" lock inner -- sh -c 'echo $CONCLAVE_NAME'";
    let binary = support::binary().to_str().expect("a plain path");
    let output = node.run(&["lock", "outer", "--", "sh", "-c", inner, binary]);
    assert_eq!(text(&output.stdout), "inner\n", "the inner one wins");
}

#[test]
fn a_killed_holder_takes_its_command_along_and_the_next_is_granted_within_the_ttl_bound() {
    let _turn = alone();
    let node = Node::start();
    let mut first = node.lock("first", &["--ttl", "5"], "job", "echo $$ > holds; exec sleep 60");
    let command = node.written("holds");
    let mut second = node.lock("second", &["--ttl", "5"], "job", "echo yes > ran");
    node.queued("job", 1);
    first.kill();
    let killed = std::time::Instant::now();
    eventually("the command dies with conclave", Duration::from_secs(2), || {
        (!is_alive(&command)).then_some(())
    });
    assert_eq!(second.exit_code(PATIENCE), 0);
    let took = killed.elapsed();
    // 1.1 TTL after the last keepalive that was processed, plus what a busy machine takes.
    assert!(took < Duration::from_millis(5_500 + 1_500), "{took:?}");
}

#[test]
fn what_the_command_leaves_in_its_group_is_gone_before_the_next_is_granted() {
    let _turn = together();
    let node = Node::start();
    let script = "(trap '' TERM; echo $$ > /dev/null; sh -c 'echo $PPID > left'; sleep 60) & \
                  while [ ! -s left ]; do sleep 0.01; done; exit 3";
    let mut first = node.lock("first", &["-k", "0.3"], "job", script);
    let mut second = {
        let left = node.written("left");
        let check = format!(
            "if [ -d /proc/{left} ] && ! grep -q 'State:.Z' /proc/{left}/status; then echo alive; \
             else echo gone; fi > verdict"
        );
        node.lock("second", &[], "job", &check)
    };
    assert_eq!(first.exit_code(PATIENCE), 3);
    assert_eq!(second.exit_code(PATIENCE), 0);
    assert_eq!(node.written("verdict"), "gone");
}

#[test]
fn a_kill_after_that_does_not_fit_is_refused() {
    let _turn = together();
    let output = std::process::Command::new(support::binary())
        .args(["lock", "-k", "5", "job", "--", "true"])
        .output()
        .expect("conclave runs");
    assert_eq!(output.status.code(), Some(125));
    let said = text(&output.stderr);
    assert!(said.contains("give a shorter -k or a longer --ttl"), "{said}");
}

#[test]
fn without_a_cluster_it_exits_69_and_says_what_to_do() {
    let _turn = together();
    let output = std::process::Command::new(support::binary())
        .args(["--endpoint", "127.0.0.1:1", "--connect-timeout", "0.5"])
        .args(["lock", "job", "--", "true"])
        .output()
        .expect("conclave runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("conclave dev") && said.lines().count() == 1, "{said}");
}

#[test]
fn term_is_passed_on_to_the_whole_group() {
    let _turn = together();
    let node = Node::start();
    let script = "sh -c 'trap \"echo told > grandchild; exit\" TERM; echo up > up; \
                  while :; do sleep 0.05; done' & \
                  trap 'wait; exit 5' TERM; wait; wait";
    let mut job = node.lock("job", &[], "job", script);
    node.written("up");
    job.signal(Signal::TERM);
    assert_eq!(job.exit_code(PATIENCE), 5);
    assert_eq!(node.written("grandchild"), "told");
}

#[test]
fn an_interrupted_wait_leaves_the_queue_at_once() {
    let _turn = together();
    let node = Node::start();
    let _first = node.lock("first", &[], "job", "echo yes > holds; sleep 60");
    node.written("holds");
    let mut second = node.lock("second", &[], "job", "echo no > ran");
    node.queued("job", 1);
    second.signal(Signal::INT);
    assert_eq!(second.exit_code(PATIENCE), 130);
    assert_eq!(node.json(&["inspect", "job"])["queue"], serde_json::json!([]));
    assert_eq!(node.read("ran"), None);
}

#[test]
fn what_nohup_ignores_stays_ignored_for_the_command_too() {
    let _turn = together();
    let node = Node::start();
    let script = "echo $$ > up; while [ ! -f end ]; do sleep 0.02; done; exit 8";
    let line = format!(
        "trap '' HUP; cd {}; exec {} lock job -- sh -c '{script}'",
        node.folder().display(),
        support::binary().display()
    );
    let environment = [("CONCLAVE_ENDPOINTS", node.endpoint())];
    let shell = std::path::Path::new("/bin/sh");
    let mut job = Process::start(shell, ["-c", &line], &environment, node.folder(), "nohup");
    let command = node.written("up");
    job.signal(Signal::HUP);
    std::fs::write(node.path("end"), "").expect("a file");
    assert_eq!(job.exit_code(PATIENCE), 8, "{}", job.errors());
    assert!(!is_alive(&command));
}

#[test]
fn programs_read_events_from_standard_error() {
    let _turn = together();
    let node = Node::start();
    let _first =
        node.lock("first", &["--session-name", "billing"], "job", "echo yes > holds; sleep 60");
    node.written("holds");
    let mut second = node.lock("second", &["-w", "1", "-o", "json"], "job", "true");
    assert_eq!(second.exit_code(PATIENCE), 75);
    let said = second.errors();
    let first_line = said.lines().next().unwrap_or_default();
    let event: serde_json::Value = serde_json::from_str(first_line).expect("a JSON line");
    assert_eq!(event["event"], "waiting");
    assert_eq!(event["position"], 1);
    assert!(event["behind"]["token"].is_u64(), "{event}");
}
