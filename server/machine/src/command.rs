//! What may be asked of the machine: one closed enum. A command is data; it was checked at the edge and is now in the log.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::demand::{Campaign, Item, Items, Mode};
use crate::edit::Edit;
use crate::ids::{
    Epoch, Generation, LossNumber, Nonce, Secret, Seq, SessionId, Term, Token, Version,
};
use crate::name::{Labels, Name};
use crate::value::Value;

/// What travels with a command but is the same for the whole entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The term of the entry. A `Due` counts only if the leader that proposed it also wrote the entry.
    pub term: Term,
    /// The proposing leader's wall clock in Unix milliseconds, for display only: nothing is ever decided by it.
    pub stamp_ms: u64,
}

/// Proof of being the client of a session, in its present epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    pub id: SessionId,
    pub secret: Secret,
    pub epoch: Epoch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Opens a session, or answers the one that this secret already opened (idempotent; a repetition renews nothing).
    Open(Open),
    /// A client of the same process is back after a broken stream: compares what both sides believe. Renews the session.
    Attach(Attach),
    /// A new process takes the session over: raises the epoch. Renews the session.
    Resume(Resume),
    /// Ends the session in good order: waits are cancelled, what is held is freed at once. What was revoked before, or was
    /// never adopted by this process, still waits for its end.
    Close { key: SessionKey },
    /// A mutation of a session, exactly once.
    Call(Call),
    /// Withdraws the wait of `seq`; a seq not seen yet gets `Cancelled` recorded as its outcome.
    Cancel { key: SessionKey, seq: Seq },
    /// The edge that serves the wait says that its time is over.
    TimeOut { session: SessionId, seq: Seq },
    /// The old holder says that it stopped: ends a revoked or cooling hold. Needs the secret, not a live session.
    AckStopped { session: SessionId, secret: Secret, token: Token },
    /// The client heard of its losses up to and with this one.
    ConfirmLosses { session: SessionId, through: LossNumber },
    /// A timer of the leader is over.
    Due(Due),
    /// An operator ends a session; its holds become revoked.
    Kill { session: SessionId, by: Box<str>, reason: Box<str> },
    /// An operator takes a hold away. With `now` it ends at once, else it stays revoked until it is surely unused.
    ForceRelease { name: Name, token: Token, now: bool, by: Box<str> },
    /// An operator changes the effective limit of a semaphore: grows at once, shrinks by draining, zero pauses. Takes
    /// effect only while the semaphore's version is `version`.
    Resize { name: Name, limit: u32, version: Version, by: Box<str> },
    /// An operator hands a leadership over: the leader of this term is revoked, and the first eligible candidate of session
    /// `to` comes next, whatever its priority.
    Transfer { name: Name, term: Token, to: SessionId, by: Box<str> },
    /// An operator removes what stays by itself: a resized semaphore, a gate, a latch, a register, a counter, the result of a
    /// once. Refused `Busy` while anybody holds it or waits for it.
    Delete { name: Name, by: Box<str> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub secret: Secret,
    pub ttl_ms: u64,
    /// How long a hold of this session stays occupied after the session expired; zero: not at all.
    pub lock_delay_ms: u64,
    pub name: Name,
    pub labels: Labels,
}

/// What the client believes. Judged are only seqs below `next_seq`, so an attach that arrives late harms no newer hold:
/// a hold (in state `Held`) of a judged seq that is neither in `held` nor in `waiting` is released, a wait of a judged seq that is not in
/// `waiting` is cancelled. The outcome lists the holds and waits that stand afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    pub key: SessionKey,
    /// The client's number of this attempt, rising within an epoch: one that is not above the last one applied is `Stale`, so
    /// that an attempt which was delayed on the wire judges nothing that came after it.
    pub number: u64,
    pub held: Vec<Token>,
    /// Seqs of calls without a final answer yet.
    pub waiting: Vec<Seq>,
    pub next_seq: Seq,
}

/// Compare-and-raise: takes effect only while the session's epoch is `expected`; the same nonce gets the same answer.
/// In one entry: all waits are cancelled, older epochs fenced out, all holds marked unadopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    pub session: SessionId,
    pub secret: Secret,
    pub expected: Epoch,
    pub nonce: Nonce,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub key: SessionKey,
    pub seq: Seq,
    /// Cumulative: the client has the outcome (`Queued` included) of every seq up to and with this one; zero: of none.
    pub seen_through: Seq,
    pub op: Op,
}

/// The mutations that count as exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Acquire(Acquire),
    /// Frees the hold with this token, which must belong to the calling session and be in state `Held`; a late retry frees nobody's newer hold.
    Release {
        token: Token,
        /// How many of a semaphore's permits (of a hold with one item); zero: all that the token stands for.
        permits: u32,
    },
    /// Takes an unadopted hold over into the present epoch under a new token; the old token is dead.
    Adopt {
        token: Token,
    },
    /// Turns a write hold into an upgradable or a read one, or an upgradable one into a read one, under the same token. Never waits.
    Downgrade {
        token: Token,
        to: Mode,
    },
    /// Turns an upgradable hold into a write hold under a new token, before everyone who waits. With `wait` it waits for the
    /// readers to go; without, it also serves a plain reader, which gets it only as the sole holder.
    Upgrade {
        token: Token,
        /// Not part of the body that a retried seq is compared by.
        wait: bool,
    },
    /// The leader of this term changes what it tells its observers.
    Proclaim {
        term: Token,
        value: Value,
    },
    /// Whether the campaign of that seq of the same session, which must still wait, may win.
    SetEligible {
        campaign: Seq,
        eligible: bool,
    },
    /// The result of a once: everyone who waits for it hears of it, and everyone who asks during `retention_ms`.
    Complete {
        token: Token,
        value: Value,
        retention_ms: u64,
    },
    Edit(Edit),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquire {
    /// All of them or none, under one token.
    pub items: Items,
    /// False: answer at once, granted or held by others. Not part of the body that a retried seq is compared by.
    pub wait: bool,
    /// Higher goes first; arrival decides among equals.
    pub priority: i32,
    /// The grant is revoked after this time; zero: never.
    pub max_hold_ms: u64,
    /// Who within the session asks. The same owner again is `AlreadyHeld`; none: every acquire is a stranger.
    pub owner: Option<Box<str>>,
    pub metadata: Labels,
    /// Refuse the request, with the cycle, if it would close one among owners.
    pub fail_on_deadlock: bool,
    /// Exactly with the demand `Lead`.
    pub campaign: Option<Campaign>,
}

impl Acquire {
    /// The plainest request there is: it waits, at priority zero, as a stranger.
    #[must_use]
    pub fn of(name: Name, demand: crate::demand::Demand) -> Self {
        Self {
            items: Items::one(Item { name, demand }),
            wait: true,
            priority: 0,
            max_hold_ms: 0,
            owner: None,
            metadata: Labels::default(),
            fail_on_deadlock: false,
            campaign: None,
        }
    }
}

/// Something the leader waits for on a monotonic clock. Never part of a decision by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The session was not kept alive: it expires. The only timer that an (unlogged) keepalive moves.
    Session(SessionId),
    /// A resumed session's holds that nobody adopted become revoked.
    Adoption(SessionId),
    /// A cooling or revoked hold ends.
    HoldEnd(SessionId, Token),
    /// `max_hold` is over: the hold becomes revoked.
    MaxHold(SessionId, Token),
    /// A leader that a higher priority waits behind becomes revoked.
    Preempt(SessionId, Token),
    /// The result of a once is forgotten.
    Retention(Name),
    /// A cluster that began with an older one's state has been quiet for long enough: grants are made.
    Quiet,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub timer: Timer,
    pub generation: Generation,
    /// The term of the leader that proposes it; another term's entry carries it in vain (etcd#12528).
    pub term: Term,
}
