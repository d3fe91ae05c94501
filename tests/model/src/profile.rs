//! The temper of one random case: how many clients and names, what they mostly do, how slowly they confirm.

use crate::rng::Rng;

/// What a step may try to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Open,
    Acquire,
    Release,
    Adopt,
    Retry,
    Cancel,
    TimeOut,
    Attach,
    Resume,
    Close,
    Kill,
    ForceRelease,
    AckStopped,
    ConfirmLosses,
    Due,
}

/// Each action and its weight before the temper of the case.
const ACTIONS: &[(Action, u64)] = &[
    (Action::Open, 4),
    (Action::Acquire, 40),
    (Action::Release, 25),
    (Action::Adopt, 4),
    (Action::Retry, 8),
    (Action::Cancel, 6),
    (Action::TimeOut, 5),
    (Action::Attach, 4),
    (Action::Resume, 3),
    (Action::Close, 1),
    (Action::Kill, 1),
    (Action::ForceRelease, 4),
    (Action::AckStopped, 5),
    (Action::ConfirmLosses, 3),
    (Action::Due, 10),
];

/// Drawn once per case.
#[derive(Debug, Clone)]
pub struct Profile {
    pub(crate) names: u64,
    pub(crate) clients: usize,
    pub(crate) owners: u64,
    /// Priorities are drawn from as many values.
    pub(crate) priorities: u64,
    weights: Vec<u64>,
    /// In how many of a hundred calls the client confirms all it has seen.
    pub(crate) confirm_percent: u64,
    /// How many of a hundred commands carry something wrong on purpose.
    pub(crate) wrong_percent: u64,
    /// Clients do nothing but try, and confirm nothing, so that the replay window fills up.
    /// How many of a hundred running session timers a leader may find over.
    pub(crate) expire_percent: u64,
    pub(crate) stubborn: bool,
    /// One name, and a queue that grows to hundreds before it is drained again.
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
            names: if crowd { 1 } else { 1 + rng.below(5) },
            clients: if stubborn { 2 } else { 1 + rng.index(7) },
            owners: 1 + rng.below(3),
            priorities: 1 + rng.below(3),
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
                _ => *rng.pick(&[10, 60, 100]).expect("some"),
            },
            wrong_percent: *rng.pick(&[0, 3, 10, 30]).expect("some"),
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
