//! A chunk file of the log, as a disk may give it back.

use std::fs;
use std::path::Path;

use conclave_store::{LogEntry, LogStore, Wal, WalOptions};

use crate::Reached;

/// The first chunk of a log.
const FILE: &str = "r-00_000_000_000_000_000_000.wal";

/// Bytes as the only chunk of a log in `scratch`. Refused, and then nothing was changed; or opened, and then what is read is
/// a log: rising indexes without a hole, and the same again at the next start.
#[must_use]
pub fn log_chunk(scratch: &Path, bytes: &[u8]) -> (Reached, Vec<LogEntry>) {
    let dir = scratch.join("wal");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a scratch directory");
    fs::write(dir.join(FILE), bytes).expect("written");
    let Ok(log) = Wal::open(&dir, &WalOptions::default()) else {
        let left = fs::read(dir.join(FILE)).expect("still there");
        assert_eq!(left, bytes, "a log that was refused was changed");
        return (Reached::Refused, Vec::new());
    };
    let entries = log.read(0..u64::MAX, usize::MAX).expect("readable");
    for pair in entries.windows(2) {
        assert_eq!(pair[0].position.index + 1, pair[1].position.index, "a hole in the log");
        assert!(pair[0].position.term <= pair[1].position.term, "a term that falls");
    }
    let state = log.state();
    drop(log);
    let log = Wal::open(&dir, &WalOptions::default()).expect("it opened before");
    assert_eq!(log.state(), state, "the second start finds another state");
    assert_eq!(log.read(0..u64::MAX, usize::MAX).expect("readable"), entries);
    (Reached::Accepted, entries)
}
