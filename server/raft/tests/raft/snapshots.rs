//! What a node does with a snapshot that comes in: altered, contradicting, or one on the heels of another.

use std::sync::atomic::Ordering;

use conclave_machine::Machine;
use conclave_proto::internal::v1 as wire;
use conclave_raft::{Consistency, Fatal, Node};
use tonic::Code;

use crate::forged::{Forged, TERM, snapshot};
use crate::support::{soon, until};

async fn sessions(node: &Node) -> u64 {
    let counts = node.read(Consistency::Stale, Machine::counts).await.expect("a stale read");
    counts.value.sessions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_with_another_checksum_is_refused_and_the_same_without_damage_is_taken() {
    let forged = Forged::start().await;
    let node = forged.node();
    let at = wire::Position { term: TERM, index: forged.last().index + 10 };
    let mut altered = snapshot(node, at, 100);
    altered.checksum ^= 1;
    let refused = soon("a refusal", forged.install(altered)).await.expect_err("altered");
    assert_eq!(refused.code(), Code::DataLoss, "{refused}");
    let counters = node.snapshot_counters();
    let counted = || [&counters.refused, &counters.installed].map(|of| of.load(Ordering::Relaxed));
    assert_eq!((counted(), sessions(node).await), ([1, 0], 0));

    let whole = snapshot(node, at, 100);
    soon("an answer", forged.install(whole)).await.expect("it is whole");
    assert_eq!((counted(), sessions(node).await), ([1, 1], 100));
    forged.running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_contradicts_what_was_decided_ends_the_node_and_both_are_named() {
    let forged = Forged::start().await;
    let node = forged.node();
    let decided = forged.last().index - 1;
    let at = wire::Position { term: TERM, index: decided };
    let refused = soon("a refusal", forged.install(snapshot(node, at, 1))).await;
    assert_eq!(refused.expect_err("refused").code(), Code::FailedPrecondition);
    let fatal = soon("it ends", node.failed()).await;
    assert!(matches!(fatal, Fatal::Contradicted { from: 2, .. }), "{fatal}");
    let said = fatal.to_string();
    for part in ["two histories", "keep both directories", &decided.to_string()] {
        assert!(said.contains(part), "{part}: {said}");
    }
    forged.running.kill().await;
}

/// What Raft would apply behind a snapshot that ends in the midst of the log is what openraft#2116 is about, and it asserts that
/// it is never set back; a leader that sends one does not know yet how far this node is.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_ends_within_the_log_is_not_needed() {
    let mut forged = Forged::start().await;
    let first = forged.last();
    forged.append(first, 1_000).await;
    let end = |more| wire::Position { term: TERM, index: first.index + more };
    let within = snapshot(forged.node(), end(500), 10);
    soon("an answer", forged.install(within)).await.expect("there is no harm in it");
    let installed = |node: &Node| node.snapshot_counters().installed.load(Ordering::Relaxed);
    assert_eq!(installed(forged.node()), 0);
    forged.append(end(1_000), 1).await;
    until("the log is applied", async || {
        let nodes = forged.node().status().nodes;
        nodes.iter().any(|node| node.applied == Some(end(1_000).index))
    })
    .await;
    assert_eq!((installed(forged.node()), sessions(forged.node()).await), (0, 0));
    forged.running.kill().await;
}

/// Of the snapshot that takes long: so many that it is still being read when the next one has come.
const MANY: u64 = 60_000;

/// openraft#2116: the purge of a second snapshot must not overtake what Raft does behind a first one that is still being
/// installed. The sender of the first gives up, as one does that waited too long.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_snapshot_is_installed_no_other_comes_to_raft() {
    let forged = Forged::start().await;
    let first = forged.last();
    let node = forged.node();
    let end = |more| wire::Position { term: TERM, index: first.index + more };
    let large = snapshot(node, end(500), MANY);
    let calling = tokio::spawn(forged.install(large));
    let counters = node.snapshot_counters();
    let received = || counters.received.load(Ordering::Relaxed) == 1;
    until("the first is handed to Raft", async || received() || calling.is_finished()).await;
    if calling.is_finished() {
        panic!("it was too fast for this test: {:?}", calling.await);
    }
    calling.abort();
    let mut turned_away = 0;
    until("the second is taken", async || {
        match forged.install(snapshot(node, end(800), 10)).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                turned_away += 1;
                false
            }
        }
    })
    .await;
    assert!(turned_away > 0, "the second came too late to be in the way");
    let installed = counters.installed.load(Ordering::Relaxed);
    assert_eq!((installed, sessions(node).await), (2, 10));
    forged.running.kill().await;
}
