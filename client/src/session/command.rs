//! What handles tell the session's task, and what it answers. Data only.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::call_request::Op as Wire;
use tokio::sync::{oneshot, watch};

use crate::clock::Moment;
use crate::error::{DeadlockStep, Error, NotAnswered, Refusal};
use crate::heldby::HeldBy;
use crate::progress::Progress;
use crate::session::hold::{Hold, HoldCore};
use crate::state::{Lost, SessionEnd};

#[derive(Debug)]
pub(crate) enum Command {
    Call {
        seq: u64,
        call: Call,
    },
    /// Nobody waits for this call any more.
    Cancel {
        seq: u64,
    },
    Close {
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// A mutation, exactly once.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) op: Op,
    pub(crate) wait: WaitPlan,
    pub(crate) progress: Option<watch::Sender<Progress>>,
    /// None: nobody wants to know.
    pub(crate) reply: Option<oneshot::Sender<Answer>>,
}

/// What concerns a hold names the hold, not its token: an upgrade may give it another one until the call arrives at the task.
#[derive(Debug)]
pub(crate) enum Op {
    /// Its `wait` is set when it is sent.
    Acquire(Box<v1::AcquireOp>),
    /// Its guard is gone.
    Release {
        hold: Arc<HoldCore>,
    },
    /// Some of the permits; the hold goes on.
    ReleasePart {
        hold: Arc<HoldCore>,
        permits: u32,
    },
    Adopt {
        token: u64,
    },
    Upgrade {
        hold: Arc<HoldCore>,
        /// What it goes back to if nobody wants the upgrade any more when it is granted.
        from: v1::Mode,
    },
    Downgrade {
        hold: Arc<HoldCore>,
        to: v1::Mode,
    },
    Proclaim {
        hold: Arc<HoldCore>,
        value: Vec<u8>,
    },
    /// The run of a once is over.
    Complete {
        hold: Arc<HoldCore>,
        value: Vec<u8>,
        retention_ms: u64,
    },
    SetEligible {
        campaign_seq: u64,
        eligible: bool,
    },
    Edit(Box<v1::EditOp>),
}

impl Op {
    /// As it is sent, with the tokens of this moment; every repetition must be the same.
    pub(crate) fn to_wire(&self) -> Wire {
        match self {
            Self::Acquire(acquire) => Wire::Acquire((**acquire).clone()),
            Self::Release { hold } => {
                Wire::Release(v1::ReleaseOp { token: hold.token(), permits: 0 })
            }
            Self::ReleasePart { hold, permits } => {
                Wire::Release(v1::ReleaseOp { token: hold.token(), permits: *permits })
            }
            Self::Adopt { token } => Wire::Adopt(v1::AdoptOp { token: *token }),
            Self::Upgrade { hold, from: _ } => {
                Wire::Upgrade(v1::UpgradeOp { token: hold.token(), wait: None })
            }
            Self::Downgrade { hold, to } => {
                Wire::Downgrade(v1::DowngradeOp { token: hold.token(), to: (*to).into() })
            }
            Self::Proclaim { hold, value } => {
                Wire::Proclaim(v1::ProclaimOp { term: hold.token(), value: value.clone() })
            }
            Self::Complete { hold, value, retention_ms } => Wire::Complete(v1::CompleteOp {
                token: hold.token(),
                value: value.clone(),
                retention_ms: *retention_ms,
            }),
            Self::SetEligible { campaign_seq, eligible } => {
                let (campaign_seq, eligible) = (*campaign_seq, *eligible);
                Wire::SetEligible(v1::SetEligibleOp { campaign_seq, eligible })
            }
            Self::Edit(edit) => Wire::Edit((**edit).clone()),
        }
    }

    /// The hold it is about.
    pub(crate) fn hold(&self) -> Option<&Arc<HoldCore>> {
        match self {
            Self::Release { hold }
            | Self::ReleasePart { hold, .. }
            | Self::Upgrade { hold, .. }
            | Self::Downgrade { hold, .. }
            | Self::Proclaim { hold, .. }
            | Self::Complete { hold, .. } => Some(hold),
            Self::Acquire(_) | Self::Adopt { .. } | Self::SetEligible { .. } | Self::Edit(_) => {
                None
            }
        }
    }

    /// Whether its answer, and not an attach, says what became of the hold: it may have ended or changed its token already.
    pub(crate) const fn settles_hold(&self) -> bool {
        match self {
            Self::Release { .. } | Self::Upgrade { .. } | Self::Complete { .. } => true,
            Self::Acquire(_)
            | Self::ReleasePart { .. }
            | Self::Adopt { .. }
            | Self::Downgrade { .. }
            | Self::Proclaim { .. }
            | Self::SetEligible { .. }
            | Self::Edit(_) => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitPlan {
    /// Not a wait, or one that ends at once.
    None,
    Forever,
    Until(Moment),
}

impl WaitPlan {
    /// Whether it had an end that has passed.
    pub(crate) fn is_over(self, now: Moment) -> bool {
        matches!(self, Self::Until(end) if end <= now)
    }

    /// As it is sent at `now`: what is left of it, and at least 1 ms, since only the cluster says that a wait timed out.
    pub(crate) fn to_wire(self, now: Moment) -> v1::Wait {
        let kind = match self {
            Self::None => v1::wait::Kind::None(true),
            Self::Forever => v1::wait::Kind::Forever(true),
            Self::Until(end) => {
                let left = end.since(now).as_nanos().div_ceil(1_000_000);
                v1::wait::Kind::Ms(u64::try_from(left).unwrap_or(u64::MAX).max(1))
            }
        };
        v1::Wait { kind: Some(kind) }
    }
}

#[derive(Debug)]
pub(crate) enum Answer {
    Granted(Hold),
    /// What was waited for came about, and leaves nothing to hold.
    Passed(v1::Passed),
    Held(HeldBy),
    TimedOut(HeldBy),
    /// Released, upgraded, downgraded, proclaimed, completed, made eligible: as it was asked.
    Done,
    Edited(v1::edited::Edited),
    Refused(Refusal),
    Lost(Lost),
    Ended(SessionEnd),
    NotAnswered(NotAnswered),
}

impl Answer {
    /// The error in an answer that brings nothing of what was asked.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Refused(refusal) => Error::Refused(refusal),
            Self::Lost(lost) => Error::Lost(lost),
            Self::Ended(end) => Error::SessionEnded(end),
            Self::NotAnswered(not) => Error::NotAnswered(not),
            // An answer to another question: the server does not speak this version.
            Self::Granted(_)
            | Self::Passed(_)
            | Self::Held(_)
            | Self::TimedOut(_)
            | Self::Done
            | Self::Edited(_) => Error::Refused(Refusal::unexpected()),
        }
    }

    /// Of a call that answers only that it was done.
    pub(crate) fn into_done(self) -> Result<(), Error> {
        match self {
            Self::Done => Ok(()),
            other => Err(other.into_error()),
        }
    }
}

/// The cycle that a request would have closed.
pub(crate) fn deadlock(deadlock: v1::Deadlock) -> Refusal {
    Refusal::Deadlock { cycle: deadlock.cycle.into_iter().map(DeadlockStep::from).collect() }
}
