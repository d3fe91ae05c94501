//! The commands that the README tells people to type do what it says, as they stand there.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use conclave_tests::{Signal, eventually, together};
use support::{Node, PATIENCE, binary, text};

/// The blocks of commands of the README, in their order.
fn blocks() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").join("README.md");
    let text = fs::read_to_string(path).expect("the README");
    let blocks: Vec<_> = text
        .split("```console\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next().map(str::to_owned))
        .collect();
    assert!(blocks.len() >= 4, "the README lost its commands: {blocks:?}");
    blocks
}

/// The block with this in it.
fn block(what: &str) -> String {
    blocks()
        .into_iter()
        .find(|block| block.contains(what))
        .unwrap_or_else(|| panic!("the README has no block with {what}"))
}

/// A folder with the report of the README in it, which takes no time.
fn with_report(folder: &Path) {
    let report = folder.join("report.sh");
    fs::write(&report, "#!/bin/sh\necho report $CONCLAVE_TOKEN >> reports\n").expect("a script");
    fs::set_permissions(&report, fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// `sh` in that folder, where `conclave` is the binary under test.
fn shell(folder: &Path, endpoints: Option<&str>) -> Command {
    let mut path = binary().parent().expect("a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.arg("-ec").current_dir(folder).env("PATH", path).stdin(Stdio::null());
    if let Some(endpoints) = endpoints {
        command.env("CONCLAVE_ENDPOINTS", endpoints);
    }
    command
}

fn run(node: &Node, script: &str) -> Output {
    let output = shell(node.folder(), Some(node.endpoint())).arg(script).output().expect("a shell");
    assert!(output.status.success(), "{script}\n{}", text(&output.stderr));
    output
}

#[test]
fn the_lock_and_the_looks_work_as_written() {
    let _turn = together();
    let node = Node::start();
    with_report(node.folder());
    // The alias only names where cargo puts the binary.
    let first = block("conclave lock nightly-report")
        .replace("alias conclave=target/release/conclave\n", "");
    run(&node, &first);
    let output = run(&node, &block("conclave inspect nightly-report"));
    let reports = node.read("reports").unwrap_or_default();
    assert_eq!(reports.lines().count(), 3, "{reports}");
    assert!(text(&output.stdout).contains("nightly-report: nobody holds it"), "{output:?}");
}

#[test]
fn more_than_a_lock_works_as_written() {
    let _turn = together();
    let node = Node::start();
    with_report(node.folder());
    let output = run(&node, &block("conclave rwlock"));
    let reports = node.read("reports").unwrap_or_default();
    assert_eq!(reports.lines().count(), 5, "{reports}");
    let said = text(&output.stdout);
    for line in ["import: passed", "phase-1: all arrived", "import: deleted"] {
        assert!(said.contains(line), "{said}");
    }
    let kinds = node.json(&["list"]);
    assert_eq!(kinds["total"], 4, "a gate, a register, a counter and a result stay: {kinds}");
}

#[test]
fn three_nodes_are_three_commands() {
    let _turn = together();
    let folder = tempfile::TempDir::new().expect("a folder");
    // On an address of its own, so that nobody else's ports are in the way.
    let pid = std::process::id();
    let host = format!("127.{}.{}.7", 20 + pid % 20, pid / 20 % 250);
    let block = block("--peer-listen").replace("127.0.0.1", &host);
    let script = format!("{block}\nwait");
    let mut cluster = shell(folder.path(), None)
        .arg(script.replace("conclave status", "echo $CONCLAVE_ENDPOINTS > endpoints"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let endpoints = eventually("the endpoints", PATIENCE, || {
        let text = fs::read_to_string(folder.path().join("endpoints")).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    });
    let nodes = || {
        let output = shell(folder.path(), Some(&endpoints))
            .arg("conclave --connect-timeout 1 status -o json")
            .output()
            .expect("a shell");
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        status["leader"].as_str()?;
        Some(status["nodes"].as_array()?.len())
    };
    let formed = std::panic::catch_unwind(|| eventually("a cluster of three", PATIENCE, nodes));
    stop_all(&mut cluster);
    assert_eq!(formed.expect("formed"), 3);
}

/// Ends the shell's nodes by their ids, then the shell.
fn stop_all(shell: &mut std::process::Child) {
    let children = format!("/proc/{0}/task/{0}/children", shell.id());
    for pid in fs::read_to_string(children).unwrap_or_default().split_whitespace() {
        let pid = pid.parse().ok().and_then(child).expect("a process id");
        let _gone_already = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    let _reaped = shell.wait();
}

fn child(pid: i32) -> Option<nix::unistd::Pid> {
    (pid > 1).then(|| nix::unistd::Pid::from_raw(pid))
}

#[test]
fn the_block_for_one_node_starts_one() {
    let _turn = together();
    let line = block(" dev");
    assert_eq!(line.trim(), "cargo run --release -- dev");
    let node = Node::start();
    assert!(node.run(&["health"]).status.success());
    node.signal(Signal::TERM);
}
