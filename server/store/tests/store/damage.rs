//! Damaged log directories: a torn tail is cut, everything else is refused and left as it was. Nothing wrong is served.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use conclave_store::{LogEntry, LogState, LogStore, Wal, WalOpenError};

use crate::common::{append, at, entries, entry, open, read_all, tiny_chunks, vote, wait};

/// The bytes of every chunk file, in order.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(dir: &Path) -> Files {
    let mut files = Files::new();
    for found in fs::read_dir(dir).unwrap() {
        let path = found.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

fn restore(dir: &Path, wanted: &Files) {
    for path in files(dir).keys() {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in wanted {
        fs::write(path, bytes).unwrap();
    }
}

/// A small log with every kind of record, over several chunks. The last record is an entry.
fn some_log(dir: &Path) -> (Files, LogState, Vec<LogEntry>) {
    let log = open(dir);
    wait(log.save_vote(vote(1, 1, true))).unwrap();
    append(&log, entries(1, 0..=30)).unwrap();
    wait(log.truncate_after(Some(at(1, 24)))).unwrap();
    log.save_committed(Some(at(1, 20))).unwrap();
    append(&log, entries(2, 25..=50)).unwrap();
    wait(log.purge(at(1, 10))).unwrap();
    wait(log.save_vote(vote(3, 2, false))).unwrap();
    append(&log, entries(3, 51..=57)).unwrap();
    let (state, read) = (log.state(), read_all(&log));
    drop(log);
    let files = files(dir);
    assert!(files.len() >= 2, "one chunk only");
    (files, state, read)
}

fn try_open(dir: &Path) -> Result<Wal, WalOpenError> {
    Wal::open(dir, &tiny_chunks())
}

/// How many bytes the last entry of `some_log` takes: type, position, length, payload, checksum.
fn last_record_bytes(read: &[LogEntry]) -> usize {
    4 + 16 + 4 + read.last().unwrap().payload.len() + 8
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_record_loses_that_record_only() {
    let dir = tempfile::tempdir().unwrap();
    let (good, state, read) = some_log(dir.path());
    let (last_file, bytes) = good.last_key_value().unwrap();
    let record = last_record_bytes(&read);
    for kept in 0..record {
        restore(dir.path(), &good);
        fs::write(last_file, &bytes[..bytes.len() - record + kept]).unwrap();
        let log = try_open(dir.path()).unwrap();
        assert_eq!(log.state(), LogState { last: Some(at(3, 56)), ..state }, "kept {kept}");
        assert_eq!(read_all(&log), read[..read.len() - 1], "kept {kept}");
        // What is appended next must be found again: nothing of the torn record may be left.
        append(&log, vec![entry(4, 57)]).unwrap();
        drop(log);
        assert_eq!(read_all(&open(dir.path())).last(), Some(&entry(4, 57)), "kept {kept}");
    }
}

/// A power cut in a batch of many records leaves a prefix of them.
#[test]
fn a_log_cut_anywhere_in_its_last_chunk_opens_with_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let (good, _, read) = some_log(dir.path());
    let (last_file, bytes) = good.last_key_value().unwrap();
    let mut lens = std::collections::BTreeSet::new();
    for kept in 0..bytes.len() {
        restore(dir.path(), &good);
        fs::write(last_file, &bytes[..kept]).unwrap();
        let log = try_open(dir.path()).unwrap();
        let end = log.state().last.unwrap().index;
        let found = read_all(&log);
        // Before the purge and after it the log begins elsewhere; where it ends is what was cut.
        let common = found.iter().filter(|one| one.position.index > 10);
        let expected = read.iter().filter(|one| one.position.index <= end);
        assert!(common.eq(expected), "kept {kept}");
        lens.insert(end);
    }
    assert!(lens.len() >= 5, "{lens:?}");
}

#[test]
fn a_tail_of_zeros_loses_the_last_record_only() {
    let dir = tempfile::tempdir().unwrap();
    let (good, _, read) = some_log(dir.path());
    let (last_file, bytes) = good.last_key_value().unwrap();
    let record = last_record_bytes(&read);
    for kept in 0..record - 8 {
        for more in [0, 4_096] {
            restore(dir.path(), &good);
            let mut torn = bytes[..bytes.len() - record + kept].to_vec();
            torn.resize(bytes.len() + more, 0);
            fs::write(last_file, torn).unwrap();
            let log = try_open(dir.path()).unwrap();
            assert_eq!(read_all(&log), read[..read.len() - 1], "kept {kept}, {more} more");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_and_nothing_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (good, ..) = some_log(dir.path());
    for (path, bytes) in &good {
        for place in 0..bytes.len() {
            restore(dir.path(), &good);
            let mut bad = bytes.clone();
            bad[place] ^= 1 << (place % 8);
            fs::write(path, &bad).unwrap();
            let error = try_open(dir.path()).err();
            let Some(WalOpenError::Damaged { file, offset, .. }) = &error else {
                panic!("byte {place} of {path:?}: {error:?}");
            };
            assert_eq!(file, path, "byte {place}");
            assert!(*offset as usize <= place, "byte {place} was blamed on {offset}");
            assert_eq!(fs::read(path).unwrap(), bad, "byte {place}: the file was changed");
        }
    }
    restore(dir.path(), &good);
    open(dir.path());
}

/// The record is complete, so it may have been acknowledged; a flip of its length must not pass for a torn write.
#[test]
fn a_length_flipped_beyond_the_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (good, _, read) = some_log(dir.path());
    let (path, bytes) = good.last_key_value().unwrap();
    let length_at = bytes.len() - last_record_bytes(&read) + 4 + 16;
    for byte in length_at..length_at + 4 {
        for bit in 0..8 {
            restore(dir.path(), &good);
            let mut bad = bytes.clone();
            bad[byte] ^= 1 << bit;
            fs::write(path, &bad).unwrap();
            let error = try_open(dir.path()).err();
            assert!(matches!(error, Some(WalOpenError::Damaged { .. })), "{byte} {bit} {error:?}");
        }
    }
}

#[test]
fn the_refusal_names_the_file_and_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let (good, ..) = some_log(dir.path());
    let (path, bytes) = good.first_key_value().unwrap();
    let mut bad = bytes.clone();
    bad[100] ^= 0x10;
    fs::write(path, &bad).unwrap();
    let message = try_open(dir.path()).err().unwrap().to_string();
    for part in [&*path.to_string_lossy(), "at byte", "join the node again", "restore a backup"] {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn a_missing_chunk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (good, ..) = some_log(dir.path());
    assert!(good.len() >= 3, "too few chunks to miss one between others");
    fs::remove_file(good.keys().nth(1).unwrap()).unwrap();
    let error = try_open(dir.path()).err().unwrap();
    assert!(matches!(error, WalOpenError::Gap { .. }), "{error}");
}

#[test]
fn a_torn_chunk_before_the_last_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (good, ..) = some_log(dir.path());
    let (path, bytes) = good.first_key_value().unwrap();
    fs::write(path, &bytes[..bytes.len() - 3]).unwrap();
    let error = try_open(dir.path()).err().unwrap();
    assert!(matches!(error, WalOpenError::Damaged { .. }), "{error}");
}

/// A rotation that a crash interrupted: the new file exists, with no record, half of one, or zeros.
#[test]
fn a_chunk_that_never_got_a_record_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (good, state, read) = some_log(dir.path());
    let (last_path, last_bytes) = good.last_key_value().unwrap();
    let first_bytes = good.first_key_value().unwrap().1;
    for begun in [&[][..], &first_bytes[..10], &[0; 300]] {
        restore(dir.path(), &good);
        let start = chunk_start(last_path) + last_bytes.len() as u64;
        let next = dir.path().join(chunk_name(start));
        fs::write(&next, begun).unwrap();
        let log = try_open(dir.path()).unwrap();
        assert_eq!((log.state(), read_all(&log)), (state, read.clone()));
        assert!(!next.exists() || fs::read(&next).unwrap().len() > 10);
    }
}

/// The only chunk of a log whose start was purged must not vanish for a fresh log.
#[test]
fn a_lone_chunk_without_its_checkpoint_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (good, ..) = some_log(dir.path());
    let (path, bytes) = good.last_key_value().unwrap();
    restore(dir.path(), &Files::from([(path.clone(), bytes[..10].to_vec())]));
    let error = try_open(dir.path()).err().unwrap();
    assert!(matches!(error, WalOpenError::Damaged { offset: 0, .. }), "{error}");
}

#[test]
fn a_file_that_only_looks_like_a_chunk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    some_log(dir.path());
    for name in
        ["r-1.wal", "r-00_000_000_000_000_000_000.wal.bak", "r-x0_000_000_000_000_000_009.wal"]
    {
        let path = dir.path().join(name);
        fs::write(&path, b"").unwrap();
        let error = try_open(dir.path()).err().unwrap();
        assert!(matches!(error, WalOpenError::Misnamed { .. }), "{name}: {error}");
        fs::remove_file(path).unwrap();
    }
    open(dir.path());
}

#[test]
fn the_log_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wal");
    let log = open(&path);
    let error = try_open(&path).err().unwrap();
    assert!(matches!(error, WalOpenError::Locked { .. }), "{error}");
    let clone = log.clone();
    drop(log);
    assert!(matches!(try_open(&path), Err(WalOpenError::Locked { .. })));
    drop(clone);
    open(&path);
}

/// Bytes of an entry that look like a record must not let a search for one run for hours.
#[test]
fn an_entry_made_of_record_headers_is_searched_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut hostile = entry(1, 0);
    // Type 1, some position, and a length of half a megabyte, again and again.
    let header = [&[0, 0, 0, 1][..], &[0; 16], &500_000_u32.to_be_bytes()].concat();
    hostile.payload = header.repeat(40_000).into();
    append(&log, vec![entry(1, 0)]).unwrap();
    hostile.position = at(1, 1);
    append(&log, vec![hostile]).unwrap();
    drop(log);
    let torn = files(dir.path()).into_iter().find(|(_, bytes)| bytes.len() > 500_000).unwrap();
    let later = files(dir.path()).into_iter().filter(|(path, _)| *path > torn.0);
    later.for_each(|(path, _)| fs::remove_file(path).unwrap());
    fs::write(&torn.0, &torn.1[..torn.1.len() - 1]).unwrap();
    let start = std::time::Instant::now();
    let error = try_open(dir.path()).err().unwrap();
    assert!(matches!(error, WalOpenError::Damaged { .. }), "{error}");
    assert!(start.elapsed().as_secs() < 60, "the search took {:?}", start.elapsed());
}

fn chunk_start(path: &Path) -> u64 {
    let name = path.file_name().unwrap().to_str().unwrap();
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn chunk_name(start: u64) -> String {
    let digits = format!("{start:020}");
    let groups = [&digits[..2], &digits[2..5], &digits[5..8], &digits[8..11]];
    let rest = [&digits[11..14], &digits[14..17], &digits[17..20]];
    format!("r-{}_{}.wal", groups.join("_"), rest.join("_"))
}
