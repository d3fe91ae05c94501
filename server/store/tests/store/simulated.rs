//! What the simulated log is for: losing what was not synced, holding a sync back, failing one.

use std::io;
use std::sync::{Arc, Mutex};

use conclave_store::{LogState, LogStore as _, OnDurable, SimulatedLog};

use crate::common::{append, at, entries, read_all, vote, wait};

/// Collects the results of callbacks.
#[derive(Clone, Default)]
struct Results(Arc<Mutex<Vec<bool>>>);

impl Results {
    fn callback(&self) -> OnDurable {
        let results = self.clone();
        Box::new(move |result: io::Result<()>| results.0.lock().unwrap().push(result.is_ok()))
    }

    fn take(&self) -> Vec<bool> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_crash_loses_exactly_what_was_not_synced() {
    let log = SimulatedLog::new();
    append(&log, entries(1, 0..=4)).unwrap();
    wait(log.save_vote(vote(1, 1, true))).unwrap();
    log.hold_syncs();
    let results = Results::default();
    log.append(entries(1, 5..=9), results.callback()).unwrap();
    let lost_vote = log.save_vote(vote(2, 2, false));
    assert_eq!(log.state().last, Some(at(1, 9)));
    assert_eq!(log.unsynced_count(), 2);
    assert_eq!(results.take(), []);
    log.crash();
    assert_eq!(results.take(), [false]);
    assert!(wait(lost_vote).is_err());
    assert!(append(&log, entries(1, 5..=5)).is_err(), "a dead handle writes");
    assert!(log.failed().borrow().is_some());

    let again = log.restart();
    let expected =
        LogState { vote: Some(vote(1, 1, true)), last: Some(at(1, 4)), ..LogState::default() };
    assert_eq!(again.state(), expected);
    assert_eq!(read_all(&again), entries(1, 0..=4));
    assert!(again.failed().borrow().is_none());
    append(&again, entries(2, 5..=6)).unwrap();
    assert!(append(&log, entries(1, 5..=5)).is_err(), "a dead handle writes");
}

#[test]
fn a_kill_keeps_what_the_kernel_had() {
    let log = SimulatedLog::new();
    log.hold_syncs();
    let results = Results::default();
    for index in 0..4 {
        log.append(entries(1, index..=index), results.callback()).unwrap();
    }
    log.crash_keeping(3);
    assert_eq!(results.take(), [false; 4]);
    assert_eq!(read_all(&log.restart()), entries(1, 0..=2));
}

#[test]
fn one_sync_completes_everything_held_back_in_order() {
    let log = SimulatedLog::new();
    log.hold_syncs();
    let results = Results::default();
    log.append(entries(1, 0..=1), results.callback()).unwrap();
    log.append(entries(1, 2..=3), results.callback()).unwrap();
    log.sync();
    assert_eq!((log.sync_count(), results.take()), (1, vec![true, true]));
    log.append(entries(1, 4..=4), results.callback()).unwrap();
    assert_eq!(results.take(), []);
    log.release_syncs();
    assert_eq!((log.sync_count(), results.take()), (2, vec![true]));
    log.append(entries(1, 5..=5), results.callback()).unwrap();
    assert_eq!((log.sync_count(), results.take()), (3, vec![true]));
}

#[test]
fn a_failed_sync_is_final() {
    let log = SimulatedLog::new();
    append(&log, entries(1, 0..=0)).unwrap();
    log.fail_next_sync();
    let error = append(&log, entries(1, 1..=1)).unwrap_err();
    assert!(error.to_string().contains("fsync failed"), "{error}");
    for again in [append(&log, entries(1, 2..=2)), wait(log.save_vote(vote(1, 1, true)))] {
        assert_eq!(again.unwrap_err().to_string(), error.to_string());
    }
    assert_eq!(log.sync_count(), 2);
    assert_eq!(read_all(&log.restart()), entries(1, 0..=0));
}

#[test]
fn committed_is_lost_when_nothing_was_synced_after_it() {
    let log = SimulatedLog::new();
    append(&log, entries(1, 0..=4)).unwrap();
    log.save_committed(Some(at(1, 2))).unwrap();
    append(&log, entries(1, 5..=5)).unwrap();
    log.save_committed(Some(at(1, 5))).unwrap();
    assert_eq!(log.state().committed, Some(at(1, 5)));
    assert_eq!(log.restart().state().committed, Some(at(1, 2)));
}
