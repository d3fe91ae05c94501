//! Whoever waits for an entry is answered, however the mandate changes meanwhile.

use std::sync::Barrier;

use tokio::sync::oneshot;

use super::*;
use crate::answer::Decided;

type Answer = oneshot::Receiver<Result<Decided, ProposeError>>;

const MINE: Mandate = Mandate { term: Some(3), leader: None };
const NOBODYS: Mandate = Mandate { term: None, leader: None };

/// An entry of the term 3 with one command.
fn slot() -> (Arc<Slot>, Answer) {
    let (reply, answer) = oneshot::channel();
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("there is room");
    let waiting = Mutex::new(Some((vec![Reply::Once(reply)], permit)));
    (Arc::new(Slot { term: 3, waiting }), answer)
}

/// As the watcher does it: the mandate first.
fn give_up(mandate: &watch::Sender<Mandate>, in_flight: &InFlight) {
    mandate.send_replace(NOBODYS);
    for slot in in_flight.take_except(None) {
        slot.fail(&ProposeError::Unknown { leader: None });
    }
}

#[test]
fn an_entry_that_comes_too_late_to_be_given_up_is_not_proposed() {
    let (sender, mandate) = watch::channel(MINE);
    let in_flight = InFlight::default();
    // The task has seen the mandate, then everybody is given up, then the entry is added.
    give_up(&sender, &in_flight);
    let (late, _answer) = slot();
    assert_eq!(in_flight.add(&late, &mandate), Err(NotLeader { leader: None }));
    sender.send_replace(Mandate { term: Some(4), leader: None });
    assert!(in_flight.add(&late, &mandate).is_err(), "another term of its own is no better");
    sender.send_replace(MINE);
    assert_eq!(in_flight.add(&late, &mandate), Ok(()));
}

#[test]
fn an_entry_added_while_everybody_is_given_up_is_answered() {
    for _ in 0..2000 {
        let (sender, mandate) = watch::channel(MINE);
        let in_flight = InFlight::default();
        let (slot, mut answer) = slot();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                give_up(&sender, &in_flight);
            });
            start.wait();
            if in_flight.add(&slot, &mandate).is_err() {
                slot.fail(&ProposeError::NotLeader { leader: None });
            }
        });
        assert!(matches!(answer.try_recv(), Ok(Err(_))), "it would wait for ever");
    }
}
