//! What an object is besides its holders and its queue.

use conclave_proto::v1;
use conclave_proto::v1::inspect_response::Detail as Wire;
use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, Version};

/// What an object is besides its holders and its queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Detail {
    /// A semaphore.
    Semaphore {
        /// What it was created with and is matched by.
        declared: u32,
        /// What counts; zero: paused.
        limit: u32,
        /// Permits given out; above the limit while it drains.
        in_use: u64,
        /// Of the limit; a [resize](crate::Admin::resize) names it.
        version: Version,
        /// It was resized, and so stays when it is idle.
        resized: bool,
    },
    /// An election.
    Election {
        /// The session that comes next by a transfer; `None`: by rank.
        successor: Option<SessionId>,
    },
    /// A once.
    Once {
        /// Runs that ended without a result.
        attempts: u32,
        /// Of the result; `None`: there is none yet.
        done: Option<Version>,
    },
    /// A latch.
    Latch {
        /// With how many each round begins.
        count: u64,
        /// How many are left.
        remaining: u64,
        /// A new one with each reset.
        round: Version,
    },
    /// A gate.
    Gate {
        /// Whether it is open.
        open: bool,
        /// A new one with each change.
        version: Version,
    },
    /// A barrier.
    Barrier {
        /// How many go on together.
        parties: u32,
        /// One that leaves breaks the generation for all.
        break_on_loss: bool,
    },
    /// A register.
    Register {
        /// Of the last write.
        version: Version,
        /// How many it has.
        bytes: u32,
        /// The session with which it vanishes; `None`: it stays.
        bound_to: Option<SessionId>,
    },
    /// A counter.
    Counter {
        /// What it is.
        value: i64,
    },
}

impl From<Wire> for Detail {
    fn from(detail: Wire) -> Self {
        match detail {
            Wire::Semaphore(of) => Self::Semaphore {
                declared: of.declared,
                limit: of.limit,
                in_use: of.in_use,
                version: Version::new(of.version),
                resized: of.resized,
            },
            Wire::Election(of) => Self::Election { successor: of.successor.map(SessionId::new) },
            Wire::Once(of) => {
                Self::Once { attempts: of.attempts, done: of.done_version.map(Version::new) }
            }
            Wire::Latch(v1::LatchDetail { count, remaining, round }) => {
                Self::Latch { count, remaining, round: Version::new(round) }
            }
            Wire::Gate(v1::GateDetail { open, version }) => {
                Self::Gate { open, version: Version::new(version) }
            }
            Wire::Barrier(v1::BarrierDetail { parties, break_on_loss }) => {
                Self::Barrier { parties, break_on_loss }
            }
            Wire::Register(of) => Self::Register {
                version: Version::new(of.version),
                bytes: of.bytes,
                bound_to: of.bound_to.map(SessionId::new),
            },
            Wire::Counter(v1::CounterDetail { value }) => Self::Counter { value },
        }
    }
}
