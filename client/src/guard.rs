//! The proof of holding a mutex, which says when it is none any more.

use std::sync::Arc;

use crate::admin;
use crate::error::Error;
use crate::ids::{SessionId, Token};
use crate::session::command::Answer;
use crate::session::hold::{Contention, Hold, HoldWatch};
use crate::state::Lost;

/// A mutex is held as long as this is valid. Dropped, it is released in the background by the session's task; a guard that was
/// lost is, when it is dropped, reported as no longer used, so that the next holder need not wait any longer.
///
/// Keep it until the work under it has surely stopped.
#[derive(Debug)]
#[must_use = "dropping it releases the mutex"]
pub struct MutexGuard {
    hold: Hold,
    name: Arc<str>,
}

impl MutexGuard {
    pub(crate) const fn new(hold: Hold, name: Arc<str>) -> Self {
        Self { hold, name }
    }

    /// The name of the mutex.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fencing token of this grant.
    #[must_use]
    pub fn token(&self) -> Token {
        self.hold.token()
    }

    /// The session that holds it.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.hold.handle().shared.identity.id
    }

    /// Whether it may be relied upon now. Reads the clock; once false, false for good. For how long it stays so says
    /// [`Session::deadline`](crate::Session::deadline).
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.hold.is_valid()
    }

    /// Resolves once it is lost. Reads the clock whenever it is polled, so that a process that was suspended hears of it before it acts.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn lost(&self) -> Lost {
        self.hold.watch().lost().await
    }

    /// Why it was lost; `None` while it is valid. Reads the clock.
    #[must_use]
    pub fn lost_reason(&self) -> Option<Lost> {
        self.hold.watch().lost_now()
    }

    /// Who waits behind it, as far as it was told.
    #[must_use]
    pub fn contention(&self) -> Contention {
        self.hold.watch().contention()
    }

    /// Resolves as soon as somebody waits behind it: a hint to finish early.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn contended(&self) -> Contention {
        self.hold.watch().contended().await
    }

    /// An eye on it for a supervisor that does not own it.
    #[must_use]
    pub fn watch(&self) -> HoldWatch {
        self.hold.watch()
    }

    /// Asks the cluster whether it is held at this moment (linearizable, one round trip).
    ///
    /// # Errors
    /// [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn check(&self) -> Result<bool, Error> {
        let answer = admin::check(&self.hold.handle().rpc, &self.name, self.token()).await?;
        Ok(answer.held && self.is_valid())
    }

    /// Gives it back and waits for the word of the cluster. Of a guard that was lost it says that it is no longer used, and waits
    /// until that was heard, or could not be said within the client's request timeout after the session's end; call it only when
    /// the use has surely stopped.
    ///
    /// # Errors
    /// [`Error::Lost`]: it was lost before. [`Error::SessionEnded`]: the session ended before the answer; the hold ended with it.
    ///
    /// # Cancel safety
    /// Once polled, it is given back also if the future is dropped, and before that as by a drop.
    pub async fn release(self) -> Result<(), Error> {
        match self.hold.release().await {
            Answer::Released => Ok(()),
            other => Err(other.into_error()),
        }
    }
}
