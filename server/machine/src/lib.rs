//! The pure state machine of Conclave: `(state, command) -> (state, outcome, events)`.
//!
//! It never reads a clock, a file, a thread or a random number, and iterates over ordered maps only, so that the same
//! log gives the same state, outcomes and events on every node and in every year. Time reaches it as a command that the
//! leader proposed ([`Due`]) or that the edge proposed ([`Command::TimeOut`]).
#![no_std]

extern crate alloc;

mod command;
mod event;
mod ids;
pub mod limits;
mod name;
mod outcome;
mod query;
mod record;

pub use command::{
    Acquire, Attach, Call, Command, Context, Demand, Due, Op, Open, Resume, SessionKey, Timer,
};
pub use event::{Event, TimerSet, WaitEnd};
pub use ids::{
    Epoch, Generation, LossNumber, Nonce, Revision, Secret, Seq, SessionId, Term, Token,
};
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
