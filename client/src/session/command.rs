//! What handles tell the session's task, and what it answers. Data only.

use conclave_proto::v1;
use tokio::sync::{oneshot, watch};

use crate::clock::Moment;
use crate::error::{Error, NotAnswered, Refusal};
use crate::heldby::HeldBy;
use crate::mutex::Progress;
use crate::session::hold::Hold;
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

#[derive(Debug)]
pub(crate) enum Op {
    /// Its `wait` is set when it is sent.
    Acquire(Box<v1::AcquireOp>),
    Release {
        token: u64,
    },
    Adopt {
        token: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitPlan {
    /// Not a wait, or one that ends at once.
    None,
    Forever,
    Until(Moment),
}

impl WaitPlan {
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
    Held(HeldBy),
    TimedOut(HeldBy),
    Released,
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
            Self::Granted(_) | Self::Held(_) | Self::TimedOut(_) | Self::Released => {
                Error::Refused(Refusal::Other {
                    reason: "UNEXPECTED_ANSWER".to_owned(),
                    message: "the server answered something else than what was asked".to_owned(),
                })
            }
        }
    }
}
