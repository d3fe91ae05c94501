//! A second life: what is left of an old cluster when its backup is restored, and the quiet time before anybody holds again.

use conclave_machine::{
    Generation, SessionEnd, SessionId, Timer, TimerSet, Token, limits::RESTORE_COUNTER_GAP,
};

use crate::model::{Model, and_a_tenth};

impl Model {
    /// Everybody is gone, and so is what they held; what belonged to nobody stays. Zero: grants are made at once.
    pub fn be_reborn(&mut self, quiet_ms: u64) {
        self.counter += RESTORE_COUNTER_GAP;
        let generation = Generation(self.draw());
        let timer = TimerSet { timer: Timer::Quiet, generation, after_ms: quiet_ms };
        self.quiet = (quiet_ms > 0).then_some(timer);
        let tokens: Vec<Token> = self.holds.iter().map(|hold| hold.token).collect();
        for token in tokens {
            self.end_hold(token);
        }
        let living = self.sessions.iter().filter(|session| !session.ended);
        let living: Vec<SessionId> = living.map(|session| session.id).collect();
        for session in living {
            self.end_session(session, &SessionEnd::Expired);
        }
        self.touched.clear();
        self.events.clear();
        self.forget_what_is_idle();
    }

    /// How long the most patient client may go on believing.
    #[must_use]
    pub fn belief_ms(&self) -> u64 {
        let sessions = self.sessions.iter();
        let belief = sessions.map(|session| and_a_tenth(session.ttl_ms) + session.lock_delay_ms);
        belief.max().unwrap_or(0)
    }

    /// Whoever waited is looked at now.
    pub(crate) fn quiet_over(&mut self) {
        self.quiet = None;
        self.touched.extend(self.objects.iter().map(|object| object.name.clone()));
    }
}
