//! A session: the client's life line, and everything it multiplexes.

mod actor;
mod afterlife;
mod answers;
pub(crate) mod command;
pub(crate) mod core;
mod ending;
pub(crate) mod handle;
pub(crate) mod hold;
mod inbound;
mod open;
mod pulse;
mod route;
pub(crate) mod shared;
mod standing;
mod window;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use self::hold::{Contention, HoldWatch};
pub use self::open::{ResumeBuilder, Resumed, SessionBuilder, UnadoptedHold};
use crate::all::{AcquireAll, Want};
use crate::barrier::Barrier;
use crate::counter::Counter;
use crate::election::Election;
use crate::error::Error;
use crate::gate::Gate;
use crate::grant::AdoptedGuard;
use crate::ids::{SessionId, SessionSecret};
use crate::latch::Latch;
use crate::mutex::Mutex;
use crate::once::Once;
use crate::register::Register;
use crate::request::Request;
use crate::rwlock::RwLock;
use crate::semaphore::Semaphore;
use crate::session::command::{Op, WaitPlan};
use crate::session::handle::Handle;
use crate::state::{SessionEnd, SessionState};

/// A session with the cluster, kept alive by a task of its own every TTL/5. Cheap to clone.
///
/// It ends when it is [closed](Session::close), when it could not be kept alive for 0.9 TTL (counted from the *send* of the last
/// acknowledged keepalive, on a clock that counts through suspend), or when the cluster says so. Then every guard is lost, and
/// for good: open another session to go on. When the last clone, mutex and guard of it is dropped, it is closed in the background.
///
/// The idea is Chubby's (Burrows 2006): sessions, jeopardy, and a lease that the client cuts short by itself.
#[derive(Debug, Clone)]
pub struct Session {
    handle: Arc<Handle>,
}

impl Session {
    pub(crate) const fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// Its number, as operators see it.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.handle.shared.identity.id
    }

    /// How many times it was taken over by a new process, plus one.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.handle.shared.identity.epoch
    }

    /// What a successor of this process needs to [resume](crate::Client::resume) it.
    #[must_use]
    pub fn secret(&self) -> SessionSecret {
        self.handle.shared.identity.secret
    }

    /// Its TTL, as the cluster took it.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.handle.shared.identity.ttl
    }

    /// A mutex of that name: 1 to 512 bytes without control characters, as of everything below. Asks nothing yet.
    pub fn mutex(&self, name: impl AsRef<str>) -> Mutex {
        Mutex::new(Arc::clone(&self.handle), name.as_ref())
    }

    /// A read-write lock. Asks nothing yet.
    pub fn rwlock(&self, name: impl AsRef<str>) -> RwLock {
        RwLock::new(Arc::clone(&self.handle), name.as_ref())
    }

    /// A semaphore of so many permits, 1 and more. Asks nothing yet.
    pub fn semaphore(&self, name: impl AsRef<str>, limit: u32) -> Semaphore {
        Semaphore::new(Arc::clone(&self.handle), name.as_ref(), limit)
    }

    /// An election. Asks nothing yet.
    pub fn election(&self, name: impl AsRef<str>) -> Election {
        Election::new(Arc::clone(&self.handle), name.as_ref())
    }

    /// Several things at once, up to 64 with distinct names. Asks nothing yet.
    pub fn acquire_all(&self, wants: impl IntoIterator<Item = Want>) -> AcquireAll {
        AcquireAll::new(Arc::clone(&self.handle), wants)
    }

    /// Something that is done once for that key, and whose result is kept for that time: up to 7 days, and at least 10 s. Asks
    /// nothing yet.
    pub fn once(&self, key: impl AsRef<str>, retention: Duration) -> Once {
        Once::new(Arc::clone(&self.handle), key.as_ref(), retention)
    }

    /// A latch.
    pub fn latch(&self, name: impl AsRef<str>) -> Latch {
        Latch::new(Arc::clone(&self.handle), name.as_ref())
    }

    /// A gate.
    pub fn gate(&self, name: impl AsRef<str>) -> Gate {
        Gate::new(Arc::clone(&self.handle), name.as_ref())
    }

    /// A cyclic barrier for so many parties, 1 and more.
    pub fn barrier(&self, name: impl AsRef<str>, parties: u32) -> Barrier {
        Barrier::new(Arc::clone(&self.handle), name.as_ref(), parties)
    }

    /// A register.
    #[must_use]
    pub fn register(&self, name: impl AsRef<str>) -> Register {
        Register::new(Arc::clone(&self.handle), name.as_ref())
    }

    /// A counter.
    #[must_use]
    pub fn counter(&self, name: impl AsRef<str>) -> Counter {
        Counter::new(Arc::clone(&self.handle), name.as_ref())
    }

    /// The state now. Reads the clock.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.handle.shared.state()
    }

    /// The state as it changes, looked at every 100 ms.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<SessionState> {
        self.handle.shared.watch()
    }

    /// Whether the session may be believed in now. Reads the clock; once false, false for good.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.handle.shared.is_alive()
    }

    /// How it ended; `None` while it lives. Reads the clock.
    #[must_use]
    pub fn end(&self) -> Option<SessionEnd> {
        self.handle.shared.ended().cloned()
    }

    /// Waits until the session is over and says how it ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(&self) -> SessionEnd {
        let mut state = self.handle.shared.watch();
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            // The other end lives as long as this handle.
            let _ = state.changed().await;
        }
    }

    /// How long the session may still be believed in if no keepalive is acknowledged any more: 0.9 TTL after the send of the last
    /// acknowledged one. Zero when it is over.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        match self.handle.shared.ended() {
            Some(_) => Duration::ZERO,
            None => self.handle.shared.lease.left(self.handle.shared.clock.now()),
        }
    }

    /// How long ago the last keepalive was *sent* that was acknowledged. Goes on counting after the end.
    #[must_use]
    pub fn last_ack_sent_ago(&self) -> Duration {
        self.handle.shared.clock.now().since(self.handle.shared.lease.renewed_at())
    }

    /// Takes over a hold of the process that had this session before. The guard has a new token; the old one is dead.
    ///
    /// # Errors
    /// [`Refusal::NotHolder`](crate::Refusal::NotHolder) when it was revoked meanwhile (one TTL after the resume) or never
    /// was there; [`Error::SessionEnded`]; [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the hold back if it was adopted already; what was not is revoked after one TTL.
    pub async fn adopt(&self, hold: &UnadoptedHold) -> Result<AdoptedGuard, Error> {
        let op = Op::Adopt { token: hold.token.get() };
        let answer = self.handle.call(op, WaitPlan::None, None).await;
        let request = Request::new(Arc::clone(&self.handle), &hold.name);
        request.granted(answer).map(AdoptedGuard::new)
    }

    /// Ends the session in good order: first every guard of it is lost, then the cluster is told and frees its holds at once.
    /// Stop what relies on the guards before.
    ///
    /// # Errors
    /// [`Error::NotAnswered`]: it is over here, and the cluster expires it later. [`Error::SessionEnded`]: it was over before.
    ///
    /// # Cancel safety
    /// Once polled, the session is over and is closed also if the future is dropped.
    pub async fn close(&self) -> Result<(), Error> {
        self.handle.close().await
    }
}
