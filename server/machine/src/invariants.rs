//! What must hold of every state that a log leads to, as order relations. Tests ask after each step, and a restore asks
//! before it believes; so nothing here may panic, whatever the state is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::ids::{Generation, Token};
use crate::limits::{
    LOCK_DELAY_MS_MAX, LOSSES_MAX, MAX_HOLD_MS_MAX, TTL_MS_MAX, TTL_MS_MIN, WINDOW_MAX,
};
use crate::machine::Machine;
use crate::object::Object;
use crate::outcome::HoldState;
use crate::query::Counts;
use crate::record::{HoldRecord, Recorded, WaiterRecord};
use crate::session::Session;

/// Fails with a sentence unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err(format!($($sentence)+));
        }
    };
}

type Verdict = Result<(), String>;

impl Machine {
    /// Checks the whole state; the error is a sentence for a person.
    pub fn check_invariants(&self) -> Result<(), String> {
        ensure!(self.counter < u64::MAX / 2, "the counter is at {}", self.counter);
        ensure!(self.revision.0 < u64::MAX / 2, "the revision is at {}", self.revision);
        self.check_counts()?;
        self.check_numbers()?;
        for (id, session) in self.sessions.iter() {
            ensure!(*id == session.id, "session {} is kept as {id}", session.id);
            self.check_session(session).map_err(|what| format!("session {id}: {what}"))?;
        }
        for (secret, id) in self.secrets.iter() {
            let known = self.live(*id).is_some_and(|session| session.secret == *secret);
            ensure!(known, "a secret leads to session {id}, which is not live or has another");
        }
        for (name, object) in self.objects.iter() {
            self.check_object(object).map_err(|what| format!("object {name}: {what}"))?;
        }
        Ok(())
    }

    /// Recounts everything that is counted along. With as many holds (waits) in sessions as in objects, and each of a
    /// session found in its object, each of an object is known to its session too.
    fn check_counts(&self) -> Verdict {
        let (mut holds, mut waits, mut live) = (0, 0, 0);
        for (_, session) in self.sessions.iter() {
            holds += session.holds.len() as u64;
            waits += session.waits.len() as u64;
            live += u64::from(!session.ended);
        }
        let found = Counts {
            revision: self.revision.0,
            sessions: live,
            objects: self.objects.len(),
            holds: self.objects.iter().map(|(_, object)| object.holders.len() as u64).sum(),
            waiters: self.objects.iter().map(|(_, object)| u64::from(object.queue.len())).sum(),
        };
        ensure!(found == self.counts(), "counted {found:?}, kept {:?}", self.counts());
        ensure!(holds == found.holds, "sessions know {holds} holds, objects {}", found.holds);
        ensure!(waits == found.waiters, "sessions know {waits} waits, objects {}", found.waiters);
        ensure!(self.secrets.len() == live, "{} secrets, {live} sessions", self.secrets.len());
        Ok(())
    }

    /// Everything drawn from the counter is at most the counter, and no two are the same.
    fn check_numbers(&self) -> Verdict {
        let mut drawn: Vec<u64> = Vec::new();
        for (id, session) in self.sessions.iter() {
            drawn.extend([id.0, session.generation.0]);
            drawn.extend(session.adoption.map(|Generation(number)| number));
        }
        for hold in self.objects.iter().flat_map(|(_, object)| object.holders.values()) {
            drawn.push(hold.token.0);
            drawn.extend(hold.timer.map(|Generation(number)| number));
        }
        drawn.sort_unstable();
        if let Some(last) = drawn.last() {
            ensure!(*last <= self.counter, "{last} was drawn, the counter is {}", self.counter);
        }
        ensure!(drawn.first() != Some(&0), "zero was drawn");
        for pair in drawn.windows(2) {
            ensure!(pair[0] < pair[1], "{} was drawn twice", pair[0]);
        }
        Ok(())
    }

    fn check_session(&self, session: &Session) -> Verdict {
        let (ttl_ms, delay_ms) = (session.ttl_ms, session.lock_delay_ms);
        ensure!((TTL_MS_MIN..=TTL_MS_MAX).contains(&ttl_ms), "a TTL of {ttl_ms} ms");
        ensure!(delay_ms <= LOCK_DELAY_MS_MAX, "a lock-delay of {delay_ms} ms");
        let epoch = session.epoch.0;
        ensure!(epoch >= 1 && epoch <= self.revision.0, "epoch {epoch}");
        ensure!((epoch > 1) == session.nonce.is_some(), "epoch {epoch} and its nonce");
        if session.ended {
            ensure!(!session.holds.is_empty(), "it ended and holds nothing");
            ensure!(session.waits.is_empty(), "it ended and waits");
            ensure!(session.window.len() == 0, "it ended and has a window");
            ensure!(session.losses.is_empty(), "it ended and has losses");
        } else {
            let index = self.secrets.get(&session.secret);
            ensure!(index == Some(&session.id), "its secret leads to {index:?}");
        }
        self.check_holds_of(session)?;
        self.check_waits_of(session)?;
        self.check_window(session)?;
        self.check_losses(session)
    }

    fn check_holds_of(&self, session: &Session) -> Verdict {
        let mut unadopted = 0;
        for (token, at) in &session.holds {
            let hold = self.objects.get(&at.name).and_then(|object| object.holders.get(token));
            let Some(hold) = hold else { return Err(format!("hold {token} is in no object")) };
            ensure!(hold.session == session.id, "hold {token} belongs to {}", hold.session);
            ensure!(hold.seq == at.seq, "hold {token} answers seq {}, not {}", hold.seq, at.seq);
            let by_seq = session.granted.get(&at.seq);
            ensure!(by_seq == Some(token), "seq {} leads to {by_seq:?}, not {token}", at.seq);
            unadopted += u32::from(hold.unadopted);
        }
        ensure!(session.granted.len() == session.holds.len(), "a seq without its hold");
        ensure!(session.unadopted == unadopted, "{unadopted} unadopted holds");
        ensure!(session.adoption.is_some() == (unadopted > 0), "the adoption timer");
        Ok(())
    }

    fn check_waits_of(&self, session: &Session) -> Verdict {
        for (seq, at) in &session.waits {
            let waiter = self.objects.get(&at.name).and_then(|object| object.queue.get(at.place));
            let Some(waiter) = waiter else { return Err(format!("wait {seq} is in no queue")) };
            ensure!(waiter.session == session.id, "wait {seq} belongs to {}", waiter.session);
            ensure!(waiter.seq == *seq, "wait {seq} stands as {}", waiter.seq);
            ensure!(!session.granted.contains_key(seq), "seq {seq} waits and holds");
        }
        Ok(())
    }

    fn check_window(&self, session: &Session) -> Verdict {
        let window = &session.window;
        let (seen, highest) = (window.seen_through(), window.seq_max());
        ensure!(seen.0.max(highest.0) < u64::MAX, "no seq is left");
        ensure!(window.len() <= WINDOW_MAX, "{} answers in the window", window.len());
        for (seq, entry) in window.iter() {
            ensure!(seen < seq && seq <= highest, "seq {seq} in the window {seen}..{highest}");
            let waits = session.waits.contains_key(&seq);
            ensure!((entry.answer == Recorded::Queued) == waits, "seq {seq} and its wait");
            let held = session.granted.get(&seq);
            let granted =
                if let Recorded::Granted { token } = entry.answer { Some(token) } else { None };
            ensure!(held.is_none() || held == granted.as_ref(), "seq {seq} and its hold");
            ensure!(granted <= Some(Token(self.counter)), "seq {seq}: a token of the future");
            ensure!(
                entry.fingerprint.is_some() || entry.answer == Recorded::Cancelled,
                "seq {seq} has an answer but no body"
            );
        }
        if session.ended {
            return Ok(());
        }
        for seq in session.waits.keys().chain(session.granted.keys()) {
            ensure!(*seq <= highest, "seq {seq} is above {highest}");
            ensure!(*seq <= seen || window.get(*seq).is_some(), "seq {seq} was not recorded");
        }
        Ok(())
    }

    fn check_losses(&self, session: &Session) -> Verdict {
        ensure!(session.losses.len() <= LOSSES_MAX, "{} losses", session.losses.len());
        ensure!(session.losses_counted <= self.counter, "losses of the future");
        let mut before = 0;
        for loss in &session.losses {
            ensure!(before < loss.number.0, "loss {} after {before}", loss.number);
            ensure!(loss.token.0 <= self.counter, "loss of a token of the future");
            ensure!(loss.revision <= self.revision, "loss at a revision of the future");
            before = loss.number.0;
        }
        ensure!(before <= session.losses_counted, "loss {before} was never counted");
        Ok(())
    }

    fn check_object(&self, object: &Object) -> Verdict {
        ensure!(!object.is_idle(), "it is idle and did not vanish");
        for (token, hold) in &object.holders {
            ensure!(*token == hold.token, "hold {} is kept as {token}", hold.token);
            ensure!(hold.demand.kind() == object.kind, "hold {token} is of another kind");
            self.check_hold(hold).map_err(|what| format!("hold {token}: {what}"))?;
            let later = object.holders.range(*token..).skip(1);
            for (other, beside) in later {
                let fits = hold.demand.stands_beside(beside.demand);
                ensure!(fits, "{token} and {other} hold at one time");
            }
        }
        object.queue.check()?;
        for waiter in object.queue.iter() {
            ensure!(waiter.demand.kind() == object.kind, "a waiter of another kind");
            self.check_waiter(waiter)?;
        }
        ensure!(object.next_to_grant().is_none(), "somebody waits who could hold");
        let statistics = &object.statistics;
        let ended = statistics.releases.wrapping_add(statistics.losses);
        let grants = ended.wrapping_add(object.holders.len() as u64);
        ensure!(statistics.grants == grants, "{} grants, not {grants}", statistics.grants);
        ensure!(object.queue.len() <= statistics.queue_len_max, "the longest queue");
        Ok(())
    }

    fn check_hold(&self, hold: &HoldRecord) -> Verdict {
        ensure!(hold.max_hold_ms <= MAX_HOLD_MS_MAX, "max-hold {} ms", hold.max_hold_ms);
        let Some(session) = self.sessions.get(&hold.session) else {
            return Err(format!("its session {} is gone", hold.session));
        };
        let timed = hold.timer.is_some();
        match hold.state {
            HoldState::Held => {
                ensure!(!session.ended, "held by a session that ended");
                ensure!(timed == (hold.max_hold_ms > 0), "its timer does not match its max-hold");
            }
            HoldState::Cooling => {
                ensure!(session.ended, "cooling while its session lives");
                ensure!(session.lock_delay_ms > 0, "cooling without a lock-delay");
                ensure!(timed, "cooling for ever");
            }
            HoldState::Revoked => ensure!(timed, "revoked for ever"),
        }
        let adoptable = session.nonce.is_some() && hold.state == HoldState::Held;
        ensure!(!hold.unadopted || adoptable, "unadopted but not to be adopted");
        Ok(())
    }

    fn check_waiter(&self, waiter: &WaiterRecord) -> Verdict {
        let seq = waiter.seq;
        let live = self.live(waiter.session).is_some();
        ensure!(live, "waiter {seq} of session {}, which ended", waiter.session);
        ensure!(waiter.arrival <= self.revision.0, "waiter {seq} of the future");
        ensure!(waiter.max_hold_ms <= MAX_HOLD_MS_MAX, "waiter {seq} with its max-hold");
        Ok(())
    }
}
