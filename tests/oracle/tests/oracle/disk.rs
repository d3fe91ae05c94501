//! The committed log as stores have it: in memory, and in the directory of a process that has ended.

use std::sync::mpsc;

use bytes::Bytes;
use conclave_machine::Command;
use conclave_oracle::{Log, Logbook, LogbookError, judge};
use conclave_raft::storage::{BatchBuilder, encode_command};
use conclave_store::{LogEntry, LogPosition, LogStore, SimulatedLog, Wal, WalOptions};

use crate::heard::ordinary;

/// The log of an ordinary run behind the entry that formed its cluster, as stores keep it.
fn entries(log: &Log) -> Vec<LogEntry> {
    let formed = LogEntry {
        position: LogPosition { term: 1, index: 0 },
        payload: Bytes::from_static(&[1, 0]),
    };
    let batch = |commands: &[Command]| {
        let mut batch = BatchBuilder::new(1);
        commands.iter().for_each(|command| batch.push(&encode_command(command)));
        batch.finish()
    };
    let mut entries = vec![formed];
    for (entry, index) in log.entries.iter().zip(1..) {
        let position = LogPosition { term: entry.term, index };
        entries.push(LogEntry { position, payload: batch(&entry.commands) });
    }
    entries
}

fn fill(log: &impl LogStore, entries: Vec<LogEntry>, committed: u64) {
    let committed = entries[usize::try_from(committed).expect("few")].position;
    let (done, durable) = mpsc::channel();
    log.append(entries, Box::new(move |result| done.send(result).expect("somebody waits")))
        .expect("queued");
    durable.recv().expect("told").expect("durable");
    log.save_committed(Some(committed)).expect("recorded");
}

#[test]
fn a_log_is_read_from_the_directory_of_a_process_that_has_ended() {
    let stage = ordinary();
    let entries = entries(&stage.log());
    let last = entries.len() as u64 - 1;
    let data = tempfile::tempdir().expect("a directory");
    let wal = Wal::open(&data.path().join("wal"), &WalOptions::default()).expect("a new log");
    // The last entry is on the disk and was seen to be applied, but its commit was not written any more.
    fill(&wal, entries, last - 1);
    let mut book = Logbook::new();
    let open = book.read_directory("a", data.path(), None).expect_err("in use");
    assert!(matches!(open, LogbookError::Open { .. }), "{open}");
    drop(wal);
    book.read_directory("a", data.path(), None).expect("readable");
    assert_eq!(book.last(), Some(last - 1));
    let verdict = judge(&stage.history, &book.log().expect("whole"));
    assert!(verdict.require(&[]).is_err(), "its last entry is missing: {verdict}");
    book.read_directory("a", data.path(), Some(last)).expect("readable");
    judge(&stage.history, &book.log().expect("whole")).require(&["answers"]).expect("good");
}

#[test]
fn logs_of_several_nodes_are_one() {
    let stage = ordinary();
    let entries = entries(&stage.log());
    let last = entries.len() as u64 - 1;
    let mut book = Logbook::new();
    let behind = SimulatedLog::new();
    fill(&behind, entries[..4].to_vec(), 3);
    book.read("a", &behind, None).expect("readable");
    assert_eq!(book.last(), Some(3));
    let ahead = SimulatedLog::new();
    fill(&ahead, entries, last);
    book.read("b", &ahead, None).expect("readable");
    judge(&stage.history, &book.log().expect("whole")).require(&["answers"]).expect("good");
}
