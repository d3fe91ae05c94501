//! The temper of one random case: how many clients and names, what they mostly do, how slowly they confirm.

use conclave_machine::Kind;

use crate::rng::Rng;

/// What a step may try to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Open,
    Acquire,
    Release,
    Adopt,
    Downgrade,
    Upgrade,
    Proclaim,
    SetEligible,
    Complete,
    Edit,
    Retry,
    Cancel,
    TimeOut,
    Attach,
    Resume,
    Close,
    Kill,
    ForceRelease,
    Resize,
    Transfer,
    Delete,
    AckStopped,
    ConfirmLosses,
    Due,
}

/// Each action and its weight before the temper of the case.
const ACTIONS: &[(Action, u64)] = &[
    (Action::Open, 4),
    (Action::Acquire, 50),
    (Action::Release, 22),
    (Action::Adopt, 9),
    (Action::Downgrade, 5),
    (Action::Upgrade, 8),
    (Action::Proclaim, 2),
    (Action::SetEligible, 3),
    (Action::Complete, 4),
    (Action::Edit, 12),
    (Action::Retry, 12),
    (Action::Cancel, 6),
    (Action::TimeOut, 5),
    (Action::Attach, 4),
    (Action::Resume, 3),
    (Action::Close, 1),
    (Action::Kill, 1),
    (Action::ForceRelease, 4),
    (Action::Resize, 4),
    (Action::Transfer, 4),
    (Action::Delete, 4),
    (Action::AckStopped, 6),
    (Action::ConfirmLosses, 3),
    (Action::Due, 12),
];

/// Kinds of objects, each as often as it is here.
const KINDS: &[Kind] = &[
    Kind::Mutex,
    Kind::Mutex,
    Kind::RwLock,
    Kind::RwLock,
    Kind::RwLock,
    Kind::Semaphore,
    Kind::Semaphore,
    Kind::Semaphore,
    Kind::Election,
    Kind::Election,
    Kind::Once,
    Kind::Once,
    Kind::Latch,
    Kind::Gate,
    Kind::Barrier,
    Kind::Barrier,
    Kind::Register,
    Kind::Counter,
];

/// Kinds that a crowd may wait for: those that serve one after the other. The first three go together.
const CROWD_KINDS: &[Kind] =
    &[Kind::Mutex, Kind::RwLock, Kind::Semaphore, Kind::Election, Kind::Once];

/// What clients mostly want of one name. What they want by mistake is something else.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    /// Permits of a semaphore, parties of a barrier, counts of a latch.
    pub(crate) size: u32,
    pub(crate) break_on_loss: bool,
}

/// Drawn once per case.
#[derive(Debug, Clone)]
pub struct Profile {
    /// One per name.
    pub(crate) places: Vec<Place>,
    pub(crate) clients: usize,
    pub(crate) owners: u64,
    /// How many of a hundred requests name an owner.
    pub(crate) owner_percent: u64,
    /// Priorities are drawn from as many values.
    pub(crate) priorities: u64,
    /// How many of a hundred requests are for several objects.
    pub(crate) several_percent: u64,
    weights: Vec<u64>,
    /// In how many of a hundred calls the client confirms all it has seen.
    pub(crate) confirm_percent: u64,
    /// How many of a hundred commands carry something wrong on purpose.
    pub(crate) wrong_percent: u64,
    /// How many of a hundred running session timers a leader may find over.
    pub(crate) expire_percent: u64,
    /// Clients do nothing but try, and confirm nothing, so that the replay window fills up.
    pub(crate) stubborn: bool,
    /// Few names, and queues that grow to hundreds before they are drained again.
    pub(crate) crowd: bool,
}

/// A crowd grows to this many waiters: several chunks of any sensible queue.
pub(crate) const CROWD_MAX: usize = 700;
/// ... and is drained to this many before it grows again.
pub(crate) const CROWD_MIN: usize = 10;

impl Profile {
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Self {
        // One in twelve cases never confirms: a window of 1,024 answers is then met within a few thousand steps.
        let temper = rng.below(12);
        let (stubborn, crowd) = (temper == 0, temper == 1);
        let factor = |rng: &mut Rng| *rng.pick(&[0, 1, 1, 1, 2, 5]).expect("some");
        Self {
            places: places(rng, crowd),
            clients: if stubborn { 2 } else { 1 + rng.index(7) },
            owners: 1 + rng.below(3),
            // A crowd of owners would be searched for deadlocks for ever.
            owner_percent: if crowd { 1 } else { *rng.pick(&[5, 25, 25, 90]).expect("some") },
            priorities: 1 + rng.below(3),
            several_percent: *rng.pick(&[0, 10, 30, 60]).expect("some"),
            weights: ACTIONS
                .iter()
                .map(|(action, weight)| match action {
                    Action::Acquire if stubborn || crowd => weight * 5,
                    Action::Close | Action::Kill | Action::Resume if stubborn => *weight,
                    _ => weight * factor(rng),
                })
                .collect(),
            confirm_percent: match temper {
                0 => 0,
                1 => 100,
                _ => *rng.pick(&[5, 40, 100]).expect("some"),
            },
            wrong_percent: *rng.pick(&[0, 2, 5, 15]).expect("some"),
            expire_percent: match temper {
                0 | 1 => 1,
                _ => *rng.pick(&[1, 5, 30]).expect("some"),
            },
            stubborn,
            crowd,
        }
    }

    pub(crate) fn action(&self, rng: &mut Rng) -> Action {
        let total: u64 = self.weights.iter().sum();
        if total == 0 {
            return Action::Acquire;
        }
        let mut drawn = rng.below(total);
        for ((action, _), weight) in ACTIONS.iter().zip(&self.weights) {
            if drawn < *weight {
                return self.tempered(*action, rng);
            }
            drawn -= weight;
        }
        unreachable!("the weights add up to their total")
    }

    /// A stubborn client's session must live long enough to fill its window, and a crowd long enough to gather.
    fn tempered(&self, action: Action, rng: &mut Rng) -> Action {
        let patient = (self.stubborn || self.crowd) && rng.chance(95);
        match action {
            Action::Close | Action::Kill | Action::Resume if patient => Action::Acquire,
            Action::Attach if self.crowd && patient => Action::Acquire,
            other => other,
        }
    }
}

/// Up to eight names; a crowd has one, or a few that are wanted together.
fn places(rng: &mut Rng, crowd: bool) -> Vec<Place> {
    let (names, kinds) = match crowd {
        true if rng.chance(50) => (1, CROWD_KINDS),
        true => (2 + rng.below(2), &CROWD_KINDS[..3]),
        false => (1 + rng.below(8), KINDS),
    };
    let place = |_| Place {
        kind: *rng.pick(kinds).expect("some"),
        size: 1 + u32::try_from(rng.below(4)).expect("a few"),
        break_on_loss: rng.chance(50),
    };
    (0..names).map(place).collect()
}
