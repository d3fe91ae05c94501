//! From outcomes and events to the wire.

mod call;
mod holder;
mod session;

use std::time::{SystemTime, UNIX_EPOCH};

use conclave_machine::Outcome;

pub(crate) use call::{CallResult, edited, granted, passed};
pub(crate) use holder::{deadlock_edge, demand, held, hold_state, holder, kind, labels};
pub(crate) use session::{leader, loss, opened, resumed, session_ended, standing};

use crate::status::Failure;

/// The wall clock in Unix milliseconds, for display only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DisplayClock {
    now_ms: u64,
}

impl DisplayClock {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Milliseconds since the stamp; zero when the stamp is of a clock ahead of ours.
    pub(crate) fn since(self, stamp_ms: u64) -> u64 {
        self.now_ms.saturating_sub(stamp_ms)
    }
}

/// An outcome that does not belong to its command.
pub(crate) fn unexpected(outcome: &Outcome) -> Failure {
    Failure::Unexpected { what: format!("an answer to something else: {outcome:?}") }
}
