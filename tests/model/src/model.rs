//! The model's state and its one entrance. Everything lies in flat lists in the order in which it came to be.

use std::collections::BTreeSet;

use conclave_machine::{
    Command, Context, Due, Epoch, Event, Generation, HeldBy, Holder, Labels, Loss, Name, Nonce, Op,
    Outcome, Refusal, Revision, Secret, Seq, SessionId, SessionKey, Timer, TimerSet,
    limits::HOLDERS_SHOWN_MAX,
};

use crate::object::Object;
use crate::request::{Hold, Wait};

/// What one command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub revision: Revision,
    pub outcome: Outcome,
    pub events: Vec<Event>,
}

/// Cheap to reason about, dear to run.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub(crate) revision: u64,
    /// The last value drawn from the one counter.
    pub(crate) counter: u64,
    /// In order of id: ids only rise. Ended sessions stay as long as they have a hold.
    pub(crate) sessions: Vec<Session>,
    /// In order of appearance.
    pub(crate) objects: Vec<Object>,
    /// In order of token: what gets another token goes to the end.
    pub(crate) holds: Vec<Hold>,
    /// In order of arrival, of all objects.
    pub(crate) waits: Vec<Wait>,
    /// What the present command did so far.
    pub(crate) events: Vec<Event>,
    /// Tokens that the present command granted, adopted or upgraded: their holders were told of the queue with the grant.
    pub(crate) fresh: Vec<conclave_machine::Token>,
    /// Objects at which something changed and nobody looked yet who can be served now.
    pub(crate) touched: BTreeSet<Name>,
    /// The display stamp of the present command.
    pub(crate) stamp_ms: u64,
    /// Of a second life: nobody is given anything to hold before this is over.
    pub(crate) quiet: Option<TimerSet>,
}

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
    /// Of the timer that expires it.
    pub(crate) generation: Generation,
    pub(crate) ended: bool,
    /// Of the last resume.
    pub(crate) nonce: Option<Nonce>,
    /// Of the last attach in this epoch.
    pub(crate) attach_number: u64,
    /// Of the timer that revokes what was not adopted; runs while an unadopted hold exists.
    pub(crate) adoption: Option<Generation>,
    pub(crate) seen_through: Seq,
    /// The highest seq ever met.
    pub(crate) seq_max: Seq,
    /// What was answered and not yet seen, in order of answering.
    pub(crate) answers: Vec<Answer>,
    /// How the last waits ended that were granted nothing, also of seqs that were seen.
    pub(crate) last_ends: Vec<Answer>,
    pub(crate) losses: Vec<Loss>,
    /// How many losses were ever told; the next one has this number plus one.
    pub(crate) losses_told: u64,
}

impl Session {
    /// What became of a seq, if that is known still.
    pub(crate) fn answered(&self, seq: Seq) -> Option<&Answer> {
        self.answers.iter().chain(&self.last_ends).find(|answer| answer.seq == seq)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) seq: Seq,
    /// `None`: cancelled before it was seen.
    pub(crate) body: Option<Op>,
    pub(crate) outcome: Outcome,
}

impl Model {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one command.
    pub fn apply(&mut self, context: &Context, command: &Command) -> Step {
        self.revision += 1;
        self.stamp_ms = context.stamp_ms;
        self.events.clear();
        self.fresh.clear();
        let before = self.crowds();
        let mut outcome = self.decide(context, command).unwrap_or_else(Outcome::Refused);
        self.serve();
        self.tell(&before);
        if let (Outcome::Attached(standing), Command::Attach(attach)) = (&mut outcome, command) {
            // What stands afterwards, grants of this entry included.
            *standing = self.standing(attach.key.id);
        }
        self.forget_what_is_idle();
        Step {
            revision: Revision(self.revision),
            outcome,
            events: std::mem::take(&mut self.events),
        }
    }

    fn decide(&mut self, context: &Context, command: &Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Open(open) => self.open(open),
            Command::Attach(attach) => self.attach(attach),
            Command::Resume(resume) => self.resume(resume),
            Command::Close { key } => self.close(key),
            Command::Call(call) => self.call(call),
            Command::Cancel { key, seq } => self.cancel(key, *seq),
            Command::TimeOut { session, seq } => self.time_out(*session, *seq),
            Command::AckStopped { session, secret, token } => {
                self.ack_stopped(*session, *secret, *token)
            }
            Command::ConfirmLosses { session, through } => self.confirm_losses(*session, *through),
            Command::Due(due) => self.due(context, due),
            Command::Kill { session, by, reason } => self.kill(*session, by, reason),
            Command::ForceRelease { name, token, now, by } => {
                self.force_release(name, *token, *now, by)
            }
            Command::Resize { name, limit, version, by: _ } => self.resize(name, *limit, *version),
            Command::Transfer { name, term, to, by } => self.transfer(name, *term, *to, by),
            Command::Delete { name, by: _ } => self.delete(name),
        }
    }

    /// A timer is over: only if it still runs, and only if the leader that says so also wrote the entry.
    fn due(&mut self, context: &Context, due: &Due) -> Result<Outcome, Refusal> {
        if due.term != context.term || self.timer_generation(&due.timer) != Some(due.generation) {
            return Err(Refusal::Stale);
        }
        match &due.timer {
            Timer::Session(session) => self.expire(*session),
            Timer::Adoption(session) => self.adoption_over(*session),
            Timer::HoldEnd(_, token) => self.end_hold(*token),
            Timer::MaxHold(_, token) => self.max_hold_over(*token),
            Timer::Preempt(_, token) => self.preempt_over(*token),
            Timer::Retention(name) => self.forget_result(name),
            Timer::Quiet => self.quiet_over(),
        }
        Ok(Outcome::Done)
    }

    /// An ended session stays for the secret of its last holds only.
    pub(crate) fn forget_what_is_idle(&mut self) {
        let Self { objects, holds, waits, sessions, .. } = self;
        objects.retain(|object| {
            object.stays()
                || holds.iter().any(|hold| hold.wants(&object.name))
                || waits.iter().any(|wait| wait.wants(&object.name))
        });
        sessions.retain(|session| {
            !session.ended || holds.iter().any(|hold| hold.session == session.id)
        });
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Draws a generation and tells the leader to start the timer.
    pub(crate) fn set_timer(&mut self, timer: Timer, after_ms: u64) -> TimerSet {
        let generation = Generation(self.draw());
        let set = TimerSet { timer, generation, after_ms };
        self.events.push(Event::TimerSet(set.clone()));
        set
    }

    /// Live or ended.
    pub(crate) fn find(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    pub(crate) fn live(&self, id: SessionId) -> Option<&Session> {
        self.find(id).filter(|session| !session.ended)
    }

    /// Of a session that is known to exist.
    pub(crate) fn session_mut(&mut self, id: SessionId) -> &mut Session {
        self.sessions.iter_mut().find(|session| session.id == id).expect("a known session")
    }

    /// Is this the key of a live session in its present epoch?
    pub fn authenticate(&self, key: &SessionKey) -> Result<(), Refusal> {
        let session = self.live(key.id).ok_or(Refusal::SessionExpired)?;
        if session.secret != key.secret {
            return Err(Refusal::SessionExpired);
        }
        if session.epoch != key.epoch {
            return Err(Refusal::Fenced { epoch: session.epoch });
        }
        Ok(())
    }

    /// What the hold has of this object, and who has it.
    pub(crate) fn holder(&self, name: &Name, hold: &Hold) -> Holder {
        let session = self.find(hold.session).expect("a hold's session is kept");
        Holder {
            session: session.id,
            session_name: session.name.clone(),
            labels: session.labels.clone(),
            token: hold.token,
            demand: hold.demand(name).expect("it holds this object"),
            state: hold.state,
            owner: hold.owner.clone(),
            metadata: hold.metadata.clone(),
            value: hold.campaign.as_ref().map(|campaign| campaign.value.clone()),
            since_stamp_ms: hold.since_stamp_ms,
        }
    }

    pub(crate) fn held_by(&self, name: &Name) -> HeldBy {
        let holders: Vec<_> = self.holds_of(name).map(|hold| self.holder(name, hold)).collect();
        HeldBy {
            name: name.clone(),
            holders_total: count(holders.len()),
            holders: holders.into_iter().take(HOLDERS_SHOWN_MAX).collect(),
            queue_len: self.queue_len(name),
        }
    }

    /// All running timers, in no particular order.
    #[must_use]
    pub fn timers(&self) -> Vec<TimerSet> {
        let of_holds =
            self.holds.iter().flat_map(|hold| [hold.timer.clone(), hold.preempt.clone()]);
        let of_objects = self.objects.iter().map(Object::timer);
        let quiet = [self.quiet.clone()];
        let mut timers: Vec<_> = of_holds.chain(of_objects).chain(quiet).flatten().collect();
        for session in self.sessions.iter().filter(|session| !session.ended) {
            timers.push(TimerSet {
                timer: Timer::Session(session.id),
                generation: session.generation,
                after_ms: and_a_tenth(session.ttl_ms),
            });
            if let Some(generation) = session.adoption {
                let timer = Timer::Adoption(session.id);
                timers.push(TimerSet { timer, generation, after_ms: session.ttl_ms });
            }
        }
        timers
    }

    /// `None`: it does not run.
    #[must_use]
    pub fn timer_generation(&self, timer: &Timer) -> Option<Generation> {
        self.timers().iter().find(|set| set.timer == *timer).map(|set| set.generation)
    }
}

/// No list of the model comes near four thousand million.
pub(crate) fn count(len: usize) -> u32 {
    u32::try_from(len).expect("a count within u32")
}

/// One and a tenth of it, rounded up.
pub(crate) fn and_a_tenth(ms: u64) -> u64 {
    ms + ms.div_ceil(10)
}
