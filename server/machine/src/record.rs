//! The state as a stream of small records: what a snapshot stores and a new machine is rebuilt from.
//!
//! Canonical order: the header; each object by name, followed by the parts of its value and the keys it was counted by (in
//! order); each session by id, followed by its window (by seq), the ends of its waits (as
//! they ended), its losses, its holds (by token) and its waits (by seq). Queues and holders follow from holds and waits.
//! No record comes near 64 KiB: whatever could is split into records of its own. The bytes are the business of `server/raft`.

use alloc::boxed::Box;

use crate::demand::{Campaign, Items};
use crate::edit::Edited;
use crate::ids::{Epoch, Generation, Nonce, Secret, Seq, SessionId, Token, Version};
use crate::name::{Labels, Name};
use crate::outcome::{HoldState, Loss, Passed, Refusal};
use crate::query::Statistics;
use crate::value::Value;

/// The meaning of the records, raised with each change of it. A machine reads its own version and all before it.
///
/// 1. As first written.
/// 2. Ends of waits; before it there were none to remember.
pub const RECORD_VERSION: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Record {
    /// Always the first one, exactly once.
    Header(HeaderRecord),
    Session(SessionRecord),
    /// What the session's last [`SessionRecord`] answers to a retried seq.
    Window(WindowRecord),
    /// How a wait of the session's last [`SessionRecord`] ended; at most `ENDS_MAX` of a session.
    End(WindowRecord),
    /// A loss of the last [`SessionRecord`].
    Loss(Loss),
    Object(ObjectRecord),
    /// A part of the value of the last [`ObjectRecord`], at most `VALUE_PART_BYTES` long; the parts follow each other in order.
    ValuePart(Value),
    /// A key by which the last [`ObjectRecord`], a latch, was counted down.
    CountKey(Box<str>),
    /// A hold of the last [`SessionRecord`].
    Hold(HoldRecord),
    /// A wait of the last [`SessionRecord`].
    Waiter(WaiterRecord),
}

/// The numbers of the whole, and how much must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeaderRecord {
    pub version: u32,
    /// Applied commands.
    pub revision: u64,
    /// The last number drawn for a token, session or generation.
    pub counter: u64,
    /// The display stamp of the last entry.
    pub last_stamp_ms: u64,
    /// Session records that follow, ended ones included.
    pub sessions: u64,
    pub objects: u64,
    pub holds: u64,
    pub waiters: u64,
    /// None: grants are made.
    pub quiet: Option<Quiet>,
}

/// No grant is made before the leader's clock has run for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quiet {
    /// Of the timer that ends it.
    pub generation: Generation,
    pub after_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionRecord {
    pub id: SessionId,
    pub secret: Secret,
    pub name: Name,
    pub labels: Labels,
    pub ttl_ms: u64,
    /// Zero: none.
    pub lock_delay_ms: u64,
    pub opened_stamp_ms: u64,
    pub epoch: Epoch,
    /// The nonce of the last resume; none: never resumed.
    pub nonce: Option<Nonce>,
    /// The number of the last attach in this epoch; zero: none.
    pub attach_number: u64,
    /// Of the session's own timer.
    pub generation: Generation,
    /// Of the running adoption timer; none: nothing is unadopted.
    pub adoption: Option<Generation>,
    /// Everything up to and with this seq was seen by the client; zero: nothing.
    pub seen_through: Seq,
    /// The highest seq that was ever recorded; zero: none.
    pub seq_max: Seq,
    /// The number of the last loss, confirmed or not; zero: none.
    pub losses_counted: u64,
    /// It ended and is kept only for the secret of its last holds.
    pub ended: bool,
    /// Window records that follow.
    pub window_len: u32,
    /// End records that follow.
    pub ends_len: u32,
    /// Loss records that follow.
    pub losses_len: u32,
    /// Hold records that follow.
    pub holds_len: u32,
    /// Waiter records that follow.
    pub waits_len: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowRecord {
    pub seq: Seq,
    /// Of the body that this seq stands for; none: it was cancelled before it was seen, whatever its body is.
    pub fingerprint: Option<u64>,
    pub answer: Recorded,
}

/// The recorded answer of a seq: what a retry gets without being run again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// It waits: the wait itself knows the rest.
    Queued,
    /// It was granted; a retry is answered so as long as this token is held.
    Granted {
        token: Token,
    },
    /// A try that did not get it, because of this object. A retry is told who holds it then.
    Held {
        name: Name,
    },
    /// As `Held`.
    TimedOut {
        name: Name,
    },
    Passed(Passed),
    Cancelled,
    Released,
    Downgraded,
    Proclaimed,
    EligibleSet,
    Completed {
        version: Version,
    },
    Edited(Edited),
    /// One of those that RULES.md lists as recorded.
    Refused(Box<Refusal>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectRecord {
    pub name: Name,
    pub state: StateRecord,
    pub statistics: Statistics,
}

/// What an object is besides its holders and its queue; its kind by the variant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StateRecord {
    Mutex,
    RwLock,
    Semaphore {
        declared: u32,
        limit: u32,
        version: Version,
        resized: bool,
    },
    Election {
        /// The wait that comes next by a transfer.
        successor: Option<(SessionId, Seq)>,
    },
    Once {
        attempts: u32,
        done: Option<DoneRecord>,
    },
    Latch {
        count: u64,
        remaining: u64,
        round: Version,
        /// Key records that follow.
        keys_len: u32,
    },
    Gate {
        open: bool,
        version: Version,
    },
    Barrier {
        parties: u32,
        break_on_loss: bool,
    },
    Register {
        version: Version,
        bound_to: Option<SessionId>,
        /// Of the value, which follows in parts.
        bytes: u32,
    },
    Counter {
        value: i64,
    },
}

/// The result of a once, whose value follows in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DoneRecord {
    pub version: Version,
    /// Of the timer that forgets it.
    pub timer: Generation,
    pub retention_ms: u64,
    pub bytes: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HoldRecord {
    pub token: Token,
    pub session: SessionId,
    /// The call that it answers: the acquire, the adoption, the upgrade.
    pub seq: Seq,
    /// Of the body of that call.
    pub fingerprint: u64,
    pub items: Items,
    pub state: HoldState,
    /// The session was resumed and this hold not adopted yet.
    pub unadopted: bool,
    pub priority: i32,
    /// Zero: never revoked by time.
    pub max_hold_ms: u64,
    /// Of its running timer: `MaxHold` while held, `HoldEnd` afterwards; none: no timer runs.
    pub timer: Option<Generation>,
    /// Of its running timer `Preempt`; none: nobody of a higher priority waits, or it would not give way.
    pub preempt: Option<Generation>,
    pub owner: Option<Box<str>>,
    pub metadata: Labels,
    /// Exactly of elections; its value is the last one proclaimed.
    pub campaign: Option<Campaign>,
    pub since_stamp_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaiterRecord {
    pub session: SessionId,
    pub seq: Seq,
    /// Of the body of that call.
    pub fingerprint: u64,
    pub items: Items,
    /// The hold that it replaces when granted, before everyone else; none: it is no upgrade.
    pub upgrades: Option<Token>,
    pub priority: i32,
    /// The revision that queued it: decides among equals.
    pub arrival: u64,
    /// Zero: never revoked by time.
    pub max_hold_ms: u64,
    pub owner: Option<Box<str>>,
    pub metadata: Labels,
    /// Exactly of elections.
    pub campaign: Option<Campaign>,
    pub since_stamp_ms: u64,
}

/// Why records do not make a machine. Nothing of them is kept then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreError {
    /// The first record is no header.
    NoHeader,
    /// Records of another meaning than this machine's.
    WrongVersion { version: u32 },
    /// A record of this kind has no place here: not after the record that it belongs to, or out of order.
    Misplaced { record: &'static str },
    /// The same session, secret, seq, token or name twice.
    Duplicate { what: &'static str },
    /// A hold or a waiter of an object that there is not, or of a session that is not the last record's.
    Dangling { session: SessionId },
    /// Fewer or more records than were announced.
    Incomplete { what: &'static str, announced: u64, found: u64 },
    /// Each record is well formed, the whole is a state that no log leads to.
    Inconsistent { what: alloc::string::String },
}

impl core::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoHeader => f.write_str("the records do not begin with a header"),
            Self::WrongVersion { version } => {
                write!(f, "records of version {version}, this machine reads up to {RECORD_VERSION}")
            }
            Self::Misplaced { record } => write!(f, "a {record} record out of place"),
            Self::Duplicate { what } => write!(f, "the same {what} twice"),
            Self::Dangling { session } => write!(f, "session {session} is missing or ended"),
            Self::Incomplete { what, announced, found } => {
                write!(f, "{announced} {what} announced, {found} found")
            }
            Self::Inconsistent { what } => write!(f, "no log leads to this state: {what}"),
        }
    }
}

impl core::error::Error for RestoreError {}
