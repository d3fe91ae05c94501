//! openraft's own suite over both logs, with our state machine and our snapshots.

use std::io;
use std::pin::pin;

use conclave_raft::storage::{LogStorage, Retained, Snapshots, StateMachine, TypeConfig};
use conclave_store::{LogStore, SimulatedLog, SnapshotStore, Wal, WalOptions};
use futures::StreamExt as _;
use openraft::StorageError;
use openraft::storage::{IOFlushed, RaftLogReader as _, RaftLogStorage as _};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::testing::{blank_ent, log_id};
use openraft::type_config::TypeConfigExt as _;
use tempfile::TempDir;
use tokio::sync::oneshot::error::TryRecvError;

type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;

/// Makes a fresh log in a directory.
trait Fresh: LogStore {
    fn fresh(directory: &TempDir) -> io::Result<Self>;
}

impl Fresh for Wal {
    fn fresh(directory: &TempDir) -> io::Result<Self> {
        let wal = directory.path().join("wal");
        Wal::open(&wal, &WalOptions::default()).map_err(io::Error::other)
    }
}

impl Fresh for SimulatedLog {
    fn fresh(_directory: &TempDir) -> io::Result<Self> {
        Ok(SimulatedLog::new())
    }
}

struct Builder;

impl<L: Fresh> StoreBuilder<TypeConfig, LogStorage<L>, StateMachine, TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(TempDir, LogStorage<L>, StateMachine), StorageError<TypeConfig>> {
        let build = || {
            let directory = TempDir::new()?;
            let log = LogStorage::new(L::fresh(&directory)?, Retained::nothing());
            let store = SnapshotStore::open(&directory.path().join("snapshots"));
            let store = store.map_err(io::Error::other)?;
            let snapshots = Snapshots::new(store, Retained::nothing());
            Ok::<_, io::Error>((directory, log, StateMachine::open(snapshots)?))
        };
        build().map_err(|error| StorageError::read(TypeConfig::err_from_error(&error)))
    }
}

async fn passes<L: Fresh>() {
    let suite =
        Suite::<TypeConfig, LogStorage<L>, StateMachine, Builder, TempDir>::test_all(Builder);
    suite.await.expect("the suite passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_files_passes_the_suite_of_openraft() {
    passes::<Wal>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_log_passes_the_suite_of_openraft() {
    passes::<SimulatedLog>().await;
}

/// Nobody counts an entry, not even the leader itself, before the disk has it.
#[tokio::test]
async fn an_append_is_reported_only_once_it_is_durable() {
    let disk = SimulatedLog::new();
    disk.hold_syncs();
    let mut log = LogStorage::new(disk.clone(), Retained::nothing());
    let (sender, mut reported) = TypeConfig::oneshot();
    let entry = blank_ent::<TypeConfig>(1, 1, 0);
    log.append([entry], IOFlushed::signal(sender)).await.expect("it is taken");
    assert_eq!(disk.unsynced_count(), 1);
    let early = reported.try_recv();
    assert!(matches!(early, Err(TryRecvError::Empty)), "{early:?}");
    disk.release_syncs();
    reported.await.expect("it is reported").expect("it is durable");
    assert_eq!(disk.unsynced_count(), 0);
}

/// A stream to a follower reads once more before openraft sees that the leadership is over, and an error would end the node. The
/// simulation found it: a leader that was cut off comes back and is given the snapshot of the next one.
#[tokio::test]
async fn a_reader_of_a_leadership_that_is_over_misses_nothing() {
    let mut log = LogStorage::new(SimulatedLog::new(), Retained::nothing());
    log.save_vote(&Vote::new_committed(1, 1)).await.expect("saved");
    let (sender, reported) = TypeConfig::oneshot();
    let entries = (0..10).map(|index| blank_ent::<TypeConfig>(1, 1, index));
    log.append(entries, IOFlushed::signal(sender)).await.expect("taken");
    reported.await.expect("reported").expect("durable");
    let mut reader = log.get_log_reader().await;
    assert_eq!(reader.limited_get_log_entries(5, 8).await.expect("they are there").len(), 3);

    log.purge(log_id::<TypeConfig>(1, 1, 6)).await.expect("purged");
    let hole = reader.limited_get_log_entries(5, 8).await.expect_err("it still leads");
    assert!(hole.to_string().contains("no entry 5"), "{hole}");

    log.save_vote(&Vote::new_committed(2, 2)).await.expect("saved");
    assert_eq!(reader.limited_get_log_entries(5, 8).await.expect("no hole"), Vec::new());
    assert_eq!(reader.limited_get_log_entries(7, 9).await.expect("they are there").len(), 2);
    log.truncate_after(Some(log_id::<TypeConfig>(1, 1, 7))).await.expect("truncated");
    assert_eq!(reader.limited_get_log_entries(8, 9).await.expect("no hole"), Vec::new());

    // Of what is applied nothing may be missing, whoever leads.
    let missing = pin!(reader.entries_stream(5..8).await).next().await;
    assert!(matches!(missing, Some(Err(_))), "{missing:?}");
    let mut next = log.get_log_reader().await;
    next.limited_get_log_entries(5, 8).await.expect_err("a hole in the next leadership");
}
