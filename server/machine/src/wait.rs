//! The end of a wait without a grant: cancelled, timed out, or gone with its session.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::call::{Known, check_seq};
use crate::command::SessionKey;
use crate::event::{Event, WaitEnd};
use crate::ids::{Seq, SessionId, Token};
use crate::limits::WINDOW_MAX;
use crate::machine::{Entry, Machine};
use crate::name::Name;
use crate::outcome::{HeldBy, Limit, Outcome, Refusal};
use crate::planted::planted;
use crate::queue::Place;
use crate::record::{Recorded, WaiterRecord};
use crate::session::Session;
use crate::state::State;

impl Machine {
    pub(crate) fn cancel(
        &mut self,
        entry: &mut Entry<'_>,
        key: &SessionKey,
        seq: Seq,
    ) -> Result<Outcome, Refusal> {
        self.authenticate(key)?;
        check_seq(seq)?;
        match self.known(key.id, seq) {
            Known::As { answer: Recorded::Queued, .. } => {
                self.end_wait(entry, key.id, seq, Recorded::Cancelled, WaitEnd::Cancelled);
                if planted("cancel loses the waiter behind") {
                    entry.unsettled.clear();
                }
                self.settle(entry);
                Ok(Outcome::Cancelled)
            }
            Known::As { answer, .. } => self.recorded(key.id, seq, &answer),
            Known::Gone => Err(Refusal::Gone),
            Known::New => {
                let window = &mut self.session_known(key.id).window;
                if window.is_full() {
                    return Err(Refusal::Limit { what: Limit::Window, max: WINDOW_MAX as u64 });
                }
                window.record(seq, None, Recorded::Cancelled);
                Ok(Outcome::Cancelled)
            }
        }
    }

    pub(crate) fn time_out(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        seq: Seq,
    ) -> Result<Outcome, Refusal> {
        self.live(id).ok_or(Refusal::SessionExpired)?;
        match self.known(id, seq) {
            Known::As { answer: Recorded::Queued, .. } => {
                let held_by = self.leave_by_time_out(entry, id, seq);
                self.settle(entry);
                Ok(Outcome::TimedOut(held_by))
            }
            Known::As { answer, .. } => self.recorded(id, seq, &answer),
            Known::Gone => Err(Refusal::Gone),
            Known::New => Err(Refusal::NotFound),
        }
    }

    fn leave_by_time_out(&mut self, entry: &mut Entry<'_>, id: SessionId, seq: Seq) -> HeldBy {
        let waiter = &self.live(id).expect("it waits").waits[&seq];
        let name = self.in_the_way_of(waiter);
        let mut held_by = self.held_by(&name);
        // Who waits besides the one that gives up.
        held_by.queue_len -= u32::from(waiter.is_in_line());
        let recorded = Recorded::TimedOut { name };
        self.end_wait(entry, id, seq, recorded, WaitEnd::TimedOut(held_by.clone()));
        held_by
    }

    /// The first of its objects that a waiter could not have if it were alone in what it asks for.
    fn in_the_way_of(&self, waiter: &WaiterRecord) -> Name {
        let place = Place::of(waiter);
        let blocked = waiter.items.iter().find(|item| {
            let object = self.objects.get(&item.name).expect("a wait's object exists");
            self.quiet.is_some()
                || !object.fits(item.demand, waiter.upgrades)
                || object.is_behind_another(item.demand, place)
        });
        blocked.unwrap_or(waiter.items.first()).name.clone()
    }

    /// Takes a wait out of its queues and tells the waiter. The caller settles.
    pub(crate) fn end_wait(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        seq: Seq,
        became: Recorded,
        end: WaitEnd,
    ) {
        let timed_out = matches!(end, WaitEnd::TimedOut(_));
        let waiter = self.leave_queues(entry, id, seq, became, timed_out);
        let name = waiter.items.first().name.clone();
        entry.events.push(Event::WaitEnded { session: id, seq, name: name.clone(), end });
        self.break_barrier(entry, &name);
    }

    /// The same for one of several waits that end together: an earlier one may have broken the barrier of a later one.
    pub(crate) fn end_wait_if_there(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        seq: Seq,
        became: Recorded,
        end: WaitEnd,
    ) {
        if self.live(id).is_some_and(|session| session.waits.contains_key(&seq)) {
            self.end_wait(entry, id, seq, became, end);
        }
    }

    fn leave_queues(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        seq: Seq,
        became: Recorded,
        timed_out: bool,
    ) -> Arc<WaiterRecord> {
        let session = self.sessions.edit(&id).expect("a waiter's session is alive");
        let waiter = session.waits_no_more(seq, became).expect("the caller knows that it waits");
        let place = Place::of(&waiter);
        for item in waiter.items.iter() {
            let object = self.objects.edit(&item.name).expect("a wait's object exists");
            entry.touch(&item.name, object);
            let line = if waiter.is_in_line() { &mut object.queue } else { &mut object.aside };
            line.remove(place).expect("a wait stands in its queue");
            object.forget_successor(id, seq);
            let statistics = &mut object.statistics;
            *(if timed_out { &mut statistics.timeouts } else { &mut statistics.cancels }) += 1;
        }
        self.counts.waiters -= 1;
        waiter
    }

    /// Somebody left a barrier: whoever waits there is told, if that is what they agreed upon.
    fn break_barrier(&mut self, entry: &mut Entry<'_>, name: &Name) {
        let object = self.objects.get(name).expect("an object exists until settled");
        if !matches!(object.state, State::Barrier { break_on_loss: true, .. }) {
            return;
        }
        let left: Vec<(SessionId, Seq)> =
            object.queue.iter().map(|(_, waiting)| (waiting.session, waiting.seq)).collect();
        for (session, seq) in left {
            let became = Recorded::Refused(Refusal::Broken.into());
            self.leave_queues(entry, session, seq, became, false);
            let end = WaitEnd::Refused(Refusal::Broken);
            entry.events.push(Event::WaitEnded { session, seq, name: name.clone(), end });
        }
    }

    /// A hold is about to end, or to be taken away: nobody can wait for its upgrade any more.
    pub(crate) fn end_upgrade(&mut self, entry: &mut Entry<'_>, name: &Name, token: Token) {
        let object = self.objects.get(name).expect("a hold's object exists");
        let Some((_, first)) = object.queue.first() else { return };
        if first.upgrades == Some(token) {
            let (session, seq) = (first.session, first.seq);
            let became = Recorded::Refused(Refusal::HoldLost.into());
            self.end_wait(entry, session, seq, became, WaitEnd::Refused(Refusal::HoldLost));
        }
    }
}

impl WaiterRecord {
    /// False: a candidate that stands aside.
    pub(crate) fn is_in_line(&self) -> bool {
        self.campaign.as_ref().is_none_or(|campaign| campaign.eligible)
    }
}

impl Session {
    /// What a wait of this session became, other than a hold.
    pub(crate) fn waits_no_more(
        &mut self,
        seq: Seq,
        became: Recorded,
    ) -> Option<Arc<WaiterRecord>> {
        let wait = self.waits.remove(&seq)?;
        self.window.ended(seq, wait.fingerprint, became);
        Some(wait)
    }
}
