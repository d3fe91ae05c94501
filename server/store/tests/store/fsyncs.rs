//! fsyncs counted, not assumed: a child runs under strace, and the trace must show what was promised.

use std::path::Path;

use conclave_store::LogStore as _;

use crate::child::{command, lines};
use crate::common::{at, entries, have_strace, open, read_all};

/// What strace saw, in order.
#[derive(Debug, PartialEq)]
enum Seen {
    /// An `fsync` or `fdatasync` that began, with what follows the name of the call.
    Sync(&'static str, String),
    Said(String),
}

struct Traced {
    seen: Vec<Seen>,
    said: Vec<String>,
}

/// Plays a part under strace, with a fault injected or none.
fn trace(part: &str, dir: &Path, number: u64, inject: Option<&str>) -> Traced {
    let output = tempfile::NamedTempFile::new().unwrap();
    let path = output.path().to_str().unwrap();
    let mut wrapper =
        vec!["strace", "-f", "-y", "-o", path, "-e", "trace=fsync,fdatasync,write,writev"];
    let rule = inject.map(|rule| format!("inject={rule}"));
    if let Some(rule) = &rule {
        wrapper.extend(["-e", rule]);
    }
    let mut child = command(&wrapper, part, dir, number).spawn().unwrap();
    let said = lines(&mut child).collect();
    child.wait().unwrap();
    let trace = std::fs::read_to_string(path).unwrap();
    let seen = trace.lines().filter_map(|line| {
        let call = line.split_once(' ')?.1.trim_start();
        if let Some(file) = call.strip_prefix("fdatasync(") {
            return Some(Seen::Sync("fdatasync", file.to_owned()));
        }
        if let Some(file) = call.strip_prefix("fsync(") {
            return Some(Seen::Sync("fsync", file.to_owned()));
        }
        let words = call.strip_prefix("write(1<")?.split_once("\"@")?.1;
        Some(Seen::Said(words.split_once("\\n")?.0.to_owned()))
    });
    Traced { seen: seen.collect(), said }
}

impl Traced {
    /// The fsyncs of a file between two things said; `None` is the very end.
    fn between(&self, from: &str, to: Option<&str>, file: &str) -> usize {
        let begin = self.seen.iter().position(|seen| *seen == Seen::Said(from.to_owned()));
        let rest = &self.seen[begin.unwrap_or_else(|| panic!("{from} was not said"))..];
        let end = match to {
            Some(to) => rest.iter().position(|seen| *seen == Seen::Said(to.to_owned())).unwrap(),
            None => rest.len(),
        };
        rest[..end]
            .iter()
            .filter(|seen| matches!(seen, Seen::Sync(_, at) if at.contains(file)))
            .count()
    }
}

#[test]
fn one_fsync_for_each_acknowledged_append_and_before_it() {
    if !have_strace("one_fsync_for_each_acknowledged_append_and_before_it") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let traced = trace("one-by-one", dir.path(), 50, None);
    assert_eq!(traced.said.len(), 51, "{:?}", traced.said);
    let mut before = "ready".to_owned();
    for index in 0..50 {
        let acknowledged = index.to_string();
        let syncs = traced.between(&before, Some(&acknowledged), ".wal>");
        assert_eq!(syncs, 1, "between {before} and {acknowledged}");
        before = acknowledged;
    }
    // A clean stop flushes once more, whatever rode along.
    assert_eq!(traced.between("49", None, ".wal>"), 1);
}

#[test]
fn one_fsync_for_each_vote_truncation_and_purge() {
    if !have_strace("one_fsync_for_each_vote_truncation_and_purge") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let traced = trace("votes", dir.path(), 20, None);
    assert_eq!(traced.between("ready", None, ".wal>"), 3 * 20 + 1);
}

#[test]
fn appends_that_arrive_meanwhile_share_one_fsync() {
    if !have_strace("appends_that_arrive_meanwhile_share_one_fsync") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // A slow disk: while one fsync runs, the 64 that are outstanding have time to arrive.
    let slow = Some("fdatasync:delay_enter=4000");
    let traced = trace("pipelined-some", dir.path(), 3_000, slow);
    assert_eq!(traced.said, ["ready", "done"]);
    let syncs = traced.between("ready", Some("done"), ".wal>");
    assert!((3_000 / 65..3_000 / 16).contains(&syncs), "{syncs} fsyncs, 3000 appends, 64 at once");
}

#[test]
fn a_failed_fsync_is_final_and_never_retried() {
    if !have_strace("a_failed_fsync_is_final_and_never_retried") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let traced = trace("one-by-one", dir.path(), 50, Some("fdatasync:error=EIO:when=5"));
    let last = traced.said.last().unwrap();
    assert!(last.starts_with("failed at 4: "), "{last}");
    assert!(last.contains("os error 5"), "{last}");
    // The fifth fsync is the last one ever, though the log was asked again, asked for a vote, and closed.
    assert_eq!(traced.between("ready", None, ".wal>"), 5);
}

#[test]
fn a_failed_write_is_final_and_what_was_acknowledged_before_is_kept() {
    if !have_strace("a_failed_write_is_final_and_what_was_acknowledged_before_is_kept") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let traced = trace("one-by-one", dir.path(), 50, Some("writev:error=ENOSPC:when=8"));
    let last = traced.said.last().unwrap();
    assert!(last.starts_with("failed at 7: "), "{last}");
    let log = open(dir.path());
    assert_eq!(log.state().last, Some(at(1, 6)));
    assert_eq!(read_all(&log), entries(1, 0..=6));
}

#[test]
fn a_snapshot_is_fsynced_before_and_after_its_final_key() {
    if !have_strace("a_snapshot_is_fsynced_before_and_after_its_final_key") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshots");
    let traced = trace("snapshots", &path, 0, None);
    assert_eq!(traced.between("committing", Some("0"), "snapshots/db>"), 2, "{:?}", traced.seen);
    let begin = traced.seen.iter().take_while(|seen| **seen != Seen::Said("ready".to_owned()));
    let directory =
        begin.filter(|seen| matches!(seen, Seen::Sync("fsync", at) if at.contains("/snapshots>")));
    assert!(directory.count() >= 1, "the directory was not fsynced: {:?}", traced.seen);
}
