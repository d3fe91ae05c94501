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
mod check;
mod client;
mod clock;
mod directory;
mod error;
mod guard;
mod heldby;
mod ids;
mod lease;
mod link;
mod mutex;
mod reason;
mod rpc;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod view;

/// Helpers inside one process, without a cluster.
pub use conclave_local as local;

pub use crate::admin::{Admin, Consistency, ListOptions};
pub use crate::client::{Client, ClientBuilder};
pub use crate::error::{ConfigError, Error, LockTimeoutError, NotAnswered, Refusal, TryLockError};
pub use crate::guard::MutexGuard;
pub use crate::heldby::{HeldBy, HoldState, Holder};
pub use crate::ids::{SessionId, SessionSecret, Token};
pub use crate::mutex::{Mutex, Progress};
pub use crate::session::{
    Contention, HoldWatch, ResumeBuilder, Resumed, Session, SessionBuilder, UnadoptedHold,
};
pub use crate::state::{Lost, LostReason, SessionEnd, SessionState};
pub use crate::view::{
    Blocker, Checked, ClusterStatus, EndpointStatus, Forced, Kind, LeaderView, NodeView,
    ObjectLine, ObjectList, ObjectView, Role, SessionDetails, SessionHold, SessionLine,
    SessionList, SessionWait, Sort, Statistics, Waiter,
};

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
