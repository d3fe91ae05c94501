//! What a leader does about time, as a plain value: moments and happenings in, actions out. It touches no clock, no network and
//! no lock, so that every rule can be tested by a script.
//!
//! What must hold (reliability.md, "Session rules"):
//! * a keepalive is acknowledged, and refused, only after a confirmation that started after it arrived, and acknowledged only
//!   while no `Due` of its session is under way;
//! * a `Due` of a session is proposed only while no keepalive of it awaits its confirmation, and never in doubt (the clock came
//!   late, or the quorum was out of reach);
//! * a doubt ends with a swift confirmation that started after it arose, and then everybody has a full period;
//! * nothing survives the end of a term. A leadership that is taken back and given again within one term (the majority was
//!   silent for a while) has not ended: an expiry that is in its log is still under way.

mod dues;
mod keepalives;
mod told;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use conclave_machine::{Command, Due, Generation, Machine, Revision, Seq, SessionId, Term, Timer};

use crate::alarms::{Alarms, State};
use crate::answer::{Decided, LeaderHint, NotLeader, ProposeError};
use crate::clock::Moment;
use crate::counters::{ClockCounters, count};
use crate::hub::Hub;
use crate::inbox::Tiding;
use crate::keepalive::{KeepAliveAck, KeepAliveError};
use crate::orphans::{Orphan, Orphans};
use crate::planted::planted;
use crate::quorum::Confirmed;
use crate::vigil::{Asked, Vigil};

use told::Told;

/// The clock looks at least this often; also how exact a short timer is.
pub(crate) const STEP: Duration = Duration::from_millis(20);
/// `Due`s and `TimeOut`s under way: one entry's worth, so that 10,000 sessions that expire together leave room for everybody.
pub(crate) const PROPOSALS_MAX: usize = 256;
/// Queue entries looked at in one go: less than a millisecond, since apply waits meanwhile.
const LOOKS_MAX: u32 = 1024;
/// `ConfirmLosses` under way; a client whose turn does not come confirms again with its next keepalive.
const LOSS_CONFIRMATIONS_MAX: usize = 256;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action<T> {
    /// Start a ReadIndex now; an older one that is still under way counts no more.
    Confirm {
        number: u64,
    },
    Propose {
        number: u64,
        command: Command,
    },
    Answer {
        reply: T,
        answer: Result<KeepAliveAck, KeepAliveError>,
    },
}

/// `T`: where the answer to a keepalive goes.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    /// A confirmation that takes longer counts as quorum contact lost.
    election_timeout: Duration,
    counters: Arc<ClockCounters>,
    /// Counts confirmations and proposals through all leaderships, so that a late answer is recognised.
    number: u64,
    /// None: this node does not lead, and everything below is empty.
    term: Option<Term>,
    /// Who leads instead, as far as known.
    leader: Option<LeaderHint>,
    /// Expiries that may be in the log of this term, though the node stopped leading since.
    in_log: Option<(Term, Vec<(SessionId, Generation)>)>,
    /// Timers up to here were read from the machine, not from tidings.
    read_at: Revision,
    alarms: Alarms,
    orphans: Orphans,
    vigil: Vigil<T>,
    told: Told,
    /// Since when something is suspicious.
    doubt: Option<Moment>,
    /// A confirmation failed: the next one starts no sooner.
    confirm_not_before: Moment,
    looked_at: Moment,
    proposed: HashMap<u64, Proposed>,
    /// Of `Due`s and `TimeOut`s.
    proposals: usize,
    confirming_losses: HashSet<SessionId>,
    actions: Vec<Action<T>>,
}

#[derive(Debug, Clone)]
enum Proposed {
    Due(Due),
    TimeOut(Orphan),
    Losses(SessionId),
}

impl<T> Schedule<T> {
    pub(crate) fn new(election_timeout: Duration, counters: Arc<ClockCounters>) -> Self {
        Self {
            election_timeout,
            counters,
            number: 0,
            term: None,
            leader: None,
            in_log: None,
            read_at: Revision(0),
            alarms: Alarms::default(),
            orphans: Orphans::default(),
            vigil: Vigil::new(),
            told: Told::default(),
            doubt: None,
            confirm_not_before: Moment::ZERO,
            looked_at: Moment::ZERO,
            proposed: HashMap::new(),
            proposals: 0,
            confirming_losses: HashSet::new(),
            actions: Vec::new(),
        }
    }

    /// This node leads and has applied an entry of its own term: everything has its full time from now.
    pub(crate) fn lead(&mut self, now: Moment, term: Term, machine: &Machine) {
        self.stop(None);
        self.term = Some(term);
        self.looked_at = now;
        self.read(now, machine);
        if let Some((of, expiries)) = self.in_log.take()
            && of == term
        {
            for (session, generation) in expiries {
                self.alarms.may_be_in_log(session, generation);
            }
        }
    }

    /// Tidings were lost: reads everything anew, in full.
    pub(crate) fn reread(&mut self, now: Moment, machine: &Machine) {
        self.alarms.retain(|timer| machine.timer_generation(timer).is_some());
        self.read(now, machine);
    }

    fn read(&mut self, now: Moment, machine: &Machine) {
        self.read_at = machine.revision();
        for set in machine.timers() {
            self.alarms.set(now, &set);
        }
        // Whoever is attached is seen to be when the time is over.
        for (session, _) in machine.waits() {
            self.detached(now, session, None);
        }
        self.publish_timers();
    }

    /// This node does not lead (any more): nothing is remembered, and whoever waits is told.
    pub(crate) fn stop(&mut self, leader: Option<LeaderHint>) {
        let waiting = std::mem::replace(&mut self.vigil, Vigil::new());
        for asked in waiting.into_all() {
            self.refuse(asked, KeepAliveError::NotLeader { leader: leader.clone() });
        }
        if let Some(term) = self.term.take() {
            self.in_log = Some((term, self.alarms.expiries_under_way()));
        }
        self.leader = leader;
        self.alarms = Alarms::default();
        self.orphans = Orphans::default();
        self.told = Told::default();
        self.doubt = None;
        self.confirm_not_before = Moment::ZERO;
        self.proposed = HashMap::new();
        self.proposals = 0;
        self.confirming_losses = HashSet::new();
        self.publish_timers();
    }

    /// The term of the present leadership.
    pub(crate) fn term(&self) -> Option<Term> {
        self.term
    }

    /// Something was applied, or a reader went away.
    pub(crate) fn tiding(
        &mut self,
        now: Moment,
        revision: Option<Revision>,
        tiding: Tiding,
        machine: &Machine,
    ) {
        if self.term.is_none() || revision.is_some_and(|revision| revision <= self.read_at) {
            return;
        }
        match tiding {
            Tiding::Timer(set) => {
                self.alarms.set(now, &set);
                if let Timer::Session(session) = set.timer {
                    self.release(session, machine);
                }
            }
            Tiding::TimerStopped(timer) => self.alarms.remove(&timer),
            Tiding::SessionEnded(session) => {
                self.alarms.remove(&Timer::Session(session));
                self.alarms.remove(&Timer::Adoption(session));
                self.release(session, machine);
            }
            Tiding::HoldEnded(session, token) => {
                self.alarms.remove(&Timer::HoldEnd(session, token));
                self.alarms.remove(&Timer::MaxHold(session, token));
                self.alarms.remove(&Timer::Preempt(session, token));
            }
            Tiding::Detached(session, seq) => self.detached(now, session, seq),
        }
    }

    /// A keepalive arrived.
    pub(crate) fn keep_alive(&mut self, mut asked: Asked<T>, machine: &Machine) {
        if self.term.is_none() {
            let leader = self.leader.clone();
            return self.refuse(asked, KeepAliveError::NotLeader { leader });
        }
        if machine.authenticate(&asked.key).is_err() {
            // Perhaps this node was deposed and does not know the session yet: refused only when confirmed.
            asked.counted = false;
            return self.vigil.gather(asked);
        }
        let slot = self.alarms.slot(&Timer::Session(asked.key.id));
        asked.counted = slot.is_some();
        match slot {
            Some(slot) => match slot.state {
                State::Running => {
                    slot.asked += 1;
                    self.vigil.gather(asked);
                }
                State::Proposed => self.vigil.hold(asked),
                State::Unknown => self.refuse(asked, KeepAliveError::NotLeader { leader: None }),
            },
            None => self.vigil.gather(asked),
        }
    }

    /// The confirmation of this number ended; all that it serves are answered now and by the next looks. The hub has told everybody everything up to `delivered`: an acknowledgement
    /// names no later revision, so that in a feed it stands behind all that it speaks of.
    pub(crate) fn confirmed(
        &mut self,
        now: Moment,
        number: u64,
        result: Result<Confirmed, NotLeader>,
        delivered: Revision,
        machine: &Machine,
    ) {
        let Some(batch) = self.vigil.finish(number) else { return };
        match result {
            Ok(confirmed) if self.term == Some(confirmed.term) => {
                count(&self.counters.confirmations, 1);
                self.settle_doubt(now, batch.started);
                // Before the first delivery of this leadership nobody was listening.
                let revision = confirmed.revision.min(delivered.max(self.read_at));
                self.told.begin_round();
                self.vigil.end(batch.asked, Ok(revision));
            }
            // Another leadership than the one whose deadlines are here.
            Ok(_) => self.unconfirmed(now, batch, KeepAliveError::NotLeader { leader: None }),
            Err(NotLeader { leader }) => {
                self.unconfirmed(now, batch, KeepAliveError::NotLeader { leader });
            }
        }
        self.judge_some(now, machine);
    }

    /// The proposal of this number ended.
    pub(crate) fn decided(
        &mut self,
        now: Moment,
        number: u64,
        result: Result<Decided, ProposeError>,
        machine: &Machine,
    ) {
        let Some(proposed) = self.proposed.remove(&number) else { return };
        match proposed {
            Proposed::Due(due) => {
                self.proposals -= 1;
                self.due_decided(now, due, result, machine);
            }
            Proposed::TimeOut(orphan) => {
                self.proposals -= 1;
                match result {
                    Ok(_) => count(&self.counters.orphans_timed_out, 1),
                    Err(_) => self.detached(now, orphan.0, orphan.1),
                }
            }
            Proposed::Losses(session) => {
                self.confirming_losses.remove(&session);
            }
        }
    }

    /// To be called at least every [`STEP`] and whenever something happened: starts confirmations, proposes what is over.
    pub(crate) fn look(&mut self, now: Moment, machine: &Machine, hub: &Hub) {
        let Some(term) = self.term else { return };
        if now - self.looked_at > STEP + self.election_timeout / 2 {
            // Keepalives may have waited as long, unseen.
            self.doubt = Some(now);
        }
        self.looked_at = now;
        self.watch_confirmation(now);
        self.judge_some(now, machine);
        self.start_confirmation(now);
        if self.doubt.is_none() || planted("expiry without a quorum") {
            let mut looks_left = LOOKS_MAX;
            self.propose_dues(now, term, machine, &mut looks_left);
            self.find_orphans(now, machine, hub, &mut looks_left);
            self.propose_timeouts(machine, hub);
        }
        self.publish_timers();
    }

    /// There is more to do at once; the machine may be let go in between.
    pub(crate) fn is_busy(&self) -> bool {
        self.vigil.has_ended()
    }

    /// When to look next, at the latest.
    pub(crate) fn next_look(&self, now: Moment) -> Moment {
        let step = now + STEP;
        if self.doubt.is_some() || self.proposals >= PROPOSALS_MAX {
            return step;
        }
        let earliest = [self.alarms.next_look(), self.orphans.next_look()];
        earliest.into_iter().flatten().fold(step, Moment::min)
    }

    pub(crate) fn take_actions(&mut self) -> Vec<Action<T>> {
        std::mem::take(&mut self.actions)
    }

    fn propose(&mut self, proposed: Proposed, command: Command) {
        self.number += 1;
        self.proposed.insert(self.number, proposed);
        self.actions.push(Action::Propose { number: self.number, command });
    }

    fn detached(&mut self, now: Moment, session: SessionId, seq: Option<Seq>) {
        if let Some(ttl) = self.alarms.ttl(session) {
            self.orphans.detached(now, (session, seq), ttl);
        }
    }

    fn publish_timers(&self) {
        self.counters.timers.store(self.alarms.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
