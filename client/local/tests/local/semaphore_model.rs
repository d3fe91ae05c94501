//! Any sequence of calls, against a model so simple that it is obviously right: a list of who waits, served from its head.

use std::pin::Pin;

use conclave_local::{AcquireError, Semaphore, SemaphorePermit};
use proptest::prelude::*;

use crate::support::poll_once;

#[derive(Debug, Clone)]
enum Step {
    /// A new request of that weight, polled once.
    Ask(u32),
    /// The request or permit at that place (modulo how many there are) goes.
    Drop(usize),
    /// The request at that place is polled.
    Poll(usize),
    Resize(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u32).prop_map(Step::Ask),
        4 => (0..64_usize).prop_map(Step::Drop),
        4 => (0..64_usize).prop_map(Step::Poll),
        1 => (0..8_usize).prop_map(Step::Resize),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waits,
    Granted,
    Refused(usize),
}

/// What the model knows of one request, in the order of arrival.
struct Known {
    weight: u32,
    fate: Fate,
}

#[derive(Default)]
struct Model {
    capacity: usize,
    known: Vec<Option<Known>>,
}

impl Model {
    fn in_use(&self) -> usize {
        let granted = self.known.iter().flatten().filter(|known| known.fate == Fate::Granted);
        granted.map(|known| known.weight as usize).sum()
    }

    fn waiting(&self) -> usize {
        self.known.iter().flatten().filter(|known| known.fate == Fate::Waits).count()
    }

    fn serve(&mut self) {
        for at in 0..self.known.len() {
            let in_use = self.in_use();
            let Some(known) = &mut self.known[at] else { continue };
            if known.fate != Fate::Waits {
                continue;
            }
            if in_use + known.weight as usize > self.capacity {
                return;
            }
            known.fate = Fate::Granted;
        }
    }

    fn ask(&mut self, weight: u32) {
        let fate = match weight {
            0 => Fate::Granted,
            _ if weight as usize > self.capacity => Fate::Refused(self.capacity),
            _ => Fate::Waits,
        };
        self.known.push(Some(Known { weight, fate }));
        self.serve();
    }

    fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        for known in self.known.iter_mut().flatten() {
            if known.fate == Fate::Waits && known.weight as usize > capacity {
                known.fate = Fate::Refused(capacity);
            }
        }
        self.serve();
    }
}

type Request<'a> = Pin<Box<dyn Future<Output = Result<SemaphorePermit<'a>, AcquireError>> + 'a>>;

enum Slot<'a> {
    Asked(Request<'a>),
    #[expect(dead_code, reason = "held, and released by its drop")]
    Held(SemaphorePermit<'a>),
    Gone,
}

fn poll(slot: &mut Slot<'_>, known: &mut Option<Known>) {
    let Slot::Asked(request) = slot else { return };
    let Some(expected) = known else { panic!("a request that the model forgot") };
    match poll_once(request) {
        std::task::Poll::Pending => assert_eq!(expected.fate, Fate::Waits),
        std::task::Poll::Ready(Ok(permit)) => {
            assert_eq!((expected.fate, expected.weight), (Fate::Granted, permit.weight()));
            *slot = Slot::Held(permit);
        }
        std::task::Poll::Ready(Err(error)) => {
            let Fate::Refused(capacity) = expected.fate else { panic!("refused: {error}") };
            let requested = expected.weight;
            assert_eq!(error, AcquireError::ExceedsCapacity { requested, capacity });
            *slot = Slot::Gone;
            *known = None;
        }
    }
}

fn agrees(steps: &[Step]) {
    let semaphore = Semaphore::new(4);
    let mut model = Model { capacity: 4, ..Model::default() };
    let mut slots: Vec<Slot<'_>> = Vec::new();
    for step in steps {
        match *step {
            Step::Ask(weight) => {
                model.ask(weight);
                slots.push(Slot::Asked(Box::pin(semaphore.acquire_many(weight))));
                let at = slots.len() - 1;
                poll(&mut slots[at], &mut model.known[at]);
            }
            Step::Drop(at) if !slots.is_empty() => {
                let at = at % slots.len();
                slots[at] = Slot::Gone;
                model.known[at] = None;
                model.serve();
            }
            Step::Poll(at) if !slots.is_empty() => {
                let at = at % slots.len();
                poll(&mut slots[at], &mut model.known[at]);
            }
            Step::Drop(_) | Step::Poll(_) => {}
            Step::Resize(capacity) => {
                let previous = model.capacity;
                model.resize(capacity);
                assert_eq!(semaphore.resize(capacity), previous);
            }
        }
        assert_eq!((semaphore.in_use(), semaphore.waiters()), (model.in_use(), model.waiting()));
    }
    drop(slots);
    assert_eq!((semaphore.in_use(), semaphore.waiters()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sem_1_any_sequence_of_calls_agrees_with_a_naive_model(
        steps in proptest::collection::vec(step(), 1..80)
    ) {
        agrees(&steps);
    }
}
