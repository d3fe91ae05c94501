//! The day on which the majority is gone for good.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use conclave_tests::raw::Raw;
use conclave_tests::{Cluster, Seat, alone, conclave, eventually};

use crate::backup::{check_values, errors, fill, granted, json, run, text};

const QUIET: Duration = Duration::from_secs(11);

#[tokio::test(flavor = "multi_thread")]
async fn the_node_that_is_left_recovers_as_a_cluster_of_one() {
    let _turn = alone();
    let mut old = Cluster::start(3);
    let filler = fill(&old.endpoints()).await;
    let dir = old.data_dir(0);
    let words = ["recover", "--data-dir", text(&dir)];
    let running = run(&[&words[..], &["--yes"]].concat());
    assert!(errors(&running).contains("in use by another process"), "{}", errors(&running));
    let cluster_id =
        json(&["--endpoint", &old.endpoint(0), "status", "-o", "json"])["cluster_id"].clone();
    for node in 0..3 {
        old.kill(node);
    }
    drop(filler);
    let unasked = run(&words);
    assert!(errors(&unasked).contains("give --yes"), "{}", errors(&unasked));
    assert!(errors(&unasked).contains("is lost"), "it says what may be lost: {}", errors(&unasked));

    let recovered = json(&[&words[..], &["--yes", "-o", "json"]].concat());
    assert_ne!(recovered["cluster_id"], cluster_id);
    assert_eq!(recovered["quiet_ms"].as_u64(), Some(QUIET.as_millis() as u64), "{recovered}");
    // The old data is all there, to be gone back to.
    let aside = recovered["aside"].as_str().expect("where it is");
    assert!(fs::read_dir(aside).expect("a folder").count() >= 3, "{aside}");

    let mut alone =
        Cluster::prepare(1, &[], &|_| Seat { data_dir: Some(dir.clone()), ..Seat::default() });
    let started = Instant::now();
    alone.restart(0);
    alone.leader();
    check_values(&alone.endpoints());
    let node = Raw::new(&alone.endpoint(0));
    let key = node.open("stranger", Duration::from_secs(60), Duration::ZERO).await.expect("open");
    let token = granted(&alone, &key, 1, "job").await;
    assert!(started.elapsed() >= QUIET, "{:?}", started.elapsed());
    assert!(token > 1 << 40, "{token}");
}

/// The moment in which a directory looks like a new one: everything old is aside, and nothing new has come in.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_broke_off_is_no_empty_node_and_is_finished() {
    let _turn = alone();
    let mut cluster = Cluster::start(1);
    let filler = fill(&cluster.endpoints()).await;
    cluster.kill(0);
    drop(filler);
    let dir = cluster.data_dir(0);
    let words = ["recover", "--data-dir", text(&dir), "--yes", "-o", "json"];

    fs::write(dir.join("removed"), "node 1, a, was taken out\n").expect("a mark");
    let removed = errors(&run(&words));
    assert!(removed.contains("was taken out of its cluster"), "{removed}");
    fs::remove_file(dir.join("removed")).expect("no mark");

    let recovered = json(&words);
    let ready = dir.join("recovering");
    fs::create_dir(&ready).expect("a folder");
    for name in ["identity", "snapshots", "wal"] {
        fs::rename(dir.join(name), ready.join(name)).expect("moved");
    }
    cluster.restart(0);
    let (code, said) = cluster.ended(0, Duration::from_secs(20));
    assert_eq!(code, 1, "{said}");
    let advice = format!("conclave recover --data-dir {}", dir.display());
    assert!(said.contains(&advice), "it must say how: {said}");

    let finished = json(&words);
    assert_eq!(finished["cluster_id"], recovered["cluster_id"]);
    assert_eq!(finished["aside"], recovered["aside"]);
    cluster.restart(0);
    cluster.leader();
    check_values(&cluster.endpoints());
}

#[test]
fn a_directory_without_its_identity_file_is_no_new_node() {
    let _turn = alone();
    let mut cluster = Cluster::start(1);
    cluster.kill(0);
    let identity = cluster.data_dir(0).join("identity");
    let kept = fs::read(&identity).expect("its identity");
    fs::remove_file(&identity).expect("removed");
    // It has no snapshot yet.
    let snapshots = cluster.data_dir(0).join("snapshots");
    fs::remove_dir_all(&snapshots).expect("removed");
    cluster.restart(0);
    let (code, said) = cluster.ended(0, Duration::from_secs(20));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("put the file back"), "it must say how: {said}");
    fs::write(&identity, kept).expect("put back");
    cluster.restart(0);
    cluster.leader();
}

/// Two that are told to restore to one place at the same time: the second one looks again when it is its turn.
#[test]
fn a_restore_that_waited_for_another_one_overwrites_nothing() {
    let _turn = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("data");
    fs::create_dir(&dir).expect("a folder");
    let lock = fs::File::create(dir.join("LOCK")).expect("a file");
    lock.lock().expect("locked");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/0.1.0/backup");
    let words = ["snapshot", "restore", text(&file), "--data-dir", text(&dir), "--name", "a"];
    let mut second = Command::new(conclave());
    let second = second.args(words).stderr(Stdio::piped()).spawn().expect("conclave runs");
    // It found the directory empty, and waits (for half a second) until it may use it.
    let waits_at = format!("/proc/{}/fd", second.id());
    eventually("it waits, or has given up", Duration::from_secs(20), || {
        let Ok(open) = fs::read_dir(&waits_at) else { return Some(()) };
        let mut open = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).peekable();
        let is_over = open.peek().is_none();
        (is_over || open.any(|path| path == dir.join("LOCK"))).then_some(())
    });
    fs::write(dir.join("identity"), "of the first").expect("written");
    drop(lock);
    let output = second.wait_with_output().expect("a child");
    let said = errors(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("is not empty") || said.contains("in use"), "{said}");
    let kept = fs::read_to_string(dir.join("identity")).expect("kept");
    assert_eq!(kept, "of the first");
    assert!(!dir.join("snapshots").exists() && !dir.join("wal").exists());
}
