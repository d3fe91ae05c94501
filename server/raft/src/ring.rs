//! The last events that watchers are told of, in memory, the same for all of them. It is filled by apply and read by whoever
//! watches, each from a position of its own: a reader that is too slow finds that what it wants is gone, and costs nothing.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use conclave_machine::{Event, Revision};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::planted::planted;
use crate::watcher::{Interest, Missed, NotedEvent, Position};

/// Events kept: some seconds of the fastest apply, so that a reader that reconnects to another node goes on where it was; at
/// about 200 bytes each no more than 16 MiB, unless leaders proclaim long values all the time.
pub const RING_EVENTS_MAX: usize = 65_536;
/// Events that one look passes by: apply waits meanwhile.
const EXAMINED_MAX: usize = 1024;
/// Events that one look takes along.
const HEARD_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Ring {
    kept: RwLock<Kept>,
    grown: Notify,
}

#[derive(Debug)]
struct Kept {
    events: VecDeque<NotedEvent>,
    /// Nothing at or before this is kept (any more); everything after it is, up to `through`.
    gone: Position,
    /// The last applied revision.
    through: Revision,
}

/// What one look found.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) events: Vec<NotedEvent>,
    /// Everything up to here was looked at.
    pub(crate) seen: Position,
    /// There is more to look at.
    pub(crate) more: bool,
}

impl Default for Kept {
    fn default() -> Self {
        Self { events: VecDeque::new(), gone: Position::whole(Revision(0)), through: Revision(0) }
    }
}

impl Ring {
    /// Called by apply, in order, once the state of `revision` can be read.
    pub(crate) fn push(&self, revision: Revision, events: &[Event]) {
        let mut kept = self.write();
        for (n, event) in (1..).zip(events) {
            if let Event::Noted { name, note } = event {
                if revision.0.is_multiple_of(5) && planted("observe skips a change") {
                    continue;
                }
                let (name, note) = (name.clone(), note.clone());
                kept.add(NotedEvent { at: Position { revision, n }, name, note });
            }
        }
        kept.through = revision;
        drop(kept);
        self.grown.notify_waiters();
    }

    /// The state of `revision` came as a whole: what led to it is not known here.
    pub(crate) fn restored(&self, revision: Revision) {
        let gone = Position::whole(revision);
        *self.write() = Kept { events: VecDeque::new(), gone, through: revision };
        self.grown.notify_waiters();
    }

    /// What there is behind `after`. An `after` that lies ahead of everything here finds nothing.
    pub(crate) fn look(&self, interest: &Interest, after: Position) -> Result<Look, Missed> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if after < kept.gone {
            return Err(Missed);
        }
        let from = kept.events.partition_point(|event| event.at <= after);
        let (mut events, mut examined) = (Vec::new(), 0);
        for event in kept.events.range(from..).take(EXAMINED_MAX) {
            if events.len() == HEARD_MAX {
                break;
            }
            examined += 1;
            if interest.includes(&event.name) {
                events.push(event.clone());
            }
        }
        let more = from + examined < kept.events.len();
        let last = kept.events.range(from..from + examined).next_back().filter(|_| more);
        let seen = last.map_or(Position::whole(kept.through), |last| last.at);
        Ok(Look { events, seen: seen.max(after), more })
    }

    /// The last applied revision.
    pub(crate) fn through(&self) -> Revision {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).through
    }

    /// Resolves at the next growth after this call.
    pub(crate) fn grown(&self) -> Notified<'_> {
        self.grown.notified()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        // A panic between two statements leaves whole events in order, at worst too few of the last revision, and a panic in
        // apply ends the node.
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, event: NotedEvent) {
        if self.events.len() == RING_EVENTS_MAX
            && let Some(dropped) = self.events.pop_front()
        {
            self.gone = dropped.at;
        }
        self.events.push_back(event);
    }
}
