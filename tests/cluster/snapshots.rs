//! Snapshots between real processes: they bring back who was away, what is altered on its way is refused and sent again, what
//! rotted on the disk is not believed, and a node that always lags does not die of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use conclave_tests::{Cluster, Process, Seat, alone, conclave, eventually, together};

const PATIENCE: Duration = Duration::from_secs(60);

/// So small that a node is soon too far behind for entries.
const SMALL: [&str; 6] =
    ["--snapshot-entries", "50", "--keep-entries", "5", "--lag-entries", "100"];

fn run(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = Command::new(conclave())
        .args(["--endpoint", &cluster.endpoints()])
        .args(arguments)
        .output()
        .expect("conclave runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn applied(cluster: &Cluster, node: usize) -> Option<u64> {
    let name = char::from(b'a' + node as u8).to_string();
    let status = cluster.status(node)?;
    status.nodes.into_iter().find(|other| other.name == name).map(|node| node.applied)
}

fn metric(cluster: &Cluster, node: usize, name: &str) -> u64 {
    cluster.metric(node, name).unwrap_or_default() as u64
}

/// Of all nodes that run.
fn total(cluster: &Cluster, name: &str) -> u64 {
    running(cluster).map(|node| metric(cluster, node, name)).sum()
}

fn running(cluster: &Cluster) -> impl Iterator<Item = usize> {
    (0..cluster.size()).filter(|&node| cluster.running(node))
}

/// Load until it is killed: more than one client, and few, so that each command is an entry of its own.
fn load(cluster: &Cluster) -> Process {
    let words = ["bench", "lock", "--clients", "4", "--sessions", "4", "--seconds", "600"];
    let environment = [("CONCLAVE_ENDPOINTS", &*cluster.endpoints())];
    Process::start(conclave(), words, &environment, cluster.folder(), "load")
}

/// The logs of all that run begin behind that entry.
fn all_purged(cluster: &Cluster, index: u64) {
    eventually("the logs are cut off", PATIENCE, || {
        let purged = |node| metric(cluster, node, "conclave_log_purged_index") > index;
        running(cluster).all(purged).then_some(())
    });
}

fn write_until_purged(cluster: &Cluster, index: u64) {
    let mut load = load(cluster);
    all_purged(cluster, index);
    load.kill();
}

/// Everything that any of them has applied by now.
fn caught_up(cluster: &Cluster, node: usize) {
    let applied_there = running(cluster).filter_map(|node| applied(cluster, node));
    let target = applied_there.max().expect("somebody answers");
    eventually("it has applied everything", PATIENCE, || {
        applied(cluster, node).filter(|&applied| applied >= target)
    });
}

/// What a node knows of itself, from its own memory.
fn register(cluster: &Cluster, node: usize, name: &str) -> serde_json::Value {
    let output = Command::new(conclave())
        .args(["--endpoint", &cluster.endpoint(node), "inspect", name, "--stale", "-o", "json"])
        .output()
        .expect("conclave runs");
    let mut seen: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    seen["detail"]["register"].take()
}

#[test]
fn a_snapshot_and_not_the_log_brings_back_a_node_that_was_away() {
    let _turn = together();
    let mut cluster = Cluster::start_with(3, &SMALL);
    let leader = cluster.leader();
    let away = (leader + 1) % 3;
    let had = applied(&cluster, away).expect("it answers");
    cluster.kill(away);
    run(&cluster, &["register", "set", "kept", "since"]);
    // No log reaches back to what it had: without a snapshot it cannot come back.
    write_until_purged(&cluster, had + 100);
    assert_eq!(total(&cluster, "conclave_snapshots_sent_total"), 0, "nobody was sent one before");

    cluster.restart(away);
    caught_up(&cluster, away);
    assert!(metric(&cluster, away, "conclave_snapshots_installed_total") >= 1);
    // Its answer to the sender comes last.
    eventually("the sender hears of it", PATIENCE, || {
        (total(&cluster, "conclave_snapshots_sent_total") >= 1).then_some(())
    });
    let purged = metric(&cluster, away, "conclave_log_purged_index");
    assert!(purged > had, "its own log begins at {purged}, behind the snapshot");
    assert_eq!(register(&cluster, away, "kept"), register(&cluster, leader, "kept"));
    assert!(register(&cluster, away, "kept").is_object());
}

/// Passes on what comes for one node; in the first snapshot that goes by it flips one bit.
struct Flipper {
    address: SocketAddr,
    flipped: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Flipper {
    fn start(target: String, mark: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (flipped, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, end) = (Arc::clone(&flipped), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(from) = stream else { return };
                if end.load(Ordering::Relaxed) {
                    return;
                }
                // The node is down: whoever calls hears so.
                let Ok(to) = TcpStream::connect(&target) else { continue };
                let (back, forth) = (to.try_clone(), from.try_clone());
                let (Ok(back), Ok(forth)) = (back, forth) else { continue };
                std::thread::spawn(move || pass(back, forth, |_| {}));
                let count = Arc::clone(&count);
                std::thread::spawn(move || pass(from, to, |piece| flip(piece, mark, &count)));
            }
        });
        Self { address, flipped, over }
    }
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _gone_already = TcpStream::connect(self.address);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&mut [u8])) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        change(&mut piece[..length]);
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        let _gone_already = stream.shutdown(Shutdown::Both);
    }
}

fn flip(piece: &mut [u8], mark: &str, count: &AtomicUsize) {
    let found = piece.windows(mark.len()).position(|window| window == mark.as_bytes());
    if let Some(at) = found
        && count.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        piece[at] ^= 0x20;
    }
}

/// In the value of a register; nothing else that is said between nodes has it in it once the log is cut off.
const MARK: &str = "a word that stands nowhere else";

#[test]
fn a_snapshot_altered_on_its_way_is_refused_and_the_second_one_is_taken() {
    let _turn = together();
    let mut cluster = Cluster::start_with(3, &SMALL);
    let away = 2;
    cluster.kill(away);
    let flipper = Flipper::start(cluster.peer_address(away), MARK);
    let list = cluster.list().replace(&cluster.peer_address(away), &flipper.address.to_string());
    for node in [0, 1] {
        cluster.kill(node);
    }
    for node in [0, 1] {
        cluster.restart_with(node, &list);
    }
    let leader = cluster.leader();
    for number in 0..20 {
        run(&cluster, &["register", "set", &format!("kept/{number}"), MARK]);
    }
    let last = applied(&cluster, leader).expect("the leader answers");
    write_until_purged(&cluster, last);
    assert_eq!(flipper.flipped.load(Ordering::Relaxed), 0);

    cluster.restart(away);
    caught_up(&cluster, away);
    assert_eq!(flipper.flipped.load(Ordering::Relaxed), 1, "no snapshot went by");
    let counted = |name: &str| metric(&cluster, away, name);
    assert!(counted("conclave_snapshots_refused_total") >= 1, "nobody noticed");
    assert!(counted("conclave_snapshots_installed_total") >= 1, "not sent again");
    eventually("the sender hears of both", PATIENCE, || {
        let failed = total(&cluster, "conclave_snapshot_sends_failed_total");
        (failed >= 1 && total(&cluster, "conclave_snapshots_sent_total") >= 1).then_some(())
    });
    let said = cluster.node(away).errors();
    assert!(said.contains("the snapshot was altered on its way"), "{said}");
    for number in 0..20 {
        let name = format!("kept/{number}");
        assert_eq!(register(&cluster, away, &name), register(&cluster, leader, &name));
    }
    // Its own word: what it has is what was written.
    run(&cluster, &["step-down", "--to", "c"]);
    assert_eq!(run(&cluster, &["register", "get", "kept/7"]), MARK);
}

fn database(cluster: &Cluster, node: usize) -> PathBuf {
    cluster.data_dir(node).join("snapshots").join("db")
}

/// Flips one bit wherever the word stands in the file; answers how often.
fn rot(file: &Path, word: &str) -> usize {
    let mut bytes = fs::read(file).expect("the snapshots of a node that is down");
    let at: Vec<_> = bytes
        .windows(word.len())
        .enumerate()
        .filter_map(|(at, window)| (window == word.as_bytes()).then_some(at))
        .collect();
    for at in &at {
        bytes[*at] ^= 0x20;
    }
    fs::write(file, bytes).expect("written");
    at.len()
}

/// Until a snapshot reaches behind that entry.
fn write_until_taken(cluster: &Cluster, node: usize, index: u64) {
    eventually("a snapshot", PATIENCE, || {
        run(cluster, &["counter", "add", "filler", "1"]);
        (metric(cluster, node, "conclave_snapshot_last_index") > index).then_some(())
    });
}

#[test]
fn a_node_whose_snapshots_rotted_serves_the_older_one_or_says_how_it_comes_back() {
    let _turn = together();
    let mut cluster = Cluster::start_with(3, &SMALL);
    let leader = cluster.leader();
    let hit = (leader + 1) % 3;
    // Each snapshot has a word that the others do not have.
    let told = ["the first of several words", "a second word", "the last word of all"];
    for word in told {
        run(&cluster, &["register", "set", "kept", word]);
        let last = applied(&cluster, leader).expect("the leader answers");
        write_until_taken(&cluster, hit, last);
    }
    let before = register(&cluster, leader, "kept");
    cluster.kill(hit);
    assert!(rot(&database(&cluster, hit), told[2]) > 0, "the newest has the last word");
    cluster.restart(hit);
    caught_up(&cluster, hit);
    let said = cluster.node(hit).errors();
    // By the store's own word, or by what sled made of it when it opened.
    let words = ["the newest snapshot is damaged", "a committed snapshot is gone"];
    assert!(words.iter().any(|word| said.contains(word)), "{said}");
    assert_eq!(register(&cluster, hit, "kept"), before, "from the older one and the log");

    // And now all that there are.
    cluster.kill(hit);
    let file = database(&cluster, hit);
    assert!(told.iter().map(|word| rot(&file, word)).sum::<usize>() > 0);
    cluster.restart(hit);
    let (code, said) = cluster.ended(hit, PATIENCE);
    assert_eq!(code, 1, "{said}");
    let words = ["no snapshot in ", "the snapshot store "];
    assert!(words.iter().any(|word| said.contains(word)), "{said}");
    assert!(said.contains("start it with --join"), "{said}");
    assert_eq!(run(&cluster, &["register", "get", "kept"]), "the last word of all");
}

/// Times that the node of the regression test below falls behind.
const ROUNDS: usize = 4;

/// openraft#2116: under load, with little processor time and small thresholds, a node that always falls behind is given one
/// snapshot after the other while entries come in, and the purge of an installed one must not overtake what is being applied.
#[test]
fn a_node_that_always_lags_lives_on_one_snapshot_after_the_other() {
    let _turn = alone();
    // All three share one processor.
    let narrow =
        |_| Seat { wrapper: ["taskset", "-c", "0"].map(str::to_owned).into(), ..Seat::default() };
    let thresholds = ["--snapshot-entries", "20", "--keep-entries", "5", "--lag-entries", "10"];
    let mut cluster = Cluster::start_seated(3, &thresholds, &narrow);
    let slow = (cluster.leader() + 1) % 3;
    let mut load = load(&cluster);
    for _ in 0..ROUNDS {
        let had = applied(&cluster, slow).expect("it answers");
        cluster.kill(slow);
        all_purged(&cluster, had);
        cluster.restart(slow);
        eventually("a snapshot", PATIENCE, || {
            (metric(&cluster, slow, "conclave_snapshots_installed_total") >= 1).then_some(())
        });
        // It goes on with what came meanwhile, and all live.
        caught_up(&cluster, slow);
        for node in 0..3 {
            let ended = cluster.node(node).ended();
            assert!(ended.is_none(), "{node}: {ended:?}\n{}", cluster.node(node).errors());
        }
    }
    assert!(load.ended().is_none(), "there was no load at the end: {}", load.errors());
    load.kill();
    cluster.leader();
    caught_up(&cluster, slow);
}
