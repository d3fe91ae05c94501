//! `conclave once`: one runs it, everybody has its result.

mod support;

use conclave_tests::{Cluster, Process, alone, eventually, together};
use support::{Node, PATIENCE, UNTIL_END, binary, text};

#[test]
fn of_three_processes_one_runs_it_and_all_print_it_and_exit_with_its_code() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let environment = [("CONCLAVE_ENDPOINTS", &*cluster.endpoints())];
    let script = format!(
        "cd {}; echo $$ >> runs; printf 'a result\\nof two lines'; echo oops >&2; {UNTIL_END}; exit 3",
        cluster.folder().display()
    );
    let start = |label: &str| {
        let arguments = ["once", "rates", "--retention", "1m", "--", "sh", "-c", &script];
        Process::start(binary(), arguments, &environment, cluster.folder(), label)
    };
    let mut jobs = ["a", "b", "c"].map(start);
    let runs = cluster.folder().join("runs");
    eventually("a run", PATIENCE, || runs.exists().then_some(()));
    std::fs::write(cluster.folder().join("end"), "").expect("a file");
    for job in &mut jobs {
        assert_eq!(job.exit_code(PATIENCE), 3, "{}", job.errors());
        assert_eq!(job.output(), "a result\nof two lines");
        assert!(job.errors().ends_with("oops\n"), "{}", job.errors());
    }
    // Whoever comes later has it, too.
    let mut late = start("late");
    assert_eq!((late.exit_code(PATIENCE), late.output()), (3, "a result\nof two lines".to_owned()));
    let runs = std::fs::read_to_string(runs).expect("a file");
    assert_eq!(runs.lines().count(), 1, "it ran {runs}");
}

#[test]
fn when_the_one_that_runs_it_is_killed_the_next_one_runs() {
    let _turn = alone();
    let node = Node::start();
    let script = format!("echo $$ >> runs; {UNTIL_END}; echo result");
    let mut first = node.under("first", &["once", "--ttl", "5", "key"], &script);
    node.written("runs");
    let mut second = node.under("second", &["once", "--ttl", "5", "key"], &script);
    node.queued("key", 1);
    let refused = node.run(&["once", "-n", "key", "--", "true"]);
    assert_eq!(refused.status.code(), Some(75));
    let said = text(&refused.stderr);
    assert!(
        said.contains("key is being run by ") && said.contains(&format!("pid {}", first.id())),
        "{said}"
    );
    first.kill();
    node.end();
    assert_eq!(second.exit_code(PATIENCE), 0, "{}", second.errors());
    assert_eq!(second.output(), "result\n");
    assert_eq!(node.written("runs").lines().count(), 2);
}

#[test]
fn what_was_stopped_or_should_be_retried_is_no_result() {
    let _turn = together();
    let node = Node::start();
    let script = "echo $$ >> runs; [ $(wc -l < runs) -gt 1 ] || exit 4; echo fine";
    let once = |flags: &[&str]| node.under("job", &[&["once"], flags, &["key"]].concat(), script);
    assert_eq!(once(&["--retry-failures"]).exit_code(PATIENCE), 4);
    let mut second = once(&["--retry-failures"]);
    assert_eq!((second.exit_code(PATIENCE), second.output()), (0, "fine\n".to_owned()));
    let asked = format!("echo $$ >> asked; {UNTIL_END}; [ -f stopped ]");
    let mut stopped = node.under("stopped", &["once", "other"], &asked);
    node.written("asked");
    stopped.signal(conclave_tests::Signal::TERM);
    assert_eq!(stopped.exit_code(PATIENCE), 143);
    node.end();
    std::fs::write(node.path("stopped"), "").expect("a file");
    assert_eq!(node.under("again", &["once", "other"], &asked).exit_code(PATIENCE), 0);
    assert_eq!(node.written("asked").lines().count(), 2, "a stopped run is no result");
}

#[test]
fn those_that_wait_are_told_when_too_many_runs_failed() {
    let _turn = together();
    let node = Node::start();
    let arguments = ["once", "--retry-failures", "--attempts-max", "1", "key"];
    let script = format!("echo $$ >> runs; {UNTIL_END}; exit 4");
    let mut first = node.under("first", &arguments, &script);
    node.written("runs");
    let mut second = node.under("second", &arguments, &script);
    node.queued("key", 1);
    node.end();
    assert_eq!(first.exit_code(PATIENCE), 4);
    assert_eq!(second.exit_code(PATIENCE), 125);
    let said = second.errors();
    assert!(said.contains("key: 1 runs ended without a result; see why it fails"), "{said}");
    assert_eq!(node.written("runs").lines().count(), 1);
}

#[test]
fn more_than_is_kept_is_cut_for_others_and_said() {
    let _turn = together();
    let node = Node::start();
    let command = ["once", "long", "--", "sh", "-c", "yes | head -c 100000"];
    let first = node.run(&command);
    assert_eq!((first.status.code(), first.stdout.len()), (Some(0), 100_000));
    assert!(text(&first.stderr).contains("48 KiB"), "{}", text(&first.stderr));
    let second = node.run(&command);
    assert_eq!((second.status.code(), second.stdout.len()), (Some(0), 48 * 1024));
    assert!(text(&second.stderr).contains("48 KiB"), "{}", text(&second.stderr));
}

#[test]
fn what_left_the_group_holds_up_no_result() {
    let _turn = together();
    let node = Node::start();
    // It keeps the pipe open for longer than the test has patience.
    let script = "setsid sleep 60 & echo $! > left; echo result";
    let mut job = node.under("job", &["once", "key"], script);
    assert_eq!((job.exit_code(PATIENCE), job.output()), (0, "result\n".to_owned()));
    let left: i32 = node.written("left").parse().expect("a process");
    let _gone = std::process::Command::new("kill").arg(left.to_string()).status();
}
