//! The log in use: readers beside the writer, purged chunks going away, a disk that fails, callbacks that misbehave.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use conclave_store::{LogStore as _, Wal, WalOptions};

use crate::common::{append, at, entries, entry, open, read_all, vote, wait};

fn disk_bytes(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|found| found.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn purged_chunks_leave_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, entries(1, 0..=3_000)).unwrap();
    let before = disk_bytes(dir.path());
    assert!(before > 100_000, "{before}");
    wait(log.purge(at(1, 2_990))).unwrap();
    // The files go right behind the flush of the purge: the next flush stands behind their removal.
    append(&log, entries(1, 3_001..=3_001)).unwrap();
    let after = disk_bytes(dir.path());
    assert!(after < 6_000, "{after} of {before} bytes are left");
    assert_eq!(read_all(&log), entries(1, 2_991..=3_001));
    drop(log);
    let log = open(dir.path());
    assert_eq!(read_all(&log), entries(1, 2_991..=3_001));
    assert!(log.disk_bytes() < 6_000, "{}", log.disk_bytes());
}

/// Votes alone fill chunks too; a node that only votes must not fill its disk.
#[test]
fn a_log_of_votes_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, entries(1, 0..=9)).unwrap();
    wait(log.purge(at(1, 9))).unwrap();
    for term in 2..600 {
        wait(log.save_vote(vote(term, 1, true))).unwrap();
    }
    let bytes = disk_bytes(dir.path());
    assert!(bytes < 6_000, "{bytes} bytes");
    drop(log);
    assert_eq!(open(dir.path()).state().vote, Some(vote(599, 1, true)));
}

#[test]
fn readers_see_a_log_without_holes_while_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    append(&log, entries(1, 0..=500)).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..2_u64 {
            let (log, stop) = (log.clone(), &stop);
            scope.spawn(move || read_until(&log, stop, reader));
        }
        let mut next = 501;
        for round in 0..150_u64 {
            // Each round replaces the end by entries of a newer term, then purges the front.
            let (old_term, term) = (1 + round, 2 + round);
            let keep = at(if round == 0 { 1 } else { old_term }, next - 3);
            wait(log.truncate_after(Some(keep))).unwrap();
            log.append(entries(term, next - 2..=next + 20), Box::new(|result| result.unwrap()))
                .unwrap();
            next += 21;
            if round % 5 == 4 {
                let front = log.read(next - 100..next - 99, usize::MAX).unwrap()[0].position;
                wait(log.purge(front)).unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(log.state().purged > Some(at(1, 500)), "{:?}", log.state());
}

/// Old ends and new ends: from the front, and from the last hundred.
fn read_until(log: &Wal, stop: &AtomicBool, reader: u64) {
    let mut reads = 0;
    while !stop.load(Ordering::Relaxed) || reads == 0 {
        let last = log.state().last.unwrap().index;
        let start = if reader == 0 { 0 } else { last.saturating_sub(100) };
        let found = log.read(start..u64::MAX, 64 << 10).unwrap();
        for pair in found.windows(2) {
            assert_eq!(pair[0].position.index + 1, pair[1].position.index);
            assert!(pair[0].position.term <= pair[1].position.term);
        }
        for one in &found {
            assert_eq!(*one, entry(one.position.term, one.position.index));
        }
        reads += 1;
    }
}

#[test]
fn a_disk_that_fails_closes_the_log_for_good() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("wal");
    let log = open(&dir);
    append(&log, entries(1, 0..=0)).unwrap();
    let failed = log.failed();
    assert!(failed.borrow().is_none());
    // No new chunk file can be made here any more.
    std::fs::remove_dir_all(&dir).unwrap();
    let (sender, receiver) = mpsc::channel();
    let mut refused = None;
    for index in 1..1_000 {
        let sender = sender.clone();
        let done = Box::new(move |result: std::io::Result<()>| sender.send(result).unwrap());
        if let Err(error) = log.append(vec![entry(1, index)], done) {
            refused = Some(error);
            break;
        }
    }
    drop(sender);
    let results: Vec<_> = receiver.iter().collect();
    let good = results.iter().take_while(|result| result.is_ok()).count();
    assert!(good < results.len(), "nothing failed");
    let errors: Vec<_> =
        results[good..].iter().map(|r| r.as_ref().unwrap_err().to_string()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    if let Some(refused) = refused {
        assert_eq!(refused.to_string(), errors[0]);
    }
    assert_eq!(failed.borrow().as_ref().unwrap().to_string(), errors[0]);
    assert_eq!(wait(log.save_vote(vote(1, 1, true))).unwrap_err().to_string(), errors[0]);
    assert_eq!(wait(log.purge(at(1, 0))).unwrap_err().to_string(), errors[0]);
    assert_eq!(log.save_committed(Some(at(1, 0))).unwrap_err().to_string(), errors[0]);
}

/// A small write that meets an idle disk is handed over by its caller, others by the writer, some make a new chunk.
#[test]
fn whoever_hands_a_write_over_all_come_once_in_order_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (sender, receiver) = mpsc::channel();
    let mut all = Vec::new();
    for index in 0..600 {
        let mut one = entry(1, index);
        if index % 50 == 7 {
            one.payload = one.payload.repeat(70_000 / one.payload.len() + 1).into();
        }
        all.push(one.clone());
        let sender = sender.clone();
        let done = move |result: std::io::Result<()>| {
            result.unwrap();
            sender.send((index, std::thread::current().name().map(str::to_owned))).unwrap();
        };
        log.append(vec![one], Box::new(done)).unwrap();
        // Of every ten the first five each meet an idle disk, the others come while one is written.
        if index % 10 < 5 {
            wait(log.save_vote(vote(2 + index, 1, true))).unwrap();
        }
    }
    wait(log.save_vote(vote(1_000, 1, true))).unwrap();
    let called: Vec<_> = receiver.try_iter().collect();
    assert_eq!(
        called.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        (0..600).collect::<Vec<_>>()
    );
    // Each change of threads costs: nobody is woken to call somebody else's callback.
    let threads: std::collections::BTreeSet<_> = called.into_iter().map(|(_, name)| name).collect();
    assert_eq!(threads.len(), 1, "{threads:?}");
    drop(log);
    let log = open(dir.path());
    assert_eq!(read_all(&log), all);
    assert_eq!(log.state().vote, Some(vote(1_000, 1, true)));
}

#[test]
fn a_callback_that_panics_leaves_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (gate, open_gate) = mpsc::channel::<()>();
    let panicking = Box::new(move |_| {
        // Everything below is queued by now.
        open_gate.recv().unwrap();
        panic!("a callback panics on purpose");
    });
    log.append(entries(1, 0..=0), panicking).unwrap();
    let vote = log.save_vote(vote(1, 1, true));
    let (sender, receiver) = mpsc::channel();
    log.append(entries(1, 1..=1), Box::new(move |result| drop(sender.send(result)))).unwrap();
    gate.send(()).unwrap();
    assert!(wait(vote).is_err());
    // Called with an error, or dropped: but not kept waiting.
    assert!(!matches!(receiver.recv(), Ok(Ok(()))));
    assert!(log.failed().borrow().is_some());
    assert!(append(&log, entries(1, 2..=2)).is_err());
}

#[test]
fn a_callback_may_own_the_last_handle() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (sender, receiver) = mpsc::channel();
    let owned = log.clone();
    let (gate, wait_for_gate) = mpsc::channel::<()>();
    let done = Box::new(move |result: std::io::Result<()>| {
        wait_for_gate.recv().unwrap();
        drop(owned);
        sender.send(result).unwrap();
    });
    log.append(entries(1, 0..=0), done).unwrap();
    drop(log);
    gate.send(()).unwrap();
    receiver.recv().unwrap().unwrap();
}

/// More than fits into the caches and into one chunk is read from the files.
#[test]
fn old_entries_are_read_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions { chunk_bytes_max: 1 << 20, chunk_records_max: 1 << 10 };
    let log = Wal::open(dir.path(), &options).unwrap();
    let mut next = 0;
    while next < 600 {
        let mut big = entries(1, next..=next + 9);
        for one in &mut big {
            one.payload = one.payload.repeat(3_000).into();
        }
        append(&log, big).unwrap();
        next += 10;
    }
    assert!(disk_bytes(dir.path()) > 48 << 20, "{}", disk_bytes(dir.path()));
    for index in (0..600).rev() {
        let found = log.read(index..index + 1, 0).unwrap();
        assert_eq!(found[0].payload, entry(1, index).payload.repeat(3_000));
    }
}
