//! The proof of holding something, which says when it is none any more: what all guards have in common.

use std::sync::Arc;

use crate::admin;
use crate::error::Error;
use crate::ids::{SessionId, Token};
use crate::session::command::Op;
use crate::session::hold::{Contention, Hold, HoldWatch};
use crate::state::Lost;

/// What every guard is: a grant that may be relied upon as long as it is valid. All guards dereference to it.
///
/// Dropped, a guard is released in the background by the session's task; one that was lost is, when it is dropped, reported as no
/// longer used, so that the next holder need not wait any longer. Keep it until the work under it has surely stopped.
///
/// The manner is that of tokio's guards; that a guard may be lost while it is held, and says so, is what a lease adds (Gray and
/// Cheriton 1989), and the token that a resource compares is Lamport's, named *sequencer* in Chubby (Burrows 2006).
#[derive(Debug)]
pub struct Grant {
    hold: Hold,
    /// At least one.
    names: Arc<[Arc<str>]>,
}

impl Grant {
    pub(crate) const fn new(hold: Hold, names: Arc<[Arc<str>]>) -> Self {
        Self { hold, names }
    }

    pub(crate) const fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(crate) fn into_hold(self) -> Hold {
        self.hold
    }

    /// The name of what is held; of several, the first.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.names[0]
    }

    /// The names of all that is held.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The fencing token of this grant. An upgrade of a read-write lock gives it another one.
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
        let answer = admin::check(&self.hold.handle().rpc, self.name(), self.token()).await?;
        Ok(answer.held && self.is_valid())
    }

    pub(crate) async fn release(self) -> Result<(), Error> {
        self.hold.release().await.into_done()
    }

    /// Asks for a change of it.
    pub(crate) async fn change(&self, op: Op) -> Result<(), Error> {
        let wait = crate::session::command::WaitPlan::None;
        self.hold.change(op, wait).await.into_done()
    }
}

/// Declares a guard that is a [`Grant`] and nothing more, with its `release`.
macro_rules! guard {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "dropping it releases what it holds"]
        pub struct $name {
            grant: $crate::Grant,
        }

        impl $name {
            pub(crate) const fn new(grant: $crate::Grant) -> Self {
                Self { grant }
            }

            /// Gives it back and waits for the word of the cluster. Of a guard that was lost it says that it is no longer used, and
            /// waits until that was heard, or could not be said within the client's request timeout after the session's end; call
            /// it only when the use has surely stopped.
            ///
            /// # Errors
            /// [`Error::Lost`](crate::Error::Lost): it was lost before. [`Error::SessionEnded`](crate::Error::SessionEnded): the
            /// session ended before the answer; the hold ended with it.
            ///
            /// # Cancel safety
            /// Once polled, it is given back also if the future is dropped, and before that as by a drop.
            pub async fn release(self) -> Result<(), $crate::Error> {
                self.grant.release().await
            }
        }

        impl std::ops::Deref for $name {
            type Target = $crate::Grant;

            fn deref(&self) -> &$crate::Grant {
                &self.grant
            }
        }
    };
}
pub(crate) use guard;

guard!(
    /// A hold of the process that had the session before, under its new token: whatever it was is held as it was.
    AdoptedGuard
);
