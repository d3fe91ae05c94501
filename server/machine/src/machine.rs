//! The machine: the whole replicated state, and `apply`, which is the only thing that changes it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::command::{Command, Context, SessionKey, Timer};
use crate::event::{Event, TimerSet};
use crate::ids::{Generation, Revision, Secret, SessionId, Token};
use crate::name::Name;
use crate::object::{Object, Pressure};
use crate::outcome::{HoldState, Outcome, Refusal};
use crate::query::Counts;
use crate::record::{HoldRecord, Recorded, WaiterRecord};
use crate::session::Session;
use crate::shard::Sharded;

/// The state. A clone shares everything until either of the two is written to.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) revision: Revision,
    /// The last number drawn: session ids, tokens and generations come from it alone.
    pub(crate) counter: u64,
    pub(crate) last_stamp_ms: u64,
    /// Ended ones included, as long as holds of them remain.
    pub(crate) sessions: Sharded<SessionId, Arc<Session>>,
    /// Live sessions by secret.
    pub(crate) secrets: Sharded<Secret, SessionId>,
    pub(crate) objects: Sharded<Name, Arc<Object>>,
    /// Counted along; its revision is filled in when asked for.
    pub(crate) counts: Counts,
}

/// One command being applied: what it sees and what it leaves behind.
pub(crate) struct Entry<'a> {
    pub(crate) context: &'a Context,
    pub(crate) events: &'a mut Vec<Event>,
    pub(crate) revision: Revision,
    /// Tokens above this were drawn by this entry.
    counter_before: u64,
    /// Objects whose holders or queue changed, with the pressure that their holders last heard of.
    touched: Vec<(Name, Pressure)>,
}

impl Entry<'_> {
    /// Call before the object changes, so that what changed for its holders is known in the end.
    pub(crate) fn touch(&mut self, name: &Name, object: &Object) {
        if self.touched.last().is_none_or(|(last, _)| last != name) {
            self.touched.push((name.clone(), object.pressure()));
        }
    }

    pub(crate) fn timer(&mut self, timer: Timer, generation: Generation, after_ms: u64) {
        self.events.push(Event::TimerSet(TimerSet { timer, generation, after_ms }));
    }
}

/// Draws the next number. 2^64 of them are not used up by any log.
pub(crate) fn draw(counter: &mut u64) -> u64 {
    *counter = counter.checked_add(1).expect("fewer than 2^64 numbers");
    *counter
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// The state before the first command.
    #[must_use]
    pub fn new() -> Self {
        Self {
            revision: Revision(0),
            counter: 0,
            last_stamp_ms: 0,
            sessions: Sharded::new(),
            secrets: Sharded::new(),
            objects: Sharded::new(),
            counts: Counts::default(),
        }
    }

    /// Applies one command; the revision rises by one, whatever the outcome. Events are pushed in order (n = 1, 2, ...);
    /// the outcome is n = 0.
    pub fn apply(
        &mut self,
        context: &Context,
        command: Command,
        events: &mut Vec<Event>,
    ) -> (Revision, Outcome) {
        self.revision = Revision(self.revision.0 + 1);
        self.last_stamp_ms = context.stamp_ms;
        let mut entry = Entry {
            context,
            events,
            revision: self.revision,
            counter_before: self.counter,
            touched: Vec::new(),
        };
        let answer = self.dispatch(&mut entry, command);
        debug_assert!(entry.touched.is_empty(), "an object was touched and not settled");
        (self.revision, answer.unwrap_or_else(Outcome::Refused))
    }

    fn dispatch(&mut self, entry: &mut Entry<'_>, command: Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Open(open) => self.open(entry, open),
            Command::Attach(attach) => self.attach(entry, attach),
            Command::Resume(resume) => self.resume(entry, &resume),
            Command::Close { key } => self.close(entry, &key),
            Command::Call(call) => self.call(entry, call),
            Command::Cancel { key, seq } => self.cancel(entry, &key, seq),
            Command::TimeOut { session, seq } => self.time_out(entry, session, seq),
            Command::AckStopped { session, secret, token } => {
                self.ack_stopped(entry, session, secret, token)
            }
            Command::ConfirmLosses { session, through } => self.confirm_losses(session, through),
            Command::Due(due) => self.due(entry, &due),
            Command::Kill { session, by, reason } => self.kill(entry, session, by, reason),
            Command::ForceRelease { name, token, now, by } => {
                self.force_release(entry, &name, token, now, by)
            }
        }
    }

    /// Is this the key of a live session in its present epoch?
    pub fn authenticate(&self, key: &SessionKey) -> Result<(), Refusal> {
        match self.live(key.id) {
            Some(session) if session.secret == key.secret => {
                if session.epoch == key.epoch {
                    Ok(())
                } else {
                    Err(Refusal::Fenced { epoch: session.epoch })
                }
            }
            Some(_) | None => Err(Refusal::SessionExpired),
        }
    }

    /// The session, unless it ended.
    pub(crate) fn live(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).map(|session| &**session).filter(|session| !session.ended)
    }

    /// The session for writing; the caller knows that it is there.
    pub(crate) fn session_known(&mut self, id: SessionId) -> &mut Session {
        self.sessions.edit(&id).expect("the session was looked up in this entry")
    }

    /// Grants, in each object that the entry touched and in name order, whoever can now be granted; tells the holders
    /// what changed behind them; lets idle objects vanish. Nobody waits who could hold when this is done.
    pub(crate) fn settle(&mut self, entry: &mut Entry<'_>) {
        let mut touched = core::mem::take(&mut entry.touched);
        if touched.len() > 1 {
            // Stable: of one name the first, that is the oldest, pressure stays.
            touched.sort_by(|(left, _), (right, _)| left.cmp(right));
            touched.dedup_by(|(left, _), (right, _)| left == right);
        }
        for (name, before) in touched {
            self.settle_object(entry, &name, before);
        }
    }

    fn settle_object(&mut self, entry: &mut Entry<'_>, name: &Name, before: Pressure) {
        let object = self.objects.edit(name).expect("a touched object exists until settled");
        while let Some(place) = object.next_to_grant() {
            let waiter = object.queue.remove(place).expect("the place was just found");
            let session = self.sessions.edit(&waiter.session).expect("a waiter's session is alive");
            session.waits.remove(&waiter.seq);
            self.counts.waiters -= 1;
            let waiter = Arc::unwrap_or_clone(waiter);
            let (id, seq) = (waiter.session, waiter.seq);
            let hold = hold_of(waiter, &mut self.counter, entry.context.stamp_ms);
            let token = hold.token;
            session.window.settle(seq, Recorded::Granted { token });
            session.holds_now(name.clone(), seq, token);
            self.counts.holds += 1;
            entry.events.push(Event::Granted {
                session: id,
                seq,
                name: name.clone(),
                token,
                waiting: object.queue.len(),
            });
            max_hold_timer(entry, &hold);
            object.admit(hold);
        }
        tell_holders(entry, object, before);
        if object.is_idle() {
            self.objects.remove(name);
            self.counts.objects -= 1;
        }
    }
}

/// Turns a request into the hold that it is granted: the only place where a token is drawn for an acquire.
pub(crate) fn hold_of(waiter: WaiterRecord, counter: &mut u64, stamp_ms: u64) -> HoldRecord {
    let token = Token(draw(counter));
    HoldRecord {
        token,
        session: waiter.session,
        seq: waiter.seq,
        fingerprint: waiter.fingerprint,
        demand: waiter.demand,
        state: HoldState::Held,
        unadopted: false,
        max_hold_ms: waiter.max_hold_ms,
        timer: (waiter.max_hold_ms > 0).then(|| Generation(draw(counter))),
        owner: waiter.owner,
        metadata: waiter.metadata,
        since_stamp_ms: stamp_ms,
    }
}

/// Starts the timer of a new hold that has a `max_hold`.
pub(crate) fn max_hold_timer(entry: &mut Entry<'_>, hold: &HoldRecord) {
    if let Some(generation) = hold.timer {
        entry.timer(Timer::MaxHold(hold.session, hold.token), generation, hold.max_hold_ms);
    }
}

/// Holders of longer standing hear of a change in the queue; a new one has read `waiting` in its grant, and a lost one
/// has nothing left to give up.
fn tell_holders(entry: &mut Entry<'_>, object: &Object, before: Pressure) {
    let now = object.pressure();
    if !now.differs_from(before) {
        return;
    }
    for hold in object.holders.values() {
        if hold.state == HoldState::Held && hold.token.0 <= entry.counter_before {
            entry.events.push(Event::Contended {
                session: hold.session,
                token: hold.token,
                waiting: now.waiting,
                highest_priority: now.highest_priority,
            });
        }
    }
}
