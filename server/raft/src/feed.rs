//! One session's notices on their way to one reader: bounded, in order, and never with a silent gap.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use conclave_machine::{Event, Outcome, Revision, SessionId};

use crate::answer::{LeaderHint, ProposeError};
use crate::hub::Hub;
use crate::keepalive::{KeepAliveAck, KeepAliveError};

/// Notices that may wait for their reader: eight windows of outcomes (1,024 each), so that only a reader that stands still
/// meets it, and at some 200 bytes each no more than 2 MiB of memory for the slowest one.
pub(crate) const FEED_NOTICES_MAX: usize = 8 * 1024;
/// A queue that was once long gives its memory back when it is empty; below this many notices it keeps it.
const FEED_NOTICES_KEPT: usize = 32;

/// What a feed tells. `Moved`, `Overrun` and `Replaced` are the last notice of their feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The command that was proposed with this tag was applied (n = 0).
    Decided { tag: u64, revision: Revision, outcome: Outcome },
    /// The command that was proposed with this tag has no decision.
    Undecided { tag: u64, error: ProposeError },
    /// The keepalive with this tag. It stands behind every notice of a revision up to its own.
    KeptAlive { tag: u64, answer: Result<KeepAliveAck, KeepAliveError> },
    /// Something happened to the session; n counts from 1.
    Event { revision: Revision, n: u32, event: Event },
    /// This node stopped leading, or did not lead when the feed was asked for. None: no leader is known.
    Moved { leader: Option<LeaderHint> },
    /// The reader was too slow. What was told so far has no gap; attach again.
    Overrun,
    /// The session has a newer feed.
    Replaced,
}

/// The reader's end. Dropping it detaches the waits of the session, unless a newer feed replaced it.
#[derive(Debug)]
pub struct Feed {
    sender: FeedSender,
    /// Taken from the pipe in one go.
    taken: VecDeque<Notice>,
    is_used: bool,
    session: SessionId,
    hub: Hub,
}

/// The writers' end, for [`Reply::Feed`](crate::Reply): cheap to clone, never waits.
#[derive(Clone)]
pub struct FeedSender {
    pipe: Arc<Mutex<Pipe>>,
}

#[derive(Default)]
struct Pipe {
    queue: VecDeque<Notice>,
    /// The last notice; nothing is accepted after it.
    end: Option<Notice>,
    closed: bool,
    /// Its client has heard that it is there.
    used: bool,
    reader: Option<Waker>,
}

impl Feed {
    pub(crate) fn new(session: SessionId, sender: FeedSender, hub: Hub) -> Self {
        Self { sender, taken: VecDeque::new(), is_used: false, session, hub }
    }

    /// From now on this is the feed of its session, which an older one was so far; that one ends as `Replaced`. Of one that was
    /// not [offered](Hub::offer) nothing changes.
    pub fn takes_over(&mut self) {
        self.use_it();
        self.hub.takes_over(self.session, &self.sender);
    }

    /// Its client has said something behind its opening.
    pub fn use_it(&mut self) {
        if !self.is_used {
            self.is_used = true;
            self.sender.lock().used = true;
        }
    }

    /// A sender into this feed.
    #[must_use]
    pub fn sender(&self) -> FeedSender {
        self.sender.clone()
    }

    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The next notice; none after the last one (`Moved`, `Overrun`, `Replaced`).
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Notice> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`recv`](Self::recv), for a `Stream`.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        if let Some(notice) = self.taken.pop_front() {
            return Poll::Ready(Some(notice));
        }
        if self.taken.capacity() > FEED_NOTICES_KEPT {
            self.taken = VecDeque::new();
        }
        let mut pipe = self.sender.lock();
        std::mem::swap(&mut pipe.queue, &mut self.taken);
        if let Some(notice) = self.taken.pop_front() {
            return Poll::Ready(Some(notice));
        }
        if pipe.closed {
            return Poll::Ready(pipe.end.take());
        }
        match &mut pipe.reader {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.sender.finish(None);
        self.hub.unsubscribe(self.session, &self.sender);
    }
}

impl FeedSender {
    pub(crate) fn new() -> Self {
        Self { pipe: Arc::default() }
    }

    /// Appends a notice, or ends the feed as overrun when its reader is too slow. After the end it does nothing.
    /// False: the feed is over.
    pub(crate) fn push(&self, notice: Notice) -> bool {
        let mut pipe = self.lock();
        if pipe.closed {
            return false;
        }
        if pipe.queue.len() >= FEED_NOTICES_MAX {
            drop(pipe);
            self.finish(Some(Notice::Overrun));
            return false;
        }
        pipe.queue.push_back(notice);
        let reader = pipe.reader.take();
        drop(pipe);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// Ends the feed with this last notice; none: its reader is gone. Only the first end counts.
    pub(crate) fn finish(&self, end: Option<Notice>) {
        let mut pipe = self.lock();
        if pipe.closed {
            return;
        }
        pipe.closed = true;
        if end.is_none() {
            pipe.queue = VecDeque::new();
        }
        pipe.end = end;
        let reader = pipe.reader.take();
        drop(pipe);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    pub(crate) fn is_used(&self) -> bool {
        self.lock().used
    }

    /// The same feed, not merely one of the same session.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pipe> {
        // A panic between two statements leaves the pipe whole: every change above is a single step.
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FeedSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FeedSender")
    }
}

#[cfg(test)]
mod tests;
