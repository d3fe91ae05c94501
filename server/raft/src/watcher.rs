//! One reader of the ring: what happens to the objects it asked about, in order, without a gap or a duplicate. When the ring
//! does not reach back to what it has, it says so; it never goes on as if nothing had been missed.

use std::pin::pin;
use std::sync::Arc;

use conclave_machine::{Name, Note, Revision};

use crate::ring::Ring;

/// A place in the order of all events. Of an event n counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub revision: Revision,
    pub n: u32,
}

/// Something that happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedEvent {
    pub at: Position,
    pub name: Name,
    pub note: Note,
}

/// Which objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// Whose name begins so.
    Prefix(Box<str>),
    /// This one.
    Name(Name),
}

/// What came behind the reader's position is not kept (any more): it needs a new view of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed;

/// Follows what is noted of some objects. It costs memory of its own only while it is read.
#[derive(Debug)]
pub struct Watcher {
    ring: Arc<Ring>,
    interest: Interest,
    /// Everything up to here was told, or does not concern this reader.
    after: Position,
}

impl Position {
    /// Behind all events of a revision.
    #[must_use]
    pub const fn whole(revision: Revision) -> Self {
        Self { revision, n: u32::MAX }
    }
}

impl Interest {
    pub(crate) fn includes(&self, name: &Name) -> bool {
        match self {
            Self::Prefix(prefix) => name.as_str().starts_with(&**prefix),
            Self::Name(one) => name == one,
        }
    }
}

impl Watcher {
    pub(crate) fn new(ring: Arc<Ring>, interest: Interest, after: Position) -> Self {
        Self { ring, interest, after }
    }

    /// The next events, at least one. After `Missed` a [`restart`](Self::restart) is due; until then it only repeats itself.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Vec<NotedEvent>, Missed> {
        loop {
            let mut grown = pin!(self.ring.grown());
            // From here on no growth is missed.
            grown.as_mut().enable();
            let look = self.ring.look(&self.interest, self.after)?;
            self.after = look.seen;
            if !look.events.is_empty() {
                return Ok(look.events);
            }
            if look.more {
                tokio::task::yield_now().await;
            } else {
                grown.await;
            }
        }
    }

    /// Resolves when this node has applied everything up to where the reader is.
    pub async fn caught_up(&self) {
        loop {
            let mut grown = pin!(self.ring.grown());
            grown.as_mut().enable();
            if self.after.revision <= self.ring.through() {
                return;
            }
            grown.await;
        }
    }

    /// Whether everything that comes behind its position is kept, or will be.
    pub fn is_covered(&self) -> bool {
        self.ring.look(&self.interest, self.after).is_ok()
    }

    /// Everything of this revision and all before was told.
    #[must_use]
    pub fn told_through(&self) -> Revision {
        match self.after.n {
            u32::MAX => self.after.revision,
            _ => Revision(self.after.revision.get().saturating_sub(1)),
        }
    }

    /// The last revision that this node has applied.
    #[must_use]
    pub fn applied(&self) -> Revision {
        self.ring.through()
    }

    /// Goes on behind a view of the whole at this revision.
    pub fn restart(&mut self, revision: Revision) {
        self.after = Position::whole(revision);
    }
}

#[cfg(test)]
mod tests;
