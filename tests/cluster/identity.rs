//! A data directory belongs to one node of one cluster, and a node that lost its data is not let back in silently.

use std::fs;
use std::time::Duration;

use conclave_tests::{Cluster, Process, conclave, eventually, together};

/// Starts node `name` of the cluster on `data_dir` by hand; answers its exit code and what it said.
fn refused(
    cluster: &Cluster,
    node: usize,
    data_dir: &std::path::Path,
    list: &str,
) -> (i32, String) {
    let name = char::from(b'a' + node as u8).to_string();
    let mut process = Process::start(
        conclave(),
        [
            "server",
            "--name",
            &name,
            "--listen",
            &cluster.endpoint(node),
            "--peer-listen",
            &cluster.peer_address(node),
            "--cluster",
            list,
            "--data-dir",
            &data_dir.display().to_string(),
        ],
        &[],
        cluster.folder(),
        &format!("refused-{name}"),
    );
    let code = process.exit_code(Duration::from_secs(20));
    (code, process.errors() + &process.output())
}

fn list(cluster: &Cluster) -> String {
    (0..cluster.size())
        .map(|node| format!("{}={}", char::from(b'a' + node as u8), cluster.peer_address(node)))
        .collect::<Vec<_>>()
        .join(",")
}

#[test]
fn a_wiped_node_is_refused_and_told_how_to_rejoin() {
    let _turn = together();
    let mut cluster = Cluster::start(3);
    cluster.kill(2);
    fs::remove_dir_all(cluster.data_dir(2)).expect("its data");
    let (code, said) = refused(&cluster, 2, &cluster.data_dir(2), &list(&cluster));
    assert_ne!(code, 0);
    assert!(said.contains("conclave member remove c"), "it must say how: {said}");
    assert!(said.contains("--join"), "it must say how: {said}");
    // The others went on all the time.
    assert!(cluster.leader() < 2);
}

#[test]
fn the_data_of_another_node_is_refused() {
    let _turn = together();
    let mut cluster = Cluster::start(3);
    cluster.kill(1);
    cluster.kill(2);
    let (code, said) = refused(&cluster, 2, &cluster.data_dir(1), &list(&cluster));
    assert_ne!(code, 0);
    assert!(said.contains("belongs to the node"), "{said}");
    // Nothing was changed: the rightful owner still starts.
    cluster.restart(1);
    eventually("a leader", Duration::from_secs(20), || cluster.status(0)?.leader);
}

#[test]
fn the_data_of_another_cluster_is_refused() {
    let _turn = together();
    let mut first = Cluster::start(3);
    let mut second = Cluster::start(3);
    first.kill(2);
    second.kill(2);
    // Node c of the second cluster, on the data of node c of the first: the peers do not take it.
    let (code, said) = refused(&second, 2, &first.data_dir(2), &list(&second));
    assert_ne!(code, 0);
    assert!(said.contains("cluster"), "{said}");
    second.restart(2);
    eventually("all three again", Duration::from_secs(20), || second.status(2)?.leader);
}

#[test]
fn a_data_directory_serves_one_process_at_a_time() {
    let _turn = together();
    let cluster = Cluster::start(1);
    let (code, said) = refused(&cluster, 0, &cluster.data_dir(0), &list(&cluster));
    assert_ne!(code, 0);
    assert!(said.contains("in use"), "{said}");
    assert!(cluster.status(0).is_some_and(|status| status.leader.is_some()));
}
