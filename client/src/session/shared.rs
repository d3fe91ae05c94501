//! What the handles of a session and its task share: identity, lease, end. No lock is taken in here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conclave_proto::v1;
use tokio::sync::watch;

use crate::clock::{Clock, Moment};
use crate::ids::{SessionId, SessionSecret};
use crate::lease::Lease;
use crate::state::{SessionEnd, SessionState};

/// What an open or a resume answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) id: SessionId,
    pub(crate) secret: SessionSecret,
    pub(crate) epoch: u64,
    pub(crate) next_seq: u64,
    pub(crate) ttl: Duration,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) lease: Lease,
    end: OnceLock<SessionEnd>,
    state: watch::Sender<SessionState>,
    next_seq: AtomicU64,
}

impl Shared {
    /// `sent`: when the first attempt of the open or resume was made.
    pub(crate) fn new(identity: Identity, clock: Clock, sent: Moment) -> Self {
        Self {
            lease: Lease::new(sent, identity.ttl),
            clock,
            end: OnceLock::new(),
            state: watch::Sender::new(SessionState::Active),
            next_seq: AtomicU64::new(identity.next_seq),
            identity,
        }
    }

    /// The number of one mutation; whoever takes it hands it to the session's task at once.
    pub(crate) fn take_seq(&self) -> u64 {
        self.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the session may be believed in now. The first `false` is final.
    pub(crate) fn is_alive(&self) -> bool {
        self.end.get().is_none() && self.lease.is_alive(self.clock.now())
    }

    /// How it ended, if it did; reads the clock.
    pub(crate) fn ended(&self) -> Option<&SessionEnd> {
        if self.end.get().is_none() && !self.lease.is_alive(self.clock.now()) {
            // Whoever is first names the end; only that it ended matters here.
            let _ = self.end.set(SessionEnd::Expired);
        }
        self.end.get()
    }

    /// Ends it, unless it ended before; from here on no guard of it is valid.
    pub(crate) fn end(&self, end: SessionEnd) -> &SessionEnd {
        if let Some(before) = self.ended() {
            return before;
        }
        self.end.get_or_init(|| end)
    }

    pub(crate) fn key(&self) -> v1::SessionKey {
        v1::SessionKey {
            session: self.identity.id.get(),
            secret: self.identity.secret.to_bytes().to_vec(),
            epoch: self.identity.epoch,
        }
    }

    /// The state by the clock, which may be ahead of what the task has published.
    pub(crate) fn state(&self) -> SessionState {
        match self.ended() {
            Some(SessionEnd::Closed) => SessionState::Closed,
            Some(_) => SessionState::Expired,
            None if self.lease.in_jeopardy(self.clock.now()) => SessionState::Jeopardy,
            // Jeopardy ends only by an acknowledgement, after which the task publishes anew.
            None => *self.state.borrow(),
        }
    }

    pub(crate) fn publish(&self, state: SessionState) {
        self.state.send_if_modified(|current| {
            let changed = *current != state;
            *current = state;
            changed
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<SessionState> {
        self.state.subscribe()
    }
}
