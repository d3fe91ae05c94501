//! What is judged: what clients asked and heard, what they believed, what nodes applied. All times are microseconds of one
//! clock that the whole history shares: simulated time, or the monotonic clock of the one machine that ran everything.
//!
//! In a file each item is one JSON line (`lines`), so that many processes can write side by side and be read together.

use conclave_machine::{Event, Name, Outcome, Revision, Seq, SessionId, Token};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::asked::{Asked, Demand};
use crate::plain;

/// Microseconds of the clock of the history.
pub type Micros = u64;

/// Everything that was seen of a run, in no particular order.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub calls: Vec<Call>,
    pub beliefs: Vec<Belief>,
    pub renewals: Vec<Renewal>,
    pub watches: Vec<Watch>,
    pub applied: Vec<Applied>,
    /// Only of nodes in this process.
    pub witnessed: Vec<Witnessed>,
    pub terms: Terms,
}

/// Under which rules the run is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Every call of every client is in the history: a command that nobody asked for is a violation.
    pub all_calls_recorded: bool,
    /// From here on nothing was broken any more. None: bounded expiry and draining are not judged.
    pub healed_us: Option<Micros>,
    /// The history was closed here. Needed where `healed_us` is.
    pub ended_us: Micros,
    /// How long a healed cluster may take to have a leader that serves, with the resolution of its timers.
    pub fail_over_us: Micros,
    /// Clients asked for nothing at the end and let go of everything: nothing may be left waiting or held.
    pub drained: bool,
}

/// One request of a client, retries of the same seq included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub client: String,
    /// Zero: no session (an open, an operator's verb, a read).
    #[serde(with = "plain")]
    pub session: SessionId,
    /// Zero: no mutation of a session.
    #[serde(with = "plain")]
    pub seq: Seq,
    pub asked: Asked,
    /// When the first attempt was sent.
    pub invoked_us: Micros,
    /// In the order in which they were heard: `Queued` and later what became of the wait. Empty: unknown.
    pub answers: Vec<Heard>,
}

/// One answer as a client heard it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub at_us: Micros,
    /// The one that it was decided at.
    #[serde(with = "plain")]
    pub revision: Revision,
    pub answer: Answer,
}

impl Call {
    /// The answer that nothing follows. None: unknown, so its return is infinitely late.
    #[must_use]
    pub fn decided(&self) -> Option<&Heard> {
        self.answers.iter().find(|heard| heard.answer != Answer::Queued)
    }
}

/// A client believed that it held something, from the answer that said so to the end of its own lease, its release, or the
/// moment at which it heard of the loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belief {
    pub client: String,
    #[serde(with = "plain")]
    pub session: SessionId,
    pub name: String,
    pub demand: Demand,
    #[serde(with = "plain")]
    pub token: Token,
    pub from_us: Micros,
    /// Exclusive.
    pub to_us: Micros,
}

/// A sign of life of a session: an open, an attach, a resume or a keepalive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    pub client: String,
    #[serde(with = "plain")]
    pub session: SessionId,
    pub sent_us: Micros,
    /// None: never heard of; it may have renewed the session or not.
    pub acknowledged_us: Option<Micros>,
}

/// What one watcher was told, in the order in which it heard it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub client: String,
    pub prefix: String,
    pub told: Vec<Told>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// A view of everything at a revision: what came before is told by it, what comes after follows.
    Whole {
        #[serde(with = "plain")]
        revision: Revision,
    },
    /// One thing that happened, as `note_text` tells it.
    Note {
        #[serde(with = "plain")]
        revision: Revision,
        /// Counts from 1 within the revision.
        n: u32,
        name: String,
        note: String,
    },
    /// Everything up to and with this revision was told.
    Through {
        #[serde(with = "plain")]
        revision: Revision,
    },
}

/// A node applied the log up to and with an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub node: String,
    pub index: u64,
    pub at_us: Micros,
    /// None: not looked at.
    #[serde(with = "plain::option")]
    pub revision: Option<Revision>,
    /// Of the machine's whole state. None: not looked at.
    pub digest: Option<u64>,
}

/// What a node's machine really did with one command: only a test that holds the node in its own process can see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    pub node: String,
    pub revision: Revision,
    pub outcome: Outcome,
    pub events: Vec<Event>,
}

/// A name that was valid when it was recorded.
pub(crate) fn name_of(text: &str) -> Option<Name> {
    Name::new(text).ok()
}
