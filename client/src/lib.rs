//! The client of Conclave: locks of a cluster as guards that know when they are lost.
//!
//! A client never believes that it holds what it lost: a session counts its time from the *send* of its last acknowledged
//! keepalive, ends itself before the cluster does, and every guard reads the clock when it is asked. Reconnects, leader changes
//! and retries are invisible except as latency.
//!
//! ```no_run
//! use conclave_client::Client;
//!
//! # async fn example() -> Result<(), conclave_client::Error> {
//! let client = Client::connect(["127.0.0.1:7420"])?;
//! let session = client.session().name("nightly").open().await?;
//! let guard = session.mutex("report").lock().await?;
//! println!("running with token {}", guard.token());
//! guard.release().await?;
//! session.close().await?;
//! # Ok(()) }
//! ```
//!
//! Must never: name a server crate, show a type of tonic, or decide a lease by anything but the send of what was acknowledged.

#![warn(missing_docs)]

mod admin;
mod all;
mod barrier;
mod check;
mod client;
mod clock;
mod counter;
mod demand;
mod directory;
mod edit;
mod election;
mod error;
mod follow;
mod gate;
mod grant;
mod heldby;
mod ids;
mod latch;
mod leading;
mod lease;
mod link;
mod membership;
mod mutex;
mod note;
mod once;
#[doc(hidden)]
pub mod overheard;
mod planted;
mod progress;
mod reason;
mod register;
mod request;
mod rpc;
mod rwlock;
mod semaphore;
mod session;
#[doc(hidden)]
pub mod simulation;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod value;
mod view;

/// Helpers inside one process, without a cluster.
pub use conclave_local as local;
/// Tells work that runs [while leading](Election::run_as_leader) to stop.
pub use tokio_util::sync::CancellationToken;

pub use crate::admin::{Admin, Consistency, ListOptions};
pub use crate::all::{AcquireAll, AllGuard, Want};
pub use crate::barrier::{Barrier, BarrierPass};
pub use crate::client::{Client, ClientBuilder};
pub use crate::counter::Counter;
pub use crate::demand::Demand;
pub use crate::election::{Candidacy, Candidate, Election, ElectionView, Leadership};
pub use crate::error::{
    ConfigError, DeadlockStep, Error, LockTimeoutError, NotAnswered, Refusal, TryLockError,
};
pub use crate::follow::{Observation, Watch};
pub use crate::gate::Gate;
pub use crate::grant::{AdoptedGuard, Grant};
pub use crate::heldby::{HeldBy, HoldState, Holder};
pub use crate::ids::{SessionId, SessionSecret, Token, Version};
pub use crate::latch::{Latch, LatchState};
pub use crate::leading::Led;
pub use crate::membership::{Member, MemberRole, MemberState, Members};
pub use crate::mutex::{Mutex, MutexGuard};
pub use crate::note::{Note, Observed, Watched};
pub use crate::once::{Once, OnceError, OnceResult, OnceRun, Turn};
pub use crate::progress::Progress;
pub use crate::register::{Register, RegisterEntry};
pub use crate::rwlock::{
    ChangeError, RwLock, RwLockReadGuard, RwLockUpgradableGuard, RwLockWriteGuard, UpgradeError,
};
pub use crate::semaphore::{Semaphore, SemaphorePermit};
pub use crate::session::{
    Contention, HoldWatch, ResumeBuilder, Resumed, Session, SessionBuilder, UnadoptedHold,
};
pub use crate::snapshot::SnapshotBytes;
pub use crate::state::{Lost, LostReason, SessionEnd, SessionState};
pub use crate::value::Value;
pub use crate::view::{
    Blocker, Checked, ClusterStatus, Detail, EndpointStatus, Forced, Kind, LeaderView, NodeView,
    ObjectLine, ObjectList, ObjectView, Resized, Role, SessionDetails, SessionHold, SessionLine,
    SessionList, SessionWait, Sort, Statistics, Waiter,
};

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
