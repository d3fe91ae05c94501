//! openraft's own suite over both logs, with our state machine and our snapshots.

use std::io;

use conclave_raft::storage::{LogStorage, Retained, Snapshots, StateMachine, TypeConfig};
use conclave_store::{LogStore, SimulatedLog, SnapshotStore, Wal, WalOptions};
use openraft::StorageError;
use openraft::storage::{IOFlushed, RaftLogStorage as _};
use openraft::testing::blank_ent;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt as _;
use tempfile::TempDir;
use tokio::sync::oneshot::error::TryRecvError;

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
