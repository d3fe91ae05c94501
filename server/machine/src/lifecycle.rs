//! The life of a session: open, attach, resume, close, kill, and the one way in which all of them end.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::command::{Attach, Open, Resume, SessionKey, Timer};
use crate::event::{Event, Note, WaitEnd};
use crate::hold::End;
use crate::ids::{Epoch, Generation, Seq, SessionId, Token};
use crate::limits;
use crate::machine::{Entry, Machine, draw};
use crate::name::Name;
use crate::outcome::{HoldState, Invalid, Kind, Limit, Outcome, Refusal, SessionEnd};
use crate::planted::planted;
use crate::record::Recorded;
use crate::session::Session;
use crate::window::Window;

impl Machine {
    pub(crate) fn open(&mut self, entry: &mut Entry<'_>, open: Open) -> Result<Outcome, Refusal> {
        if let Some(id) = self.secrets.get(&open.secret) {
            let session = self.live(*id).expect("secrets lead to live sessions");
            if session.nonce.is_some() {
                return Err(Refusal::Fenced { epoch: session.epoch });
            }
            return Ok(opened(session));
        }
        if !(limits::TTL_MS_MIN..=limits::TTL_MS_MAX).contains(&open.ttl_ms) {
            return Err(Refusal::Invalid { what: Invalid::Ttl });
        }
        if open.lock_delay_ms > limits::LOCK_DELAY_MS_MAX {
            return Err(Refusal::Invalid { what: Invalid::LockDelay });
        }
        let max = limits::SESSIONS_MAX as u64;
        if self.counts.sessions >= max {
            return Err(Refusal::Limit { what: Limit::Sessions, max });
        }
        let session = Session {
            id: SessionId(draw(&mut self.counter)),
            secret: open.secret,
            name: open.name,
            labels: open.labels,
            ttl_ms: open.ttl_ms,
            lock_delay_ms: open.lock_delay_ms,
            opened_stamp_ms: entry.context.stamp_ms,
            epoch: Epoch(1),
            nonce: None,
            attach_number: 0,
            generation: Generation(draw(&mut self.counter)),
            adoption: None,
            ended: false,
            window: Window::new(Seq(0), Seq(0)),
            waits: BTreeMap::new(),
            holds: BTreeMap::new(),
            granted: BTreeMap::new(),
            unadopted: 0,
            bound: BTreeSet::new(),
            losses: VecDeque::new(),
            losses_counted: 0,
        };
        let outcome = opened(&session);
        entry.timer(Timer::Session(session.id), session.generation, session.expires_after_ms());
        self.secrets.insert(session.secret, session.id);
        self.sessions.insert(session.id, session.into());
        self.counts.sessions += 1;
        Ok(outcome)
    }

    /// The session is as good as new: a timer of an older generation does nothing to it.
    fn renew(&mut self, entry: &mut Entry<'_>, id: SessionId) {
        let generation = Generation(draw(&mut self.counter));
        let session = self.session_known(id);
        session.generation = generation;
        entry.timer(Timer::Session(id), generation, session.expires_after_ms());
    }

    pub(crate) fn attach(
        &mut self,
        entry: &mut Entry<'_>,
        attach: Attach,
    ) -> Result<Outcome, Refusal> {
        self.authenticate(&attach.key)?;
        let id = attach.key.id;
        let session = self.session_known(id);
        if attach.number <= session.attach_number {
            return Err(Refusal::Stale);
        }
        session.attach_number = attach.number;
        self.renew(entry, id);
        let held: BTreeSet<Token> = attach.held.into_iter().collect();
        let waiting: BTreeSet<Seq> = attach.waiting.into_iter().collect();
        let heard = |seq| seq < attach.next_seq && !waiting.contains(&seq);
        self.session_known(id).window.forget_ends(heard);
        let session = self.live(id).expect("it was authenticated");
        let unwanted_waits: Vec<Seq> = session
            .waits
            .range(..attach.next_seq)
            .map(|(seq, _)| *seq)
            .filter(|seq| !waiting.contains(seq))
            .collect();
        let unclaimed: Vec<Token> = session
            .holds
            .values()
            .filter(|hold| {
                hold.seq < attach.next_seq
                    && !held.contains(&hold.token)
                    && !waiting.contains(&hold.seq)
            })
            .filter(|hold| session.usable(hold.token).is_some())
            .map(|hold| hold.token)
            .collect();
        for seq in unwanted_waits {
            self.end_wait_if_there(entry, id, seq, Recorded::Cancelled, WaitEnd::Cancelled);
        }
        for token in unclaimed {
            self.end_hold(entry, id, token, End::Released);
        }
        self.settle(entry);
        Ok(Outcome::Attached(self.standing(id)))
    }

    pub(crate) fn resume(
        &mut self,
        entry: &mut Entry<'_>,
        resume: &Resume,
    ) -> Result<Outcome, Refusal> {
        let id = resume.session;
        let session = self
            .live(id)
            .filter(|session| session.secret == resume.secret)
            .ok_or(Refusal::SessionExpired)?;
        let again = session.nonce == Some(resume.nonce);
        if !again && session.epoch != resume.expected {
            return Err(Refusal::Fenced { epoch: session.epoch });
        }
        self.renew(entry, id);
        if !again {
            self.take_over(entry, resume);
            self.settle(entry);
        }
        let session = self.live(id).expect("it was there above");
        Ok(Outcome::Resumed {
            epoch: session.epoch,
            next_seq: session.window.next_seq(),
            ttl_ms: session.ttl_ms,
            standing: self.standing(id),
        })
    }

    /// The older epoch is fenced out: its waits end, its holds are there to be adopted.
    fn take_over(&mut self, entry: &mut Entry<'_>, resume: &Resume) {
        let id = resume.session;
        let Self { sessions, counter, .. } = self;
        let session = sessions.edit(&id).expect("the caller looked it up");
        session.epoch = Epoch(session.epoch.0 + 1);
        session.nonce = Some(resume.nonce);
        session.attach_number = 0;
        for hold in session.holds.values_mut() {
            if hold.state == HoldState::Held && !hold.unadopted {
                alloc::sync::Arc::make_mut(hold).unadopted = true;
                session.unadopted += 1;
            }
        }
        if session.unadopted > 0 {
            let generation = Generation(draw(counter));
            session.adoption = Some(generation);
            entry.timer(Timer::Adoption(id), generation, session.ttl_ms);
        }
        let waits: Vec<Seq> = session.waits.keys().copied().collect();
        for seq in waits {
            self.end_wait_if_there(entry, id, seq, Recorded::Cancelled, WaitEnd::Fenced);
        }
        self.session_known(id).window.forget();
    }

    pub(crate) fn close(
        &mut self,
        entry: &mut Entry<'_>,
        key: &SessionKey,
    ) -> Result<Outcome, Refusal> {
        self.authenticate(key)?;
        self.end_session(entry, key.id, SessionEnd::Closed);
        self.settle(entry);
        Ok(Outcome::Ended)
    }

    pub(crate) fn kill(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        by: Box<str>,
        reason: Box<str>,
    ) -> Result<Outcome, Refusal> {
        self.live(id).ok_or(Refusal::NotFound)?;
        self.end_session(entry, id, SessionEnd::Killed { by, reason });
        self.settle(entry);
        Ok(Outcome::Ended)
    }

    /// The one end of every session. Its waits leave their queues before anything is granted, so that none of them is
    /// granted by the very entry that ends it (etcd#11456). The caller settles.
    pub(crate) fn end_session(&mut self, entry: &mut Entry<'_>, id: SessionId, end: SessionEnd) {
        if planted("grant to an expired waiter") {
            let holds: Vec<Token> = self.session_known(id).holds.keys().copied().collect();
            for token in holds {
                self.end_hold(entry, id, token, End::Lost);
            }
            self.settle(entry);
        }
        let session = self.session_known(id);
        let waits: Vec<Seq> = session.waits.keys().copied().collect();
        let holds: Vec<Token> = session.holds.keys().copied().collect();
        let cools = session.lock_delay_ms > 0;
        for seq in waits {
            let end = WaitEnd::SessionEnded(end.clone());
            self.end_wait_if_there(entry, id, seq, Recorded::Cancelled, end);
        }
        let session = self.session_known(id);
        session.ended = true;
        session.window = Window::new(Seq(0), Seq(0));
        session.losses.clear();
        let bound = core::mem::take(&mut session.bound);
        let secret = session.secret;
        self.secrets.remove(&secret);
        self.counts.sessions -= 1;
        entry.events.push(Event::SessionEnded { session: id, end: end.clone() });
        if holds.is_empty() {
            self.sessions.remove(&id);
        }
        for token in holds {
            let hold = self.hold_of_session(id, token).expect("listed above");
            let (held, unadopted) = (hold.state == HoldState::Held, hold.unadopted);
            match &end {
                // It was taken away before: it stays on the timer that runs.
                SessionEnd::Closed | SessionEnd::Expired | SessionEnd::Killed { .. } if !held => {}
                // The process that closes cannot speak for the one before it, which may still believe.
                SessionEnd::Closed if unadopted => {
                    self.suspend(entry, id, token, HoldState::Revoked);
                }
                SessionEnd::Closed => self.end_hold(entry, id, token, End::Released),
                SessionEnd::Expired if cools => {
                    self.suspend(entry, id, token, HoldState::Cooling);
                }
                SessionEnd::Expired => self.end_hold(entry, id, token, End::Lost),
                SessionEnd::Killed { .. } => self.suspend(entry, id, token, HoldState::Revoked),
            }
        }
        self.remove_bound(entry, bound);
    }

    fn remove_bound(&mut self, entry: &mut Entry<'_>, bound: BTreeSet<Name>) {
        for name in bound {
            self.remove_object(&name);
            entry.note(&name, Note::Gone { kind: Kind::Register });
        }
    }
}

fn opened(session: &Session) -> Outcome {
    Outcome::Opened {
        session: session.id,
        epoch: session.epoch,
        ttl_ms: session.ttl_ms,
        generation: session.generation,
    }
}
