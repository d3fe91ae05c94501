//! What is held or waited for of an object, for those who look.

use std::fmt;

use conclave_proto::v1;
use conclave_proto::v1::demand::Demand as Wire;
use serde::{Deserialize, Serialize};

/// What is held or waited for of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Demand {
    /// A mutex.
    Mutex,
    /// A read-write lock, beside other readers.
    Read,
    /// A read-write lock, beside readers, and perhaps to write later.
    Upgradable,
    /// A read-write lock, alone.
    Write,
    /// Permits of a semaphore.
    Permits {
        /// How many.
        weight: u32,
        /// Of how many that there are, as its user expects.
        limit: u32,
    },
    /// A leadership.
    Lead,
    /// The run of a once, or its result.
    Run,
    /// To pass a latch.
    Latch,
    /// To pass a gate.
    Gate,
    /// To pass a barrier together.
    Arrive {
        /// With so many.
        parties: u32,
    },
    /// Something that this version does not know.
    #[default]
    Unknown,
}

impl From<Option<v1::Demand>> for Demand {
    fn from(demand: Option<v1::Demand>) -> Self {
        match demand.and_then(|demand| demand.demand) {
            Some(Wire::Mutex(_)) => Self::Mutex,
            Some(Wire::Rwlock(of)) => match v1::Mode::try_from(of.mode) {
                Ok(v1::Mode::Read) => Self::Read,
                Ok(v1::Mode::Upgradable) => Self::Upgradable,
                Ok(v1::Mode::Write) => Self::Write,
                Ok(v1::Mode::Unspecified) | Err(_) => Self::Unknown,
            },
            Some(Wire::Permits(v1::PermitsDemand { weight, limit })) => {
                Self::Permits { weight, limit }
            }
            Some(Wire::Lead(_)) => Self::Lead,
            Some(Wire::Run(_)) => Self::Run,
            Some(Wire::Latch(_)) => Self::Latch,
            Some(Wire::Gate(_)) => Self::Gate,
            Some(Wire::Arrive(of)) => Self::Arrive { parties: of.parties },
            None => Self::Unknown,
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mutex => f.write_str("mutex"),
            Self::Read => f.write_str("read"),
            Self::Upgradable => f.write_str("upgradable"),
            Self::Write => f.write_str("write"),
            Self::Permits { weight, limit } => write!(f, "{weight} of {limit}"),
            Self::Lead => f.write_str("lead"),
            Self::Run => f.write_str("run"),
            Self::Latch | Self::Gate => f.write_str("pass"),
            Self::Arrive { parties } => write!(f, "one of {parties}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
