//! Changes of what nobody holds: latches, gates, registers, counters. Each at most once, as every call.

use alloc::boxed::Box;

use crate::ids::{Token, Version};
use crate::name::Name;
use crate::value::Value;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub name: Name,
    /// Refused unless this holds; none: always.
    pub guard: Option<Guard>,
    pub change: Change,
}

/// The token must hold the name, in state `Held` and adopted, whoever writes: the fence against a holder of yesterday.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    pub name: Name,
    pub token: Token,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates a latch that opens after so many counts (1 and more), or matches one made so.
    CreateLatch {
        count: u64,
    },
    /// Counts a latch down by `by` (1 and more). The same key again in the same round counts nothing.
    CountDown {
        by: u64,
        key: Option<Box<str>>,
    },
    /// Begins a new round of a latch with its first count, whatever is left of this one.
    ResetLatch,
    /// Opens or closes a gate; creates it.
    SetGate {
        open: bool,
    },
    /// Writes a register; creates it.
    SetRegister {
        value: Value,
        expect: Expect,
        /// It vanishes with the calling session.
        bound: bool,
    },
    DeleteRegister {
        expect: Expect,
    },
    /// Adds to a counter, which begins at zero; creates it.
    AddCounter {
        delta: i64,
    },
}

/// The state of a register that its writer relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever it is.
    Anything,
    /// There must be none.
    Absent,
    /// It must be this one.
    Version(Version),
}

/// What became of an object by an [`Edit`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Edited {
    /// `CreateLatch`, `CountDown`, `ResetLatch`.
    Latch {
        round: Version,
        remaining: u64,
    },
    Gate {
        open: bool,
    },
    Register {
        version: Version,
    },
    RegisterDeleted,
    /// The register is not what its writer expected; nothing changed. None: there is no register.
    Conflict {
        version: Option<Version>,
    },
    Counter {
        value: i64,
    },
}
