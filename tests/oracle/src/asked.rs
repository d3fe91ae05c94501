//! What a client asked, as a history tells it: enough to know it again in the log, and to check it without the log.

use conclave_machine as machine;
use conclave_machine::{Command, Mode, Op, Seq, SessionId, Token, Version};
use serde::{Deserialize, Serialize};

use crate::plain;

/// Commands, and reads that no log knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    Open,
    Attach,
    Resume,
    Close,
    Acquire {
        items: Vec<Wanted>,
        wait: bool,
        priority: i32,
    },
    Release {
        #[serde(with = "plain")]
        token: Token,
        /// Zero: all.
        permits: u32,
    },
    Adopt {
        #[serde(with = "plain")]
        token: Token,
    },
    Downgrade {
        #[serde(with = "plain")]
        token: Token,
        to: Demand,
    },
    Upgrade {
        #[serde(with = "plain")]
        token: Token,
        wait: bool,
    },
    Proclaim {
        #[serde(with = "plain")]
        term: Token,
        value: Vec<u8>,
    },
    SetEligible {
        #[serde(with = "plain")]
        campaign: Seq,
        eligible: bool,
    },
    Complete {
        #[serde(with = "plain")]
        token: Token,
        value: Vec<u8>,
    },
    Edit {
        name: String,
        guard: Option<Guard>,
        change: Change,
    },
    Cancel {
        #[serde(with = "plain")]
        seq: Seq,
    },
    /// Proposed by who serves the wait, never by a client.
    TimeOut {
        #[serde(with = "plain")]
        seq: Seq,
    },
    AckStopped {
        #[serde(with = "plain")]
        token: Token,
    },
    ConfirmLosses {
        through: u64,
    },
    /// Proposed by a leader, never by a client.
    Due,
    Kill {
        #[serde(with = "plain")]
        session: SessionId,
    },
    ForceRelease {
        name: String,
        #[serde(with = "plain")]
        token: Token,
        now: bool,
    },
    Resize {
        name: String,
        limit: u32,
        #[serde(with = "plain")]
        version: Version,
    },
    Transfer {
        name: String,
        #[serde(with = "plain")]
        term: Token,
        #[serde(with = "plain")]
        to: SessionId,
    },
    Delete {
        name: String,
    },
    Read(Reading),
}

/// What was looked at, linearizably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Does this token hold this name?
    Check {
        name: String,
        #[serde(with = "plain")]
        token: Token,
    },
    Register {
        name: String,
    },
    Counter {
        name: String,
    },
    /// Who holds a name and how many wait.
    Holders {
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub name: String,
    pub demand: Demand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    Mutex,
    Read,
    Upgradable,
    Write,
    Permits { weight: u32, limit: u32 },
    Lead,
    Run { attempts_max: u32 },
    Latch,
    Gate,
    Arrive { parties: u32, break_on_loss: bool },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    pub name: String,
    #[serde(with = "plain")]
    pub token: Token,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    CreateLatch { count: u64 },
    CountDown { by: u64, key: Option<String> },
    ResetLatch,
    SetGate { open: bool },
    SetRegister { value: Vec<u8>, expect: Expect, bound: bool },
    DeleteRegister { expect: Expect },
    AddCounter { delta: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    Anything,
    Absent,
    Version(#[serde(with = "plain")] Version),
}

impl Asked {
    /// What this command of the log asks.
    #[must_use]
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Open(_) => Self::Open,
            Command::Attach(_) => Self::Attach,
            Command::Resume(_) => Self::Resume,
            Command::Close { .. } => Self::Close,
            Command::Call(call) => Self::of_op(&call.op),
            Command::Cancel { seq, .. } => Self::Cancel { seq: *seq },
            Command::TimeOut { seq, .. } => Self::TimeOut { seq: *seq },
            Command::AckStopped { token, .. } => Self::AckStopped { token: *token },
            Command::ConfirmLosses { through, .. } => {
                Self::ConfirmLosses { through: through.get() }
            }
            Command::Due(_) => Self::Due,
            Command::Kill { session, .. } => Self::Kill { session: *session },
            Command::ForceRelease { name, token, now, .. } => {
                Self::ForceRelease { name: name.as_str().into(), token: *token, now: *now }
            }
            Command::Resize { name, limit, version, .. } => {
                Self::Resize { name: name.as_str().into(), limit: *limit, version: *version }
            }
            Command::Transfer { name, term, to, .. } => {
                Self::Transfer { name: name.as_str().into(), term: *term, to: *to }
            }
            Command::Delete { name, .. } => Self::Delete { name: name.as_str().into() },
        }
    }

    fn of_op(op: &Op) -> Self {
        match op {
            Op::Acquire(acquire) => Self::Acquire {
                items: acquire.items.iter().map(Wanted::of).collect(),
                wait: acquire.wait,
                priority: acquire.priority,
            },
            Op::Release { token, permits } => Self::Release { token: *token, permits: *permits },
            Op::Adopt { token } => Self::Adopt { token: *token },
            Op::Downgrade { token, to } => {
                Self::Downgrade { token: *token, to: Demand::of_mode(*to) }
            }
            Op::Upgrade { token, wait } => Self::Upgrade { token: *token, wait: *wait },
            Op::Proclaim { term, value } => {
                Self::Proclaim { term: *term, value: value.as_bytes().to_vec() }
            }
            Op::SetEligible { campaign, eligible } => {
                Self::SetEligible { campaign: *campaign, eligible: *eligible }
            }
            Op::Complete { token, value, retention_ms: _ } => {
                Self::Complete { token: *token, value: value.as_bytes().to_vec() }
            }
            Op::Edit(edit) => Self::Edit {
                name: edit.name.as_str().into(),
                guard: edit
                    .guard
                    .as_ref()
                    .map(|guard| Guard { name: guard.name.as_str().into(), token: guard.token }),
                change: Change::of(&edit.change),
            },
        }
    }

    /// Whether a command that asks `other` may be this one: a retry may wait though the first attempt did not.
    #[must_use]
    pub fn is_also(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Acquire { items, priority, wait: _ },
                Self::Acquire { items: others, priority: and, wait: _ },
            ) => (items, priority) == (others, and),
            (Self::Upgrade { token, wait: _ }, Self::Upgrade { token: other, wait: _ }) => {
                token == other
            }
            (one, other) => one == other,
        }
    }

    /// The objects that it is about.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Acquire { items, .. } => items.iter().map(|item| &*item.name).collect(),
            Self::Edit { name, guard, .. } => {
                let guard = guard.iter().map(|guard| &*guard.name);
                std::iter::once(&**name).chain(guard).collect()
            }
            Self::ForceRelease { name, .. }
            | Self::Resize { name, .. }
            | Self::Transfer { name, .. }
            | Self::Delete { name }
            | Self::Read(
                Reading::Check { name, .. }
                | Reading::Register { name }
                | Reading::Counter { name }
                | Reading::Holders { name },
            ) => vec![name],
            Self::Open
            | Self::Attach
            | Self::Resume
            | Self::Close
            | Self::Release { .. }
            | Self::Adopt { .. }
            | Self::Downgrade { .. }
            | Self::Upgrade { .. }
            | Self::Proclaim { .. }
            | Self::SetEligible { .. }
            | Self::Complete { .. }
            | Self::Cancel { .. }
            | Self::TimeOut { .. }
            | Self::AckStopped { .. }
            | Self::ConfirmLosses { .. }
            | Self::Due
            | Self::Kill { .. } => Vec::new(),
        }
    }
}

impl Wanted {
    fn of(item: &machine::Item) -> Self {
        Self { name: item.name.as_str().into(), demand: Demand::of(item.demand) }
    }
}

impl Demand {
    #[must_use]
    pub const fn of(demand: machine::Demand) -> Self {
        match demand {
            machine::Demand::Mutex => Self::Mutex,
            machine::Demand::RwLock(mode) => Self::of_mode(mode),
            machine::Demand::Permits { weight, limit } => Self::Permits { weight, limit },
            machine::Demand::Lead => Self::Lead,
            machine::Demand::Run { attempts_max } => Self::Run { attempts_max },
            machine::Demand::Latch => Self::Latch,
            machine::Demand::Gate => Self::Gate,
            machine::Demand::Arrive { parties, break_on_loss } => {
                Self::Arrive { parties, break_on_loss }
            }
        }
    }

    const fn of_mode(mode: Mode) -> Self {
        match mode {
            Mode::Read => Self::Read,
            Mode::Upgradable => Self::Upgradable,
            Mode::Write => Self::Write,
        }
    }
}

impl Change {
    fn of(change: &machine::Change) -> Self {
        match change {
            machine::Change::CreateLatch { count } => Self::CreateLatch { count: *count },
            machine::Change::CountDown { by, key } => {
                Self::CountDown { by: *by, key: key.as_deref().map(str::to_owned) }
            }
            machine::Change::ResetLatch => Self::ResetLatch,
            machine::Change::SetGate { open } => Self::SetGate { open: *open },
            machine::Change::SetRegister { value, expect, bound } => Self::SetRegister {
                value: value.as_bytes().to_vec(),
                expect: Expect::of(*expect),
                bound: *bound,
            },
            machine::Change::DeleteRegister { expect } => {
                Self::DeleteRegister { expect: Expect::of(*expect) }
            }
            machine::Change::AddCounter { delta } => Self::AddCounter { delta: *delta },
        }
    }
}

impl Expect {
    const fn of(expect: machine::Expect) -> Self {
        match expect {
            machine::Expect::Anything => Self::Anything,
            machine::Expect::Absent => Self::Absent,
            machine::Expect::Version(version) => Self::Version(version),
        }
    }
}
