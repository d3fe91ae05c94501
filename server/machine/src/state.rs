//! What an object remembers besides its holders and its queue, by kind.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use crate::demand::Demand;
use crate::ids::{Generation, Seq, SessionId, Version};
use crate::outcome::{Kind, Refusal};
use crate::query::Detail;
use crate::value::Value;

#[derive(Debug, Clone)]
pub(crate) enum State {
    Mutex,
    RwLock,
    Semaphore(Semaphore),
    Election {
        /// The wait that comes next by a transfer.
        successor: Option<(SessionId, Seq)>,
    },
    Once {
        /// Runs that ended without a result.
        attempts: u32,
        done: Option<Done>,
    },
    Latch(Latch),
    Gate {
        open: bool,
        version: Version,
    },
    Barrier {
        parties: u32,
        break_on_loss: bool,
    },
    Register(Register),
    Counter {
        value: i64,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Semaphore {
    /// What requests are matched with.
    pub(crate) declared: u32,
    /// What counts; zero: paused.
    pub(crate) limit: u32,
    pub(crate) version: Version,
    /// It stays until deleted.
    pub(crate) resized: bool,
}

/// The result of a once.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) version: Version,
    pub(crate) value: Value,
    pub(crate) timer: Generation,
    pub(crate) retention_ms: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Latch {
    pub(crate) count: u64,
    pub(crate) remaining: u64,
    pub(crate) round: Version,
    /// By which this round was counted down.
    pub(crate) keys: BTreeSet<Box<str>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Register {
    pub(crate) version: Version,
    pub(crate) value: Value,
    pub(crate) bound_to: Option<SessionId>,
}

impl State {
    /// Of a new object, for its first request. `version` is drawn only where it is needed. None: a latch, which no request creates.
    pub(crate) fn of(demand: Demand, version: impl FnOnce() -> Version) -> Option<Self> {
        Some(match demand {
            Demand::Mutex => Self::Mutex,
            Demand::RwLock(_) => Self::RwLock,
            Demand::Permits { limit, .. } => Self::Semaphore(Semaphore {
                declared: limit,
                limit,
                version: version(),
                resized: false,
            }),
            Demand::Lead => Self::Election { successor: None },
            Demand::Run { .. } => Self::Once { attempts: 0, done: None },
            Demand::Latch => return None,
            Demand::Gate => Self::Gate { open: false, version: version() },
            Demand::Arrive { parties, break_on_loss } => Self::Barrier { parties, break_on_loss },
        })
    }

    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Mutex => Kind::Mutex,
            Self::RwLock => Kind::RwLock,
            Self::Semaphore(_) => Kind::Semaphore,
            Self::Election { .. } => Kind::Election,
            Self::Once { .. } => Kind::Once,
            Self::Latch(_) => Kind::Latch,
            Self::Gate { .. } => Kind::Gate,
            Self::Barrier { .. } => Kind::Barrier,
            Self::Register(_) => Kind::Register,
            Self::Counter { .. } => Kind::Counter,
        }
    }

    /// Whether there is nothing to remember once nobody holds and nobody waits.
    pub(crate) const fn vanishes(&self) -> bool {
        match self {
            Self::Mutex | Self::RwLock | Self::Election { .. } | Self::Barrier { .. } => true,
            Self::Semaphore(semaphore) => !semaphore.resized,
            Self::Once { done, .. } => done.is_none(),
            Self::Latch(_) | Self::Gate { .. } | Self::Register(_) | Self::Counter { .. } => false,
        }
    }

    /// Under which version whoever waits passes now, without anything to hold. A barrier draws its own when it trips.
    pub(crate) const fn passes(&self) -> Option<Version> {
        match self {
            Self::Once { done: Some(done), .. } => Some(done.version),
            Self::Latch(latch) if latch.remaining == 0 => Some(latch.round),
            Self::Gate { open: true, version } => Some(*version),
            Self::Once { done: None, .. }
            | Self::Latch(_)
            | Self::Gate { open: false, .. }
            | Self::Mutex
            | Self::RwLock
            | Self::Semaphore(_)
            | Self::Election { .. }
            | Self::Barrier { .. }
            | Self::Register(_)
            | Self::Counter { .. } => None,
        }
    }

    /// The numbers it has drawn from the counter.
    pub(crate) fn drawn(&self) -> impl Iterator<Item = u64> + use<> {
        let (first, second) = match self {
            Self::Semaphore(semaphore) => (Some(semaphore.version), None),
            Self::Once { done: Some(done), .. } => (Some(done.version), Some(done.timer)),
            Self::Latch(latch) => (Some(latch.round), None),
            Self::Gate { version, .. } => (Some(*version), None),
            Self::Register(register) => (Some(register.version), None),
            Self::Mutex
            | Self::RwLock
            | Self::Election { .. }
            | Self::Once { done: None, .. }
            | Self::Barrier { .. }
            | Self::Counter { .. } => (None, None),
        };
        first.map(|version| version.0).into_iter().chain(second.map(|timer| timer.0))
    }

    /// Bytes of the value that is kept here.
    pub(crate) fn value_bytes(&self) -> u64 {
        self.value().map_or(0, |value| value.len() as u64)
    }

    pub(crate) const fn value(&self) -> Option<&Value> {
        match self {
            Self::Register(register) => Some(&register.value),
            Self::Once { done: Some(done), .. } => Some(&done.value),
            Self::Once { done: None, .. }
            | Self::Mutex
            | Self::RwLock
            | Self::Semaphore(_)
            | Self::Election { .. }
            | Self::Latch(_)
            | Self::Gate { .. }
            | Self::Barrier { .. }
            | Self::Counter { .. } => None,
        }
    }

    /// Why a request for this demand, which is of this kind, does not match what the object was made for.
    pub(crate) fn mismatch(&self, demand: Demand) -> Option<Refusal> {
        let differ = |object: u64, request: u64| {
            (object != request).then_some(Refusal::Mismatch { object, request })
        };
        match (self, demand) {
            (Self::Semaphore(semaphore), Demand::Permits { weight, limit }) => {
                differ(semaphore.declared.into(), limit.into())
                    .or_else(|| too_heavy(weight, semaphore.limit))
            }
            (
                Self::Barrier { parties, break_on_loss },
                Demand::Arrive { parties: wanted, break_on_loss: breaks },
            ) => differ((*parties).into(), wanted.into())
                .or_else(|| differ((*break_on_loss).into(), breaks.into())),
            _ => None,
        }
    }

    pub(crate) fn detail(&self, permits: u64) -> Detail {
        match self {
            Self::Mutex | Self::RwLock => Detail::Plain,
            Self::Semaphore(semaphore) => Detail::Semaphore {
                declared: semaphore.declared,
                limit: semaphore.limit,
                in_use: permits,
                version: semaphore.version,
                resized: semaphore.resized,
            },
            Self::Election { successor } => {
                Detail::Election { successor: successor.map(|(session, _)| session) }
            }
            Self::Once { attempts, done } => {
                Detail::Once { attempts: *attempts, done: done.as_ref().map(|done| done.version) }
            }
            Self::Latch(latch) => {
                Detail::Latch { count: latch.count, remaining: latch.remaining, round: latch.round }
            }
            Self::Gate { open, version } => Detail::Gate { open: *open, version: *version },
            Self::Barrier { parties, break_on_loss } => {
                Detail::Barrier { parties: *parties, break_on_loss: *break_on_loss }
            }
            Self::Register(register) => Detail::Register {
                version: register.version,
                bytes: register.value.len() as u32,
                bound_to: register.bound_to,
            },
            Self::Counter { value } => Detail::Counter { value: *value },
        }
    }
}

/// A weight that no release will ever make room for; a paused semaphore (`max` zero) refuses nobody.
pub(crate) const fn too_heavy(weight: u32, max: u32) -> Option<Refusal> {
    if max > 0 && weight > max { Some(Refusal::Weight { weight, max }) } else { None }
}
