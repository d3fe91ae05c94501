//! The pure state machine of Conclave: `(state, command) -> (state, outcome, events)`.
//!
//! It never reads a clock, a file, a thread or a random number, and iterates over ordered maps only, so that the same
//! log gives the same state, outcomes and events on every node and in every year. Time reaches it as a command that the
//! leader proposed ([`Due`]) or that the edge proposed ([`Command::TimeOut`]). The fine print stands in `RULES.md`.
#![no_std]

extern crate alloc;

mod acquire;
mod call;
mod command;
mod deadlock;
mod demand;
mod digest;
mod due;
mod edit;
mod edits;
mod election;
mod event;
mod fingerprint;
#[cfg(test)]
mod full;
mod grant;
mod hold;
mod ids;
mod inspect;
mod invariants;
mod lifecycle;
pub mod limits;
mod machine;
mod name;
mod object;
mod once;
mod operator;
mod outcome;
mod planted;
mod query;
mod queue;
mod rebirth;
mod record;
mod records;
mod restore;
mod session;
mod shard;
mod state;
mod upgrade;
mod value;
mod values;
mod wait;
mod window;

pub use command::{
    Acquire, Attach, Call, Command, Context, Due, Op, Open, Resume, SessionKey, Timer,
};
pub use demand::{Campaign, Demand, Item, Items, Mode};
pub use edit::{Change, Edit, Edited, Expect, Guard};
pub use event::{Event, Note, TimerSet, WaitEnd};
pub use ids::{
    Epoch, Generation, LossNumber, Nonce, Revision, Secret, Seq, SessionId, Term, Token, Version,
};
pub use machine::Machine;
pub use name::{Labels, LabelsTooLarge, Name, NameError, check_text};
pub use outcome::{
    DeadlockEdge, HeldBy, HoldState, Holder, Invalid, Kind, Limit, Loss, LossReason, Outcome,
    Passed, Refusal, SessionEnd, Standing, StandingHold, StandingWait,
};
pub use query::{
    Blocker, Candidate, Check, Counts, Detail, ElectionView, ObjectSummary, ObjectView, Page,
    SessionHold, SessionSummary, SessionView, SessionWait, Sort, Statistics, ValueView, WaiterView,
};
pub use record::{
    DoneRecord, HeaderRecord, HoldRecord, ObjectRecord, Quiet, RECORD_VERSION, Record, Recorded,
    RestoreError, SessionRecord, StateRecord, WaiterRecord, WindowRecord,
};
pub use value::Value;
