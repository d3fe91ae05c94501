//! The machine: the whole replicated state, and `apply`, which is the only thing that changes it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::command::{Command, Context, SessionKey, Timer};
use crate::event::{Event, Note, TimerSet};
use crate::ids::{Generation, Revision, Secret, SessionId, Version};
use crate::name::Name;
use crate::object::{Object, Pressure};
use crate::outcome::{Outcome, Refusal};
use crate::query::Counts;
use crate::record::Quiet;
use crate::session::Session;
use crate::shard::Sharded;

/// The state. A clone shares everything until either of the two is written to.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) revision: Revision,
    /// The last number drawn: session ids, tokens and generations come from it alone.
    pub(crate) counter: u64,
    pub(crate) last_stamp_ms: u64,
    /// Of a cluster that began with an older one's state, for a while; nobody holds anything then. None: grants are made.
    pub(crate) quiet: Option<Quiet>,
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
    pub(crate) counter_before: u64,
    /// Objects whose holders or queue changed, with the pressure before.
    pub(crate) touched: BTreeMap<Name, Pressure>,
    /// Those of them where somebody might have to be granted.
    pub(crate) unsettled: BTreeSet<Name>,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(context: &'a Context, events: &'a mut Vec<Event>, machine: &Machine) -> Self {
        Self {
            context,
            events,
            revision: machine.revision,
            counter_before: machine.counter,
            touched: BTreeMap::new(),
            unsettled: BTreeSet::new(),
        }
    }

    /// Call before the object changes, so that what changed for its holders is known in the end.
    pub(crate) fn touch(&mut self, name: &Name, object: &Object) {
        if self.unsettled.insert(name.clone()) && !self.touched.contains_key(name) {
            self.touched.insert(name.clone(), object.pressure());
        }
    }

    pub(crate) fn timer(&mut self, timer: Timer, generation: Generation, after_ms: u64) {
        self.events.push(Event::TimerSet(TimerSet { timer, generation, after_ms }));
    }

    pub(crate) fn note(&mut self, name: &Name, note: Note) {
        self.events.push(Event::Noted { name: name.clone(), note });
    }
}

/// Draws the version of an object.
pub(crate) fn draw_version(counter: &mut u64) -> Version {
    Version(draw(counter))
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
            quiet: None,
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
        let mut entry = Entry::new(context, events, self);
        let answer = self.dispatch(&mut entry, command);
        debug_assert!(
            entry.touched.is_empty() && entry.unsettled.is_empty(),
            "an object was touched and not settled"
        );
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
            Command::Resize { name, limit, version, by: _ } => {
                self.resize(entry, &name, limit, version)
            }
            Command::Transfer { name, term, to, by } => self.transfer(entry, &name, term, to, by),
            Command::Delete { name, by: _ } => self.delete(entry, &name),
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

    /// An object with these counts of its own; whoever adds it has checked that there is room.
    pub(crate) fn add_object(&mut self, name: Name, object: Object) {
        self.counts.value_bytes += object.state.value_bytes();
        let before = self.objects.insert(name, Arc::new(object));
        assert!(before.is_none(), "an object was there before");
        self.counts.objects += 1;
    }

    pub(crate) fn remove_object(&mut self, name: &Name) {
        let object = self.objects.remove(name).expect("the object was looked up in this entry");
        assert!(object.is_deserted(), "somebody holds it or waits for it");
        self.counts.value_bytes -= object.state.value_bytes();
        self.counts.objects -= 1;
    }
}
