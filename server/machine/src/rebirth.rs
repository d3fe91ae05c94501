//! A new cluster from the state of an old one: what a restored backup and a forced recovery begin with.
//!
//! Nobody of the old cluster is there any more to be heard, so all that anybody held is over, and whoever still believes
//! that it holds gets time to stop: no grant is made before the quiet time is over. What nobody held stays as it was.

use alloc::vec::Vec;

use crate::command::{Context, Timer};
use crate::event::TimerSet;
use crate::hold::End;
use crate::ids::{Generation, SessionId, Term, Token};
use crate::limits::RESTORE_COUNTER_GAP;
use crate::machine::{Entry, Machine, draw};
use crate::outcome::SessionEnd;
use crate::record::Quiet;

impl Machine {
    /// The state that a new cluster begins with: all sessions and holds ended, the counter raised by `RESTORE_COUNTER_GAP`,
    /// and no grant before `quiet_ms` are over (zero: at once). No command: it happens before the first entry of a log.
    #[must_use]
    pub fn reborn(mut self, quiet_ms: u64) -> Self {
        self.counter += RESTORE_COUNTER_GAP;
        let generation = Generation(draw(&mut self.counter));
        self.quiet = (quiet_ms > 0).then_some(Quiet { generation, after_ms: quiet_ms });
        let context = Context { term: Term(0), stamp_ms: self.last_stamp_ms };
        let mut events = Vec::new();
        let mut entry = Entry::new(&context, &mut events, &self);
        let sessions: Vec<SessionId> = self.sessions.sorted().map(|(id, _)| *id).collect();
        for id in sessions {
            let session = self.sessions.get(&id).expect("only its own end removes it");
            let holds: Vec<Token> = session.holds.keys().copied().collect();
            for token in holds {
                self.end_hold(&mut entry, id, token, End::Lost);
            }
            // One that had ended before went with its last hold.
            if self.live(id).is_some() {
                self.end_session(&mut entry, id, SessionEnd::Expired);
            }
            // Nobody is there to be told.
            entry.events.clear();
        }
        self.settle(&mut entry);
        self
    }

    /// For how long somebody may still believe that it holds: 1.1 of its TTL and its lock-delay, of all sessions the longest.
    #[must_use]
    pub fn belief_ms(&self) -> u64 {
        let sessions = self.sessions.iter();
        sessions.map(|(_, session)| session.revoked_ends_after_ms()).max().unwrap_or(0)
    }

    /// How long the leader's clock must have run before anything is granted; none: grants are made.
    #[must_use]
    pub fn quiet(&self) -> Option<TimerSet> {
        let Quiet { generation, after_ms } = self.quiet?;
        Some(TimerSet { timer: Timer::Quiet, generation, after_ms })
    }

    /// The quiet time is over: whoever waited through it is served, in the order of every other entry.
    pub(crate) fn end_quiet(&mut self, entry: &mut Entry<'_>) {
        self.quiet = None;
        for (name, object) in self.objects.iter() {
            if !object.queue.is_empty() {
                entry.touch(name, object);
            }
        }
    }
}
