//! `kill -9` in the middle of everything: what was acknowledged before is there after, and nothing else came to be.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Stdio;

use conclave_store::{LogEntry, LogPosition, LogState, LogStore, SnapshotStore, StoredVote};

use crate::child::{SNAPSHOT_RECORDS, command, lines, snapshot_record};
use crate::common::{append, entries, entry, have_strace, open, read_all, vote, wait};

/// One operation, chosen from its number and the state that it meets: the same in the child and in the model.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Append(Vec<LogEntry>),
    Vote(StoredVote),
    Truncate(Option<LogPosition>),
    Purge(LogPosition),
    Committed(LogPosition),
}

impl Op {
    pub(crate) fn choose(number: u64, state: &LogState) -> Self {
        let next = state.last.map_or(0, |last| last.index + 1);
        let term = state.vote.map_or(0, |vote| vote.term);
        let append = Self::Append(entries(term, next..=next + number % 3));
        match (number % 11, state.last) {
            (3, _) => Self::Vote(vote(term + 1, number % 5, true)),
            // Entries of this term only, so that their position is known without a look into the log.
            (5, Some(last)) if last.term == term && last.index > 0 => {
                let keep = LogPosition { term, index: last.index - 1 };
                if Some(keep) > state.committed.max(state.purged) && number.is_multiple_of(3) {
                    Self::Truncate(Some(keep))
                } else {
                    append
                }
            }
            (7, Some(last)) => Self::Committed(last),
            (9, _) => match state.committed {
                Some(committed) => Self::Purge(committed),
                None => append,
            },
            _ => append,
        }
    }
}

impl Op {
    /// What may be found when it was not acknowledged but happened: of several entries, the first ones.
    fn outcomes(&self) -> Vec<Self> {
        match self {
            Self::Append(entries) => {
                (1..=entries.len()).map(|count| Self::Append(entries[..count].to_vec())).collect()
            }
            other => vec![other.clone()],
        }
    }
}

/// Returns when the operation is durable.
pub(crate) fn apply(log: &impl LogStore, op: &Op) -> io::Result<()> {
    match op {
        Op::Append(entries) => append(log, entries.clone()),
        Op::Vote(vote) => wait(log.save_vote(*vote)),
        Op::Truncate(keep) => wait(log.truncate_after(*keep)),
        Op::Purge(upto) => wait(log.purge(*upto)),
        Op::Committed(position) => {
            log.save_committed(Some(*position))?;
            // Made durable by the flush of whatever comes next: here of nothing at all.
            wait(log.truncate_after(log.state().last))
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Model {
    state: LogState,
    entries: BTreeMap<u64, LogEntry>,
}

impl Model {
    fn of(log: &impl LogStore) -> Self {
        let entries = read_all(log).into_iter().map(|entry| (entry.position.index, entry));
        Self { state: log.state(), entries: entries.collect() }
    }

    fn after(&self, op: &Op) -> Self {
        let mut after = self.clone();
        after.apply(op);
        after
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append(entries) => {
                self.state.last = entries.last().map(|entry| entry.position);
                self.entries.extend(entries.iter().map(|e| (e.position.index, e.clone())));
            }
            Op::Vote(vote) => self.state.vote = Some(*vote),
            Op::Truncate(keep) => {
                self.entries.retain(|_, entry| Some(entry.position) <= *keep);
                self.state.last = *keep;
            }
            Op::Purge(upto) => {
                self.entries.retain(|index, _| *index > upto.index);
                self.state.purged = Some(*upto);
            }
            Op::Committed(position) => self.state.committed = Some(*position),
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut number = 0;
    let mut model = Model::of(&open(dir.path()));
    for round in 0..100_u64 {
        let mut child = command(&[], "mixed", dir.path(), number).spawn().unwrap();
        let mut said = lines(&mut child);
        for acknowledged in said.by_ref().take((1 + round * 7 % 40) as usize) {
            acknowledge(&mut model, &mut number, &acknowledged);
        }
        child.kill().unwrap();
        for acknowledged in said {
            acknowledge(&mut model, &mut number, &acknowledged);
        }
        child.wait().unwrap();

        check_round(&mut model, &mut number, dir.path(), &format!("round {round}"));
    }
    assert!(number > 1_500, "only {number} operations");
    assert!(model.state.purged.is_some_and(|purged| purged.index > 300), "{:?}", model.state);
}

/// Opens the log after a kill: it must be what was acknowledged, or that and what was under way.
fn check_round(model: &mut Model, number: &mut u64, dir: &Path, round: &str) {
    let found = Model::of(&open(dir));
    if found == *model {
        return;
    }
    let op = Op::choose(*number, &model.state);
    assert!(
        op.outcomes().iter().any(|outcome| model.after(outcome) == found),
        "{round}: {found:?}\nis neither {model:?}\nnor after {op:?}"
    );
    *model = found;
    *number += 1;
}

/// Stopped at the n-th write, or between a write and its fdatasync, for every n of a run over several chunks. The call
/// fails instead of the process being killed in it: it leaves the same files, for a failed log does no more I/O.
#[test]
fn a_process_stopped_between_every_write_and_its_sync_loses_nothing() {
    if !have_strace("a_process_stopped_between_every_write_and_its_sync_loses_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut number = 0;
    let mut model = Model::of(&open(dir.path()));
    for call in ["writev", "fdatasync"] {
        for when in 1..=15 {
            let rule = format!("inject={call}:error=EIO:when={when}");
            let trace = format!("trace={call}");
            let wrapper =
                ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", &trace, "-e", &rule];
            let mut command = command(&wrapper, "mixed", dir.path(), number);
            let mut child = command.stderr(Stdio::null()).spawn().unwrap();
            let before = number;
            for acknowledged in lines(&mut child) {
                acknowledge(&mut model, &mut number, &acknowledged);
            }
            assert!(!child.wait().unwrap().success());
            // One write and one fdatasync each, a rotation a few more: the end came when it should.
            assert!(number - before < when, "{call} {when}: {} operations", number - before);
            check_round(&mut model, &mut number, dir.path(), &format!("{call} {when}"));
        }
    }
    assert!(number > 100, "only {number} operations");
}

fn acknowledge(model: &mut Model, number: &mut u64, said: &str) {
    assert_eq!(said.parse(), Ok(*number));
    let op = Op::choose(*number, &model.state);
    model.apply(&op);
    *number += 1;
}

#[test]
fn a_killed_process_with_many_appends_outstanding_loses_none_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..12_u64 {
        let mut child = command(&[], "pipelined", dir.path(), 0).spawn().unwrap();
        let mut said = lines(&mut child);
        let mut acknowledged = last;
        for index in said.by_ref().take((1 + round * 131) as usize) {
            acknowledged = index.parse().unwrap();
        }
        child.kill().unwrap();
        for index in said {
            acknowledged = index.parse().unwrap();
        }
        child.wait().unwrap();

        let log = open(dir.path());
        last = log.state().last.unwrap().index;
        assert!(last >= acknowledged, "round {round}: {last} is there, {acknowledged} was said");
        assert!(last <= acknowledged + 64 + 1, "round {round}: {last} after {acknowledged}");
        let found = read_all(&log);
        assert_eq!(found.len() as u64, last + 1, "round {round}");
        assert!(found.iter().zip(0..).all(|(found, index)| *found == entry(1, index)));
    }
    assert!(last > 5_000, "only {last} entries");
}

#[test]
fn a_killed_process_loses_no_snapshot_that_it_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshots");
    let mut committed = None;
    for round in 0..30_u64 {
        let mut child = command(&[], "snapshots", &path, u64::MAX - 1).spawn().unwrap();
        let mut said = lines(&mut child);
        let mut note = |line: String| committed = line.parse().ok().or(committed);
        said.by_ref().take((1 + round * 5 % 17) as usize).for_each(&mut note);
        child.kill().unwrap();
        said.for_each(&mut note);
        child.wait().unwrap();
        check_snapshots(&path, committed, round);
    }
    assert!(committed > Some(20), "only {committed:?} snapshots");
}

fn check_snapshots(path: &Path, committed: Option<u64>, round: u64) {
    let store = SnapshotStore::open(path).unwrap();
    let found = store.latest_verified().unwrap().map(|info| info.reach);
    let next = committed.map_or(0, |reach| reach + 1);
    assert!(found == committed || found == Some(next), "round {round}: {committed:?}, {found:?}");
    for info in store.list() {
        assert_eq!(info.meta, info.reach.to_string());
        let records: Result<Vec<_>, _> = store.reader(info.id).unwrap().collect();
        let records = records.unwrap();
        assert_eq!(records.len() as u64, SNAPSHOT_RECORDS);
        for (record, number) in records.iter().zip(0..) {
            assert_eq!(*record, snapshot_record(info.reach, number));
        }
    }
}
