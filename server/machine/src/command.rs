//! What may be asked of the machine: one closed enum. A command is data; it was checked at the edge and is now in the log.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ids::{Epoch, Generation, LossNumber, Nonce, Secret, Seq, SessionId, Term, Token};
use crate::name::{Labels, Name};

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
    },
    /// Takes an unadopted hold over into the present epoch under a new token; the old token is dead.
    Adopt {
        token: Token,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquire {
    pub name: Name,
    pub demand: Demand,
    /// False: answer at once, granted or held by others. Not part of the body that a retried seq is compared by.
    pub wait: bool,
    /// Higher goes first; arrival decides among equals.
    pub priority: i32,
    /// The grant is revoked after this time; zero: never.
    pub max_hold_ms: u64,
    /// Who within the session asks. The same owner again is `AlreadyHeld`; none: every acquire is a stranger.
    pub owner: Option<Box<str>>,
    pub metadata: Labels,
}

/// What is wanted of an object; decides its kind and who may hold beside whom. Further kinds are further variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Demand {
    /// A mutex: one holder.
    Mutex,
}

/// Something the leader waits for on a monotonic clock. Never part of a decision by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The session was not kept alive: it expires. The only timer that an (unlogged) keepalive moves.
    Session(SessionId),
    /// A resumed session's holds that nobody adopted become revoked.
    Adoption(SessionId),
    /// A cooling or revoked hold ends.
    HoldEnd(SessionId, Token),
    /// `max_hold` is over: the hold becomes revoked.
    MaxHold(SessionId, Token),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub timer: Timer,
    pub generation: Generation,
    /// The term of the leader that proposes it; another term's entry carries it in vain (etcd#12528).
    pub term: Term,
}
