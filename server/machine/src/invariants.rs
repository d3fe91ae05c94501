//! What must hold of every state that a log leads to, as order relations. Tests ask after each step, and a restore asks
//! before it believes; so nothing here may panic, whatever the state is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::demand::{Campaign, Demand, Items, Mode};
use crate::ids::{Generation, Seq, SessionId, Token};
use crate::limits::{
    COUNT_KEYS_MAX, ENDS_MAX, ITEMS_MAX, LOCK_DELAY_MS_MAX, LOSSES_MAX, MAX_HOLD_MS_MAX,
    PREEMPT_MS_MAX, PROPOSAL_BYTES_MAX, QUIET_MS_MAX, RETENTION_MS_MAX, RETENTION_MS_MIN,
    TTL_MS_MAX, TTL_MS_MIN, VALUE_BYTES_MAX, WINDOW_MAX,
};
use crate::machine::Machine;
use crate::name::Name;
use crate::object::Object;
use crate::outcome::HoldState;
use crate::query::Counts;
use crate::queue::{Place, Waiting};
use crate::record::{HoldRecord, Quiet, Recorded, WaiterRecord};
use crate::session::Session;
use crate::state::State;

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
        self.check_quiet()?;
        for (id, session) in self.sessions.iter() {
            ensure!(*id == session.id, "session {} is kept as {id}", session.id);
            self.check_session(session).map_err(|what| format!("session {id}: {what}"))?;
        }
        for (secret, id) in self.secrets.iter() {
            let known = self.live(*id).is_some_and(|session| session.secret == *secret);
            ensure!(known, "a secret leads to session {id}, which is not live or has another");
        }
        for (name, object) in self.objects.iter() {
            self.check_object(name, object).map_err(|what| format!("object {name}: {what}"))?;
        }
        Ok(())
    }

    /// Recounts everything that is counted along. With as many holds (waits) in sessions as in objects, and each of a
    /// session found in its object, each of an object is known to its session too.
    fn check_counts(&self) -> Verdict {
        let (mut holds, mut held_items, mut waits, mut waited_items, mut live) = (0, 0, 0, 0, 0);
        for (_, session) in self.sessions.iter() {
            holds += session.holds.len() as u64;
            held_items += session.holds.values().map(|hold| hold.items.count()).sum::<usize>();
            waits += session.waits.len() as u64;
            waited_items += session.waits.values().map(|wait| wait.items.count()).sum::<usize>();
            live += u64::from(!session.ended);
        }
        let found = Counts {
            revision: self.revision.0,
            sessions: live,
            objects: self.objects.len(),
            holds,
            waiters: waits,
            value_bytes: self.objects.iter().map(|(_, object)| object.state.value_bytes()).sum(),
        };
        ensure!(found == self.counts(), "counted {found:?}, kept {:?}", self.counts());
        let (mut holders, mut waiters, mut bound) = (0, 0, 0);
        for (_, object) in self.objects.iter() {
            holders += object.holders().len();
            waiters += object.waiters() as usize;
            bound += usize::from(
                matches!(&object.state, State::Register(register) if register.bound_to.is_some()),
            );
        }
        ensure!(held_items == holders, "sessions hold {held_items} items, objects {holders}");
        ensure!(waited_items == waiters, "sessions want {waited_items} items, objects {waiters}");
        let known: usize = self.sessions.iter().map(|(_, session)| session.bound.len()).sum();
        ensure!(bound == known, "{bound} registers are bound, sessions know {known}");
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
        for hold in self.sessions.iter().flat_map(|(_, session)| session.holds.values()) {
            drawn.push(hold.token.0);
            drawn.extend(hold.timer.map(|Generation(number)| number));
            drawn.extend(hold.preempt.map(|Generation(number)| number));
        }
        for (_, object) in self.objects.iter() {
            drawn.extend(object.state.drawn());
        }
        drawn.extend(self.quiet.map(|quiet| quiet.generation.0));
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

    fn check_quiet(&self) -> Verdict {
        let Some(Quiet { after_ms, .. }) = self.quiet else { return Ok(()) };
        ensure!((1..=QUIET_MS_MAX).contains(&after_ms), "a quiet time of {after_ms} ms");
        ensure!(self.counts.holds == 0, "{} holds in the quiet time", self.counts.holds);
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
            let answers = session.window.len() + session.window.ends().len();
            ensure!(answers == 0, "it ended and has a window");
            ensure!(session.losses.is_empty(), "it ended and has losses");
            ensure!(session.bound.is_empty(), "it ended and has registers");
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
        for (token, hold) in &session.holds {
            ensure!(*token == hold.token, "hold {} is kept as {token}", hold.token);
            ensure!(hold.session == session.id, "hold {token} belongs to {}", hold.session);
            let by_seq = session.granted.get(&hold.seq);
            ensure!(by_seq == Some(token), "seq {} leads to {by_seq:?}, not {token}", hold.seq);
            check_items(&hold.items, hold.campaign.as_ref())?;
            for item in hold.items.iter() {
                let object = self.objects.get(&item.name);
                let holding = object.and_then(|object| object.holders().get(token));
                let found = holding.is_some_and(|holding| {
                    holding.session == session.id && holding.demand == item.demand
                });
                ensure!(found, "hold {token} is not among the holders of {}", item.name);
            }
            self.check_hold(session, hold).map_err(|what| format!("hold {token}: {what}"))?;
            unadopted += u32::from(hold.unadopted);
        }
        ensure!(session.granted.len() == session.holds.len(), "a seq without its hold");
        ensure!(session.unadopted == unadopted, "{unadopted} unadopted holds");
        ensure!(session.adoption.is_some() == (unadopted > 0), "the adoption timer");
        for name in &session.bound {
            let bound = self.objects.get(name).is_some_and(|object| {
                matches!(&object.state, State::Register(register) if register.bound_to == Some(session.id))
            });
            ensure!(bound, "register {name} is not bound to it");
        }
        Ok(())
    }

    fn check_waits_of(&self, session: &Session) -> Verdict {
        for (seq, waiter) in &session.waits {
            ensure!(waiter.session == session.id, "wait {seq} belongs to {}", waiter.session);
            ensure!(waiter.seq == *seq, "wait {seq} stands as {}", waiter.seq);
            ensure!(!session.granted.contains_key(seq), "seq {seq} waits and holds");
            check_items(&waiter.items, waiter.campaign.as_ref())?;
            let place = Place::of(waiter);
            for item in waiter.items.iter() {
                let Some(object) = self.objects.get(&item.name) else {
                    return Err(format!("wait {seq} is in no queue"));
                };
                let line = if waiter.is_in_line() { &object.queue } else { &object.aside };
                let found = line.get(place);
                let expected = Waiting::of(waiter, item.demand);
                ensure!(found == Some(&expected), "wait {seq} stands as {found:?}");
            }
            self.check_waiter(session, waiter)?;
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
            ensure!(*seq <= seen || window.is_recorded(*seq), "seq {seq} was not recorded");
        }
        self.check_ends(session)
    }

    fn check_ends(&self, session: &Session) -> Verdict {
        let window = &session.window;
        ensure!(window.ends().len() <= ENDS_MAX, "{} ends of waits", window.ends().len());
        let highest = window.seen_through().max(window.seq_max());
        for (seq, end) in window.ends() {
            ensure!(seq <= highest, "the wait {seq} that ended is above {highest}");
            let goes_on = session.waits.contains_key(&seq) || session.granted.contains_key(&seq);
            ensure!(!goes_on, "the wait {seq} ended and goes on");
            let ended = matches!(
                end.answer,
                Recorded::Passed(_) | Recorded::TimedOut { .. } | Recorded::Refused(_)
            );
            ensure!(ended, "the wait {seq} ended with {:?}", end.answer);
            ensure!(end.fingerprint.is_some(), "the wait {seq} had no body");
            let said = window.iter().find(|(of, _)| *of == seq);
            ensure!(said.is_none_or(|(_, said)| said == end), "the wait {seq} ended twice");
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

    fn check_object(&self, name: &Name, object: &Object) -> Verdict {
        ensure!(!object.is_idle(), "it is idle and did not vanish");
        let mut holders = object.holders().values();
        ensure!(holders.all(|h| h.demand.kind() == object.kind()), "a hold of another kind");
        check_beside(object)?;
        object.queue.check()?;
        object.aside.check()?;
        for (_, waiting) in object.queue.iter().chain(object.aside.iter()) {
            ensure!(waiting.demand.kind() == object.kind(), "a waiter of another kind");
        }
        let elects = matches!(object.state, State::Election { .. });
        ensure!(elects || object.aside.is_empty(), "somebody stands aside");
        self.check_state(object)?;
        ensure!(!self.somebody_could_go(name), "somebody waits who could go");
        let statistics = &object.statistics;
        let ended = statistics.releases.wrapping_add(statistics.losses);
        let grants = ended.wrapping_add(object.holders().len() as u64);
        ensure!(statistics.grants == grants, "{} grants, not {grants}", statistics.grants);
        ensure!(object.queue.len() <= statistics.queue_len_max, "the longest queue");
        Ok(())
    }

    fn check_state(&self, object: &Object) -> Verdict {
        match &object.state {
            State::Semaphore(semaphore) => {
                ensure!(semaphore.declared > 0, "a semaphore declared as zero");
                let same = semaphore.declared == semaphore.limit;
                ensure!(same || semaphore.resized, "a limit that nobody set");
            }
            State::Election { successor: Some((id, seq)) } => {
                ensure!(self.waits_in(object, *id, *seq), "a successor who does not wait");
            }
            State::Once { attempts, done: Some(done) } => {
                ensure!(*attempts == 0 && object.is_deserted(), "done and still wanted");
                let kept = RETENTION_MS_MIN..=RETENTION_MS_MAX;
                ensure!(kept.contains(&done.retention_ms), "kept for {} ms", done.retention_ms);
                ensure!(done.value.len() <= VALUE_BYTES_MAX, "{} bytes", done.value.len());
            }
            State::Latch(latch) => {
                ensure!(latch.count > 0, "a latch of nothing");
                ensure!(latch.remaining <= latch.count, "{} of {}", latch.remaining, latch.count);
                ensure!(latch.keys.len() <= COUNT_KEYS_MAX, "{} keys", latch.keys.len());
            }
            State::Barrier { parties, .. } => {
                ensure!(object.queue.len() < *parties, "all {parties} have arrived");
            }
            State::Register(register) => {
                ensure!(register.value.len() <= VALUE_BYTES_MAX, "{} bytes", register.value.len());
                if let Some(id) = register.bound_to {
                    ensure!(self.live(id).is_some(), "bound to session {id}, which ended");
                }
            }
            State::Mutex
            | State::RwLock
            | State::Election { successor: None }
            | State::Once { done: None, .. }
            | State::Gate { .. }
            | State::Counter { .. } => {}
        }
        Ok(())
    }

    fn waits_in(&self, object: &Object, id: SessionId, seq: Seq) -> bool {
        let wait = self.live(id).and_then(|session| session.waits.get(&seq));
        wait.is_some_and(|wait| object.queue.get(Place::of(wait)).is_some())
    }

    fn check_hold(&self, session: &Session, hold: &HoldRecord) -> Verdict {
        ensure!(hold.max_hold_ms <= MAX_HOLD_MS_MAX, "max-hold {} ms", hold.max_hold_ms);
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
        let object = self.objects.get(&hold.items.first().name);
        let highest = object.and_then(|object| object.queue.first().map(|(_, w)| w.priority));
        let gives_way = hold.state == HoldState::Held
            && hold.campaign.as_ref().is_some_and(|campaign| campaign.preempt_after_ms.is_some())
            && highest.is_some_and(|highest| highest > hold.priority);
        ensure!(hold.preempt.is_some() == gives_way, "its timer to give way");
        Ok(())
    }

    fn check_waiter(&self, session: &Session, waiter: &WaiterRecord) -> Verdict {
        let seq = waiter.seq;
        ensure!(waiter.arrival <= self.revision.0, "waiter {seq} of the future");
        ensure!(waiter.max_hold_ms <= MAX_HOLD_MS_MAX, "waiter {seq} with its max-hold");
        if let Some(token) = waiter.upgrades {
            let writes =
                waiter.items.single().map(|item| item.demand) == Some(Demand::RwLock(Mode::Write));
            ensure!(writes, "an upgrade to something else");
            let from = session.holds.get(&token).map(|hold| (hold.state, &hold.items));
            let same = from.is_some_and(|(state, items)| {
                state == HoldState::Held
                    && items.single().is_some_and(|item| {
                        item.name == waiter.items.first().name
                            && item.demand == Demand::RwLock(Mode::Upgradable)
                    })
            });
            ensure!(same, "waiter {seq} upgrades {token}, which is not to be upgraded");
        }
        Ok(())
    }
}

/// Who holds at one time may do so.
fn check_beside(object: &Object) -> Verdict {
    let (mut alone, mut upgradables, mut readers) = (0, 0, 0);
    for holding in object.holders().values() {
        match holding.demand {
            Demand::Mutex | Demand::Lead | Demand::Run { .. } => alone += 1,
            Demand::RwLock(Mode::Write) => alone += 1,
            Demand::RwLock(Mode::Upgradable) => upgradables += 1,
            Demand::RwLock(Mode::Read) => readers += 1,
            Demand::Permits { weight, .. } => ensure!(weight > 0, "a hold of no permit"),
            Demand::Latch | Demand::Gate | Demand::Arrive { .. } => {
                return Err(String::from("a hold of what cannot be held"));
            }
        }
    }
    ensure!(alone <= 1, "{alone} hold alone");
    ensure!(alone == 0 || upgradables + readers == 0, "readers beside a writer");
    ensure!(upgradables <= 1, "{upgradables} upgradables");
    Ok(())
}

fn check_items(items: &Items, campaign: Option<&Campaign>) -> Verdict {
    let several = items.single().is_none();
    ensure!(items.count() <= ITEMS_MAX, "{} items", items.count());
    let fit = items.iter().all(|item| !several || item.demand.goes_with_others());
    ensure!(fit, "a demand that goes with no other");
    ensure!(items.iter().all(|item| !item.demand.is_zero()), "a demand for nothing");
    ensure!((items.first().demand == Demand::Lead) == campaign.is_some(), "its campaign");
    if let Some(campaign) = campaign {
        ensure!(campaign.value.len() <= PROPOSAL_BYTES_MAX, "a long proposal");
        ensure!(campaign.preempt_after_ms.is_none_or(|ms| ms <= PREEMPT_MS_MAX), "gives way late");
    }
    Ok(())
}
