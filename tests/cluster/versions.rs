//! Builds of several versions in one cluster, and directories of other formats.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use conclave_tests::raw::Raw;
use conclave_tests::{Cluster, Seat, Signal, alone, conclave, eventually, together};

use crate::backup::{check_values, errors, json, run, text};

/// A node that says it is of a build that speaks these versions.
fn build(protocols: &str) -> Seat {
    let environment = vec![("CONCLAVE_PEER_PROTOCOL".to_owned(), protocols.to_owned())];
    Seat { environment, ..Seat::default() }
}

/// Stops a node in good order and starts it in another seat; waits until it is ready.
fn replace(cluster: &mut Cluster, node: usize, seat: Seat) {
    cluster.signal(node, Signal::TERM);
    let (code, said) = cluster.ended(node, Duration::from_secs(20));
    assert_eq!(code, 0, "{said}");
    cluster.seat(node, seat);
    cluster.restart(node);
    let endpoint = cluster.endpoint(node);
    eventually("the node is ready again", Duration::from_secs(30), || {
        run(&["--endpoint", &endpoint, "health"]).status.success().then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_upgraded_one_node_at_a_time_under_load() {
    let _turn = alone();
    // All three are of the release before this one.
    let mut cluster = Cluster::start_seated(3, &[], &|_| build("0"));
    let mut load = Command::new(conclave())
        .args(["--endpoint", &cluster.endpoints(), "bench", "lock", "--clients", "8"])
        .args(["--sessions", "2", "--seconds", "25", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("conclave runs");
    for node in 0..3 {
        replace(&mut cluster, node, Seat::default());
        // Old and new agree, whoever leads.
        cluster.leader();
    }
    assert!(load.try_wait().expect("a child").is_none(), "the load ended before the upgrade did");
    let output = load.wait_with_output().expect("a child");
    assert!(output.status.success(), "a client noticed: {}", errors(&output));
    let text: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(text["errors"], 0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_too_new_is_refused_and_says_whom_to_upgrade() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    cluster.kill(2);
    cluster.seat(2, build("2-3"));
    cluster.restart(2);
    let refused = |said: String| {
        said.contains("a peer is refused") && said.contains("first, one release at a time")
    };
    eventually("a node says why", Duration::from_secs(30), || {
        (0..3).any(|node| refused(cluster.node(node).errors())).then_some(())
    });
    let endpoint = cluster.endpoint(2);
    assert!(!run(&["--endpoint", &endpoint, "health"]).status.success(), "it must not be ready");
    // The others are not disturbed, and it is let in when it speaks what they do.
    let others = [cluster.endpoint(0), cluster.endpoint(1)].join(",");
    let list = run(&["--endpoint", &others, "list"]);
    assert!(list.status.success(), "{}", errors(&list));
    replace(&mut cluster, 2, build("1-2"));
    cluster.leader();
}

/// What the first release left behind (`tests/golden/0.1.0`): the data directory of a node alone that began with a restored
/// backup, went on for a few entries and was killed, and that backup. Of sled's file the zeros at the end are left out.
#[tokio::test(flavor = "multi_thread")]
async fn the_data_and_the_backup_of_the_first_release_are_read() {
    let _turn = together();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/0.1.0");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    copy(&golden.join("data"), &data);
    let sled = fs::File::options().write(true).open(data.join("snapshots/db")).expect("its file");
    sled.set_len(8_388_607).expect("zeros");

    let seat = |_| Seat { data_dir: Some(data.clone()), ..Seat::default() };
    let mut cluster = Cluster::prepare(1, &[], &seat);
    cluster.restart(0);
    cluster.leader();
    let node = Raw::new(&cluster.endpoint(0));
    // Of the snapshot, and of the log behind it: what was held is held.
    assert!(node.check("job", 1_099_511_627_822).await.expect("an answer").held);
    assert!(node.check("pool", 1_099_511_627_819).await.expect("an answer").held);
    let get = |words: &[&str]| {
        let output = run(&[&["--endpoint", &cluster.endpoint(0)], words].concat());
        assert!(output.status.success(), "{words:?}: {}", errors(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(get(&["counter", "get", "hits"]), "7");
    assert_eq!(get(&["register", "get", "config"]), "on");
    assert_eq!(get(&["register", "get", "later"]), "yes");
    assert_eq!(get(&["once", "index", "--", "false"]), "built");
    cluster.kill(0);

    let backup = golden.join("backup");
    let info = json(&["backup", "check", text(&backup), "-o", "json"]);
    let facts = ["format", "revision", "sessions", "objects", "holds", "waiters"];
    let facts = facts.map(|fact| info[fact].as_u64().expect("a number"));
    assert_eq!(facts, [1, 30, 5, 9, 4, 1], "{info}");
    let mut restored = Cluster::prepare(1, &[], &|_| Seat::default());
    let dir = restored.data_dir(0);
    let words = ["snapshot", "restore", text(&backup), "--data-dir", text(&dir), "--name", "a"];
    json(&[&words[..], &["--now", "-o", "json"]].concat());
    restored.restart(0);
    restored.leader();
    check_values(&restored.endpoints());
}

/// What a later release may have written, each in a directory that is sound else: which file, and its new bytes.
fn newer(data: &Path) -> [(&'static str, Vec<u8>, [&'static str; 2]); 3] {
    let sealed = |name: &str| {
        let text = fs::read_to_string(data.join(name)).expect("a text");
        let body = text.split("checksum=").next().expect("a body").replace("format=1", "format=2");
        format!("{body}checksum={:08x}\n", crc(body.as_bytes())).into_bytes()
    };
    let log = "wal/r-00_000_000_000_000_000_000.wal";
    let mut bytes = fs::read(data.join(log)).expect("a log");
    // The checkpoint at its beginning: a type, the version, five values that are not there, and a checksum of all that.
    bytes[4] = 2;
    let sum = u64::from(crc(&bytes[..10])).to_be_bytes();
    bytes[10..18].copy_from_slice(&sum);
    [
        ("identity", sealed("identity"), ["has format 2", "reads 1"]),
        (
            "snapshots/committed",
            sealed("snapshots/committed"),
            ["says \"format=2\"", "\"format=1\""],
        ),
        (log, bytes, ["has version 2", "reads 1"]),
    ]
}

/// CRC-32 (IEEE), as all checksums on disk.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}

/// Every file with its bytes, the locks not counted.
fn bytes_in(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut bytes_in(&path));
        } else if !path.ends_with("LOCK") && !path.ends_with("wal.lock") {
            found.insert(path.clone(), fs::read(&path).expect("readable"));
        }
    }
    found
}

#[test]
fn a_node_refuses_what_a_newer_program_wrote_and_changes_nothing() {
    let _turn = together();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/0.1.0/data");
    let folder = tempfile::tempdir().expect("a folder");
    for (number, (file, bytes, versions)) in newer(&golden).into_iter().enumerate() {
        let data = folder.path().join(number.to_string());
        copy(&golden, &data);
        let sled = fs::File::options().write(true).open(data.join("snapshots/db"));
        sled.and_then(|sled| sled.set_len(8_388_607)).expect("zeros");
        fs::write(data.join(file), bytes).expect("written");
        let before = bytes_in(&data);
        let seat = |_| Seat { data_dir: Some(data.clone()), ..Seat::default() };
        let mut cluster = Cluster::prepare(1, &[], &seat);
        cluster.restart(0);
        let (code, said) = cluster.ended(0, Duration::from_secs(20));
        assert_eq!(code, 1, "{file}: {said}");
        let path = data.join(file).display().to_string();
        let advice = "written by a newer program: start that one, nothing was changed";
        for word in [&*path, versions[0], versions[1], advice] {
            assert!(said.contains(word), "{file}: {word:?} is not in: {said}");
        }
        // Nobody may be told to throw away what is whole.
        assert!(!said.contains("remove"), "{file}: {said}");
        assert!(bytes_in(&data) == before, "{file}: something was changed");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &copied),
            false => drop(fs::copy(&path, &copied).expect("copied")),
        }
    }
}
