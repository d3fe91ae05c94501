//! A command whose lock is in danger or lost: told in time, dead before anybody else may be granted. All of these
//! assert time, so they run alone.

mod support;

use std::time::{Duration, Instant};

use conclave_tests::{Process, Signal, alone, eventually};
use support::{Node, PATIENCE, is_alive, state_of};

const TTL: Duration = Duration::from_secs(5);

/// Ignores TERM after writing down that it came, and has a grandchild that ignores it silently.
const STUBBORN: &str = "trap 'echo told > told' TERM; \
    sh -c 'trap \"\" TERM; echo $$ > grandchild; while :; do sleep 0.05; done' & \
    echo $$ > command; while :; do sleep 0.05; done";

/// The instant of the send of the last keepalive lies at most this long before a signal stops the node: one interval.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);

/// What a busy machine may take beyond a deadline before a test calls it late.
const SLACK: Duration = Duration::from_millis(400);

fn stubborn(node: &Node, flags: &[&str]) -> Process {
    let job = node.lock("stubborn", &[&["--ttl", "5"], flags].concat(), "job", STUBBORN);
    node.written("grandchild");
    node.written("command");
    job
}

#[test]
fn a_stopped_daemon_means_term_at_jeopardy_and_kill_of_all_before_the_local_deadline() {
    let _turn = alone();
    let node = Node::start();
    let mut job = stubborn(&node, &[]);
    let (command, grandchild) = (node.written("command"), node.written("grandchild"));
    node.signal(Signal::STOP);
    let stopped = Instant::now();
    node.written("told");
    let told = stopped.elapsed();
    assert!(told >= TTL * 2 / 3 - KEEPALIVE_EVERY - SLACK, "not at a mere silence: {told:?}");
    assert!(told <= TTL * 2 / 3 + SLACK, "{told:?}");
    eventually("both are dead", PATIENCE, || {
        (!is_alive(&command) && !is_alive(&grandchild)).then_some(())
    });
    let dead = stopped.elapsed();
    assert!(dead <= TTL * 85 / 100 + SLACK, "{dead:?}");
    assert!(dead > told, "a moment to tidy up");
    assert_eq!(job.exit_code(PATIENCE), 76);
    assert!(job.errors().contains("the cluster does not answer"), "{}", job.errors());
    node.signal(Signal::CONT);
}

#[test]
fn a_daemon_that_pauses_for_less_than_that_stops_nobody() {
    let _turn = alone();
    let node = Node::start();
    let script = "trap 'echo told > told' TERM; echo yes > up; while [ ! -f end ]; do sleep 0.05; done; exit 4";
    let mut job = node.lock("job", &["--ttl", "5"], "job", script);
    node.written("up");
    node.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1_800));
    node.signal(Signal::CONT);
    // Longer than jeopardy would have taken from the pause on.
    std::thread::sleep(TTL);
    std::fs::write(node.path("end"), "").expect("a file");
    assert_eq!(job.exit_code(PATIENCE), 4, "{}", job.errors());
    assert_eq!(node.read("told"), None);
}

#[test]
fn force_release_terms_at_once_and_the_next_is_granted_only_when_the_command_is_gone() {
    let _turn = alone();
    let node = Node::start();
    let script = "trap 'echo told > told; sleep 0.5; echo last > word; exit 0' TERM; \
                  echo $CONCLAVE_TOKEN > token; while :; do sleep 0.02; done";
    let mut first = node.lock("first", &["--ttl", "10"], "job", script);
    let token = node.written("token");
    let mut second =
        node.lock("second", &[], "job", "cat word > seen 2>&1 || echo too early > seen");
    node.queued("job", 1);
    let forced = Instant::now();
    let answer = node.json(&["force-release", "job", &token]);
    assert_eq!(answer["revoked"], true, "{answer}");
    node.written("told");
    let told = forced.elapsed();
    assert!(told < Duration::from_millis(2_500), "at once, or with the next keepalive: {told:?}");
    assert_eq!(first.exit_code(PATIENCE), 76);
    assert!(first.errors().contains("force-released by"), "{}", first.errors());
    assert_eq!(second.exit_code(PATIENCE), 0);
    assert_eq!(node.written("seen"), "last", "granted while the old one still ran");
    let took = forced.elapsed();
    assert!(took < Duration::from_secs(6), "acknowledged, not waited out (11 s): {took:?}");
}

#[test]
fn a_stubborn_command_is_killed_after_a_force_release_and_only_then_the_next_is_granted() {
    let _turn = alone();
    let node = Node::start();
    let mut first = stubborn(&node, &["-k", "0.5"]);
    let grandchild = node.written("grandchild");
    let check = format!(
        "grep -q '^State:.[^ZX]' /proc/{grandchild}/status 2>/dev/null && echo alive > verdict || echo gone > verdict"
    );
    let mut second = node.lock("second", &[], "job", &check);
    node.queued("job", 1);
    let token = node.json(&["inspect", "job"])["holders"][0]["token"].to_string();
    node.json(&["force-release", "job", &token]);
    assert_eq!(first.exit_code(PATIENCE), 76);
    assert_eq!(second.exit_code(PATIENCE), 0);
    assert_eq!(node.written("verdict"), "gone");
}

#[test]
fn a_killed_session_stops_its_command_before_the_next_is_granted() {
    let _turn = alone();
    let node = Node::start();
    let mut first = node.lock("first", &[], "job", "echo $CONCLAVE_SESSION > session; sleep 60");
    let session = node.written("session");
    let mut second = node.lock("second", &[], "job", "echo yes > ran");
    node.queued("job", 1);
    let killed = Instant::now();
    let output = node.run(&["sessions", "kill", &session, "--reason", "host is gone"]);
    assert!(output.status.success(), "{}", support::text(&output.stderr));
    assert_eq!(first.exit_code(PATIENCE), 76);
    assert!(first.errors().contains("host is gone"), "{}", first.errors());
    assert_eq!(second.exit_code(PATIENCE), 0);
    assert!(killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
}

#[test]
fn max_hold_stops_the_command() {
    let _turn = alone();
    let node = Node::start();
    let mut job = node.lock("job", &["--max-hold", "1"], "job", "echo yes > up; sleep 60");
    assert_eq!(job.exit_code(PATIENCE), 76);
    assert!(job.errors().contains("max-hold"), "{}", job.errors());
    assert!(job.started().elapsed() >= Duration::from_secs(1));
}

#[test]
fn on_lost_runs_once_with_the_reason() {
    let _turn = alone();
    let node = Node::start();
    let program = node.path("on-lost");
    let seen = node.path("seen");
    let text = format!("#!/bin/sh\necho $CONCLAVE_NAME $CONCLAVE_LOST >> {}\n", seen.display());
    std::fs::write(&program, text).expect("a program");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("its mode");
    let flags = ["--max-hold", "0.5", "--on-lost", program.to_str().expect("a plain path")];
    let mut job = node.lock("job", &flags, "job", "sleep 60");
    assert_eq!(job.exit_code(PATIENCE), 76);
    assert_eq!(node.written("seen"), "job revoked");
}

#[test]
fn an_on_lost_that_cannot_be_started_is_told_and_harms_nothing() {
    let _turn = alone();
    let node = Node::start();
    let flags = ["--max-hold", "0.5", "--on-lost", "/does/not/exist"];
    // Children end all the time, so that somebody reaps all the time.
    let script = "trap 'for i in 1 2 3 4 5 6 7 8 9; do sleep 0.02; done; exit 0' TERM; while :; do sleep 0.01; done";
    let mut job = node.lock("job", &flags, "job", script);
    assert_eq!(job.exit_code(PATIENCE), 76);
    let said = job.errors();
    assert!(said.contains("--on-lost /does/not/exist could not be started"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn ctrl_z_stops_the_group_before_conclave_and_it_goes_on_after() {
    let _turn = alone();
    let node = Node::start();
    // Nothing is forked while it waits: a shell in the midst of a vfork shows another state than stopped.
    let script = "mkfifo end; exec 3<>end; echo $$ > command; read word <&3; exit 6";
    let mut job = node.lock("job", &["--ttl", "5"], "job", script);
    let command = node.written("command");
    job.signal(Signal::TSTP);
    let own = job.id().to_string();
    eventually("conclave stands still", PATIENCE, || (state_of(&own) == Some('T')).then_some(()));
    // It was told to stop first; the kernel shows it so once it would have run again.
    eventually("the command stands still", PATIENCE, || {
        (state_of(&command) == Some('T')).then_some(())
    });
    assert_eq!(state_of(&own), Some('T'), "and nobody had to do anything for it");
    job.signal(Signal::CONT);
    eventually("the command goes on", PATIENCE, || (state_of(&command) != Some('T')).then_some(()));
    std::fs::write(node.path("end"), "now\n").expect("a pipe");
    assert_eq!(job.exit_code(PATIENCE), 6, "{}", job.errors());
}

#[test]
fn continued_past_its_deadline_the_command_is_killed_without_having_run() {
    let _turn = alone();
    let node = Node::start();
    let script = "mkfifo go; exec 3<>go; trap 'echo told > told' TERM CONT; echo $$ > command; \
                  read word <&3; echo ran > ran; while :; do sleep 1; done";
    let mut job = node.lock("job", &["--ttl", "5"], "job", script);
    let command = node.written("command");
    job.signal(Signal::TSTP);
    let own = job.id().to_string();
    eventually("conclave stands still", PATIENCE, || (state_of(&own) == Some('T')).then_some(()));
    // From here on it would write down that it ran, if only it ran.
    std::fs::write(node.path("go"), "now\n").expect("a pipe");
    let mut next = node.lock("next", &[], "job", "echo yes > next-ran");
    assert_eq!(next.exit_code(PATIENCE), 0, "the session of a suspended one expires");
    assert_eq!(state_of(&command), Some('T'));
    job.signal(Signal::CONT);
    assert_eq!(job.exit_code(PATIENCE), 76);
    assert!(!is_alive(&command));
    assert_eq!((node.read("ran"), node.read("told")), (None, None));
}
