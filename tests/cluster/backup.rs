//! Backups of real clusters: taken while they work, checked to the last byte, and the beginning of new ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use conclave_client::{Client, Session};
use conclave_proto::v1::SessionKey;
use conclave_tests::raw::{Acquired, Raw, Wait};
use conclave_tests::{Cluster, Seat, alone, conclave, eventually, together};
use serde_json::Value;

/// The longest TTL in these backups is ten seconds.
const QUIET: Duration = Duration::from_secs(11);
/// What every token of a new cluster is above.
const GAP: u64 = 1 << 40;

pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(conclave()).args(arguments).output().expect("conclave runs")
}

/// What it printed as JSON; it must have succeeded.
pub(crate) fn json(arguments: &[&str]) -> Value {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn save(endpoint: &str, file: &Path) -> Value {
    json(&["--endpoint", endpoint, "snapshot", "save", text(file), "-o", "json"])
}

/// One of each kind of object, values that stay, holds and waits that do not.
pub(crate) async fn fill(endpoints: &str) -> Session {
    let client = Client::connect(endpoints.split(',')).expect("endpoints");
    let session = client.session().name("filler").open().await.expect("a session");
    let cli = |words: &[&str]| {
        let output = run(&[&["--endpoint", endpoints], words].concat());
        assert!(output.status.success(), "{words:?}: {}", errors(&output));
    };
    cli(&["register", "set", "config", "on"]);
    cli(&["counter", "add", "hits", "3"]);
    session.latch("start").create(2).await.expect("a latch");
    session.latch("start").count_down_once("one").await.expect("counted");
    session.gate("door").open().await.expect("open");
    let once = session.once("index", Duration::from_secs(3600));
    once.run(async |_| Ok::<_, std::io::Error>("built")).await.expect("it is run once");
    std::mem::forget(session.mutex("job").lock().await.expect("a mutex"));
    std::mem::forget(session.rwlock("map").read().await.expect("a read lock"));
    std::mem::forget(session.semaphore("pool", 10).acquire_many(3).await.expect("permits"));
    std::mem::forget(session.election("boss").value("me").campaign().await.expect("a term"));
    cli(&["resize", "pool", "4"]);
    let node = Raw::new(endpoints.split(',').next().expect("one"));
    let waiter = node.open("waiter", Duration::from_secs(10), Duration::ZERO).await.expect("open");
    assert_eq!(node.enqueue(&waiter, 1, "job").await, 1);
    session
}

/// What was kept is there, what was held is not.
pub(crate) fn check_values(endpoints: &str) {
    let get = |words: &[&str]| json(&[&["--endpoint", endpoints], words, &["-o", "json"]].concat());
    let list = get(&["list"]);
    let names = list["objects"].as_array().expect("a list").iter();
    let names: Vec<_> = names.map(|object| object["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["config", "door", "hits", "index", "pool", "start"], "{list}");
    assert_eq!(get(&["counter", "get", "hits"])["value"], 3);
    let register = run(&["--endpoint", endpoints, "register", "get", "config"]);
    assert_eq!(String::from_utf8_lossy(&register.stdout).trim(), "on", "{}", errors(&register));
    let pool = get(&["inspect", "pool"]);
    assert!(pool["holders"].as_array().expect("holders").is_empty(), "{pool}");
    assert_eq!(pool["detail"]["semaphore"]["limit"], 4, "{pool}");
    let start = get(&["inspect", "start"]);
    assert_eq!(start["detail"]["latch"]["remaining"], 1, "{start}");
    assert_eq!(get(&["status"])["sessions"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_three_nodes_begins_a_new_cluster_of_three() {
    let _turn = alone();
    let mut old = Cluster::start(3);
    let filler = fill(&old.endpoints()).await;
    let file = old.folder().join("backup");
    // Through a follower, which passes it on.
    let follower = old.endpoint((old.leader() + 1) % 3);
    let saved = save(&follower, &file);
    assert_eq!(saved["holds"], 4, "{saved}");
    assert_eq!(saved["waiters"], 1, "{saved}");
    assert_eq!(json(&["backup", "check", text(&file), "-o", "json"]), saved);
    let again = run(&["--endpoint", &follower, "snapshot", "save", text(&file)]);
    assert!(!again.status.success() && errors(&again).contains("--force"), "{}", errors(&again));
    let forced = run(&["--endpoint", &follower, "snapshot", "save", text(&file), "--force"]);
    assert!(forced.status.success(), "{}", errors(&forced));
    drop(filler);
    for node in 0..3 {
        old.kill(node);
    }

    let mut new = Cluster::prepare(3, &[], &|_| Seat::default());
    let (list, dir) = (new.list(), new.data_dir(0));
    let words = ["snapshot", "restore", text(&file), "--data-dir", text(&dir), "--cluster", &list];
    let second = run(&[&words[..], &["--name", "b"]].concat());
    assert!(errors(&second).contains("not the first of the list"), "{}", errors(&second));
    let restored = json(&[&words[..], &["-o", "json"]].concat());
    assert_eq!(restored["name"], "a");
    assert_ne!(restored["cluster_id"], saved["cluster_id"]);
    assert_eq!(restored["quiet_ms"].as_u64(), Some(QUIET.as_millis() as u64), "{restored}");
    let once_more = run(&[&words[..], &["--name", "a"]].concat());
    assert!(errors(&once_more).contains("is not empty"), "{}", errors(&once_more));

    // Alone it does not begin: the others have not heard of the new cluster.
    new.restart(0);
    let started = Instant::now();
    eventually("it says what it waits for", Duration::from_secs(20), || {
        new.node(0).errors().contains("does not answer").then_some(())
    });
    assert_eq!(new.status(0).and_then(|status| status.leader), None);
    new.restart(1);
    new.restart(2);
    let leader = new.leader();
    for node in 0..3 {
        let status = json(&["--endpoint", &new.endpoint(node), "status", "-o", "json"]);
        assert_eq!(status["cluster_id"], restored["cluster_id"]);
    }
    check_values(&new.endpoints());

    let node = Raw::new(&new.endpoint(leader));
    let key = node.open("stranger", Duration::from_secs(60), Duration::ZERO).await.expect("open");
    let tried = node.acquire(&key, 1, "free", Wait::None(true)).await.expect("an answer");
    assert!(matches!(tried, Acquired::Held(_)), "a grant in the quiet time: {tried:?}");
    // The leader goes, and the next one keeps the whole quiet time anew.
    new.kill(leader);
    let killed = Instant::now();
    let token = granted(&new, &key, 2, "job").await;
    assert!(
        killed.elapsed() >= QUIET,
        "{:?} after the leader, {:?}",
        killed.elapsed(),
        started.elapsed()
    );
    assert!(token > GAP, "{token}");
    check_data_is_everywhere(&new);
    // Also where the third one is reached, which never led, is known to clients: each says it itself.
    let endpoint = new.endpoint(new.leader());
    eventually("everybody's address", Duration::from_secs(20), || {
        let status = json(&["--endpoint", &endpoint, "status", "-o", "json"]);
        let known = status["nodes"].as_array()?.clone();
        let known: Vec<_> = known.iter().map(|node| node["client_address"].clone()).collect();
        (known == [new.endpoint(0), new.endpoint(1), new.endpoint(2)]).then_some(())
    });
}

/// Waits for a grant, at whoever leads: the same seq again, as every client does when its call goes unanswered.
pub(crate) async fn granted(cluster: &Cluster, key: &SessionKey, seq: u64, name: &str) -> u64 {
    let begun = Instant::now();
    loop {
        let node = Raw::new(&cluster.endpoint(cluster.leader()));
        let answer = node.acquire(key, seq, name, Wait::Forever(true)).await;
        if let Ok(Acquired::Granted(granted)) = answer {
            return granted.token;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{name}: {answer:?}");
    }
}

/// The two that came empty have what the first brought.
fn check_data_is_everywhere(cluster: &Cluster) {
    for node in (0..3).filter(|&node| cluster.running(node)) {
        let endpoint = cluster.endpoint(node);
        let list = json(&["--endpoint", &endpoint, "list", "--stale", "-o", "json"]);
        assert!(list.to_string().contains("\"config\""), "{endpoint}: {list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restored_with_now_grants_at_once() {
    let _turn = alone();
    let old = Cluster::start(1);
    let filler = fill(&old.endpoints()).await;
    let file = old.folder().join("backup");
    save(&old.endpoint(0), &file);
    drop(filler);
    let mut new = Cluster::prepare(1, &[], &|_| Seat::default());
    let dir = new.data_dir(0);
    let words = ["snapshot", "restore", text(&file), "--data-dir", text(&dir), "--name", "a"];
    let restored = json(&[&words[..], &["--now", "-o", "json"]].concat());
    assert_eq!(restored["quiet_ms"], 0);
    new.restart(0);
    new.leader();
    check_values(&new.endpoints());
    let node = Raw::new(&new.endpoint(0));
    let key = node.open("stranger", Duration::from_secs(60), Duration::ZERO).await.expect("open");
    assert!(node.acquire_now(&key, 1, "job").await > GAP);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_or_truncated_backup_is_refused_by_check_and_restore() {
    let _turn = alone();
    let cluster = Cluster::start(1);
    let _filler = fill(&cluster.endpoints()).await;
    let file = cluster.folder().join("backup");
    save(&cluster.endpoint(0), &file);
    let good = fs::read(&file).expect("a backup");
    let bad = cluster.folder().join("bad");
    let dir = cluster.folder().join("new");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&bad, bytes).expect("written");
        let words = ["snapshot", "restore", text(&bad), "--data-dir", text(&dir), "--name", "a"];
        for words in [&["backup", "check", text(&bad)][..], &words[..]] {
            let output = run(words);
            assert!(!output.status.success(), "{what}: {words:?}");
            assert!(errors(&output).contains("backup"), "{what}: {}", errors(&output));
        }
        assert!(!dir.exists(), "{what}: a refused restore left something behind");
    };
    // Every class of bytes: magic, version, length and bytes of the header, its checksum, a record, the end.
    for at in [0, 9, 12, 20, 40, good.len() / 2, good.len() - 20, good.len() - 10, good.len() - 1] {
        let mut altered = good.clone();
        altered[at] ^= 0x10;
        refused(&altered, &format!("byte {at}"));
        refused(&good[..at], &format!("cut at {at}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_and_across_a_leader_change_is_whole_or_not_there() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let _filler = fill(&cluster.endpoints()).await;
    let endpoints = cluster.endpoints();
    let folder = cluster.folder().join("backups");
    fs::create_dir(&folder).expect("a folder");
    let mut load = Command::new(conclave())
        .args(["--endpoint", &endpoints, "bench", "lock", "--clients", "32", "--seconds", "12"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("conclave runs");
    let leader = cluster.leader();
    let begun = Instant::now();
    let (mut whole, mut broken, mut killed) = (Vec::<PathBuf>::new(), 0, false);
    while begun.elapsed() < Duration::from_secs(10) {
        if !killed && begun.elapsed() > Duration::from_secs(3) {
            cluster.kill(leader);
            killed = true;
        }
        let file = folder.join(format!("{}", whole.len() + broken));
        let saved = run(&["--endpoint", &endpoints, "snapshot", "save", text(&file)]);
        if saved.status.success() {
            whole.push(file);
        } else {
            assert!(!errors(&saved).is_empty() && !file.exists(), "{}", errors(&saved));
            broken += 1;
        }
    }
    let _reaped = load.kill().and_then(|()| load.wait());
    assert!(killed && whole.len() > 3, "{} whole, {broken} broken", whole.len());
    let mut revision = 0;
    for file in &whole {
        let info = json(&["backup", "check", text(file), "-o", "json"]);
        let now = info["revision"].as_u64().expect("a revision");
        assert!(now >= revision, "a later backup is of an earlier state: {now} after {revision}");
        revision = now;
    }
    let left: Vec<_> = fs::read_dir(&folder).expect("a folder").collect();
    assert_eq!(left.len(), whole.len(), "something was left behind: {left:?}");
}

#[test]
fn a_state_that_was_restored_for_other_nodes_than_the_list_names_does_not_begin() {
    let _turn = together();
    let mut cluster = Cluster::prepare(3, &[], &|_| Seat::default());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/0.1.0/backup");
    let dir = cluster.data_dir(0);
    // For a node alone.
    let words = ["snapshot", "restore", text(&file), "--data-dir", text(&dir), "--name", "a"];
    json(&[&words[..], &["--now", "-o", "json"]].concat());
    for node in 0..3 {
        cluster.restart(node);
    }
    eventually("it says what is wrong", Duration::from_secs(20), || {
        let said = cluster.node(0).errors();
        (said.contains("was made for the nodes a, and the list names a, b, c")).then_some(())
    });
    // The others were told nothing, and wait.
    for node in 0..3 {
        assert_eq!(cluster.status(node).and_then(|status| status.leader), None);
    }
}
