//! A session as the machine remembers it: who it is, what it was answered, what it holds and waits for.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;

use crate::ids::{Epoch, Generation, LossNumber, Nonce, Secret, Seq, SessionId, Token};
use crate::limits::HOLDS_AND_WAITS_PER_SESSION_MAX;
use crate::name::{Labels, Name};
use crate::outcome::{HoldState, Loss};
use crate::planted::planted;
use crate::record::{HoldRecord, WaiterRecord};
use crate::window::Window;

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) secret: Secret,
    pub(crate) name: Name,
    pub(crate) labels: Labels,
    pub(crate) ttl_ms: u64,
    pub(crate) lock_delay_ms: u64,
    pub(crate) opened_stamp_ms: u64,
    pub(crate) epoch: Epoch,
    pub(crate) nonce: Option<Nonce>,
    /// Of the last attach in this epoch.
    pub(crate) attach_number: u64,
    pub(crate) generation: Generation,
    pub(crate) adoption: Option<Generation>,
    /// Kept only for the secret of its last holds; invisible to everything but those.
    pub(crate) ended: bool,
    pub(crate) window: Window,
    pub(crate) waits: BTreeMap<Seq, Arc<WaiterRecord>>,
    pub(crate) holds: BTreeMap<Token, Arc<HoldRecord>>,
    /// The holds by the seq that they answer.
    pub(crate) granted: BTreeMap<Seq, Token>,
    /// How many holds are unadopted.
    pub(crate) unadopted: u32,
    /// Registers that vanish with it.
    pub(crate) bound: BTreeSet<Name>,
    /// Not confirmed yet, by number.
    pub(crate) losses: VecDeque<Loss>,
    /// The number of the last loss ever.
    pub(crate) losses_counted: u64,
}

/// What of a client's silence a session survives: 1.1 TTL, rounded up.
pub(crate) const fn ttl_and_a_tenth(ttl_ms: u64) -> u64 {
    ttl_ms + ttl_ms.div_ceil(10)
}

impl Session {
    pub(crate) fn expires_after_ms(&self) -> u64 {
        if planted("session expires early") {
            return self.ttl_ms / 2;
        }
        ttl_and_a_tenth(self.ttl_ms)
    }

    /// By then the client of a revoked hold has either heard of it or expired by itself.
    pub(crate) const fn revoked_ends_after_ms(&self) -> u64 {
        ttl_and_a_tenth(self.ttl_ms) + self.lock_delay_ms
    }

    pub(crate) fn holds_now(&mut self, hold: HoldRecord) {
        self.granted.insert(hold.seq, hold.token);
        self.unadopted += u32::from(hold.unadopted);
        self.holds.insert(hold.token, Arc::new(hold));
    }

    pub(crate) fn holds_no_more(&mut self, token: Token) -> Arc<HoldRecord> {
        let hold = self.holds.remove(&token).expect("a hold is known to its session");
        self.granted.remove(&hold.seq);
        if hold.unadopted {
            self.one_unadopted_less();
        }
        hold
    }

    pub(crate) fn hold_mut(&mut self, token: Token) -> &mut HoldRecord {
        Arc::make_mut(self.holds.get_mut(&token).expect("a hold is known to its session"))
    }

    /// A hold that its client may use: neither lost nor left over from an older epoch.
    pub(crate) fn usable(&self, token: Token) -> Option<&HoldRecord> {
        let hold = self.holds.get(&token).map(|hold| &**hold)?;
        (hold.state == HoldState::Held && !hold.unadopted).then_some(hold)
    }

    /// As many holds and waits as a session may have.
    pub(crate) fn is_full(&self) -> bool {
        self.holds.len() + self.waits.len() >= HOLDS_AND_WAITS_PER_SESSION_MAX
    }

    /// One hold less to adopt; after the last one the timer does not run any more.
    pub(crate) fn one_unadopted_less(&mut self) {
        self.unadopted -= 1;
        if self.unadopted == 0 {
            self.adoption = None;
        }
    }

    pub(crate) fn next_loss(&mut self) -> LossNumber {
        self.losses_counted += 1;
        LossNumber(self.losses_counted)
    }

    pub(crate) fn confirm_losses(&mut self, through: LossNumber) {
        while self.losses.front().is_some_and(|loss| loss.number <= through) {
            self.losses.pop_front();
        }
    }
}
