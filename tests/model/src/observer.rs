//! Watches outcomes and events only, knows neither the machine nor the model, and says what must never be seen:
//! a token that does not rise, two holders, a grant to an ended session, a place in the queue not kept, a hold that
//! ended for no good reason.

use std::collections::BTreeMap;

use conclave_machine::{
    Acquire, Call, Command, Due, Epoch, Event, Name, Op, Outcome, Seq, SessionId, Timer, Token,
};

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Observer {
    token_max: Option<Token>,
    live: Vec<(SessionId, Epoch)>,
    holders: Vec<Occupied>,
    /// In order of arrival.
    queue: Vec<Waiting>,
    /// Of live sessions only, to recognise a repeated answer.
    grants: BTreeMap<(SessionId, Seq), Token>,
}

#[derive(Debug)]
struct Occupied {
    name: Name,
    session: SessionId,
    token: Token,
    /// Granted to the process before a resume, which may still believe.
    unadopted: bool,
}

#[derive(Debug)]
struct Waiting {
    name: Name,
    session: SessionId,
    seq: Seq,
    priority: i32,
}

impl Observer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one command and what it did, in order: the outcome is n = 0.
    pub fn observe(
        &mut self,
        command: &Command,
        outcome: &Outcome,
        events: &[Event],
    ) -> Result<(), String> {
        match (command, outcome) {
            (Command::Open(_), Outcome::Opened { session, epoch, .. }) => {
                if !self.lives(*session) {
                    self.live.push((*session, *epoch));
                }
            }
            (Command::Resume(resume), Outcome::Resumed { epoch, .. }) => {
                self.resumed(resume.session, *epoch)?;
            }
            (Command::Call(call), outcome) => self.called(call, outcome)?,
            (_, _) => {}
        }
        for event in events {
            match event {
                Event::Granted { session, seq, name, token, .. } => {
                    self.granted_later(*session, *seq, name, *token, events)?;
                }
                Event::WaitEnded { session, seq, .. } => {
                    self.leave(*session, *seq)?;
                }
                Event::HoldEnded { session, token, .. } => {
                    self.hold_ended(command, *session, *token)?;
                }
                Event::SessionEnded { session, .. } => self.session_ended(*session)?,
                Event::Lost { session, loss } => {
                    if !self.lives(*session) {
                        return Err(format!("{loss:?} was told to the ended session {session}"));
                    }
                }
                Event::Contended { session, token, .. } => {
                    if !self
                        .holders
                        .iter()
                        .any(|held| (held.session, held.token) == (*session, *token))
                    {
                        return Err(format!(
                            "session {session} was told of contention of {token}, which it does not hold"
                        ));
                    }
                }
                Event::TimerSet(_) => {}
            }
        }
        self.nobody_waits_for_what_is_free()
    }

    fn lives(&self, id: SessionId) -> bool {
        self.live.iter().any(|(live, _)| *live == id)
    }

    fn resumed(&mut self, id: SessionId, epoch: Epoch) -> Result<(), String> {
        let live = self.live.iter_mut().find(|(live, _)| *live == id);
        let (_, known) = live.ok_or_else(|| format!("session {id} was resumed after its end"))?;
        if epoch > *known {
            *known = epoch;
            for held in self.holders.iter_mut().filter(|held| held.session == id) {
                held.unadopted = true;
            }
        }
        Ok(())
    }

    fn called(&mut self, call: &Call, outcome: &Outcome) -> Result<(), String> {
        let (id, seq) = (call.key.id, call.seq);
        match outcome {
            Outcome::Granted { token, .. } => {
                if let Some(known) = self.grants.get(&(id, seq)) {
                    return if known == token {
                        Ok(())
                    } else {
                        Err(format!(
                            "seq {seq} of session {id} was granted {known} and then {token}"
                        ))
                    };
                }
                let name = match &call.op {
                    Op::Acquire(acquire) => {
                        if self.queue.iter().any(|wait| wait.name == acquire.name) {
                            return Err(format!("{token} overtook the queue of {}", acquire.name));
                        }
                        acquire.name.clone()
                    }
                    Op::Adopt { token } => self.adopted(id, *token)?,
                    Op::Release { .. } => return Err("a release was granted".to_owned()),
                };
                self.granted(id, seq, &name, *token)
            }
            Outcome::Queued { .. } => {
                if self.queue.iter().any(|wait| (wait.session, wait.seq) == (id, seq)) {
                    return Ok(());
                }
                let Op::Acquire(Acquire { name, priority, .. }) = &call.op else {
                    return Err(format!("queued: {:?}", call.op));
                };
                if !self.holders.iter().any(|held| held.name == *name) {
                    return Err(format!("session {id} seq {seq} waits for {name}, which is free"));
                }
                self.queue.push(Waiting {
                    name: name.clone(),
                    session: id,
                    seq,
                    priority: *priority,
                });
                Ok(())
            }
            Outcome::Opened { .. }
            | Outcome::Attached(_)
            | Outcome::Resumed { .. }
            | Outcome::Ended
            | Outcome::Held(_)
            | Outcome::TimedOut(_)
            | Outcome::Cancelled
            | Outcome::Released
            | Outcome::Stopped
            | Outcome::Confirmed
            | Outcome::Forced { .. }
            | Outcome::Done
            | Outcome::Refused(_) => Ok(()),
        }
    }

    /// The old token goes; the event that says so comes after the outcome and finds it renamed.
    fn adopted(&mut self, id: SessionId, old: Token) -> Result<Name, String> {
        let at = self.holders.iter().position(|held| (held.session, held.token) == (id, old));
        let at = at.ok_or_else(|| format!("session {id} adopted {old}, which it did not hold"))?;
        Ok(self.holders.remove(at).name)
    }

    fn granted_later(
        &mut self,
        id: SessionId,
        seq: Seq,
        name: &Name,
        token: Token,
        events: &[Event],
    ) -> Result<(), String> {
        let ended =
            |event: &Event| matches!(event, Event::SessionEnded { session, .. } if *session == id);
        if events.iter().any(ended) {
            return Err(format!("{token} was granted to session {id} in the entry that ended it"));
        }
        let at = self.leave(id, seq)?;
        let overtaken = self.queue.iter().enumerate().find(|(place, wait)| {
            wait.name == *name
                && (wait.priority > at.1.priority
                    || (wait.priority == at.1.priority && *place < at.0))
        });
        if let Some((_, wait)) = overtaken {
            return Err(format!("{token} went to session {id} seq {seq} before {wait:?}"));
        }
        if at.1.name != *name {
            return Err(format!("session {id} seq {seq} waited for {} and got {name}", at.1.name));
        }
        self.granted(id, seq, name, token)
    }

    fn granted(
        &mut self,
        id: SessionId,
        seq: Seq,
        name: &Name,
        token: Token,
    ) -> Result<(), String> {
        if self.token_max.is_some_and(|max| token <= max) {
            return Err(format!("{token} was granted after {:?}", self.token_max));
        }
        self.token_max = Some(token);
        if !self.lives(id) {
            return Err(format!("{token} was granted to session {id}, which does not live"));
        }
        if let Some(held) = self.holders.iter().find(|held| held.name == *name) {
            return Err(format!("{token} of {name} was granted beside {held:?}"));
        }
        if let Some(known) = self.grants.insert((id, seq), token) {
            return Err(format!("session {id} seq {seq} was granted {known} and {token}"));
        }
        self.holders.push(Occupied { name: name.clone(), session: id, token, unadopted: false });
        Ok(())
    }

    /// Takes the wait out; answers the place it stood at.
    fn leave(&mut self, id: SessionId, seq: Seq) -> Result<(usize, Waiting), String> {
        let at = self.queue.iter().position(|wait| (wait.session, wait.seq) == (id, seq));
        let at = at.ok_or_else(|| format!("session {id} seq {seq} did not wait"))?;
        Ok((at, self.queue.remove(at)))
    }

    fn hold_ended(&mut self, by: &Command, id: SessionId, token: Token) -> Result<(), String> {
        if let Command::Call(Call { op: Op::Adopt { token: old }, .. }) = by
            && *old == token
        {
            return match self.holders.iter().any(|held| held.token == token) {
                true => Err(format!("{token} was adopted and still holds")),
                false => Ok(()),
            };
        }
        let at = self.holders.iter().position(|held| (held.session, held.token) == (id, token));
        let held =
            self.holders.remove(at.ok_or_else(|| format!("{token} ended and did not hold"))?);
        if may_end(by, &held) { Ok(()) } else { Err(format!("{held:?} ended by {by:?}")) }
    }

    fn session_ended(&mut self, id: SessionId) -> Result<(), String> {
        let at = self.live.iter().position(|(live, _)| *live == id);
        self.live.remove(at.ok_or_else(|| format!("session {id} ended twice"))?);
        self.grants.retain(|(session, _), _| *session != id);
        match self.queue.iter().find(|wait| wait.session == id) {
            Some(wait) => Err(format!("{wait:?} outlived its session")),
            None => Ok(()),
        }
    }

    /// Grants happen in the entry that frees: between two commands nobody waits for a free mutex.
    fn nobody_waits_for_what_is_free(&self) -> Result<(), String> {
        let idle = |wait: &&Waiting| !self.holders.iter().any(|held| held.name == wait.name);
        match self.queue.iter().find(idle) {
            Some(wait) => Err(format!("{wait:?} waits for a mutex that nobody holds")),
            None => Ok(()),
        }
    }
}

/// A hold ends only by its own session (unless the process that holds it is another), by time, by its old holder's word,
/// or by force with `now`.
fn may_end(by: &Command, held: &Occupied) -> bool {
    let own = |session: SessionId| session == held.session && !held.unadopted;
    match by {
        Command::Call(Call { key, op: Op::Release { token }, .. }) => {
            own(key.id) && *token == held.token
        }
        Command::Attach(attach) => own(attach.key.id) && !attach.held.contains(&held.token),
        Command::Close { key } => own(key.id),
        Command::Due(Due { timer: Timer::Session(session), .. }) => *session == held.session,
        Command::Due(Due { timer: Timer::HoldEnd(_, token), .. }) => *token == held.token,
        Command::AckStopped { session, token, .. } => {
            *session == held.session && *token == held.token
        }
        Command::ForceRelease { now, token, .. } => *now && *token == held.token,
        Command::Due(Due { timer: Timer::Adoption(_) | Timer::MaxHold(..), .. })
        | Command::Open(_)
        | Command::Resume(_)
        | Command::Call(Call { op: Op::Acquire(_) | Op::Adopt { .. }, .. })
        | Command::Cancel { .. }
        | Command::TimeOut { .. }
        | Command::ConfirmLosses { .. }
        | Command::Kill { .. } => false,
    }
}
