//! What may be wanted of an object: it decides the object's kind and who may hold beside whom.

use alloc::vec::Vec;

use crate::name::Name;
use crate::outcome::Kind;
use crate::value::Value;

/// What is wanted of one object. Further kinds are further variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Demand {
    /// A mutex: one holder.
    Mutex,
    /// A read-write lock, in this mode.
    RwLock(Mode),
    /// Permits of a semaphore.
    Permits {
        /// How many; 1 and more.
        weight: u32,
        /// The limit that the caller expects: create or match.
        limit: u32,
    },
    /// The leadership of an election: one holder, chosen among the eligible.
    Lead,
    /// A once: to be the one that runs, or to hear that it was done. No hold comes of the latter.
    Run {
        /// Refused once so many runs ended without a result; zero: no limit.
        attempts_max: u32,
    },
    /// A latch: passes when it has counted down to zero. No hold comes of it.
    Latch,
    /// A gate: passes when it is open. No hold comes of it.
    Gate,
    /// A barrier: passes when so many have arrived. No hold comes of it.
    Arrive {
        /// 1 and more; create or match.
        parties: u32,
        /// Whether one that leaves breaks the generation for all; create or match.
        break_on_loss: bool,
    },
}

/// The modes of a read-write lock, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Beside other readers and one upgradable.
    Read,
    /// Beside readers; the only one that may become a writer.
    Upgradable,
    /// Alone.
    Write,
}

impl Mode {
    /// Whether two requests of these modes must not overtake each other, nor both hold.
    pub(crate) const fn conflicts_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Read, Self::Read | Self::Upgradable) | (Self::Upgradable, Self::Read) => false,
            (Self::Upgradable, Self::Upgradable) | (Self::Write, _) | (_, Self::Write) => true,
        }
    }
}

impl Demand {
    /// May stand in one request with demands for other objects.
    #[must_use]
    pub const fn goes_with_others(self) -> bool {
        match self {
            Self::Mutex | Self::RwLock(Mode::Read | Mode::Write) | Self::Permits { .. } => true,
            Self::RwLock(Mode::Upgradable)
            | Self::Lead
            | Self::Run { .. }
            | Self::Latch
            | Self::Gate
            | Self::Arrive { .. } => false,
        }
    }

    /// Whether an explicit owner may hold this only once.
    pub(crate) const fn once_per_owner(self) -> bool {
        match self {
            Self::Mutex | Self::RwLock(Mode::Upgradable | Mode::Write) => true,
            Self::RwLock(Mode::Read)
            | Self::Permits { .. }
            | Self::Lead
            | Self::Run { .. }
            | Self::Latch
            | Self::Gate
            | Self::Arrive { .. } => false,
        }
    }

    /// A number that must not be zero is.
    pub(crate) const fn is_zero(self) -> bool {
        match self {
            Self::Permits { weight, limit } => weight == 0 || limit == 0,
            Self::Arrive { parties, .. } => parties == 0,
            Self::Mutex
            | Self::RwLock(_)
            | Self::Lead
            | Self::Run { .. }
            | Self::Latch
            | Self::Gate => false,
        }
    }

    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Mutex => Kind::Mutex,
            Self::RwLock(_) => Kind::RwLock,
            Self::Permits { .. } => Kind::Semaphore,
            Self::Lead => Kind::Election,
            Self::Run { .. } => Kind::Once,
            Self::Latch => Kind::Latch,
            Self::Gate => Kind::Gate,
            Self::Arrive { .. } => Kind::Barrier,
        }
    }
}

/// One of the objects of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Item {
    pub name: Name,
    pub demand: Demand,
}

/// The objects of a request: at least one, with distinct names. One alone costs no memory of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Items {
    first: Item,
    others: Vec<Item>,
}

impl Items {
    #[must_use]
    pub const fn one(item: Item) -> Self {
        Self { first: item, others: Vec::new() }
    }

    /// None of an empty list. Names and their number are checked when the request is applied.
    #[must_use]
    pub fn new(items: Vec<Item>) -> Option<Self> {
        let mut items = items.into_iter();
        let first = items.next()?;
        Some(Self { first, others: items.collect() })
    }

    #[must_use]
    pub const fn first(&self) -> &Item {
        &self.first
    }

    /// The only one; none if there are several.
    #[must_use]
    pub const fn single(&self) -> Option<&Item> {
        if self.others.is_empty() { Some(&self.first) } else { None }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Item> {
        core::iter::once(&self.first).chain(&self.others)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        core::iter::once(&mut self.first).chain(&mut self.others)
    }
}

/// What comes with a campaign besides what every request has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Campaign {
    /// What observers are told when it wins; `PROPOSAL_BYTES_MAX`.
    pub value: Value,
    /// False: it stands aside until made eligible.
    pub eligible: bool,
    /// How long it keeps the leadership once a higher priority waits; none: for as long as it likes.
    pub preempt_after_ms: Option<u64>,
}
