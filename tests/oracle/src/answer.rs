//! What a client heard, as a history tells it: what decides, without what is only shown (places in queues, who else waits).

use conclave_machine::{
    Check, Edited, Epoch, Event, Invalid, Limit, Outcome, Refusal, SessionId, Token, Version,
    WaitEnd,
};
use serde::{Deserialize, Serialize};

use crate::plain;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Opened {
        #[serde(with = "plain")]
        session: SessionId,
    },
    Attached,
    Resumed {
        #[serde(with = "plain")]
        epoch: Epoch,
    },
    Ended,
    Granted {
        #[serde(with = "plain")]
        token: Token,
    },
    Passed {
        #[serde(with = "plain")]
        version: Version,
        index: u32,
    },
    /// Not final: what becomes of the wait follows.
    Queued,
    Held,
    TimedOut,
    Cancelled,
    Released,
    Downgraded,
    Proclaimed,
    EligibleSet,
    Completed {
        #[serde(with = "plain")]
        version: Version,
    },
    Latch {
        #[serde(with = "plain")]
        round: Version,
        remaining: u64,
    },
    Gate {
        open: bool,
    },
    Written {
        #[serde(with = "plain")]
        version: Version,
    },
    RegisterDeleted,
    Conflict {
        /// None: there is no register.
        #[serde(with = "plain::option")]
        version: Option<Version>,
    },
    Counted {
        value: i64,
    },
    Resized {
        #[serde(with = "plain")]
        version: Version,
    },
    Transferred,
    Deleted,
    Stopped,
    Confirmed,
    Forced {
        revoked: bool,
    },
    /// Of a leader's timer.
    Done,
    /// By the reason that the wire gives (`NOT_HOLDER`).
    Refused {
        reason: String,
    },
    /// Of a read.
    Checked {
        state: Holding,
    },
    /// Of a read. None: there is no register.
    Register {
        found: Option<Found>,
    },
    /// Of a read. None: there is no counter.
    Counter {
        value: Option<i64>,
    },
    /// Of a read: the tokens in rising order.
    Holders {
        tokens: Vec<u64>,
        queue_len: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    Held,
    Cooling,
    Revoked,
    NotHeld,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    #[serde(with = "plain")]
    pub version: Version,
    pub value: Vec<u8>,
}

impl From<Check> for Holding {
    fn from(check: Check) -> Self {
        match check {
            Check::Held => Self::Held,
            Check::Cooling => Self::Cooling,
            Check::Revoked => Self::Revoked,
            Check::NotHeld => Self::NotHeld,
        }
    }
}

impl Answer {
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Opened { session, .. } => Self::Opened { session: *session },
            Outcome::Attached(_) => Self::Attached,
            Outcome::Resumed { epoch, .. } => Self::Resumed { epoch: *epoch },
            Outcome::Ended => Self::Ended,
            Outcome::Granted { token, .. } => Self::Granted { token: *token },
            Outcome::Passed(passed) => {
                Self::Passed { version: passed.version, index: passed.index }
            }
            Outcome::Queued { .. } => Self::Queued,
            Outcome::Held(_) => Self::Held,
            Outcome::TimedOut(_) => Self::TimedOut,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Released => Self::Released,
            Outcome::Downgraded => Self::Downgraded,
            Outcome::Proclaimed => Self::Proclaimed,
            Outcome::EligibleSet => Self::EligibleSet,
            Outcome::Completed { version } => Self::Completed { version: *version },
            Outcome::Edited(edited) => Self::of_edited(edited),
            Outcome::Resized { version } => Self::Resized { version: *version },
            Outcome::Transferred => Self::Transferred,
            Outcome::Deleted => Self::Deleted,
            Outcome::Stopped => Self::Stopped,
            Outcome::Confirmed => Self::Confirmed,
            Outcome::Forced { revoked } => Self::Forced { revoked: *revoked },
            Outcome::Done => Self::Done,
            Outcome::Refused(refusal) => Self::refused(reason(refusal)),
        }
    }

    /// What the wait with this event ended in. None: it ends no wait.
    #[must_use]
    pub fn of_event(event: &Event) -> Option<Self> {
        match event {
            Event::Granted { token, .. } => Some(Self::Granted { token: *token }),
            Event::Passed { passed, .. } => {
                Some(Self::Passed { version: passed.version, index: passed.index })
            }
            Event::WaitEnded { end, .. } => Some(match end {
                WaitEnd::TimedOut(_) => Self::TimedOut,
                WaitEnd::Cancelled => Self::Cancelled,
                WaitEnd::SessionEnded(_) => Self::refused("SESSION_EXPIRED"),
                WaitEnd::Fenced => Self::refused("SESSION_FENCED"),
                WaitEnd::Refused(refusal) => Self::refused(reason(refusal)),
            }),
            Event::Lost { .. }
            | Event::Contended { .. }
            | Event::HoldEnded { .. }
            | Event::SessionEnded { .. }
            | Event::TimerSet(_)
            | Event::TimerStopped { .. }
            | Event::Noted { .. } => None,
        }
    }

    fn of_edited(edited: &Edited) -> Self {
        match edited {
            Edited::Latch { round, remaining } => {
                Self::Latch { round: *round, remaining: *remaining }
            }
            Edited::Gate { open } => Self::Gate { open: *open },
            Edited::Register { version } => Self::Written { version: *version },
            Edited::RegisterDeleted => Self::RegisterDeleted,
            Edited::Conflict { version } => Self::Conflict { version: *version },
            Edited::Counter { value } => Self::Counted { value: *value },
        }
    }

    #[must_use]
    pub fn refused(reason: &str) -> Self {
        Self::Refused { reason: reason.to_owned() }
    }
}

/// The reason of the wire.
fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::SessionExpired => "SESSION_EXPIRED",
        Refusal::Fenced { .. } => "SESSION_FENCED",
        Refusal::NotHolder => "NOT_HOLDER",
        Refusal::AlreadyHeld { .. } => "ALREADY_HELD",
        Refusal::WrongKind { .. } => "WRONG_KIND",
        Refusal::SeqReused => "SEQ_REUSED",
        Refusal::Gone => "SEQ_GONE",
        Refusal::Limit { what, .. } => reason_of_limit(*what),
        Refusal::NotFound => "NOT_FOUND",
        Refusal::Mismatch { .. } => "MISMATCH",
        Refusal::Weight { .. } => "WEIGHT_OVER_LIMIT",
        Refusal::NotUpgradable => "NOT_UPGRADABLE",
        Refusal::WouldDeadlock => "WOULD_DEADLOCK",
        Refusal::Deadlock { .. } => "DEADLOCK",
        Refusal::Guard => "GUARD",
        Refusal::BelowZero { .. } => "BELOW_ZERO",
        Refusal::Overflow { .. } => "OVERFLOW",
        Refusal::Broken => "BROKEN",
        Refusal::AttemptsExhausted { .. } => "ATTEMPTS_EXHAUSTED",
        Refusal::HoldLost => "HOLD_LOST",
        Refusal::Conflict { .. } => "CONFLICT",
        Refusal::Busy => "BUSY",
        Refusal::Stale => "STALE",
        Refusal::Invalid { what } => reason_of_invalid(*what),
    }
}

const fn reason_of_limit(limit: Limit) -> &'static str {
    match limit {
        Limit::Sessions => "LIMIT_SESSIONS",
        Limit::Objects => "LIMIT_OBJECTS",
        Limit::Holds => "LIMIT_HOLDS",
        Limit::OfSession => "LIMIT_OF_SESSION",
        Limit::WaitersOfObject => "LIMIT_WAITERS_OF_OBJECT",
        Limit::Waiters => "LIMIT_WAITERS",
        Limit::Window => "LIMIT_WINDOW",
        Limit::Values => "LIMIT_VALUES",
        Limit::CountKeys => "LIMIT_COUNT_KEYS",
    }
}

const fn reason_of_invalid(invalid: Invalid) -> &'static str {
    match invalid {
        Invalid::Ttl => "INVALID_TTL",
        Invalid::LockDelay => "INVALID_LOCK_DELAY",
        Invalid::MaxHold => "INVALID_MAX_HOLD",
        Invalid::Seq => "INVALID_SEQ",
        Invalid::Items => "INVALID_ITEMS",
        Invalid::Campaign | Invalid::Zero => "INVALID_REQUEST",
        Invalid::Value => "INVALID_VALUE",
        Invalid::Retention => "INVALID_RETENTION",
        Invalid::Mode => "INVALID_MODE",
    }
}
