//! An independent reference model of Conclave's state machine, and what random tests need beside it.
//!
//! The model was written from the specification and from the documentation of the machine's types, never from the
//! machine's code, and must stay so: it is what the machine (and later whole clusters) are compared with. It is slow and
//! simple on purpose: flat lists in order of arrival, searched from the front; no index, no shard, nothing remembered
//! that can be computed.
//!
//! Limits that take thousands of things (of objects, waiters, values, losses) are left out: random cases never come near
//! them, and the machine's own tests do.

mod acquire;
mod call;
mod change;
mod deadlock;
mod edit;
mod generator;
mod hold;
mod judge;
mod look;
mod memory;
mod model;
mod object;
mod observer;
mod operator;
mod profile;
mod queue;
mod rebirth;
mod request;
mod rng;
mod seen;
mod session;
mod valid;
mod verb;
mod wish;

pub use generator::Generator;
pub use model::{Model, Step};
pub use observer::Observer;
pub use profile::Profile;
pub use rng::Rng;
