//! What the tests of the log share.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::mpsc;

use bytes::Bytes;
use conclave_store::{LogEntry, LogPosition, LogStore, StoredVote, Wal, WalOptions};

pub(crate) fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term, index }
}

/// An entry whose payload says where it stands, with a length that varies.
pub(crate) fn entry(term: u64, index: u64) -> LogEntry {
    let mut payload = format!("{term}-{index}-").into_bytes();
    payload.resize(payload.len() + (index * 7 % 60) as usize, b'.');
    LogEntry { position: at(term, index), payload: Bytes::from(payload) }
}

pub(crate) fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<LogEntry> {
    indexes.map(|index| entry(term, index)).collect()
}

pub(crate) fn vote(term: u64, voted_for: u64, committed: bool) -> StoredVote {
    StoredVote { term, voted_for: Some(voted_for), committed }
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Appends and waits until it is durable.
pub(crate) fn append(log: &impl LogStore, entries: Vec<LogEntry>) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel();
    log.append(entries, Box::new(move |result| sender.send(result).unwrap()))?;
    receiver.recv().unwrap()
}

pub(crate) fn read_all(log: &impl LogStore) -> Vec<LogEntry> {
    log.read(0..u64::MAX, usize::MAX).unwrap()
}

/// Chunks so small that a few dozen records fill one.
pub(crate) fn tiny_chunks() -> WalOptions {
    WalOptions { chunk_bytes_max: 2_000, chunk_records_max: 40 }
}

pub(crate) fn open(dir: &Path) -> Wal {
    Wal::open(dir, &tiny_chunks()).unwrap()
}

/// Whether strace can be used here. Says so loudly when it cannot.
pub(crate) fn have_strace(test: &str) -> bool {
    let works = std::process::Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-e", "trace=fsync", "true"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        eprintln!("SKIPPED: {test}: strace is not installed or may not trace");
    }
    works
}
