//! What the clients, operators and leaders of a random case know: only what they were told. Commands are made from it.

use conclave_machine::{
    Call, Command, Event, Name, Op, Open, Outcome, Resume, Seq, SessionId, SessionKey, Timer,
    TimerSet, Token,
};

/// Old things kept of each sort, for late and repeated commands.
const KEPT_MAX: usize = 24;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) key: SessionKey,
    pub(crate) live: bool,
    pub(crate) next_seq: u64,
    pub(crate) seen_through: u64,
    /// Recent calls, for retries.
    pub(crate) calls: Vec<Call>,
    pub(crate) resumed: Option<Resume>,
    pub(crate) losses_told: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct KnownHold {
    pub(crate) name: Name,
    pub(crate) session: SessionId,
    pub(crate) token: Token,
    /// Cooling or revoked.
    pub(crate) lost: bool,
    pub(crate) unadopted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct KnownWait {
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) clients: Vec<Client>,
    pub(crate) opens: Vec<Open>,
    pub(crate) holds: Vec<KnownHold>,
    pub(crate) holds_gone: Vec<KnownHold>,
    pub(crate) waits: Vec<KnownWait>,
    pub(crate) timers: Vec<TimerSet>,
    pub(crate) timers_gone: Vec<TimerSet>,
    token_max: u64,
}

impl Memory {
    /// Takes in what one command did.
    pub(crate) fn learn(&mut self, command: &Command, outcome: &Outcome, events: &[Event]) {
        match (command, outcome) {
            (Command::Open(open), Outcome::Opened { session, epoch, .. }) => {
                let key = SessionKey { id: *session, secret: open.secret, epoch: *epoch };
                self.opened(open, key);
            }
            (Command::Resume(resume), Outcome::Resumed { epoch, next_seq, standing, .. }) => {
                if let Some(client) = self.client_mut(resume.session) {
                    client.key.epoch = *epoch;
                    client.next_seq = client.next_seq.max(next_seq.get());
                    client.resumed = Some(resume.clone());
                }
                for hold in standing.holds.iter().filter(|hold| hold.unadopted) {
                    self.mark(hold.token, |known| known.unadopted = true);
                }
            }
            (Command::Call(call), outcome) => self.called(call, outcome),
            (_, _) => {}
        }
        for event in events {
            self.happened(event);
        }
    }

    fn opened(&mut self, open: &Open, key: SessionKey) {
        if self.client_mut(key.id).is_some() {
            return;
        }
        self.clients.push(Client {
            key,
            live: true,
            next_seq: 1,
            seen_through: 0,
            calls: Vec::new(),
            resumed: None,
            losses_told: 0,
        });
        keep(&mut self.opens, open.clone());
        if self.clients.len() > KEPT_MAX
            && let Some(at) = self.clients.iter().position(|client| !client.live)
        {
            self.clients.remove(at);
        }
    }

    fn called(&mut self, call: &Call, outcome: &Outcome) {
        let session = call.key.id;
        match (outcome, &call.op) {
            (Outcome::Granted { token, .. }, Op::Acquire(acquire)) => {
                self.granted(&acquire.name, session, *token);
            }
            (Outcome::Granted { token, .. }, Op::Adopt { token: old }) => {
                let known = self.holds.iter().find(|hold| hold.token == *old);
                if let Some(name) = known.map(|hold| hold.name.clone()) {
                    self.granted(&name, session, *token);
                }
            }
            (Outcome::Queued { .. }, Op::Acquire(_)) => {
                if !self.waits.iter().any(|wait| (wait.session, wait.seq) == (session, call.seq)) {
                    self.waits.push(KnownWait { session, seq: call.seq });
                }
            }
            (_, _) => {}
        }
    }

    fn granted(&mut self, name: &Name, session: SessionId, token: Token) {
        if token.get() <= self.token_max {
            return;
        }
        self.token_max = token.get();
        let name = name.clone();
        self.holds.push(KnownHold { name, session, token, lost: false, unadopted: false });
    }

    fn happened(&mut self, event: &Event) {
        match event {
            Event::Granted { session, seq, name, token, .. } => {
                self.waits.retain(|wait| (wait.session, wait.seq) != (*session, *seq));
                self.granted(name, *session, *token);
            }
            Event::WaitEnded { session, seq, .. } => {
                self.waits.retain(|wait| (wait.session, wait.seq) != (*session, *seq));
            }
            Event::Lost { session, loss } => {
                if let Some(client) = self.client_mut(*session) {
                    client.losses_told = loss.number.get();
                }
            }
            Event::HoldEnded { token, .. } => {
                if let Some(at) = self.holds.iter().position(|hold| hold.token == *token) {
                    let gone = self.holds.remove(at);
                    keep(&mut self.holds_gone, gone);
                }
                self.stop_timers(|timer| match timer {
                    Timer::HoldEnd(_, of) | Timer::MaxHold(_, of) => of == *token,
                    Timer::Session(_) | Timer::Adoption(_) => false,
                });
            }
            Event::SessionEnded { session, .. } => {
                if let Some(client) = self.client_mut(*session) {
                    client.live = false;
                }
                self.stop_timers(|timer| match timer {
                    Timer::Session(of) | Timer::Adoption(of) => of == *session,
                    Timer::HoldEnd(..) | Timer::MaxHold(..) => false,
                });
            }
            Event::TimerSet(set) => {
                self.stop_timers(|timer| timer == set.timer);
                if let Timer::HoldEnd(session, token) = set.timer {
                    self.mark(token, |known| known.lost = true);
                    self.stop_timers(|timer| timer == Timer::MaxHold(session, token));
                }
                self.timers.push(*set);
            }
            Event::Contended { .. } => {}
        }
    }

    fn stop_timers(&mut self, which: impl Fn(Timer) -> bool) {
        let gone: Vec<_> = self.timers.iter().filter(|set| which(set.timer)).copied().collect();
        self.timers.retain(|set| !which(set.timer));
        for set in gone {
            keep(&mut self.timers_gone, set);
        }
    }

    fn mark(&mut self, token: Token, change: impl Fn(&mut KnownHold)) {
        self.holds.iter_mut().filter(|hold| hold.token == token).for_each(change);
    }

    pub(crate) fn client_mut(&mut self, id: SessionId) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.key.id == id)
    }

    pub(crate) fn live(&self) -> usize {
        self.clients.iter().filter(|client| client.live).count()
    }
}

/// Appends; beyond a few the oldest goes.
pub(crate) fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() == KEPT_MAX {
        list.remove(0);
    }
    list.push(item);
}
