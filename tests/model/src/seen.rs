//! What the observer keeps of holders, waiters and objects, and the plain rules it judges them by: its own, not the model's.

use conclave_machine::{
    Call, Command, Demand, Due, Edited, Event, Item, Mode, Name, Note, Op, Outcome, Seq, SessionId,
    Timer, Token, Version,
};

use crate::observer::Observer;

#[derive(Debug, Clone)]
pub(crate) struct Occupied {
    pub(crate) items: Vec<Item>,
    pub(crate) session: SessionId,
    pub(crate) token: Token,
    /// Revoked or cooling.
    pub(crate) lost: bool,
    /// Granted to the process before a resume, which may still believe.
    pub(crate) unadopted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) items: Vec<Item>,
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
    pub(crate) priority: i32,
    /// The hold that it would replace.
    pub(crate) upgrades: Option<Token>,
    /// A candidate that does not want to win yet.
    pub(crate) aside: bool,
}

/// What was told of an object besides its holders and waiters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// Of a semaphore that was resized.
    pub(crate) limit: Option<u32>,
    /// A gate or a latch lets everyone pass.
    pub(crate) open: bool,
    /// Of a latch.
    pub(crate) round: Option<Version>,
    /// The result of a once.
    pub(crate) done: Option<Version>,
    /// Who comes next by a transfer.
    pub(crate) successor: Option<(SessionId, Seq)>,
}

impl Occupied {
    pub(crate) fn demand(&self, name: &Name) -> Option<Demand> {
        self.items.iter().find(|item| item.name == *name).map(|item| item.demand)
    }
}

impl Waiting {
    pub(crate) fn demand(&self, name: &Name) -> Option<Demand> {
        self.items.iter().find(|item| item.name == *name).map(|item| item.demand)
    }
}

/// May two hold this at the same time? Of permits, only the sum decides; in a queue they never overtake each other.
pub(crate) fn goes_beside(one: Demand, other: Demand) -> bool {
    match (one, other) {
        (Demand::RwLock(Mode::Read), Demand::RwLock(mode))
        | (Demand::RwLock(mode), Demand::RwLock(Mode::Read)) => mode != Mode::Write,
        (_, _) => false,
    }
}

pub(crate) fn weight(demand: Demand) -> u64 {
    match demand {
        Demand::Permits { weight, .. } => weight.into(),
        Demand::Mutex
        | Demand::RwLock(_)
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate
        | Demand::Arrive { .. } => 0,
    }
}

/// A hold ends only by its own session (unless the process that holds it is another), by time, by its old holder's word,
/// or by force with `now`.
pub(crate) fn may_end(by: &Command, held: &Occupied) -> bool {
    let own = |session: SessionId| session == held.session && !held.unadopted;
    match by {
        Command::Call(Call { key, op, .. }) => match op {
            Op::Release { token, .. } | Op::Complete { token, .. } => {
                own(key.id) && *token == held.token && !held.lost
            }
            Op::Acquire(_)
            | Op::Adopt { .. }
            | Op::Downgrade { .. }
            | Op::Upgrade { .. }
            | Op::Proclaim { .. }
            | Op::SetEligible { .. }
            | Op::Edit(_) => false,
        },
        Command::Attach(attach) => own(attach.key.id) && !attach.held.contains(&held.token),
        Command::Close { key } => own(key.id),
        Command::Due(Due { timer, .. }) => match timer {
            Timer::Session(session) => *session == held.session,
            Timer::HoldEnd(_, token) => *token == held.token,
            Timer::Adoption(_)
            | Timer::MaxHold(..)
            | Timer::Preempt(..)
            | Timer::Retention(_)
            | Timer::Quiet => false,
        },
        Command::AckStopped { session, token, .. } => {
            *session == held.session && *token == held.token
        }
        Command::ForceRelease { now, token, .. } => *now && *token == held.token,
        Command::Open(_)
        | Command::Resume(_)
        | Command::Cancel { .. }
        | Command::TimeOut { .. }
        | Command::ConfirmLosses { .. }
        | Command::Kill { .. }
        | Command::Resize { .. }
        | Command::Transfer { .. }
        | Command::Delete { .. } => false,
    }
}

impl Observer {
    pub(crate) fn noted(&mut self, name: &Name, note: &Note) -> Result<(), String> {
        match note {
            Note::Changed { token, demand } => self.changed(name, *token, *demand)?,
            Note::Resized { limit, .. } => {
                self.places.entry(name.clone()).or_default().limit = Some(*limit);
            }
            Note::Edited(Edited::Gate { open }) => {
                self.places.entry(name.clone()).or_default().open = *open;
            }
            Note::Edited(Edited::Latch { round, remaining }) => {
                if self.places.get(name).and_then(|place| place.round) != Some(*round) {
                    self.is_new(*round)?;
                }
                let place = self.places.entry(name.clone()).or_default();
                (place.open, place.round) = (*remaining == 0, Some(*round));
            }
            Note::Gone { .. } => {
                self.places.remove(name);
            }
            Note::Granted { token, .. } => {
                if !self.holders.iter().any(|held| held.token == *token) {
                    return Err(format!(
                        "{name} was noted as granted to {token}, which does not hold"
                    ));
                }
            }
            Note::Edited(_)
            | Note::Ended { .. }
            | Note::Revoked { .. }
            | Note::Cooling { .. }
            | Note::Proclaimed { .. }
            | Note::Waiting { .. }
            | Note::Passed { .. } => {}
        }
        Ok(())
    }

    /// Only for the weaker.
    fn changed(&mut self, name: &Name, token: Token, demand: Demand) -> Result<(), String> {
        let held = self.holders.iter_mut().find(|held| held.token == token);
        let held = held.ok_or_else(|| format!("{token} of {name} changed and did not hold"))?;
        let item = held.items.iter_mut().find(|item| item.name == *name);
        let item = item.ok_or_else(|| format!("{token} changed and did not hold {name}"))?;
        let weaker = match (item.demand, demand) {
            (Demand::RwLock(before), Demand::RwLock(after)) => after < before,
            (Demand::Permits { weight: before, .. }, Demand::Permits { weight: after, .. }) => {
                0 < after && after < before
            }
            (_, _) => false,
        };
        if !weaker {
            return Err(format!("{token} of {name} changed from {:?} to {demand:?}", item.demand));
        }
        item.demand = demand;
        Ok(())
    }

    /// Above every number that was told before this command.
    pub(crate) fn is_new(&self, version: Version) -> Result<(), String> {
        if version.get() > self.number_max {
            return Ok(());
        }
        Err(format!("version {version} was drawn after {}", self.number_max))
    }

    /// New versions are above every number told before, so that none is met again.
    pub(crate) fn numbers_rise(
        &mut self,
        outcome: &Outcome,
        events: &[Event],
    ) -> Result<(), String> {
        let mut told = Vec::new();
        let mut new = Vec::new();
        if let Outcome::Opened { session, generation, .. } = outcome {
            told.extend([session.get(), generation.get()]);
        }
        for event in events {
            match event {
                Event::TimerSet(set) => new.push(set.generation.get()),
                Event::Noted { note: Note::Resized { version, .. }, .. }
                | Event::Noted { note: Note::Edited(Edited::Register { version }), .. } => {
                    new.push(version.get());
                }
                Event::Passed { passed, .. } => told.push(passed.version.get()),
                Event::Granted { .. }
                | Event::WaitEnded { .. }
                | Event::Lost { .. }
                | Event::Contended { .. }
                | Event::HoldEnded { .. }
                | Event::SessionEnded { .. }
                | Event::TimerStopped { .. }
                | Event::Noted { .. } => {}
            }
        }
        if let Some(number) = new.iter().find(|number| **number <= self.number_max) {
            return Err(format!("number {number} was drawn after {}", self.number_max));
        }
        told.extend(new);
        told.extend(self.token_max.map(Token::get));
        self.number_max = told.into_iter().fold(self.number_max, u64::max);
        Ok(())
    }
}
