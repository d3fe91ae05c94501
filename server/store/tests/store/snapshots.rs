//! The snapshot store: what `commit` acknowledged is there and whole, and nothing else ever is.

use std::path::Path;

use bytes::Bytes;
use conclave_store::{
    SNAPSHOT_META_BYTES_MAX, SNAPSHOT_RECORD_BYTES_MAX, SnapshotError, SnapshotId, SnapshotInfo,
    SnapshotOpenError, SnapshotStore,
};

fn open(dir: &Path) -> SnapshotStore {
    SnapshotStore::open(&dir.join("snapshots")).unwrap()
}

/// Records of every size that matters, different for each `reach`.
fn records(reach: u64) -> Vec<Vec<u8>> {
    let sizes = [0, 1, 100, 32 << 10, SNAPSHOT_RECORD_BYTES_MAX, 7];
    let mut records: Vec<_> = sizes.iter().map(|size| vec![reach as u8; *size]).collect();
    records.extend((0..2_000_u64).map(|number| format!("{reach}/{number}").into_bytes()));
    records
}

fn write(store: &SnapshotStore, reach: u64) -> Result<SnapshotInfo, SnapshotError> {
    let mut writer = store.begin(reach, Bytes::from(format!("meta {reach}")))?;
    for record in records(reach) {
        writer.push(&record)?;
    }
    writer.commit()
}

fn read(store: &SnapshotStore, id: SnapshotId) -> Result<Vec<Vec<u8>>, SnapshotError> {
    store.reader(id)?.map(|record| record.map(|record| record.to_vec())).collect()
}

fn reaches(store: &SnapshotStore) -> Vec<u64> {
    store.list().iter().map(|info| info.reach).collect()
}

#[test]
fn committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.latest(), None);
    let info = write(&store, 10).unwrap();
    assert_eq!(info.records, records(10).len() as u64);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.latest_verified().unwrap(), Some(info.clone()));
    assert_eq!(info.meta, Bytes::from("meta 10"));
    assert_eq!(read(&store, info.id).unwrap(), records(10));
}

#[test]
fn an_empty_snapshot_is_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let info = store.begin(0, Bytes::new()).unwrap().commit().unwrap();
    assert_eq!(read(&store, info.id).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn the_two_that_reach_furthest_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for reach in [10, 30, 20] {
        write(&store, reach).unwrap();
    }
    assert_eq!(reaches(&store), [30, 20]);
    let error = write(&store, 5).unwrap_err();
    assert!(matches!(error, SnapshotError::Superseded { reach: 5 }), "{error}");
    drop(store);
    let store = open(dir.path());
    assert_eq!(reaches(&store), [30, 20]);
    for info in store.list() {
        assert_eq!(read(&store, info.id).unwrap(), records(info.reach));
    }
}

#[test]
fn half_written_is_never_visible() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, 10).unwrap();
    let mut abandoned = store.begin(20, Bytes::new()).unwrap();
    let mut leaked = store.begin(30, Bytes::new()).unwrap();
    for record in records(20) {
        abandoned.push(&record).unwrap();
        leaked.push(&record).unwrap();
    }
    assert_eq!(reaches(&store), [10]);
    drop(abandoned);
    // As if the process died: its destructor never runs, its files stay. A copy is opened, for the store is locked.
    std::mem::forget(leaked);
    let copy = tempfile::tempdir().unwrap();
    copy_store(dir.path(), copy.path());
    let store = open(copy.path());
    assert_eq!(reaches(&store), [10]);
    assert_eq!(read(&store, store.latest().unwrap().id).unwrap(), records(10));
}

fn copy_store(from: &Path, to: &Path) {
    let (from, to) = (from.join("snapshots"), to.join("snapshots"));
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_reader_outlives_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let oldest = write(&store, 10).unwrap();
    let mut reader = store.reader(oldest.id).unwrap();
    let first = reader.next().unwrap().unwrap();
    for reach in [20, 30, 40] {
        write(&store, reach).unwrap();
    }
    assert!(matches!(store.reader(oldest.id), Err(SnapshotError::NotFound { .. })));
    let rest: Result<Vec<_>, _> = reader.by_ref().collect();
    let found: Vec<_> = [first].into_iter().chain(rest.unwrap()).map(|r| r.to_vec()).collect();
    assert_eq!(found, records(10));
    drop(reader);
    assert_eq!(reaches(&store), [40, 30]);
}

#[test]
fn limits_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.begin(1, Bytes::new()).unwrap();
    let error = writer.push(&vec![0; SNAPSHOT_RECORD_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, SnapshotError::RecordTooLarge { .. }), "{error}");
    let meta = Bytes::from(vec![0; SNAPSHOT_META_BYTES_MAX + 1]);
    assert!(matches!(store.begin(1, meta), Err(SnapshotError::MetaTooLarge { .. })));
}

#[test]
fn the_store_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path());
    let error = SnapshotStore::open(&dir.path().join("snapshots")).err().unwrap();
    assert!(matches!(error, SnapshotOpenError::Locked { .. }), "{error}");
}

#[test]
fn largest_records_never_become_unsynced_blob_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.begin(1, Bytes::new()).unwrap();
    let record = vec![0x5a; SNAPSHOT_RECORD_BYTES_MAX];
    for _ in 0..400 {
        writer.push(&record).unwrap();
    }
    let info = writer.commit().unwrap();
    assert_eq!(read(&store, info.id).unwrap().len(), 400);
    let blobs = std::fs::read_dir(dir.path().join("snapshots/blobs")).unwrap().count();
    assert_eq!(blobs, 0);
}

#[test]
fn old_snapshots_give_their_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let record = vec![0x5a; 1000];
    let mut sizes = Vec::new();
    for reach in 0..12 {
        let mut writer = store.begin(reach, Bytes::new()).unwrap();
        for _ in 0..8_000 {
            writer.push(&record).unwrap();
        }
        writer.commit().unwrap();
        sizes.push(std::fs::metadata(dir.path().join("snapshots/db")).unwrap().len() >> 20);
    }
    // 8 MB each, at most three at a time.
    assert!(sizes.iter().max() <= Some(&160), "MiB after each: {sizes:?}");
    println!("MiB after each: {sizes:?}");
}
