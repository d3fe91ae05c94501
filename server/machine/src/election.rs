//! What only elections have: proposals, candidates that stand aside, transfer, and giving way to a higher priority.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::command::Timer;
use crate::demand::Campaign;
use crate::event::{Event, Note};
use crate::ids::{Generation, Seq, SessionId, Token};
use crate::machine::{Entry, Machine, draw};
use crate::name::Name;
use crate::outcome::{HoldState, Kind, LossReason, Outcome, Refusal};
use crate::queue::Place;
use crate::record::Recorded;
use crate::state::State;
use crate::value::Value;

impl Machine {
    pub(crate) fn proclaim(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        term: Token,
        value: Value,
    ) -> Result<Recorded, Refusal> {
        let session = self.session_known(id);
        let hold = session.usable(term).ok_or(Refusal::NotHolder)?;
        if hold.campaign.is_none() {
            return Err(Refusal::NotHolder);
        }
        let hold = session.hold_mut(term);
        if let Some(campaign) = &mut hold.campaign {
            *campaign = Campaign { value: value.clone(), ..campaign.clone() };
        }
        let name = hold.items.first().name.clone();
        entry.note(&name, Note::Proclaimed { term, value });
        Ok(Recorded::Proclaimed)
    }

    pub(crate) fn set_eligible(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        campaign: Seq,
        eligible: bool,
    ) -> Result<Recorded, Refusal> {
        let wait = self.session_known(id).waits.get_mut(&campaign).ok_or(Refusal::NotFound)?;
        let before = wait.is_in_line();
        let place = Place::of(wait);
        let name = wait.items.first().name.clone();
        match &mut Arc::make_mut(wait).campaign {
            Some(campaign) => campaign.eligible = eligible,
            None => return Err(Refusal::NotFound),
        }
        if before == eligible {
            return Ok(Recorded::EligibleSet);
        }
        let object = self.objects.edit(&name).expect("a wait's object exists");
        entry.touch(&name, object);
        object.forget_successor(id, campaign);
        let (from, to) = if eligible {
            (&mut object.aside, &mut object.queue)
        } else {
            (&mut object.queue, &mut object.aside)
        };
        let waiting = from.remove(place).expect("a wait stands in its line");
        to.insert(place, waiting);
        let longest = &mut object.statistics.queue_len_max;
        *longest = (*longest).max(object.queue.len());
        Ok(Recorded::EligibleSet)
    }

    pub(crate) fn transfer(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        term: Token,
        to: SessionId,
        by: Box<str>,
    ) -> Result<Outcome, Refusal> {
        let object = self.objects.get(name).ok_or(Refusal::NotFound)?;
        if object.kind() != Kind::Election {
            return Err(Refusal::WrongKind { kind: object.kind() });
        }
        let leader = object.holders().get(&term).ok_or(Refusal::NotFound)?.session;
        let hold = self.hold_of_session(leader, term).expect("a hold is known to its session");
        let mut waiting = object.queue.iter().map(|(_, waiting)| waiting);
        let candidate = waiting.find(|waiting| waiting.session == to).map(|waiting| waiting.seq);
        drop(waiting);
        let seq = candidate.ok_or(Refusal::NotFound)?;
        if hold.state != HoldState::Held {
            return Err(Refusal::NotFound);
        }
        let state = State::Election { successor: Some((to, seq)) };
        let object = self.objects.edit(name).expect("it was just found");
        object.state = state;
        self.revoke(entry, leader, term, LossReason::Transferred { by });
        self.end_if_deaf(entry, leader);
        self.settle(entry);
        Ok(Outcome::Transferred)
    }

    /// Starts the timer of a leader that has to give way, or stops it when nobody with a higher priority waits any more.
    pub(crate) fn watch_preemption(&mut self, entry: &mut Entry<'_>, name: &Name) {
        let object = self.objects.get(name).expect("the object was looked up in this entry");
        let Some((token, holding)) = object.holders().first_key_value() else { return };
        let (token, id) = (*token, holding.session);
        let highest = object.queue.first().map(|(_, waiting)| waiting.priority);
        let hold = self.hold_of_session(id, token).expect("a hold is known to its session");
        let after_ms = hold.campaign.as_ref().and_then(|campaign| campaign.preempt_after_ms);
        let outranked = highest.is_some_and(|highest| highest > hold.priority);
        let gives_way = after_ms.filter(|_| outranked && hold.state == HoldState::Held);
        match (gives_way, hold.preempt) {
            (Some(after_ms), None) => {
                let generation = Generation(draw(&mut self.counter));
                self.session_known(id).hold_mut(token).preempt = Some(generation);
                entry.timer(Timer::Preempt(id, token), generation, after_ms);
            }
            (None, Some(_)) => {
                self.session_known(id).hold_mut(token).preempt = None;
                entry.events.push(Event::TimerStopped { timer: Timer::Preempt(id, token) });
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}
