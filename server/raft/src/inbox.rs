//! What apply and the hub tell the clock: filled without waiting, emptied by the one task that owns the deadlines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conclave_machine::{Event, Revision, Seq, SessionId, Timer, TimerSet, Token};
use tokio::sync::Notify;

/// Tidings that may wait: more than a second of the fastest apply. Beyond it they are dropped together and the clock reads
/// all timers from the machine anew, in full.
const TIDINGS_MAX: usize = 1 << 20;

/// Something the clock must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tiding {
    Timer(TimerSet),
    TimerStopped(Timer),
    SessionEnded(SessionId),
    HoldEnded(SessionId, Token),
    /// The last reader of a session's waits is gone; with a seq: of that wait.
    Detached(SessionId, Option<Seq>),
}

/// Everything since the last [`Inbox::take`].
#[derive(Debug, Default)]
pub(crate) struct Tidings {
    /// With the revision that brought it; none: no command did.
    pub(crate) items: Vec<(Option<Revision>, Tiding)>,
    /// Some were dropped: read everything anew.
    pub(crate) overflowed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Whether anybody reads: only the clock of a leader does.
    open: AtomicBool,
    tidings: Mutex<Tidings>,
    arrived: Notify,
}

impl Inbox {
    /// From now on everything is kept. What was applied before is in the machine that the caller reads after this call.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// From now on nothing is kept.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        *self.lock() = Tidings::default();
    }

    /// Called by apply, in order, after the state of `revision` can be read and before its outcome leaves.
    pub(crate) fn applied(&self, revision: Revision, events: &[Event]) {
        if !self.open.load(Ordering::SeqCst) {
            return;
        }
        let mut tidings = events.iter().filter_map(tiding_of).peekable();
        if tidings.peek().is_none() {
            return;
        }
        let mut urgent = false;
        let mut kept = self.lock();
        for tiding in tidings {
            urgent |= is_urgent(&tiding);
            kept.add(Some(revision), tiding);
        }
        drop(kept);
        if urgent {
            self.arrived.notify_one();
        }
    }

    pub(crate) fn detached(&self, session: SessionId, seq: Option<Seq>) {
        if self.open.load(Ordering::SeqCst) {
            self.lock().add(None, Tiding::Detached(session, seq));
        }
    }

    pub(crate) fn take(&self) -> Tidings {
        std::mem::take(&mut *self.lock())
    }

    /// Resolves when something arrived that does not bear waiting for the next look.
    pub(crate) async fn urgent(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Tidings> {
        // A panic between two statements leaves a list of whole tidings.
        self.tidings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tidings {
    fn add(&mut self, revision: Option<Revision>, tiding: Tiding) {
        if self.items.len() >= TIDINGS_MAX {
            self.items = Vec::new();
            self.overflowed = true;
        }
        self.items.push((revision, tiding));
    }
}

/// A hold's timer may be short (a lock-delay of a millisecond); the others are longer than the clock's own step.
fn is_urgent(tiding: &Tiding) -> bool {
    match tiding {
        Tiding::Timer(set) => match set.timer {
            Timer::HoldEnd(..) | Timer::MaxHold(..) | Timer::Preempt(..) => true,
            Timer::Session(_) | Timer::Adoption(_) | Timer::Retention(_) | Timer::Quiet => false,
        },
        Tiding::TimerStopped(_)
        | Tiding::SessionEnded(_)
        | Tiding::HoldEnded(..)
        | Tiding::Detached(..) => false,
    }
}

fn tiding_of(event: &Event) -> Option<Tiding> {
    match event {
        Event::TimerSet(set) => Some(Tiding::Timer(set.clone())),
        Event::TimerStopped { timer } => Some(Tiding::TimerStopped(timer.clone())),
        Event::SessionEnded { session, .. } => Some(Tiding::SessionEnded(*session)),
        Event::HoldEnded { session, token, .. } => Some(Tiding::HoldEnded(*session, *token)),
        Event::Granted { .. }
        | Event::Passed { .. }
        | Event::WaitEnded { .. }
        | Event::Lost { .. }
        | Event::Contended { .. }
        | Event::Noted { .. } => None,
    }
}

#[cfg(test)]
mod tests;
