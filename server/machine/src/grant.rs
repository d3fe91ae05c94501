//! The one mechanism of every grant: whoever can be granted, passed or failed now is, in the entry that made it possible.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::command::Timer;
use crate::demand::{Demand, Items};
use crate::event::{Event, Note, WaitEnd};
use crate::ids::{Generation, Seq, SessionId, Token, Version};
use crate::machine::{Entry, Machine, draw, draw_version};
use crate::name::Name;
use crate::object::{Holding, Object, Pressure};
use crate::outcome::{HoldState, Passed, Refusal};
use crate::queue::{Place, Waiting};
use crate::record::{HoldRecord, Recorded, WaiterRecord};
use crate::state::State;

/// What comes next at an object.
enum Next {
    Nobody,
    Grant { session: SessionId, seq: Seq },
    Fail { session: SessionId, seq: Seq, refusal: Refusal },
    PassAll,
}

impl Machine {
    /// Grants, in each object that the entry touched and smallest name first, whoever can now be granted; then tells the
    /// holders what changed behind them and lets idle objects vanish. Nobody waits who could hold when this is done.
    pub(crate) fn settle(&mut self, entry: &mut Entry<'_>) {
        while let Some(name) = entry.unsettled.pop_first() {
            self.settle_object(entry, &name);
        }
        for (name, before) in core::mem::take(&mut entry.touched) {
            self.finish_object(entry, &name, before);
        }
    }

    fn settle_object(&mut self, entry: &mut Entry<'_>, name: &Name) {
        loop {
            match self.next_at(name) {
                Next::Nobody => break,
                Next::Grant { session, seq } => self.grant_wait(entry, session, seq),
                Next::Fail { session, seq, refusal } => {
                    let became = Recorded::Refused(refusal.clone().into());
                    self.end_wait(entry, session, seq, became, WaitEnd::Refused(refusal));
                }
                Next::PassAll => {
                    self.pass_all(entry, name, 0);
                }
            }
        }
        // What it granted over several objects touched it again; it was looked at until nobody was left.
        entry.unsettled.remove(name);
    }

    /// What an entry must not leave behind.
    pub(crate) fn somebody_could_go(&self, name: &Name) -> bool {
        !matches!(self.next_at(name), Next::Nobody)
    }

    fn next_at(&self, name: &Name) -> Next {
        let object = self.objects.get(name).expect("a touched object exists until settled");
        if object.queue.is_empty() {
            return Next::Nobody;
        }
        // Whoever passes has nothing to hold.
        let quiet = self.quiet.is_some();
        match &object.state {
            State::Barrier { .. } => {
                if object.trips_with(0) {
                    Next::PassAll
                } else {
                    Next::Nobody
                }
            }
            State::Latch(_) | State::Gate { .. } | State::Once { done: Some(_), .. } => {
                if object.state.passes().is_some() { Next::PassAll } else { Next::Nobody }
            }
            State::Once { done: None, .. }
            | State::Mutex
            | State::RwLock
            | State::Semaphore(_)
            | State::Election { .. }
                if quiet =>
            {
                Next::Nobody
            }
            State::Once { attempts, done: None } => self.next_run(object, *attempts),
            State::Election { successor: Some((session, seq)) } if object.holders().is_empty() => {
                Next::Grant { session: *session, seq: *seq }
            }
            State::Mutex | State::RwLock | State::Semaphore(_) | State::Election { .. } => {
                match object.next_to_grant(|waiting| self.fits_everywhere(waiting)) {
                    Some((_, waiting)) => {
                        Next::Grant { session: waiting.session, seq: waiting.seq }
                    }
                    None => Next::Nobody,
                }
            }
            State::Register(_) | State::Counter { .. } => Next::Nobody,
        }
    }

    fn next_run(&self, object: &Object, attempts: u32) -> Next {
        let Some((_, waiting)) = object.next_to_grant(|_| true) else { return Next::Nobody };
        let (session, seq) = (waiting.session, waiting.seq);
        match waiting.demand {
            Demand::Run { attempts_max } if attempts_max > 0 && attempts >= attempts_max => {
                Next::Fail { session, seq, refusal: Refusal::AttemptsExhausted { attempts } }
            }
            _ => Next::Grant { session, seq },
        }
    }

    /// A waiter for several objects: whether it fits, and overtakes nobody, at each of them.
    pub(crate) fn fits_everywhere(&self, waiting: &Waiting) -> bool {
        let waiter =
            &self.live(waiting.session).expect("a waiter's session lives").waits[&waiting.seq];
        let place = Place::of(waiter);
        waiter.items.iter().all(|item| {
            let object = self.objects.get(&item.name).expect("a wait's object exists");
            object.admits(item.demand, place)
        })
    }

    fn grant_wait(&mut self, entry: &mut Entry<'_>, id: SessionId, seq: Seq) {
        let session = self.sessions.edit(&id).expect("a waiter's session is alive");
        let waiter = session.waits.remove(&seq).expect("a wait is known to its session");
        self.counts.waiters -= 1;
        let place = Place::of(&waiter);
        for item in waiter.items.iter() {
            let object = self.objects.edit(&item.name).expect("a wait's object exists");
            entry.touch(&item.name, object);
            object.queue.remove(place).expect("a wait stands in its queue");
            object.forget_successor(id, seq);
        }
        let at = entry.events.len();
        let waiter = Arc::unwrap_or_clone(waiter);
        let name = waiter.items.first().name.clone();
        let token = match waiter.upgrades {
            Some(old) => self.replace_hold(entry, id, old, &waiter.replacing()),
            None => self.admit(entry, waiter),
        };
        let waiting = self.waiting_behind(id, token);
        let session = self.sessions.edit(&id).expect("a waiter's session is alive");
        session.window.granted(seq, Recorded::Granted { token });
        entry.events.insert(at, Event::Granted { session: id, seq, name, token, waiting });
    }

    /// Makes the request a hold: the only place where a token is drawn for an acquire.
    pub(crate) fn admit(&mut self, entry: &mut Entry<'_>, request: WaiterRecord) -> Token {
        let token = Token(draw(&mut self.counter));
        let hold = HoldRecord {
            token,
            session: request.session,
            seq: request.seq,
            fingerprint: request.fingerprint,
            items: request.items,
            state: HoldState::Held,
            unadopted: false,
            priority: request.priority,
            max_hold_ms: request.max_hold_ms,
            timer: (request.max_hold_ms > 0).then(|| Generation(draw(&mut self.counter))),
            preempt: None,
            owner: request.owner,
            metadata: request.metadata,
            campaign: request.campaign,
            since_stamp_ms: entry.context.stamp_ms,
        };
        let session = self.sessions.edit(&hold.session).expect("a request's session is alive");
        for item in hold.items.iter() {
            let object = self.objects.edit(&item.name).expect("it was there or was just made");
            object.admit(token, Holding { session: hold.session, demand: item.demand });
            object.statistics.grants += 1;
            note_grant(entry, &session.name, &hold, &item.name, item.demand);
        }
        max_hold_timer(entry, &hold);
        session.holds_now(hold);
        self.counts.holds += 1;
        token
    }

    /// The hold goes on under a new token, which belongs to another call; the old one is dead from here on.
    pub(crate) fn replace_hold(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        old: Token,
        new: &Replacing,
    ) -> Token {
        let token = Token(draw(&mut self.counter));
        let session = self.sessions.edit(&id).expect("a hold's session is kept");
        let mut hold = Arc::unwrap_or_clone(session.holds_no_more(old));
        hold.token = token;
        hold.timer = (hold.max_hold_ms > 0).then(|| Generation(draw(&mut self.counter)));
        hold.preempt = None;
        hold.seq = new.seq;
        hold.fingerprint = new.fingerprint;
        hold.unadopted = false;
        if let Some(items) = &new.items {
            hold.items = items.clone();
        }
        let name = hold.items.first().name.clone();
        entry.events.push(Event::HoldEnded { session: id, name, token: old });
        for item in hold.items.iter() {
            let object = self.objects.edit(&item.name).expect("a hold's object exists");
            entry.touch(&item.name, object);
            object.dismiss(old);
            object.admit(token, Holding { session: id, demand: item.demand });
            entry.note(&item.name, Note::Ended { session: id, token: old, lost: false });
            note_grant(entry, &session.name, &hold, &item.name, item.demand);
        }
        max_hold_timer(entry, &hold);
        session.holds_now(hold);
        token
    }

    /// Everybody who waits there passes, and so do `callers` more who do not stand in the queue.
    pub(crate) fn pass_all(&mut self, entry: &mut Entry<'_>, name: &Name, callers: u32) -> Version {
        let object = self.objects.edit(name).expect("the object was looked up in this entry");
        let trips = matches!(object.state, State::Barrier { .. });
        let version = match object.state.passes() {
            Some(version) => version,
            None => draw_version(&mut self.counter),
        };
        entry.touch(name, object);
        let mut index = 0;
        while let Some((place, _)) = object.queue.first() {
            let waiting = object.queue.remove(place).expect("it was just found");
            let passed = Passed { version, index: if trips { index } else { 0 } };
            let session = self.sessions.edit(&waiting.session).expect("a waiter's session lives");
            session.waits_no_more(waiting.seq, Recorded::Passed(passed));
            self.counts.waiters -= 1;
            let (session, seq) = (waiting.session, waiting.seq);
            entry.events.push(Event::Passed { session, seq, name: name.clone(), passed });
            index += 1;
        }
        object.statistics.passes += u64::from(index + callers);
        entry.note(name, Note::Passed { version, count: index + callers });
        version
    }

    /// The longest of the queues behind a hold.
    pub(crate) fn waiting_behind(&self, id: SessionId, token: Token) -> u32 {
        let session = self.sessions.get(&id).expect("a hold's session is kept");
        self.pressure_on(&session.holds[&token].items).waiting
    }

    /// Of several objects that of the longest queue, the first of equals.
    fn pressure_on(&self, items: &Items) -> Pressure {
        let mut most = Pressure { waiting: 0, highest_priority: 0 };
        for item in items.iter() {
            let here = self.objects.get(&item.name).expect("a hold's object exists").pressure();
            if here.waiting > most.waiting {
                most = here;
            }
        }
        most
    }

    fn finish_object(&mut self, entry: &mut Entry<'_>, name: &Name, before: Pressure) {
        // An entry may remove an object that it touched: a once that is forgotten as soon as it is done, say.
        let Some(object) = self.objects.get(name).map(|object| &**object) else { return };
        let now = object.pressure();
        if matches!(object.state, State::Election { .. }) {
            self.watch_preemption(entry, name);
        }
        let object = self.objects.get(name).expect("nothing removed it");
        if now.differs_from(before) {
            self.tell_holders(entry, object);
        }
        if now.waiting != before.waiting {
            entry.note(name, Note::Waiting { queue_len: now.waiting });
        }
        if object.is_idle() {
            self.remove_object(name);
        }
    }

    /// Holders of longer standing hear of a change in the queue; a new one has read `waiting` in its grant, and a lost one
    /// has nothing left to give up.
    fn tell_holders(&self, entry: &mut Entry<'_>, object: &Object) {
        let mut told = Vec::new();
        for (token, holding) in object.holders() {
            let session = self.sessions.get(&holding.session).expect("a hold's session is kept");
            let hold = &session.holds[token];
            if hold.state == HoldState::Held && token.0 <= entry.counter_before {
                let Pressure { waiting, highest_priority } = self.pressure_on(&hold.items);
                let (session, token) = (holding.session, *token);
                told.push(Event::Contended { session, token, waiting, highest_priority });
            }
        }
        entry.events.append(&mut told);
    }
}

/// What a hold that goes on under a new token becomes.
pub(crate) struct Replacing {
    pub(crate) seq: Seq,
    pub(crate) fingerprint: u64,
    /// None: what it was.
    pub(crate) items: Option<Items>,
}

impl WaiterRecord {
    fn replacing(&self) -> Replacing {
        let (seq, fingerprint) = (self.seq, self.fingerprint);
        Replacing { seq, fingerprint, items: Some(self.items.clone()) }
    }
}

fn note_grant(
    entry: &mut Entry<'_>,
    session_name: &Name,
    hold: &HoldRecord,
    name: &Name,
    demand: Demand,
) {
    let note = Note::Granted {
        session: hold.session,
        session_name: session_name.clone(),
        token: hold.token,
        demand,
        value: hold.campaign.as_ref().map(|campaign| campaign.value.clone()),
    };
    entry.note(name, note);
}

/// Starts the timer of a new hold that has a `max_hold`.
fn max_hold_timer(entry: &mut Entry<'_>, hold: &HoldRecord) {
    if let Some(generation) = hold.timer {
        entry.timer(Timer::MaxHold(hold.session, hold.token), generation, hold.max_hold_ms);
    }
}
