//! A node whose disk takes no more says so and ends; what it acknowledged is there when it is started again.

use std::path::Path;
use std::time::Duration;

use conclave_tests::raw::Raw;
use conclave_tests::{Cluster, Process, conclave, eventually, together};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// What a file may grow to once the disk is "full": the log of the process itself, which says why, stays below it.
const FILE_BYTES_MAX: u64 = 64 << 10;
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_ends_and_says_what_to_do() {
    let _turn = together();
    let mut cluster = Cluster::start(1);
    cluster.kill(0);
    // The signal of that limit would kill the process; ignored, as the shell passes it on, writes fail as on a full disk.
    let ignoring = ["-c", "trap '' XFSZ; exec \"$0\" \"$@\""].map(str::to_owned);
    let server = [
        conclave().display().to_string(),
        "server".to_owned(),
        "--name=a".to_owned(),
        format!("--listen={}", cluster.endpoint(0)),
        format!("--peer-listen={}", cluster.peer_address(0)),
        format!("--cluster=a={}", cluster.peer_address(0)),
        format!("--data-dir={}", cluster.data_dir(0).display()),
    ];
    let arguments = ignoring.into_iter().chain(server);
    let mut process =
        Process::start(Path::new("/bin/sh"), arguments, &[], cluster.folder(), "full");
    eventually("a leader", Duration::from_secs(20), || cluster.status(0)?.leader);

    let pid = Pid::from_raw(process.id().try_into().expect("a process id"));
    let full = Rlimit { current: Some(FILE_BYTES_MAX), maximum: Some(FILE_BYTES_MAX) };
    prlimit(pid, Resource::Fsize, full).expect("a process of our own");
    let node = Raw::new(&cluster.endpoint(0));
    let mut opened = Vec::new();
    while let Ok(key) = node.open(&format!("client-{}", opened.len()), LONG, Duration::ZERO).await {
        opened.push(key);
        assert!(opened.len() < 10_000, "the limit is not met");
    }
    let code = process.exit_code(Duration::from_secs(20));
    let said = process.errors() + &process.output();
    assert!(code > 0, "{code}: {said}");
    assert!(said.contains("free space or mend the disk"), "it must say how: {said}");

    cluster.restart(0);
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    assert!(!opened.is_empty());
    for key in &opened {
        node.keep_alive(key, 0).await.expect("its session was acknowledged");
    }
}
