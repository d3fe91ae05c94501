//! Watches outcomes and events only, knows neither the machine nor the model, and says what must never be seen:
//! a number that does not rise, holders that exclude each other, a grant to an ended session, a place in the queue not
//! kept, a hold that ended for no good reason, an edit under a token that does not hold.

use std::collections::{BTreeMap, BTreeSet};

use conclave_machine::{
    Acquire, Call, Command, Demand, Edit, Epoch, Event, Item, Mode, Name, Op, Outcome, Passed, Seq,
    SessionId, Timer, Token, Version,
};

use crate::judge::rank;
use crate::seen::{Occupied, Place, Waiting, may_end};

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Observer {
    pub(crate) token_max: Option<Token>,
    /// The highest number of any sort that was told before the present command.
    pub(crate) number_max: u64,
    pub(crate) live: Vec<(SessionId, Epoch)>,
    pub(crate) holders: Vec<Occupied>,
    /// In order of arrival.
    pub(crate) queue: Vec<Waiting>,
    /// What is known of objects besides who holds them and who waits.
    pub(crate) places: BTreeMap<Name, Place>,
    /// Of live sessions only, to recognise a repeated answer.
    grants: BTreeMap<(SessionId, Seq), Token>,
    answered: BTreeSet<(SessionId, Seq)>,
    /// Tokens that the present command replaced by others.
    replaced: Vec<Token>,
    /// Waits that passed in the present command.
    pub(crate) passed: Vec<(Waiting, Passed)>,
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
        self.replaced.clear();
        self.passed.clear();
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
            (Command::Transfer { name, to, .. }, Outcome::Transferred) => {
                self.transferred(name, *to)?;
            }
            (_, _) => {}
        }
        let mut left = Vec::new();
        for event in events {
            self.happened(command, event, events, &mut left)?;
        }
        if let Some(token) = self.replaced.first() {
            return Err(format!("{token} was replaced and nobody was told of its end"));
        }
        self.all_parties_of_a_barrier_passed()?;
        self.nobody_waits_at_a_broken_barrier(&left)?;
        self.numbers_rise(outcome, events)?;
        self.nobody_waits_for_what_is_free()
    }

    fn happened(
        &mut self,
        command: &Command,
        event: &Event,
        events: &[Event],
        left: &mut Vec<Waiting>,
    ) -> Result<(), String> {
        match event {
            Event::Granted { session, seq, name, token, .. } => {
                self.granted_later(*session, *seq, name, *token, events)?;
            }
            Event::Passed { session, seq, name, passed } => {
                let wait = self.leave(*session, *seq)?;
                self.answered.insert((*session, *seq));
                self.may_pass(name, wait.demand(name), *passed)?;
                self.passed.push((wait, *passed));
            }
            Event::WaitEnded { session, seq, .. } => left.push(self.leave(*session, *seq)?),
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
                let holds = |held: &Occupied| (held.session, held.token) == (*session, *token);
                if !self.holders.iter().any(holds) {
                    return Err(format!(
                        "session {session} was told of contention of {token}, which it does not hold"
                    ));
                }
            }
            Event::TimerSet(set) => {
                if let Timer::HoldEnd(_, token) = set.timer {
                    let held = self.holders.iter_mut().filter(|held| held.token == token);
                    held.for_each(|held| held.lost = true);
                }
            }
            Event::TimerStopped { .. } => {}
            Event::Noted { name, note } => self.noted(name, note)?,
        }
        Ok(())
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
            Outcome::Granted { token, .. } => match self.grants.get(&(id, seq)) {
                Some(known) if known == token => Ok(()),
                Some(known) => {
                    Err(format!("seq {seq} of session {id} was granted {known} and then {token}"))
                }
                None => self.granted_at_once(call, *token),
            },
            Outcome::Queued { .. } => self.queued(call),
            Outcome::Passed(passed) => {
                if !self.answered.insert((id, seq)) {
                    return Ok(());
                }
                let wait = self.asked(call)?;
                let name = wait.items[0].name.clone();
                self.may_pass(&name, wait.demand(&name), *passed)?;
                self.passed.push((wait, *passed));
                Ok(())
            }
            Outcome::Edited(_) => match &call.op {
                Op::Edit(edit) if self.answered.insert((id, seq)) => self.may_edit(edit),
                Op::Edit(_) => Ok(()),
                other => Err(format!("{other:?} was no edit")),
            },
            Outcome::EligibleSet => {
                self.eligible_set(call);
                Ok(())
            }
            Outcome::Completed { version } => {
                if !self.answered.insert((id, seq)) {
                    return Ok(());
                }
                self.completed(call, *version)
            }
            Outcome::Opened { .. }
            | Outcome::Attached(_)
            | Outcome::Resumed { .. }
            | Outcome::Ended
            | Outcome::Held(_)
            | Outcome::TimedOut(_)
            | Outcome::Cancelled
            | Outcome::Released
            | Outcome::Downgraded
            | Outcome::Proclaimed
            | Outcome::Resized { .. }
            | Outcome::Transferred
            | Outcome::Deleted
            | Outcome::Stopped
            | Outcome::Confirmed
            | Outcome::Forced { .. }
            | Outcome::Done
            | Outcome::Refused(_) => Ok(()),
        }
    }

    fn completed(&mut self, call: &Call, version: Version) -> Result<(), String> {
        let Op::Complete { token, .. } = &call.op else {
            return Err(format!("{:?} completed something", call.op));
        };
        let name = self.held(call.key.id, *token)?.items[0].name.clone();
        self.is_new(version)?;
        self.places.entry(name).or_default().done = Some(version);
        Ok(())
    }

    /// What a call would wait for.
    fn asked(&self, call: &Call) -> Result<Waiting, String> {
        let (session, seq) = (call.key.id, call.seq);
        match &call.op {
            Op::Acquire(Acquire { items, priority, campaign, .. }) => Ok(Waiting {
                items: items.iter().cloned().collect(),
                session,
                seq,
                priority: *priority,
                upgrades: None,
                aside: campaign.as_ref().is_some_and(|campaign| !campaign.eligible),
            }),
            Op::Upgrade { token, .. } => {
                let held = self.held(session, *token)?;
                let name = held.items[0].name.clone();
                Ok(Waiting {
                    items: vec![Item { name, demand: Demand::RwLock(Mode::Write) }],
                    session,
                    seq,
                    priority: 0,
                    upgrades: Some(*token),
                    aside: false,
                })
            }
            Op::Release { .. }
            | Op::Adopt { .. }
            | Op::Downgrade { .. }
            | Op::Proclaim { .. }
            | Op::SetEligible { .. }
            | Op::Complete { .. }
            | Op::Edit(_) => Err(format!("{:?} is no reason to wait", call.op)),
        }
    }

    fn held(&self, id: SessionId, token: Token) -> Result<&Occupied, String> {
        let held = self.holders.iter().find(|held| (held.session, held.token) == (id, token));
        held.ok_or_else(|| format!("session {id} does not hold {token}"))
    }

    fn queued(&mut self, call: &Call) -> Result<(), String> {
        if self.queue.iter().any(|wait| (wait.session, wait.seq) == (call.key.id, call.seq)) {
            return Ok(());
        }
        let wait = self.asked(call)?;
        self.queue.push(wait);
        Ok(())
    }

    fn granted_at_once(&mut self, call: &Call, token: Token) -> Result<(), String> {
        let (id, seq) = (call.key.id, call.seq);
        match &call.op {
            Op::Acquire(_) => {
                let wait = self.asked(call)?;
                if let Some(other) = self.overtaken(&wait, self.queue.len()) {
                    return Err(format!("{token} overtook the queue, first {other:?}"));
                }
                self.granted(id, seq, wait.items, token)
            }
            Op::Adopt { token: old } => {
                // Room that it has already: also of permits that are more than the limit by now.
                let held = self.replace(id, *old)?;
                self.new_token(id, seq, token)?;
                self.holders.push(Occupied { token, unadopted: false, ..held });
                Ok(())
            }
            Op::Upgrade { token: old, .. } => {
                let wait = self.asked(call)?;
                self.replace(id, *old)?;
                self.granted(id, seq, wait.items, token)
            }
            Op::Release { .. }
            | Op::Downgrade { .. }
            | Op::Proclaim { .. }
            | Op::SetEligible { .. }
            | Op::Complete { .. }
            | Op::Edit(_) => Err(format!("{:?} was granted", call.op)),
        }
    }

    /// The old token goes; the event that says so is still to come.
    fn replace(&mut self, id: SessionId, old: Token) -> Result<Occupied, String> {
        let at = self.holders.iter().position(|held| (held.session, held.token) == (id, old));
        let at = at.ok_or_else(|| format!("session {id} replaced {old}, which it did not hold"))?;
        self.replaced.push(old);
        Ok(self.holders.remove(at))
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
        let at = self.place_of(id, seq)?;
        let wait = &self.queue[at];
        if wait.aside {
            return Err(format!("{token} went to {wait:?}, which stands aside"));
        }
        if let Some(other) = self.overtaken(wait, at) {
            return Err(format!("{token} went to session {id} seq {seq} before {other:?}"));
        }
        if let Some(next) = self.places.get(name).and_then(|place| place.successor)
            && next != (id, seq)
        {
            return Err(format!(
                "{token} went to session {id} seq {seq}, but {next:?} was to lead"
            ));
        }
        let wait = self.leave(id, seq)?;
        if wait.items[0].name != *name {
            let waited_for = &wait.items[0].name;
            return Err(format!("session {id} seq {seq} waited for {waited_for} and got {name}"));
        }
        if let Some(old) = wait.upgrades {
            self.replace(id, old)?;
        }
        self.granted(id, seq, wait.items, token)
    }

    fn granted(
        &mut self,
        id: SessionId,
        seq: Seq,
        items: Vec<Item>,
        token: Token,
    ) -> Result<(), String> {
        self.new_token(id, seq, token)?;
        for item in &items {
            if let Some(others) = self.excluded(item, None) {
                return Err(format!("{token} of {item:?} was granted beside {others}"));
            }
            if self.places.get(&item.name).is_some_and(|place| place.done.is_some()) {
                return Err(format!("{token} runs the once {}, which is done", item.name));
            }
        }
        self.holders.push(Occupied { items, session: id, token, lost: false, unadopted: false });
        Ok(())
    }

    /// Higher than whatever was told before, of a session that lives, once per call.
    fn new_token(&mut self, id: SessionId, seq: Seq, token: Token) -> Result<(), String> {
        if self.token_max.is_some_and(|max| token <= max) {
            return Err(format!("{token} was granted after {:?}", self.token_max));
        }
        self.token_max = Some(token);
        if token.get() <= self.number_max {
            return Err(format!("{token} was granted after number {}", self.number_max));
        }
        if !self.lives(id) {
            return Err(format!("{token} was granted to session {id}, which does not live"));
        }
        match self.grants.insert((id, seq), token) {
            Some(known) => Err(format!("session {id} seq {seq} was granted {known} and {token}")),
            None => Ok(()),
        }
    }

    fn transferred(&mut self, name: &Name, to: SessionId) -> Result<(), String> {
        let candidates = self.queue.iter().enumerate();
        let candidates = candidates
            .filter(|(_, wait)| wait.session == to && !wait.aside && wait.demand(name).is_some());
        let (_, first) = candidates
            .min_by_key(|(place, wait)| rank(wait, *place))
            .ok_or_else(|| format!("{name} was transferred to {to}, which is no candidate"))?;
        let successor = Some((first.session, first.seq));
        self.places.entry(name.clone()).or_default().successor = successor;
        Ok(())
    }

    fn eligible_set(&mut self, call: &Call) {
        let Op::SetEligible { campaign, eligible } = call.op else { return };
        if !self.answered.insert((call.key.id, call.seq)) {
            return;
        }
        let key = (call.key.id, campaign);
        if let Some(wait) = self.queue.iter_mut().find(|wait| (wait.session, wait.seq) == key) {
            wait.aside = !eligible;
        }
        if !eligible {
            self.forget_successor(key);
        }
    }

    fn forget_successor(&mut self, key: (SessionId, Seq)) {
        for place in self.places.values_mut().filter(|place| place.successor == Some(key)) {
            place.successor = None;
        }
    }

    fn may_edit(&self, edit: &Edit) -> Result<(), String> {
        let Some(guard) = &edit.guard else { return Ok(()) };
        let holds = self.holders.iter().any(|held| {
            held.token == guard.token
                && held.demand(&guard.name).is_some()
                && !held.lost
                && !held.unadopted
        });
        if holds { Ok(()) } else { Err(format!("{edit:?} was done, but its guard does not hold")) }
    }

    fn place_of(&self, id: SessionId, seq: Seq) -> Result<usize, String> {
        let at = self.queue.iter().position(|wait| (wait.session, wait.seq) == (id, seq));
        at.ok_or_else(|| format!("session {id} seq {seq} did not wait"))
    }

    /// Takes the wait out.
    fn leave(&mut self, id: SessionId, seq: Seq) -> Result<Waiting, String> {
        let at = self.place_of(id, seq)?;
        self.forget_successor((id, seq));
        Ok(self.queue.remove(at))
    }

    fn hold_ended(&mut self, by: &Command, id: SessionId, token: Token) -> Result<(), String> {
        if let Some(at) = self.replaced.iter().position(|old| *old == token) {
            self.replaced.remove(at);
            return Ok(());
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
        self.answered.retain(|(session, _)| *session != id);
        match self.queue.iter().find(|wait| wait.session == id) {
            Some(wait) => Err(format!("{wait:?} outlived its session")),
            None => Ok(()),
        }
    }
}
