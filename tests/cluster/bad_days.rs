//! What happens to operators: a disk that is full or cannot be written, a port that is taken, two nodes with one name, lists
//! that disagree. The node says so in a sentence with what to do, ends with a code that is not 0, and nothing is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use conclave_tests::raw::{Acquired, Raw, Wait};
use conclave_tests::{Cluster, Process, Seat, SmallDisk, alone, conclave, eventually, together};

/// Room for a node that does little, and not much more.
const DISK_BYTES: u64 = 64 * 1024 * 1024;
const LONG: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(30);

/// Acquires one lock after the other until the node does not acknowledge any more; answers those that it did.
async fn acquire_until_it_ends(
    node: &Raw,
    cluster: &mut Cluster,
    which: usize,
) -> Vec<(String, u64)> {
    let holder = node.open("holder", LONG, Duration::ZERO).await.expect("a session");
    let mut held = Vec::new();
    for number in 1.. {
        let name = format!("held/{number}");
        match node.acquire(&holder, number, &name, Wait::None(true)).await {
            Ok(Acquired::Granted(granted)) => held.push((name, granted.token)),
            Ok(other) => panic!("{name}: {other:?}"),
            // Not acknowledged: it may have happened or not.
            Err(_) => break,
        }
        assert!(number < 1_000_000, "a full disk stops nobody");
        if cluster.node(which).ended().is_some() {
            break;
        }
    }
    held
}

async fn all_held(node: &Raw, held: &[(String, u64)]) {
    for (name, token) in held {
        assert!(node.check(name, *token).await.expect("an answer").held, "{name} was acknowledged");
    }
}

fn is_said_of_a_full_disk(code: i32, said: &str) {
    assert_eq!(code, 1, "{said}");
    // A thread of the log may have a line to log after it.
    let own = said.lines().rfind(|line| line.starts_with("conclave: ")).unwrap_or_default();
    for part in ["this node cannot go on", "No space left on device", "free space"] {
        assert!(own.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_is_full_steps_aside_and_loses_nothing_that_it_acknowledged() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let _turn = alone();
    let mut cluster = Cluster::start_seated(1, &[], &|_| disk.seat());
    let node = Raw::new(&cluster.endpoint(0));
    disk.fill();
    let held = acquire_until_it_ends(&node, &mut cluster, 0).await;
    let (code, said) = cluster.ended(0, PATIENCE);
    is_said_of_a_full_disk(code, &said);

    disk.free();
    cluster.restart(0);
    cluster.leader();
    let node = Raw::new(&cluster.endpoint(0));
    all_held(&node, &held).await;
    let again = node.open("again", LONG, Duration::ZERO).await.expect("a session");
    let token = node.acquire_now(&again, 1, "again").await;
    assert!(held.iter().all(|(_, earlier)| *earlier < token), "tokens still rise");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_is_full_is_replaced_and_comes_back_when_there_is_space() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let _turn = alone();
    let seat = |node| if node == 1 { disk.seat() } else { Seat::default() };
    let mut cluster = Cluster::start_seated(3, &[], &seat);
    let leading = cluster.leader();
    if leading != 1 {
        let moved = std::process::Command::new(conclave())
            .args(["--endpoint", &cluster.endpoint(leading), "step-down", "--to", "b"])
            .status();
        assert!(moved.expect("conclave runs").success());
        eventually("b leads", PATIENCE, || (cluster.leader() == 1).then_some(()));
    }
    disk.fill();
    let held = acquire_until_it_ends(&Raw::new(&cluster.endpoint(1)), &mut cluster, 1).await;
    let (code, said) = cluster.ended(1, PATIENCE);
    is_said_of_a_full_disk(code, &said);

    let next = cluster.leader();
    assert_ne!(next, 1);
    let node = Raw::new(&cluster.endpoint(next));
    all_held(&node, &held).await;
    let again = node.open("again", LONG, Duration::ZERO).await.expect("a session");
    let token = node.acquire_now(&again, 1, "again").await;

    disk.free();
    cluster.restart(1);
    cluster.leader();
    let back = Raw::new(&cluster.endpoint(1));
    all_held(&back, &held).await;
    assert!(back.check("again", token).await.expect("an answer").held);
}

#[test]
fn a_node_that_starts_on_a_full_disk_says_so() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let _turn = together();
    let mut cluster = Cluster::prepare(1, &[], &|_| disk.seat());
    disk.fill();
    cluster.restart(0);
    let (code, said) = cluster.ended(0, PATIENCE);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("No space left on device") && said.contains("free space"), "{said}");
    disk.free();
    cluster.restart(0);
    cluster.leader();
}

#[test]
fn a_directory_that_is_read_only_is_refused() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let _turn = together();
    let mut cluster = Cluster::start_seated(1, &[], &|_| disk.seat());
    cluster.kill(0);
    disk.make_read_only();
    cluster.restart(0);
    let (code, said) = cluster.ended(0, PATIENCE);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains("mount it so that it can be written"), "{said}");
}

/// Who may do everything may also write where nobody may, so root gives that up.
fn like_anybody() -> Seat {
    let mut seat = Seat::default();
    if rustix::process::geteuid().is_root() {
        let without = "-dac_override,-dac_read_search";
        seat.wrapper = vec!["setpriv".into(), format!("--bounding-set={without}")];
        seat.wrapper.push(format!("--inh-caps={without}"));
    }
    seat
}

#[test]
fn a_directory_with_the_wrong_permissions_is_refused() {
    let _turn = together();
    let mut cluster = Cluster::prepare(1, &[], &|_| like_anybody());
    let folder = cluster.data_dir(0);
    fs::create_dir(&folder).expect("a folder");
    let set =
        |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("a mode");
    set(0o500);
    cluster.restart(0);
    let (code, said) = cluster.ended(0, PATIENCE);
    set(0o700);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Permission denied"), "{said}");
    assert!(said.contains("belong to the user that conclave runs as"), "{said}");
    cluster.restart(0);
    cluster.leader();
}

#[test]
fn a_port_that_is_taken_ends_the_second_and_not_the_first() {
    let _turn = together();
    let cluster = Cluster::start(1);
    let (code, said) = intruder(&cluster, "a", &cluster.endpoint(0), &cluster.list());
    assert_eq!(code, 1, "{said}");
    let address = cluster.endpoint(0);
    assert!(said.contains(&format!("listen: cannot listen on {address}")), "{said}");
    assert!(said.contains("another process has it"), "{said}");
    assert!(cluster.status(0).is_some_and(|status| status.leader.is_some()));
}

/// Starts a node with no data that calls itself `name`; answers its exit code and what it said.
fn intruder(cluster: &Cluster, name: &str, listen: &str, list: &str) -> (i32, String) {
    let data: &Path = &cluster.folder().join("intruder");
    let words = ["server", "--name", name, "--listen", listen, "--peer-listen", "127.0.0.1:0"];
    let data = data.display().to_string();
    let rest = ["--cluster", list, "--data-dir", &data];
    let words = words.into_iter().chain(rest);
    let mut process = Process::start(conclave(), words, &[], cluster.folder(), "intruder");
    (process.exit_code(PATIENCE), process.errors())
}

#[test]
fn of_two_nodes_with_one_name_the_one_without_data_is_refused() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let (code, said) = intruder(&cluster, "c", "127.0.0.1:0", &cluster.list());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is part of a running cluster"), "{said}");
    assert!(said.contains("start it with --join"), "{said}");
    for node in 0..3 {
        assert!(cluster.status(node).is_some_and(|status| status.leader.is_some()), "{node}");
    }
}

#[test]
fn a_list_that_disagrees_keeps_the_cluster_from_forming_and_says_whose() {
    let _turn = together();
    let mut cluster = Cluster::prepare(3, &[], &|_| Seat::default());
    let other = cluster.list().replace(&cluster.peer_address(1), "127.0.0.1:1");
    cluster.restart(0);
    cluster.restart(1);
    cluster.restart_with(2, &other);
    eventually("the first says whose list it is", PATIENCE, || {
        let said = cluster.node(0).errors();
        said.contains("c was given another list of nodes").then_some(())
    });
    for node in 0..3 {
        assert!(cluster.status(node).is_none_or(|status| status.leader.is_none()), "{node}");
    }
    cluster.kill(2);
    cluster.restart(2);
    cluster.leader();
}

#[test]
fn a_list_that_names_others_than_the_members_changes_nothing() {
    let _turn = together();
    let mut cluster = Cluster::start(3);
    let other = format!("{},d=127.0.0.1:1", cluster.list());
    cluster.kill(2);
    cluster.restart_with(2, &other);
    cluster.leader();
    let nodes = cluster.status(2).expect("it runs").nodes;
    let names: Vec<_> = nodes.into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(cluster.node(2).errors().contains("the list names others than the members"));
}
