//! One node: it forms at once, decides, remembers, and refuses directories that are not its own.

use conclave_machine::{Machine, Outcome};
use conclave_raft::{Consistency, NodeConfig, ProposeError, StartError, Storage};

use crate::support::{Places, Running, acquire, filler, leads, name, open_session, soon, until};

async fn started(places: &Places) -> Running {
    let running = Running::start(places.config("a")).await.expect("it starts");
    leads(&running.node).await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_forms_and_decides() {
    let places = Places::new(&["a"]).await;
    let running = started(&places).await;
    let key = open_session(&running.node, 7).await;
    let decided = soon("a lock", running.node.propose(acquire(key, 1, "job"))).await;
    let decided = decided.expect("decided");
    assert!(matches!(decided.outcome, Outcome::Granted { .. }), "{decided:?}");

    let read = running.node.read(Consistency::Linearizable, |machine: &Machine| {
        machine.inspect(&name("job"), 10).map(|view| view.holders.len())
    });
    let answer = soon("a read", read).await.expect("it leads");
    assert_eq!(answer.value, Some(1));
    assert!(answer.revision >= decided.revision);

    let status = running.node.status();
    assert_eq!(status.nodes.len(), 1);
    assert!(status.cluster_id.is_some());
    until("ready", async || running.node.status().ready).await;
    running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_knows_all_that_it_acknowledged() {
    let places = Places::new(&["a"]).await;
    let running = started(&places).await;
    let key = open_session(&running.node, 7).await;
    for number in 0..20 {
        let lock = format!("job-{number}");
        let decided = soon("a lock", running.node.propose(acquire(key, number + 1, &lock))).await;
        decided.expect("decided");
    }
    let digest = |machine: &Machine| (machine.digest(), machine.revision());
    let before = running.node.read(Consistency::Stale, digest).await.expect("it runs");
    let cluster = running.node.status().cluster_id;
    running.kill().await;

    let running = started(&places).await;
    let after = running.node.read(Consistency::Linearizable, digest).await.expect("it leads");
    assert_eq!(after.value, before.value);
    assert_eq!(running.node.status().cluster_id, cluster);
    running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_let_the_log_go_and_a_restart_begins_with_one() {
    let places = Places::new(&["a"]).await;
    let config = || {
        let mut config = places.config("a");
        config.retention.snapshot_every_entries = 50;
        config.retention.keep_entries = 10;
        config
    };
    let running = Running::start(config()).await.expect("it starts");
    leads(&running.node).await;
    let key = open_session(&running.node, 7).await;
    soon("a lock", running.node.propose(acquire(key, 1, "job"))).await.expect("decided");
    for number in 0..300 {
        soon("an entry", running.node.propose(filler(number))).await.expect("decided");
    }
    until("several snapshots", async || running.node.status().snapshot_index >= 200).await;
    let digest = |machine: &Machine| machine.digest();
    let before = running.node.read(Consistency::Stale, digest).await.expect("it runs");
    running.kill().await;

    let running = Running::start(config()).await.expect("it starts");
    leads(&running.node).await;
    assert!(running.node.status().snapshot_index >= 200);
    let after = running.node.read(Consistency::Linearizable, digest).await.expect("it leads");
    assert_eq!(after.value, before.value);
    running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_answers_every_proposal() {
    let places = Places::new(&["a"]).await;
    let running = started(&places).await;
    let node = running.node.clone();
    let proposals: Vec<_> = (0..500)
        .map(|number| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(filler(number)).await })
        })
        .collect();
    running.kill().await;
    for proposal in proposals {
        match soon("an answer", proposal).await.expect("no panic") {
            Ok(_)
            | Err(
                ProposeError::Stopped
                | ProposeError::Unknown { .. }
                | ProposeError::NotLeader { .. },
            ) => {}
            Err(error @ ProposeError::Overloaded) => panic!("{error:?}"),
        }
    }
    let late = soon("a refusal", node.propose(filler(1))).await;
    assert_eq!(late, Err(ProposeError::Stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_node_is_refused() {
    let places = Places::new(&["a"]).await;
    started(&places).await.kill().await;
    let storage = Storage::Directory(places.directory("a"));
    let other = NodeConfig::alone("b", "127.0.0.1:7420", "127.0.0.1:7421", storage);
    let error = Running::start(other).await.err().expect("refused");
    assert!(matches!(&error, StartError::OtherNode { found, .. } if found == "a"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_whose_log_is_gone_is_refused() {
    let places = Places::new(&["a"]).await;
    started(&places).await.kill().await;
    std::fs::remove_dir_all(places.directory("a").join("wal")).expect("removed");
    let error = Running::start(places.config("a")).await.err().expect("refused");
    assert!(matches!(error, StartError::DataGone { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_list_makes_no_larger_cluster() {
    let places = Places::new(&["a"]).await;
    started(&places).await.kill().await;
    let mut config = places.config("a");
    let mut other = config.cluster[0].clone();
    other.name = "b".to_owned();
    config.cluster.push(other);
    let running = Running::start(config).await.expect("it starts");
    leads(&running.node).await;
    let nodes = running.node.status().nodes;
    assert_eq!(nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(), ["a"]);
    running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_node_leaves_nothing_behind() {
    let places = Places::new(&["a"]).await;
    let mut config = places.config("a");
    config.storage = Storage::Ephemeral;
    let running = Running::start(config).await.expect("it starts");
    leads(&running.node).await;
    let directory = running.node.directory();
    assert!(directory.is_dir());
    running.kill().await;
    assert!(!directory.exists());
}

/// Its id is its place in the list, and nobody has heard of it yet: a wrong list leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_was_put_right_before_the_cluster_formed_counts() {
    let places = Places::new(&["a", "b"]).await;
    let mut wrong = places.config("b");
    let mut stranger = wrong.cluster[0].clone();
    stranger.name = "aa".to_owned();
    wrong.cluster.push(stranger);
    Running::start(wrong).await.expect("it waits for the others").kill().await;

    let a = Running::start(places.config("a")).await.expect("it starts");
    let b = Running::start(places.config("b")).await.expect("it starts");
    // Neither has a majority without the other.
    let mut a_leads = a.node.leadership();
    let mut b_leads = b.node.leadership();
    soon("one of the two leads", async {
        tokio::select! {
            led = a_leads.wait_for(|now| now.leading) => drop(led.expect("it runs")),
            led = b_leads.wait_for(|now| now.leading) => drop(led.expect("it runs")),
        }
    })
    .await;
    a.kill().await;
    b.kill().await;
}
