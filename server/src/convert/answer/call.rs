//! What became of a call.

use conclave_machine::{
    DeadlockEdge, Edited, HeldBy, Outcome, Passed, Refusal, Seq, Token, Version, WaitEnd,
};
use conclave_proto::v1;

use super::{DisplayClock, deadlock_edge, held, unexpected};
use crate::status::Failure;

/// The outcome of the call itself, or how its wait went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallResult {
    Granted {
        token: Token,
        waiting: u32,
    },
    Passed(Passed),
    Queued {
        position: u32,
    },
    Held(HeldBy),
    TimedOut(HeldBy),
    /// The acquire would have closed this cycle.
    Deadlock(Vec<DeadlockEdge>),
    Cancelled,
    Released,
    Downgraded,
    Proclaimed,
    EligibleSet,
    Completed {
        version: Version,
    },
    Edited(Edited),
    Failed(Failure),
}

impl CallResult {
    /// Of a `Call`, a `Cancel` or a `TimeOut`.
    pub(crate) fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Granted { token, waiting } => Self::Granted { token, waiting },
            Outcome::Passed(passed) => Self::Passed(passed),
            Outcome::Queued { position } => Self::Queued { position },
            Outcome::Held(held_by) => Self::Held(held_by),
            Outcome::TimedOut(held_by) => Self::TimedOut(held_by),
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Released => Self::Released,
            Outcome::Downgraded => Self::Downgraded,
            Outcome::Proclaimed => Self::Proclaimed,
            Outcome::EligibleSet => Self::EligibleSet,
            Outcome::Completed { version } => Self::Completed { version },
            Outcome::Edited(edited) => Self::Edited(edited),
            Outcome::Refused(Refusal::Deadlock { cycle }) => Self::Deadlock(cycle),
            Outcome::Refused(refusal) => Self::Failed(refusal.into()),
            Outcome::Opened { .. }
            | Outcome::Attached(_)
            | Outcome::Resumed { .. }
            | Outcome::Ended
            | Outcome::Resized { .. }
            | Outcome::Transferred
            | Outcome::Deleted
            | Outcome::Stopped
            | Outcome::Confirmed
            | Outcome::Forced { .. }
            | Outcome::Done => Self::Failed(unexpected(&outcome)),
        }
    }

    pub(crate) fn of_wait_end(end: WaitEnd) -> Self {
        match end {
            WaitEnd::TimedOut(held_by) => Self::TimedOut(held_by),
            WaitEnd::Cancelled => Self::Cancelled,
            WaitEnd::SessionEnded(_) => Self::Failed(Refusal::SessionExpired.into()),
            // The epoch that fenced it out is not told by the event; the next call of the old process learns it.
            WaitEnd::Fenced => Self::Failed(Failure::FencedWait),
            WaitEnd::Refused(refusal) => Self::Failed(refusal.into()),
        }
    }

    /// The failure that this is, to a question that it does not answer.
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Deadlock(cycle) => Refusal::Deadlock { cycle }.into(),
            other @ (Self::Granted { .. }
            | Self::Passed(_)
            | Self::Queued { .. }
            | Self::Held(_)
            | Self::TimedOut(_)
            | Self::Cancelled
            | Self::Released
            | Self::Downgraded
            | Self::Proclaimed
            | Self::EligibleSet
            | Self::Completed { .. }
            | Self::Edited(_)) => {
                Failure::Unexpected { what: format!("an answer to something else: {other:?}") }
            }
        }
    }

    pub(crate) fn to_wire(&self, seq: Seq, clock: DisplayClock) -> v1::CallAnswer {
        use v1::call_answer::Result as Wire;
        let result = match self {
            Self::Granted { token, waiting } => Wire::Granted(granted(*token, *waiting)),
            Self::Passed(how) => Wire::Passed(passed(*how)),
            Self::Queued { position } => Wire::Queued(v1::Queued { position: *position }),
            Self::Held(held_by) => Wire::Held(held(held_by, clock)),
            Self::TimedOut(held_by) => Wire::TimedOut(held(held_by, clock)),
            Self::Deadlock(cycle) => Wire::Deadlock(deadlock(cycle)),
            Self::Cancelled => Wire::Cancelled(v1::Cancelled {}),
            Self::Released => Wire::Released(v1::Released {}),
            Self::Downgraded => Wire::Downgraded(v1::Downgraded {}),
            Self::Proclaimed => Wire::Proclaimed(v1::Proclaimed {}),
            Self::EligibleSet => Wire::EligibleSet(v1::EligibleSet {}),
            Self::Completed { version } => {
                Wire::Completed(v1::Completed { version: version.get() })
            }
            Self::Edited(what) => Wire::Edited(edited(what)),
            Self::Failed(failure) => Wire::Problem(failure.problem()),
        };
        v1::CallAnswer { seq: seq.get(), result: Some(result) }
    }

    /// The answer of a unary acquire.
    pub(crate) fn of_acquire(
        self,
        clock: DisplayClock,
    ) -> Result<v1::acquire_response::Result, Failure> {
        use v1::acquire_response::Result as Wire;
        Ok(match self {
            Self::Granted { token, waiting } => Wire::Granted(granted(token, waiting)),
            Self::Passed(how) => Wire::Passed(passed(how)),
            Self::Queued { position } => Wire::Queued(v1::Queued { position }),
            Self::Held(held_by) => Wire::Held(held(&held_by, clock)),
            Self::TimedOut(held_by) => Wire::TimedOut(held(&held_by, clock)),
            Self::Deadlock(cycle) => Wire::Deadlock(deadlock(&cycle)),
            Self::Cancelled => Wire::Cancelled(v1::Cancelled {}),
            Self::Released
            | Self::Downgraded
            | Self::Proclaimed
            | Self::EligibleSet
            | Self::Completed { .. }
            | Self::Edited(_)
            | Self::Failed(_) => return Err(self.into_failure()),
        })
    }

    /// The answer of a unary upgrade.
    pub(crate) fn of_upgrade(
        self,
        clock: DisplayClock,
    ) -> Result<v1::upgrade_response::Result, Failure> {
        use v1::upgrade_response::Result as Wire;
        Ok(match self {
            Self::Granted { token, waiting } => Wire::Granted(granted(token, waiting)),
            Self::Queued { position } => Wire::Queued(v1::Queued { position }),
            Self::Held(held_by) => Wire::Held(held(&held_by, clock)),
            Self::TimedOut(held_by) => Wire::TimedOut(held(&held_by, clock)),
            Self::Cancelled => Wire::Cancelled(v1::Cancelled {}),
            Self::Passed(_)
            | Self::Deadlock(_)
            | Self::Released
            | Self::Downgraded
            | Self::Proclaimed
            | Self::EligibleSet
            | Self::Completed { .. }
            | Self::Edited(_)
            | Self::Failed(_) => return Err(self.into_failure()),
        })
    }
}

pub(crate) fn granted(token: Token, waiting: u32) -> v1::Granted {
    v1::Granted { token: token.get(), waiting }
}

pub(crate) fn passed(passed: Passed) -> v1::Passed {
    v1::Passed { version: passed.version.get(), index: passed.index }
}

fn deadlock(cycle: &[DeadlockEdge]) -> v1::Deadlock {
    v1::Deadlock { cycle: cycle.iter().map(deadlock_edge).collect() }
}

pub(crate) fn edited(edited: &Edited) -> v1::Edited {
    use v1::edited::Edited as Wire;
    let wire = match *edited {
        Edited::Latch { round, remaining } => {
            Wire::Latch(v1::LatchState { round: round.get(), remaining })
        }
        Edited::Gate { open } => Wire::Gate(v1::GateState { open }),
        Edited::Register { version } => {
            Wire::Register(v1::RegisterState { version: version.get() })
        }
        Edited::RegisterDeleted => Wire::RegisterDeleted(v1::RegisterDeleted {}),
        Edited::Conflict { version } => {
            Wire::Conflict(v1::Conflict { version: version.map(Version::get) })
        }
        Edited::Counter { value } => Wire::Counter(v1::CounterState { value }),
    };
    v1::Edited { edited: Some(wire) }
}
