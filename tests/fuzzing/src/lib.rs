//! Bytes that nobody should have sent. Each entry takes any bytes and panics when they do what no bytes may do; what it
//! returns says how far they got, so that a run which got nowhere can be told from one that proved something.
//!
//! The same entries serve the property tests of this crate (stable, in the ordinary run) and the targets of `cargo fuzz` in
//! `fuzz/`.

mod chunk;
mod log;
mod mutate;
mod seeds;
mod snapshot;
mod stage;
mod wire;

pub use chunk::log_chunk;
pub use log::log_payload;
pub use mutate::{interesting, mutate};
pub use seeds::{log_payloads, snapshots, some_chunk, wire_messages};
pub use snapshot::{join, snapshot_records};
pub use wire::{requests, wire_edge};

/// How far some bytes got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// They are not even a message.
    NoMessage,
    /// A rule that needs no state refused them.
    Refused,
    /// Nothing was to be proposed.
    Answered,
    /// The machine applied them and refused.
    Declined,
    /// The machine applied them, or is what they say.
    Accepted,
}
