//! What the clients, operators and leaders of a random case know: only what they were told. Commands are made from it.

use conclave_machine::{
    Call, Command, Demand, Edited, Event, Item, Kind, Mode, Name, Note, Op, Open, Outcome, Refusal,
    Resume, Seq, SessionId, SessionKey, Timer, TimerSet, Token, Version, WaitEnd,
};

/// Old things kept of each sort, for late and repeated commands.
const KEPT_MAX: usize = 24;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) key: SessionKey,
    pub(crate) live: bool,
    pub(crate) next_seq: u64,
    pub(crate) seen_through: u64,
    /// Of the last attach.
    pub(crate) attach_number: u64,
    /// Recent calls, for retries.
    pub(crate) calls: Vec<Call>,
    /// Calls whose wait was refused at last.
    pub(crate) refused: Vec<Call>,
    pub(crate) resumed: Option<Resume>,
    pub(crate) losses_told: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct KnownHold {
    pub(crate) items: Vec<Item>,
    pub(crate) session: SessionId,
    pub(crate) token: Token,
    /// Cooling or revoked.
    pub(crate) lost: bool,
    pub(crate) unadopted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct KnownWait {
    pub(crate) items: Vec<Item>,
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
    pub(crate) call: Call,
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
    /// The last version heard of each semaphore and register.
    pub(crate) versions: Vec<(Name, Version)>,
    token_max: u64,
}

impl KnownWait {
    pub(crate) fn is_campaign(&self) -> bool {
        self.items.iter().any(|item| item.demand == Demand::Lead)
    }

    /// The hold that it would replace.
    pub(crate) fn upgrades(&self) -> Option<Token> {
        if let Op::Upgrade { token, .. } = self.call.op { Some(token) } else { None }
    }
}

impl KnownHold {
    /// What it has, if it is one object and nothing else.
    pub(crate) fn alone(&self) -> Option<Demand> {
        if let [item] = self.items.as_slice() { Some(item.demand) } else { None }
    }

    /// Held by the process that the session belongs to now.
    pub(crate) fn is_own(&self) -> bool {
        !self.lost && !self.unadopted
    }
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
                    if client.key.epoch != *epoch {
                        client.attach_number = 0;
                    }
                    client.key.epoch = *epoch;
                    client.next_seq = client.next_seq.max(next_seq.get());
                    client.resumed = Some(resume.clone());
                }
                for hold in standing.holds.iter().filter(|hold| hold.unadopted) {
                    self.mark(hold.token, |known| known.unadopted = true);
                }
            }
            (Command::Call(call), outcome) => self.called(call, outcome),
            (Command::Resize { name, .. }, Outcome::Refused(Refusal::Conflict { version })) => {
                self.heard_version(name, *version);
            }
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
            attach_number: 0,
            calls: Vec::new(),
            refused: Vec::new(),
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
        let (session, seq) = (call.key.id, call.seq);
        match (outcome, &call.op) {
            (Outcome::Granted { token, .. }, op) => {
                let items = self.items(op);
                self.granted(items, session, *token);
            }
            (Outcome::Queued { .. }, op) => {
                if !self.waits.iter().any(|wait| (wait.session, wait.seq) == (session, seq)) {
                    let (items, call) = (self.items(op), call.clone());
                    self.waits.push(KnownWait { items, session, seq, call });
                }
            }
            (Outcome::Edited(Edited::Conflict { version: Some(version) }), Op::Edit(edit)) => {
                self.heard_version(&edit.name, *version)
            }
            (_, _) => {}
        }
    }

    /// What a call asks for, as far as its client can know.
    fn items(&self, op: &Op) -> Vec<Item> {
        let of = |token: &Token| self.holds.iter().find(|hold| hold.token == *token);
        match op {
            Op::Acquire(acquire) => acquire.items.iter().cloned().collect(),
            Op::Adopt { token } => of(token).map(|hold| hold.items.clone()).unwrap_or_default(),
            Op::Upgrade { token, .. } => {
                let mut items = of(token).map(|hold| hold.items.clone()).unwrap_or_default();
                items.iter_mut().for_each(|item| item.demand = Demand::RwLock(Mode::Write));
                items
            }
            Op::Release { .. }
            | Op::Downgrade { .. }
            | Op::Proclaim { .. }
            | Op::SetEligible { .. }
            | Op::Complete { .. }
            | Op::Edit(_) => Vec::new(),
        }
    }

    fn granted(&mut self, items: Vec<Item>, session: SessionId, token: Token) {
        if token.get() <= self.token_max || items.is_empty() {
            return;
        }
        self.token_max = token.get();
        self.holds.push(KnownHold { items, session, token, lost: false, unadopted: false });
    }

    fn happened(&mut self, event: &Event) {
        match event {
            Event::Granted { session, seq, token, .. } => {
                if let Some(wait) = self.left(*session, *seq) {
                    self.granted(wait.items, *session, *token);
                }
            }
            Event::WaitEnded { session, seq, end, .. } => {
                if let (Some(wait), WaitEnd::Refused(_)) = (self.left(*session, *seq), end)
                    && let Some(client) = self.client_mut(*session)
                {
                    keep(&mut client.refused, wait.call);
                }
            }
            Event::Passed { session, seq, .. } => {
                self.left(*session, *seq);
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
                self.stop_timers(|timer| of_hold(timer) == Some(*token));
            }
            Event::SessionEnded { session, .. } => {
                if let Some(client) = self.client_mut(*session) {
                    client.live = false;
                }
                self.stop_timers(|timer| of_session(timer) == Some(*session));
            }
            Event::TimerSet(set) => {
                self.stop_timers(|timer| *timer == set.timer);
                if let Timer::HoldEnd(_, token) = set.timer {
                    self.mark(token, |known| known.lost = true);
                    self.stop_timers(|timer| of_hold(timer) == Some(token));
                }
                self.timers.push(set.clone());
            }
            Event::TimerStopped { timer } => self.stop_timers(|other| other == timer),
            Event::Noted { name, note } => self.noted(name, note),
            Event::Contended { .. } => {}
        }
    }

    fn noted(&mut self, name: &Name, note: &Note) {
        match note {
            Note::Changed { token, demand } => {
                self.mark(*token, |known| {
                    known.items.iter_mut().for_each(|item| item.demand = *demand);
                });
            }
            Note::Resized { version, .. } | Note::Edited(Edited::Register { version }) => {
                self.heard_version(name, *version);
            }
            Note::Gone { kind: Kind::Once } => {
                self.stop_timers(|timer| *timer == Timer::Retention(name.clone()));
            }
            Note::Granted { .. }
            | Note::Ended { .. }
            | Note::Revoked { .. }
            | Note::Cooling { .. }
            | Note::Proclaimed { .. }
            | Note::Waiting { .. }
            | Note::Edited(_)
            | Note::Passed { .. }
            | Note::Gone { .. } => {}
        }
    }

    fn heard_version(&mut self, name: &Name, version: Version) {
        self.versions.retain(|(known, _)| known != name);
        self.versions.push((name.clone(), version));
    }

    fn left(&mut self, session: SessionId, seq: Seq) -> Option<KnownWait> {
        let waits = &mut self.waits;
        let at = waits.iter().position(|wait| (wait.session, wait.seq) == (session, seq))?;
        Some(waits.remove(at))
    }

    fn stop_timers(&mut self, which: impl Fn(&Timer) -> bool) {
        let gone: Vec<_> = self.timers.iter().filter(|set| which(&set.timer)).cloned().collect();
        self.timers.retain(|set| !which(&set.timer));
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

fn of_hold(timer: &Timer) -> Option<Token> {
    match timer {
        Timer::HoldEnd(_, token) | Timer::MaxHold(_, token) | Timer::Preempt(_, token) => {
            Some(*token)
        }
        Timer::Session(_) | Timer::Adoption(_) | Timer::Retention(_) | Timer::Quiet => None,
    }
}

fn of_session(timer: &Timer) -> Option<SessionId> {
    match timer {
        Timer::Session(session) | Timer::Adoption(session) => Some(*session),
        Timer::HoldEnd(..)
        | Timer::MaxHold(..)
        | Timer::Preempt(..)
        | Timer::Retention(_)
        | Timer::Quiet => None,
    }
}

/// Appends; beyond a few the oldest goes.
pub(crate) fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() == KEPT_MAX {
        list.remove(0);
    }
    list.push(item);
}
