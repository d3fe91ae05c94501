//! Snapshots on a rotting disk: whatever is changed in sled's files, what is served is whole, older, or nothing.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use conclave_store::{SnapshotError, SnapshotOpenError, SnapshotStore};

/// Small, so that every part of the file can be hit.
fn write(store: &SnapshotStore, reach: u64) {
    let mut writer = store.begin(reach, Bytes::from(format!("meta {reach}"))).unwrap();
    for record in records(reach) {
        writer.push(&record).unwrap();
    }
    writer.commit().unwrap();
}

fn records(reach: u64) -> Vec<Vec<u8>> {
    (0..40_u64).map(|number| format!("{reach}/{number}/").repeat(100).into_bytes()).collect()
}

#[derive(Debug, Default)]
struct Outcomes {
    newest: u64,
    older: u64,
    none: u64,
    refused: u64,
}

/// Opens the store and insists that whatever it serves is right.
fn look(dir: &Path, outcomes: &mut Outcomes) {
    let store = match SnapshotStore::open(dir) {
        Ok(store) => store,
        Err(SnapshotOpenError::Damaged { .. } | SnapshotOpenError::Io { .. }) => {
            outcomes.refused += 1;
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let Some(info) = store.latest_verified().unwrap() else {
        outcomes.none += 1;
        return;
    };
    let read: Result<Vec<_>, SnapshotError> = store.reader(info.id).unwrap().collect();
    assert_eq!(read.unwrap(), records(info.reach));
    assert_eq!(info.meta, format!("meta {}", info.reach));
    match info.reach {
        20 => outcomes.newest += 1,
        10 => outcomes.older += 1,
        other => panic!("a snapshot up to {other} was never written"),
    }
}

/// Every file of the store, the small ones included.
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let found = fs::read_dir(path).unwrap().map(|found| found.unwrap().path());
    found
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn restore(path: &Path, files: &[(PathBuf, Vec<u8>)]) {
    fs::remove_dir_all(path).unwrap();
    fs::create_dir_all(path.join("blobs")).unwrap();
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

fn two_snapshots(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let store = SnapshotStore::open(path).unwrap();
    write(&store, 10);
    write(&store, 20);
    drop(store);
    files(path)
}

fn is_data(path: &Path) -> bool {
    path.ends_with("db")
}

#[test]
fn a_flipped_byte_in_the_snapshot_store_never_changes_what_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshots");
    let good = two_snapshots(&path);
    // With sled's own snapshot of its page table and without it: two ways through its recovery.
    for keep_table in [true, false] {
        let mut outcomes = Outcomes::default();
        for (number, (file, bytes)) in good.iter().enumerate() {
            let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            let steps = if is_data(file) { 120 } else { 20.min(written) };
            for step in 0..steps {
                let mut bad = good.clone();
                bad[number].1[written * step / (steps - 1)] ^= 0x40;
                bad.retain(|(path, _)| keep_table || !path.to_string_lossy().contains("snap."));
                restore(&path, &bad);
                look(&path, &mut outcomes);
            }
        }
        println!("table kept: {keep_table}, {outcomes:?}");
        assert_eq!(outcomes.none, 0, "a damaged store passed for a new one: {outcomes:?}");
        assert!(outcomes.older > 0 && outcomes.refused > 0, "{outcomes:?}");
    }
}

#[test]
fn a_torn_snapshot_store_never_serves_half_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshots");
    let good = two_snapshots(&path);
    let mut outcomes = Outcomes::default();
    for step in 0..60 {
        let mut torn = good.clone();
        torn.retain(|(path, _)| !path.to_string_lossy().contains("snap."));
        for (_, bytes) in torn.iter_mut().filter(|(path, _)| is_data(path)) {
            let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            bytes.truncate(written * step / 59);
        }
        restore(&path, &torn);
        look(&path, &mut outcomes);
    }
    println!("{outcomes:?}");
    assert_eq!(outcomes.none, 0, "{outcomes:?}");
    assert!(outcomes.older > 0 && outcomes.refused > 0, "{outcomes:?}");
}
