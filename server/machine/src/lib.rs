//! The pure state machine of Conclave: `(state, command) -> (state, outcome, events)`.
//!
//! It never reads a clock, a file, a thread or a random number, and iterates over ordered maps only, so that the same
//! log gives the same state, outcomes and events on every node and in every year. Time reaches it as a command that the
//! leader proposed ([`Due`]) or that the edge proposed ([`Command::TimeOut`]). The fine print stands in `RULES.md`.
#![no_std]

extern crate alloc;

mod call;
mod command;
mod digest;
mod due;
mod event;
#[cfg(test)]
mod full;
mod hold;
mod ids;
mod inspect;
mod invariants;
mod lifecycle;
pub mod limits;
mod machine;
mod name;
mod object;
mod outcome;
mod query;
mod queue;
mod record;
mod restore;
mod session;
mod shard;
mod wait;
mod window;

pub use command::{
    Acquire, Attach, Call, Command, Context, Demand, Due, Op, Open, Resume, SessionKey, Timer,
};
pub use event::{Event, TimerSet, WaitEnd};
pub use ids::{
    Epoch, Generation, LossNumber, Nonce, Revision, Secret, Seq, SessionId, Term, Token,
};
pub use machine::Machine;
pub use name::{Labels, LabelsTooLarge, Name, NameError, check_text};
pub use outcome::{
    HeldBy, HoldState, Holder, Invalid, Kind, Limit, Loss, LossReason, Outcome, Refusal,
    SessionEnd, Standing, StandingHold, StandingWait,
};
pub use query::{
    Blocker, Check, Counts, ObjectSummary, ObjectView, Page, SessionHold, SessionSummary,
    SessionView, SessionWait, Sort, Statistics, WaiterView,
};
pub use record::{
    HeaderRecord, HoldRecord, ObjectRecord, RECORD_VERSION, Record, Recorded, RestoreError,
    SessionRecord, WaiterRecord, WindowRecord,
};
