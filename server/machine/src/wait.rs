//! The end of a wait without a grant: cancelled, timed out, or gone with its session.

use alloc::boxed::Box;

use crate::call::{Known, check_seq};
use crate::command::SessionKey;
use crate::event::{Event, WaitEnd};
use crate::ids::{Seq, SessionId};
use crate::limits::WINDOW_MAX;
use crate::machine::{Entry, Machine};
use crate::outcome::{Limit, Outcome, Refusal};
use crate::record::Recorded;

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

    fn leave_by_time_out(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        seq: Seq,
    ) -> crate::outcome::HeldBy {
        let wait = &self.live(id).expect("it waits").waits[&seq];
        let object = self.objects.get(&wait.name).expect("a wait's object exists");
        let mut held_by = self.held_by(object);
        // Who waits besides the one that gives up.
        held_by.queue_len -= 1;
        let recorded = Recorded::TimedOut(Box::new(held_by.clone()));
        self.end_wait(entry, id, seq, recorded, WaitEnd::TimedOut(held_by.clone()));
        held_by
    }

    /// Takes a wait out of its queue and tells the waiter. The caller settles.
    pub(crate) fn end_wait(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        seq: Seq,
        became: Recorded,
        end: WaitEnd,
    ) {
        let session = self.sessions.edit(&id).expect("a waiter's session is alive");
        let wait = session.waits_no_more(seq, became).expect("the caller knows that it waits");
        let object = self.objects.edit(&wait.name).expect("a wait's object exists");
        entry.touch(&wait.name, object);
        object.queue.remove(wait.place).expect("a wait stands in its queue");
        match end {
            WaitEnd::TimedOut(_) => object.statistics.timeouts += 1,
            WaitEnd::Cancelled | WaitEnd::SessionEnded(_) | WaitEnd::Fenced => {
                object.statistics.cancels += 1;
            }
        }
        self.counts.waiters -= 1;
        entry.events.push(Event::WaitEnded { session: id, seq, name: wait.name, end });
    }
}
