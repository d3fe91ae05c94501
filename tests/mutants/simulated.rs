//! The faults that the simulation must find by itself.

use crate::faults::Witness;

/// A few seeds of the whole cluster, judged by the oracle.
pub(crate) const SIMULATION: Witness =
    Witness { package: "conclave-sim", target: "sim", filter: "every_promise" };

/// The faults that the simulation alone must find in those seeds, whatever other tests do. Of the rest it cannot find `flush skipped` and
/// `vote not synced` (its disks are its own and not those of `server/store`), nor `permits leak on resize` and `observe skips a change` (nobody
/// resizes or observes there). What needs a rare moment is not found in so few seeds.
pub(crate) const IN_SIMULATION: &[&str] = &[
    "grant to an expired waiter",
    "release by name",
    "reader overtakes a waiting writer",
    "session expires early",
    "reply before the commit",
    "early client deadline missing",
    "token reused after a snapshot",
    "replay window dropped in the snapshot",
];
