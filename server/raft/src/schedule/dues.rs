//! The part of the [`Schedule`] that proposes: timers that are over, and waits that nobody was attached to for a TTL.

use conclave_machine::{Command, Due, Machine, Outcome, Seq, SessionId, Term, Timer};

use super::{PROPOSALS_MAX, Proposed, STEP, Schedule};
use crate::alarms::State;
use crate::answer::{Decided, LeaderHint, ProposeError};
use crate::clock::Moment;
use crate::counters::count;
use crate::hub::Hub;
use crate::keepalive::KeepAliveError;

impl<T> Schedule<T> {
    pub(super) fn propose_dues(
        &mut self,
        now: Moment,
        term: Term,
        machine: &Machine,
        looks_left: &mut u32,
    ) {
        while self.proposals < PROPOSALS_MAX {
            let Some(timer) = self.alarms.next_due(now, looks_left) else { return };
            let current = machine.timer_generation(&timer);
            if current.is_none() {
                self.alarms.remove(&timer);
                continue;
            }
            let Some(slot) = self.alarms.slot(&timer) else { continue };
            if slot.state == State::Proposed {
                continue;
            }
            // A keepalive that came in time goes first; a newer generation's tiding is on its way.
            if slot.asked > 0 || current != Some(slot.generation) {
                self.alarms.look_again(now + STEP, &timer);
                continue;
            }
            slot.state = State::Proposed;
            let due = Due { timer, generation: slot.generation, term };
            self.proposals += 1;
            count(&self.counters.dues_proposed, 1);
            if let Timer::Session(_) = due.timer {
                count(&self.counters.expiries_proposed, 1);
            }
            self.propose(Proposed::Due(due.clone()), Command::Due(due));
        }
    }

    pub(super) fn due_decided(
        &mut self,
        now: Moment,
        due: Due,
        result: Result<Decided, ProposeError>,
        machine: &Machine,
    ) {
        match result {
            // What it did came as tidings before; only what they left as it was is looked at here.
            Ok(_) => {
                let current = machine.timer_generation(&due.timer);
                if current == Some(due.generation) {
                    // Refused though nothing moved: another leader's entry carried it, so this leadership is over.
                    self.doubt = Some(now);
                }
                self.leave_proposed(now, &due, current.map(|_| State::Running));
            }
            // Presumably this leadership is over. If it is not, everybody has a full period before the next attempt.
            Err(error) => {
                self.doubt = Some(now);
                let (state, leader) = match error {
                    ProposeError::Unknown { leader } => (State::Unknown, leader),
                    ProposeError::NotLeader { leader } => (State::Running, leader),
                    ProposeError::Overloaded | ProposeError::Stopped => (State::Running, None),
                };
                self.leave_proposed(now, &due, Some(state));
                self.refuse_held(&due.timer, leader);
            }
        }
        if let Timer::Session(session) = due.timer {
            self.release(session, machine);
        }
    }

    /// Ends the state `Proposed` of this very generation; with no state to follow, the timer is gone.
    fn leave_proposed(&mut self, now: Moment, due: &Due, next: Option<State>) {
        let Some(slot) = self.alarms.slot(&due.timer) else { return };
        if slot.generation != due.generation || slot.state != State::Proposed {
            return;
        }
        match next {
            Some(state) => {
                slot.state = state;
                self.alarms.look_again(now + STEP, &due.timer);
            }
            None => self.alarms.remove(&due.timer),
        }
    }

    fn refuse_held(&mut self, timer: &Timer, leader: Option<LeaderHint>) {
        if let Timer::Session(session) = timer {
            for asked in self.vigil.release(*session) {
                self.refuse(asked, KeepAliveError::NotLeader { leader: leader.clone() });
            }
        }
    }

    pub(super) fn find_orphans(
        &mut self,
        now: Moment,
        machine: &Machine,
        hub: &Hub,
        looks_left: &mut u32,
    ) {
        while let Some((session, seq)) =
            self.orphans.next_due(now, |session| self.alarms.ttl(session), looks_left)
        {
            match seq {
                Some(seq) => self.orphans.push_over(session, seq),
                None if hub.has_feed(session) => {}
                None => {
                    let waits = machine.session(session).map(|view| view.waits);
                    for wait in waits.into_iter().flatten() {
                        // A wait that is counted by itself was attached in the meantime.
                        if !self.orphans.counts(session, wait.seq) {
                            self.orphans.push_over(session, wait.seq);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn propose_timeouts(&mut self, machine: &Machine, hub: &Hub) {
        while self.proposals < PROPOSALS_MAX {
            let Some((session, seq)) = self.orphans.pop_over() else { return };
            if hub.is_attached(session, seq) || !is_waiting(machine, session, seq) {
                continue;
            }
            self.proposals += 1;
            self.propose(
                Proposed::TimeOut((session, Some(seq))),
                Command::TimeOut { session, seq },
            );
        }
    }
}

fn is_waiting(machine: &Machine, session: SessionId, seq: Seq) -> bool {
    matches!(machine.answer(session, seq), Some(Outcome::Queued { .. }))
}
