//! What happened to an object, as those hear it who follow it.

use conclave_proto::v1;
use conclave_proto::v1::note::Note as Wire;
use serde::{Deserialize, Serialize};

use crate::demand::Demand;
use crate::election::ElectionView;
use crate::ids::{SessionId, Token, Version};
use crate::value::Value;
use crate::view::{Kind, ObjectLine};

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
#[non_exhaustive]
pub enum Note {
    /// A holder more.
    Granted {
        /// Whose.
        session: SessionId,
        /// That session's name.
        session_name: String,
        /// Of the grant.
        token: Token,
        /// What it holds.
        demand: Demand,
        /// What a leader proclaims; `None`: no election.
        value: Option<Value>,
    },
    /// A holder less.
    Ended {
        /// Whose.
        session: SessionId,
        /// Of the grant.
        token: Token,
        /// It did not let go by itself.
        lost: bool,
    },
    /// Taken away from its holder, who may still believe: it ends later.
    Revoked {
        /// Whose.
        session: SessionId,
        /// Of the grant.
        token: Token,
    },
    /// The holder's session expired: it ends after the lock-delay.
    Cooling {
        /// Whose.
        session: SessionId,
        /// Of the grant.
        token: Token,
    },
    /// The hold goes on as this.
    Changed {
        /// Of the grant.
        token: Token,
        /// What it holds now.
        demand: Demand,
    },
    /// The leader says something else.
    Proclaimed {
        /// Of the leader.
        term: Token,
        /// What it says.
        value: Value,
    },
    /// So many wait now.
    Waiting {
        /// Those that stand aside are not counted.
        queue_len: u32,
    },
    /// A semaphore has another limit.
    Resized {
        /// The new one.
        limit: u32,
        /// Of the new one.
        version: Version,
    },
    /// A latch was counted down or reset; a round begins with `remaining` at its count.
    Latch {
        /// Which round.
        round: Version,
        /// How many are left.
        remaining: u64,
    },
    /// A gate was opened or closed.
    Gate {
        /// Whether it is open.
        open: bool,
    },
    /// A register was written.
    Register {
        /// What it has now.
        version: Version,
    },
    /// A counter was changed.
    Counter {
        /// What it is.
        value: i64,
    },
    /// Those who waited at a latch, gate, barrier or once went on together.
    Passed {
        /// The round, opening, generation or result.
        version: Version,
        /// How many.
        count: u32,
    },
    /// Deleted, forgotten, or gone with its session.
    Gone {
        /// What it was.
        kind: Kind,
    },
    /// Something that this version does not know.
    Unknown,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Watched {
    /// The beginning, and whenever what went before is not known any more: this is what there is now.
    Resync {
        /// By name.
        objects: Vec<ObjectLine>,
        /// How many there are; only the first 10,000 are listed.
        total: u64,
        /// Seen at.
        revision: u64,
    },
    /// Something happened.
    Event {
        /// To the object of this name.
        name: String,
        /// What.
        note: Note,
        /// Decided at.
        revision: u64,
    },
}

/// What an observation of an election tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Observed {
    /// The beginning: this is what there is.
    View(ElectionView),
    /// Changes were missed: this is what there is now.
    Resync(ElectionView),
    /// A term begins.
    Elected {
        /// Who leads.
        session: SessionId,
        /// That session's name.
        session_name: String,
        /// The term.
        term: Token,
        /// What the leader proclaims.
        value: Value,
    },
    /// The leader says something else.
    Proclaimed {
        /// Of the leader.
        term: Token,
        /// What it says.
        value: Value,
    },
    /// The leadership was taken away; its holder may still believe, so nobody leads yet.
    Revoked {
        /// The term that ends.
        term: Token,
    },
    /// The leader's session expired; nobody leads before its lock-delay is over.
    Cooling {
        /// The term that ends.
        term: Token,
    },
    /// The term is over, and nobody leads.
    Vacant {
        /// The term that ended.
        term: Token,
        /// The leader did not resign.
        lost: bool,
    },
    /// So many candidates wait now; those that stand aside are not counted.
    Waiting {
        /// How many.
        queue_len: u32,
    },
}

impl Observed {
    /// None: it is no matter of elections.
    pub(crate) fn from_note(note: Note) -> Option<Self> {
        Some(match note {
            Note::Granted { session, session_name, token, demand: _, value } => {
                let value = value.unwrap_or_default();
                Self::Elected { session, session_name, term: token, value }
            }
            Note::Ended { session: _, token, lost } => Self::Vacant { term: token, lost },
            Note::Revoked { session: _, token } => Self::Revoked { term: token },
            Note::Cooling { session: _, token } => Self::Cooling { term: token },
            Note::Proclaimed { term, value } => Self::Proclaimed { term, value },
            Note::Waiting { queue_len } => Self::Waiting { queue_len },
            Note::Changed { .. }
            | Note::Resized { .. }
            | Note::Latch { .. }
            | Note::Gate { .. }
            | Note::Register { .. }
            | Note::Counter { .. }
            | Note::Passed { .. }
            | Note::Gone { .. }
            | Note::Unknown => return None,
        })
    }
}

impl From<v1::Note> for Note {
    fn from(note: v1::Note) -> Self {
        let suspended =
            |of: v1::note::Suspended| (SessionId::new(of.session), Token::new(of.token));
        match note.note {
            Some(Wire::Granted(granted)) => Self::Granted {
                session: SessionId::new(granted.session),
                session_name: granted.session_name,
                token: Token::new(granted.token),
                demand: Demand::from(granted.demand),
                value: granted.value.map(Value::from),
            },
            Some(Wire::Ended(v1::note::Ended { session, token, lost })) => {
                Self::Ended { session: SessionId::new(session), token: Token::new(token), lost }
            }
            Some(Wire::Revoked(of)) => {
                let (session, token) = suspended(of);
                Self::Revoked { session, token }
            }
            Some(Wire::Cooling(of)) => {
                let (session, token) = suspended(of);
                Self::Cooling { session, token }
            }
            Some(Wire::Changed(v1::note::Changed { token, demand })) => {
                Self::Changed { token: Token::new(token), demand: Demand::from(demand) }
            }
            Some(Wire::Proclaimed(v1::note::Proclaimed { term, value })) => {
                Self::Proclaimed { term: Token::new(term), value: Value::from(value) }
            }
            Some(Wire::Waiting(v1::note::Waiting { queue_len })) => Self::Waiting { queue_len },
            Some(Wire::Resized(v1::note::Resized { limit, version })) => {
                Self::Resized { limit, version: Version::new(version) }
            }
            Some(Wire::Edited(edited)) => of_edited(edited),
            Some(Wire::Passed(v1::note::Passed { version, count })) => {
                Self::Passed { version: Version::new(version), count }
            }
            Some(Wire::Gone(gone)) => Self::Gone { kind: Kind::from_wire(gone.kind) },
            None => Self::Unknown,
        }
    }
}

fn of_edited(edited: v1::Edited) -> Note {
    use v1::edited::Edited;
    match edited.edited {
        Some(Edited::Latch(v1::LatchState { round, remaining })) => {
            Note::Latch { round: Version::new(round), remaining }
        }
        Some(Edited::Gate(v1::GateState { open })) => Note::Gate { open },
        Some(Edited::Register(v1::RegisterState { version })) => {
            Note::Register { version: Version::new(version) }
        }
        Some(Edited::Counter(v1::CounterState { value })) => Note::Counter { value },
        Some(Edited::RegisterDeleted(_)) => Note::Gone { kind: Kind::Register },
        // Nothing changed, so nothing is told.
        Some(Edited::Conflict(_)) | None => Note::Unknown,
    }
}
