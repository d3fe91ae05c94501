//! One suite for the port of the log, run over both implementations, in small and in large chunk files.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;

use crate::common::{append, at, entries, entry, read_all, vote, wait};
use conclave_store::{
    LogEntry, LogPosition, LogState, LogStore, SimulatedLog, StoredVote, Wal, WalOptions,
};

/// Opens the log again as after a clean stop.
trait Fixture {
    type Log: LogStore;
    fn open(&self) -> Self::Log;
    fn reopen(&self, log: Self::Log) -> Self::Log;
}

struct Files {
    dir: tempfile::TempDir,
    options: WalOptions,
}

impl Files {
    fn with(options: WalOptions) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), options }
    }
}

impl Fixture for Files {
    type Log = Wal;

    fn open(&self) -> Wal {
        Wal::open(&self.dir.path().join("wal"), &self.options).unwrap()
    }

    fn reopen(&self, log: Wal) -> Wal {
        drop(log);
        self.open()
    }
}

struct Memory;

impl Fixture for Memory {
    type Log = SimulatedLog;

    fn open(&self) -> SimulatedLog {
        SimulatedLog::new()
    }

    fn reopen(&self, log: SimulatedLog) -> SimulatedLog {
        log.restart()
    }
}

/// One test of the suite becomes one test for each log.
macro_rules! suite {
    ($($name:ident),+ $(,)?) => {
        mod simulated {
            $(#[test] fn $name() { super::$name(&super::Memory); })+
        }
        mod files {
            $(#[test] fn $name() {
                super::$name(&super::Files::with(super::WalOptions::default()));
            })+
        }
        mod tiny_files {
            $(#[test] fn $name() {
                super::$name(&super::Files::with(crate::common::tiny_chunks()));
            })+
        }
    };
}

suite!(
    a_new_log_is_empty,
    appended_is_readable_at_once_and_after_reopening,
    a_read_stops_at_its_limits,
    a_hole_or_a_lower_term_is_refused_and_changes_nothing,
    the_first_entry_may_have_any_index,
    votes_never_go_back,
    truncation_removes_the_end,
    truncation_never_removes_committed_entries,
    a_lower_term_may_replace_a_higher_one,
    purge_removes_the_front,
    purge_beyond_the_end_moves_the_end,
    purge_beyond_an_uncommitted_end_of_a_higher_term,
    committed_rides_along,
    callbacks_come_once_and_in_order,
    random_operations_agree_with_a_model,
);

fn refused(result: io::Result<()>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

fn a_new_log_is_empty(fixture: &impl Fixture) {
    let log = fixture.reopen(fixture.open());
    assert_eq!(log.state(), LogState::default());
    assert_eq!(read_all(&log), []);
    append(&log, Vec::new()).unwrap();
    assert_eq!(log.state(), LogState::default());
}

fn appended_is_readable_at_once_and_after_reopening(fixture: &impl Fixture) {
    let log = fixture.open();
    let (sender, receiver) = mpsc::channel();
    for index in 0..100 {
        let sender = sender.clone();
        let done = Box::new(move |result: io::Result<()>| sender.send(result).unwrap());
        log.append(vec![entry(1, index)], done).unwrap();
        assert_eq!(log.read(index..index + 1, 0).unwrap(), [entry(1, index)]);
        assert_eq!(log.state().last, Some(at(1, index)));
    }
    for _ in 0..100 {
        receiver.recv().unwrap().unwrap();
    }
    assert_eq!(read_all(&log), entries(1, 0..=99));
    let log = fixture.reopen(log);
    assert_eq!(log.state(), LogState { last: Some(at(1, 99)), ..LogState::default() });
    assert_eq!(read_all(&log), entries(1, 0..=99));
    append(&log, entries(1, 100..=120)).unwrap();
    assert_eq!(read_all(&fixture.reopen(log)), entries(1, 0..=120));
}

fn a_read_stops_at_its_limits(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 0..=50)).unwrap();
    let log = fixture.reopen(log);
    append(&log, entries(1, 51..=99)).unwrap();
    assert_eq!(log.read(20..70, usize::MAX).unwrap(), entries(1, 20..=69));
    assert_eq!(log.read(90..200, usize::MAX).unwrap(), entries(1, 90..=99));
    assert_eq!(log.read(100..200, usize::MAX).unwrap(), []);
    assert_eq!(log.read(30..30, usize::MAX).unwrap(), []);
    assert_eq!(log.read(30..90, 0).unwrap(), [entry(1, 30)]);
    let three: usize = entries(1, 49..=51).iter().map(|entry| entry.payload.len()).sum();
    assert_eq!(log.read(49..99, three).unwrap(), entries(1, 49..=51));
    assert_eq!(log.read(49..99, three - 1).unwrap(), entries(1, 49..=50));
}

fn a_hole_or_a_lower_term_is_refused_and_changes_nothing(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(2, 0..=4)).unwrap();
    let before = log.state();
    refused(append(&log, entries(2, 6..=7)));
    refused(append(&log, entries(2, 4..=5)));
    refused(append(&log, entries(1, 5..=5)));
    refused(append(&log, vec![entry(2, 5), entry(2, 7)]));
    assert_eq!(log.state(), before);
    append(&log, entries(2, 5..=5)).unwrap();
    assert_eq!(read_all(&fixture.reopen(log)), entries(2, 0..=5));
}

fn the_first_entry_may_have_any_index(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 5..=8)).unwrap();
    assert_eq!(log.read(0..3, usize::MAX).unwrap(), []);
    assert_eq!(read_all(&log), entries(1, 5..=8));
    let log = fixture.reopen(log);
    assert_eq!(log.read(0..7, usize::MAX).unwrap(), entries(1, 5..=6));
    wait(log.purge(at(1, 4))).unwrap();
    assert_eq!(log.state().purged, Some(at(1, 4)));
    assert_eq!(read_all(&fixture.reopen(log)), entries(1, 5..=8));
}

fn votes_never_go_back(fixture: &impl Fixture) {
    let log = fixture.open();
    wait(log.save_vote(vote(3, 2, false))).unwrap();
    refused(wait(log.save_vote(vote(2, 2, true))));
    refused(wait(log.save_vote(vote(3, 1, false))));
    refused(wait(log.save_vote(StoredVote { term: 3, voted_for: None, committed: false })));
    let log = fixture.reopen(log);
    assert_eq!(log.state().vote, Some(vote(3, 2, false)));
    refused(wait(log.save_vote(vote(3, 1, false))));
    // The other candidate won: its vote is granted, though its number is smaller.
    wait(log.save_vote(vote(3, 1, true))).unwrap();
    wait(log.save_vote(vote(3, 1, true))).unwrap();
    refused(wait(log.save_vote(vote(3, 1, false))));
    refused(wait(log.save_vote(vote(3, 2, true))));
    let log = fixture.reopen(log);
    assert_eq!(log.state().vote, Some(vote(3, 1, true)));
    wait(log.save_vote(vote(4, 1, false))).unwrap();
    assert_eq!(fixture.reopen(log).state().vote, Some(vote(4, 1, false)));
}

fn truncation_removes_the_end(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 0..=99)).unwrap();
    wait(log.truncate_after(Some(at(1, 120)))).unwrap();
    wait(log.truncate_after(Some(at(1, 99)))).unwrap();
    assert_eq!(log.state().last, Some(at(1, 99)));
    refused(wait(log.truncate_after(Some(at(2, 50)))));
    wait(log.truncate_after(Some(at(1, 9)))).unwrap();
    assert_eq!(log.state().last, Some(at(1, 9)));
    assert_eq!(read_all(&log), entries(1, 0..=9));
    let log = fixture.reopen(log);
    assert_eq!(read_all(&log), entries(1, 0..=9));
    append(&log, entries(2, 10..=20)).unwrap();
    assert_eq!(log.read(8..30, usize::MAX).unwrap()[2..], entries(2, 10..=20));
    let log = fixture.reopen(log);
    assert_eq!(log.read(10..30, usize::MAX).unwrap(), entries(2, 10..=20));
    wait(log.truncate_after(None)).unwrap();
    assert_eq!(log.state(), LogState::default());
    let log = fixture.reopen(log);
    assert_eq!(read_all(&log), []);
    append(&log, entries(3, 0..=1)).unwrap();
    assert_eq!(read_all(&fixture.reopen(log)), entries(3, 0..=1));
}

fn truncation_never_removes_committed_entries(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 0..=9)).unwrap();
    log.save_committed(Some(at(1, 5))).unwrap();
    refused(wait(log.truncate_after(Some(at(1, 4)))));
    refused(wait(log.truncate_after(None)));
    wait(log.truncate_after(Some(at(1, 5)))).unwrap();
    wait(log.purge(at(1, 3))).unwrap();
    refused(wait(log.truncate_after(Some(at(1, 2)))));
    assert_eq!(read_all(&fixture.reopen(log)), entries(1, 4..=5));
}

/// Raft's figure 8: what a new leader sends may be of an older term than what it replaces.
fn a_lower_term_may_replace_a_higher_one(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 0..=9)).unwrap();
    append(&log, entries(5, 10..=90)).unwrap();
    wait(log.truncate_after(Some(at(1, 9)))).unwrap();
    append(&log, entries(2, 10..=200)).unwrap();
    assert_eq!(log.read(10..300, usize::MAX).unwrap(), entries(2, 10..=200));
    let log = fixture.reopen(log);
    assert_eq!(log.read(10..300, usize::MAX).unwrap(), entries(2, 10..=200));
    assert_eq!(log.state().last, Some(at(2, 200)));
}

fn purge_removes_the_front(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 0..=99)).unwrap();
    wait(log.purge(at(1, 69))).unwrap();
    wait(log.purge(at(1, 20))).unwrap();
    let expected =
        LogState { purged: Some(at(1, 69)), last: Some(at(1, 99)), ..LogState::default() };
    assert_eq!(log.state(), expected);
    assert_eq!(read_all(&log), entries(1, 70..=99));
    let log = fixture.reopen(log);
    assert_eq!(log.state(), expected);
    assert_eq!(read_all(&log), entries(1, 70..=99));
    wait(log.truncate_after(Some(at(1, 69)))).unwrap();
    assert_eq!(read_all(&log), []);
    assert_eq!(log.state().last, Some(at(1, 69)));
    refused(append(&log, entries(1, 71..=71)));
    append(&log, entries(2, 70..=71)).unwrap();
    assert_eq!(read_all(&fixture.reopen(log)), entries(2, 70..=71));
}

fn purge_beyond_the_end_moves_the_end(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 0..=9)).unwrap();
    wait(log.purge(at(3, 50))).unwrap();
    let expected =
        LogState { purged: Some(at(3, 50)), last: Some(at(3, 50)), ..LogState::default() };
    assert_eq!(log.state(), expected);
    assert_eq!(read_all(&log), []);
    let log = fixture.reopen(log);
    assert_eq!(log.state(), expected);
    append(&log, entries(3, 51..=60)).unwrap();
    assert_eq!(read_all(&fixture.reopen(log)), entries(3, 51..=60));
}

/// A snapshot replaced a log whose end nobody ever committed.
fn purge_beyond_an_uncommitted_end_of_a_higher_term(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 0..=9)).unwrap();
    log.save_committed(Some(at(1, 4))).unwrap();
    append(&log, entries(7, 10..=20)).unwrap();
    refused(wait(log.purge(at(8, 15))));
    wait(log.purge(at(2, 30))).unwrap();
    assert_eq!(log.state().last, Some(at(2, 30)));
    append(&log, entries(2, 31..=33)).unwrap();
    let log = fixture.reopen(log);
    assert_eq!(log.state().last, Some(at(2, 33)));
    assert_eq!(read_all(&log), entries(2, 31..=33));
}

fn committed_rides_along(fixture: &impl Fixture) {
    let log = fixture.open();
    append(&log, entries(1, 0..=9)).unwrap();
    refused(log.save_committed(Some(at(1, 10))));
    log.save_committed(Some(at(1, 7))).unwrap();
    log.save_committed(Some(at(1, 3))).unwrap();
    log.save_committed(None).unwrap();
    assert_eq!(log.state().committed, Some(at(1, 7)));
    append(&log, entries(1, 10..=10)).unwrap();
    assert_eq!(fixture.reopen(log).state().committed, Some(at(1, 7)));
}

fn callbacks_come_once_and_in_order(fixture: &impl Fixture) {
    let log = fixture.open();
    let (sender, receiver) = mpsc::channel();
    for index in 0..500 {
        let sender = sender.clone();
        let done = Box::new(move |result: io::Result<()>| {
            result.unwrap();
            sender.send(index).unwrap();
        });
        log.append(vec![entry(1, index)], done).unwrap();
    }
    // A vote stands behind everything appended before it.
    wait(log.save_vote(vote(1, 1, true))).unwrap();
    let called: Vec<u64> = receiver.try_iter().collect();
    assert_eq!(called, (0..500).collect::<Vec<_>>());
    drop((sender, log));
    assert!(receiver.recv().is_err(), "a callback was called twice");
}

/// The log as a map, by the words of the port.
#[derive(Default)]
struct Model {
    state: LogState,
    entries: BTreeMap<u64, LogEntry>,
}

/// A small generator: the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn random_operations_agree_with_a_model(fixture: &impl Fixture) {
    let mut numbers = Numbers(20_260_101);
    let mut model = Model::default();
    let mut log = fixture.open();
    for step in 0..1_500 {
        random_step(&mut numbers, &mut model, &log);
        if numbers.below(25) == 0 {
            // What rode along unflushed is flushed by a clean stop of files and lost by the simulated power cut.
            wait(log.truncate_after(model.state.last)).unwrap();
            log = fixture.reopen(log);
        }
        assert_eq!(log.state(), model.state, "step {step}");
        let start = numbers.below(model.state.last.map_or(1, |last| last.index + 2));
        let end = start + numbers.below(80);
        let expected: Vec<_> = model.entries.range(start..end).map(|(_, e)| e.clone()).collect();
        assert_eq!(log.read(start..end, usize::MAX).unwrap(), expected, "step {step}");
    }
    assert!(model.state.purged.is_some_and(|purged| purged.index > 500), "too little happened");
}

fn random_step(numbers: &mut Numbers, model: &mut Model, log: &impl LogStore) {
    let state = &mut model.state;
    let next = state.last.map_or(0, |last| last.index + 1);
    let term = state.vote.map_or(0, |vote| vote.term);
    let floor = state.committed.max(state.purged);
    match numbers.below(10) {
        0 => {
            let vote = vote(term + numbers.below(2), 1, true);
            wait(log.save_vote(vote)).unwrap();
            state.vote = Some(vote);
        }
        1 => {
            let committed: Option<LogPosition> =
                model.entries.values().nth(numbers.below(200) as usize).map(|e| e.position);
            log.save_committed(committed).unwrap();
            state.committed = state.committed.max(committed);
        }
        2 => {
            let keep = next.saturating_sub(1 + numbers.below(10));
            let keep = model.entries.get(&keep).map(|e| e.position).max(floor);
            let keep = keep.filter(|keep| {
                model.entries.contains_key(&keep.index) || Some(*keep) == state.purged
            });
            if keep >= floor {
                wait(log.truncate_after(keep)).unwrap();
                model.entries.retain(|_, e| Some(e.position) <= keep);
                state.last = keep;
            }
        }
        3 => {
            let upto = model.entries.values().nth(numbers.below(40) as usize).map(|e| e.position);
            if let Some(upto) = upto.filter(|upto| Some(*upto) <= state.committed) {
                wait(log.purge(upto)).unwrap();
                model.entries.retain(|index, _| *index > upto.index);
                state.purged = Some(upto);
            }
        }
        _ => {
            let new = entries(term, next..=next + numbers.below(5));
            append(log, new.clone()).unwrap();
            state.last = new.last().map(|e| e.position);
            model.entries.extend(new.into_iter().map(|e| (e.position.index, e)));
        }
    }
}
