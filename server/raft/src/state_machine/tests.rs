//! A snapshot under the hands of apply.

use conclave_machine::{Command, Seq, SessionId};
use conclave_store::SnapshotStore;
use futures::stream;

use super::*;
use crate::codec::{BatchBuilder, encode_command};
use crate::retention::Retained;
use crate::types::{Payload, committed_leader};

/// An entry with one command that any machine answers.
fn entry(index: u64) -> Entry {
    let mut batch = BatchBuilder::new(index);
    batch.push(&encode_command(&Command::TimeOut { session: SessionId(index), seq: Seq(1) }));
    let log_id = LogId::new(committed_leader(1), index);
    Entry { log_id, payload: Payload::Normal(Batch::new(batch.finish())) }
}

async fn apply(machine: &mut StateMachine, index: u64) {
    let entries = stream::iter([Ok((entry(index), None))]);
    machine.apply(entries).await.expect("it is applied");
}

#[tokio::test]
async fn a_snapshot_is_the_state_at_its_own_entry_whatever_was_applied_while_it_was_written() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let store = SnapshotStore::open(directory.path()).expect("a store");
    let snapshots = Snapshots::new(store, Retained::nothing());
    let mut machine = StateMachine::open(snapshots).expect("an empty machine");
    apply(&mut machine, 1).await;
    let mut builder = machine.get_snapshot_builder().await;
    let cut = machine.view().look(Machine::digest);
    apply(&mut machine, 2).await;
    let Snapshot { meta, snapshot } = builder.build_snapshot().await.expect("it is written");
    assert_eq!(meta.last_log_id, Some(LogId::new(committed_leader(1), 1)));
    let written = snapshot.machine().expect("it can be read");
    assert_eq!(written.digest(), cut);
    assert_ne!(written.digest(), machine.view().look(Machine::digest), "the second entry counts");
}
