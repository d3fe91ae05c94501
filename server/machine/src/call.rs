//! Calls: the mutations of a session, each run at most once, and the answer that a retry gets instead.

use crate::command::{Call, Op};
use crate::demand::Demand;
use crate::edit::Change;
use crate::fingerprint::fingerprint;
use crate::hold::End;
use crate::ids::{Seq, SessionId, Token};
use crate::limits;
use crate::machine::{Entry, Machine};
use crate::outcome::{HoldState, Invalid, Limit, Outcome, Refusal};
use crate::planted::planted;
use crate::record::Recorded;
use crate::value::Value;

/// What a seq stands for before it is (not) run.
pub(crate) enum Known {
    /// Never met, and above `seen_through`.
    New,
    /// At or below `seen_through`, and neither waiting nor holding.
    Gone,
    /// Met with this body (none: whatever body), and this became of it.
    As { fingerprint: Option<u64>, answer: Recorded },
}

/// The call that is being run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) id: SessionId,
    pub(crate) seq: Seq,
    /// Of the body.
    pub(crate) fingerprint: u64,
}

/// A seq that a client may choose; zero means none, and the largest has no successor.
pub(crate) const fn check_seq(seq: Seq) -> Result<(), Refusal> {
    if seq.0 == 0 || seq.0 == u64::MAX {
        return Err(Refusal::Invalid { what: Invalid::Seq });
    }
    Ok(())
}

impl Machine {
    pub(crate) fn call(&mut self, entry: &mut Entry<'_>, call: Call) -> Result<Outcome, Refusal> {
        self.authenticate(&call.key)?;
        check_call(&call)?;
        let (id, seq) = (call.key.id, call.seq);
        let session = self.session_known(id);
        session.window.see_through(call.seen_through);
        let full = session.window.is_full();
        let body = fingerprint(&call.op);
        match self.known(id, seq) {
            Known::As { fingerprint: Some(other), .. } if other != body => {
                return Err(Refusal::SeqReused);
            }
            Known::As { answer, .. } => return self.recorded(id, seq, &answer),
            Known::Gone => return Err(Refusal::Gone),
            Known::New if full => {
                let max = limits::WINDOW_MAX as u64;
                return Err(Refusal::Limit { what: Limit::Window, max });
            }
            Known::New => {}
        }
        let caller = Caller { id, seq, fingerprint: body };
        let answer = match self.run(entry, caller, call.op) {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_recorded() => Recorded::Refused(refusal.into()),
            Err(refusal) => {
                self.settle(entry);
                return Err(refusal);
            }
        };
        self.session_known(id).window.record(seq, Some(body), answer.clone());
        self.settle(entry);
        self.recorded(id, seq, &answer)
    }

    fn run(&mut self, entry: &mut Entry<'_>, caller: Caller, op: Op) -> Result<Recorded, Refusal> {
        let id = caller.id;
        match op {
            Op::Acquire(acquire) => self.acquire(entry, caller, acquire),
            Op::Release { token, permits: 0 } => self.release(entry, id, token),
            Op::Release { token, permits } => self.release_part(entry, id, token, permits),
            Op::Adopt { token } => self.adopt(entry, caller, token),
            Op::Downgrade { token, to } => self.downgrade(entry, id, token, to),
            Op::Upgrade { token, wait } => self.upgrade(entry, caller, token, wait),
            Op::Proclaim { term, value } => self.proclaim(entry, id, term, value),
            Op::SetEligible { campaign, eligible } => {
                self.set_eligible(entry, id, campaign, eligible)
            }
            Op::Complete { token, value, retention_ms } => {
                self.complete(entry, id, token, value, retention_ms)
            }
            Op::Edit(edit) => self.edit(entry, id, edit),
        }
    }

    /// What became of a seq of this live session.
    pub(crate) fn known(&self, id: SessionId, seq: Seq) -> Known {
        let session = self.live(id).expect("asked for live sessions only");
        if let Some(found) = session.window.get(seq) {
            return Known::As { fingerprint: found.fingerprint, answer: found.answer.clone() };
        }
        if let Some(waiter) = session.waits.get(&seq) {
            return Known::As { fingerprint: Some(waiter.fingerprint), answer: Recorded::Queued };
        }
        if let Some(token) = session.granted.get(&seq) {
            return Known::As {
                fingerprint: Some(session.holds[token].fingerprint),
                answer: Recorded::Granted { token: *token },
            };
        }
        if seq <= session.window.seen_through() { Known::Gone } else { Known::New }
    }

    /// The recorded answer as it is true now: a place moves on, and a grant is worth nothing once its hold was lost.
    pub(crate) fn recorded(
        &self,
        id: SessionId,
        seq: Seq,
        answer: &Recorded,
    ) -> Result<Outcome, Refusal> {
        let session = self.live(id).expect("asked for live sessions only");
        Ok(match answer {
            Recorded::Queued => {
                let position = self.position(&session.waits[&seq]);
                Outcome::Queued { position }
            }
            Recorded::Granted { token } => {
                // An unadopted hold comes back by `Adopt` only, under a new token.
                session.usable(*token).ok_or(Refusal::Gone)?;
                Outcome::Granted { token: *token, waiting: self.waiting_behind(id, *token) }
            }
            Recorded::Held { name } => Outcome::Held(self.held_by(name)),
            Recorded::TimedOut { name } => Outcome::TimedOut(self.held_by(name)),
            Recorded::Passed(passed) => Outcome::Passed(*passed),
            Recorded::Cancelled => Outcome::Cancelled,
            Recorded::Released => Outcome::Released,
            Recorded::Downgraded => Outcome::Downgraded,
            Recorded::Proclaimed => Outcome::Proclaimed,
            Recorded::EligibleSet => Outcome::EligibleSet,
            Recorded::Completed { version } => Outcome::Completed { version: *version },
            Recorded::Edited(edited) => Outcome::Edited(edited.clone()),
            Recorded::Refused(refusal) => return Err((**refusal).clone()),
        })
    }

    fn release(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
    ) -> Result<Recorded, Refusal> {
        let session = self.session_known(id);
        let newest = session.holds.keys().next_back().copied();
        let token = newest.filter(|_| planted("release by name")).unwrap_or(token);
        session.usable(token).ok_or(Refusal::NotHolder)?;
        self.end_hold(entry, id, token, End::Released);
        Ok(Recorded::Released)
    }

    /// Gives back some permits of a semaphore; the rest stay under the same token.
    fn release_part(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        permits: u32,
    ) -> Result<Recorded, Refusal> {
        let hold = self.session_known(id).usable(token).ok_or(Refusal::NotHolder)?;
        let (weight, limit) = match hold.items.single().map(|item| item.demand) {
            Some(Demand::Permits { weight, limit }) => (weight, limit),
            Some(_) | None => return Err(Refusal::Weight { weight: permits, max: 0 }),
        };
        if permits == weight {
            return self.release(entry, id, token);
        }
        let left = weight.checked_sub(permits);
        let left = left.ok_or(Refusal::Weight { weight: permits, max: weight })?;
        self.change_hold(entry, id, token, Demand::Permits { weight: left, limit });
        Ok(Recorded::Released)
    }

    /// A hold of one object goes on under a weaker demand.
    pub(crate) fn change_hold(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        demand: Demand,
    ) {
        let hold = self.session_known(id).hold_mut(token);
        let item = hold.items.iter_mut().next().expect("a hold has a first object");
        item.demand = demand;
        let name = item.name.clone();
        let object = self.objects.edit(&name).expect("a hold's object exists");
        entry.touch(&name, object);
        object.change(token, demand);
        entry.note(&name, crate::event::Note::Changed { token, demand });
    }

    /// A new token in the same entry; the old one is dead from here on.
    fn adopt(
        &mut self,
        entry: &mut Entry<'_>,
        caller: Caller,
        token: Token,
    ) -> Result<Recorded, Refusal> {
        let hold = self.hold_of_session(caller.id, token);
        hold.filter(|hold| hold.unadopted).ok_or(Refusal::NotHolder)?;
        let new = crate::grant::Replacing {
            seq: caller.seq,
            fingerprint: caller.fingerprint,
            items: None,
        };
        let token = self.replace_hold(entry, caller.id, token, &new);
        Ok(Recorded::Granted { token })
    }

    /// Is that name held under that token by a client that may use it?
    pub(crate) fn is_usable(&self, name: &crate::name::Name, token: Token) -> bool {
        let holding = self.objects.get(name).and_then(|object| object.holders().get(&token));
        holding.is_some_and(|holding| {
            self.hold_of_session(holding.session, token)
                .is_some_and(|hold| hold.state == HoldState::Held && !hold.unadopted)
        })
    }
}

impl Refusal {
    /// Whether a retry of the same seq gets it again, see RULES.md.
    const fn is_recorded(&self) -> bool {
        match self {
            Self::NotHolder
            | Self::AlreadyHeld { .. }
            | Self::WrongKind { .. }
            | Self::NotFound
            | Self::Mismatch { .. }
            | Self::Weight { .. }
            | Self::NotUpgradable
            | Self::WouldDeadlock
            | Self::Deadlock { .. }
            | Self::Guard
            | Self::BelowZero { .. }
            | Self::Overflow { .. }
            | Self::Broken
            | Self::AttemptsExhausted { .. }
            | Self::HoldLost => true,
            Self::SessionExpired
            | Self::Fenced { .. }
            | Self::SeqReused
            | Self::Gone
            | Self::Limit { .. }
            | Self::Conflict { .. }
            | Self::Busy
            | Self::Stale
            | Self::Invalid { .. } => false,
        }
    }
}

/// What is wrong with a call whatever the state is.
fn check_call(call: &Call) -> Result<(), Refusal> {
    check_seq(call.seq)?;
    if call.seen_through.0 == u64::MAX {
        return Err(Refusal::Invalid { what: Invalid::Seq });
    }
    let long = |value: &Value, max: usize| value.len() > max;
    let what = match &call.op {
        Op::Acquire(acquire) => acquire.is_invalid(),
        Op::Proclaim { value, .. } if long(value, limits::PROPOSAL_BYTES_MAX) => {
            Some(Invalid::Value)
        }
        Op::Complete { value, .. } if long(value, limits::VALUE_BYTES_MAX) => Some(Invalid::Value),
        Op::Complete { retention_ms, .. } if *retention_ms > limits::RETENTION_MS_MAX => {
            Some(Invalid::Retention)
        }
        Op::Edit(edit) => match &edit.change {
            Change::CreateLatch { count: 0 } | Change::CountDown { by: 0, .. } => {
                Some(Invalid::Zero)
            }
            Change::SetRegister { value, .. } if long(value, limits::VALUE_BYTES_MAX) => {
                Some(Invalid::Value)
            }
            Change::CreateLatch { .. }
            | Change::CountDown { .. }
            | Change::ResetLatch
            | Change::SetGate { .. }
            | Change::SetRegister { .. }
            | Change::DeleteRegister { .. }
            | Change::AddCounter { .. } => None,
        },
        Op::Release { .. }
        | Op::Adopt { .. }
        | Op::Downgrade { .. }
        | Op::Upgrade { .. }
        | Op::Proclaim { .. }
        | Op::SetEligible { .. }
        | Op::Complete { .. } => None,
    };
    what.map_or(Ok(()), |what| Err(Refusal::Invalid { what }))
}
