//! The deadlines of all running timers. A renewal stores a moment and nothing else; the queue learns of it when the old
//! moment has come, so that 100,000 sessions renewed every TTL/5 cost one queue operation per TTL each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use conclave_machine::{Generation, SessionId, Timer, TimerSet};

use crate::clock::Moment;

/// Entries that the queue may hold beyond two for each timer.
const VOID_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Alarms {
    slots: HashMap<Timer, Slot>,
    /// Moments at which a slot wants to be looked at. An entry whose moment is not its slot's `looked_at` is void.
    queue: BinaryHeap<Reverse<(Moment, Timer)>>,
    /// Every timer that waits for a client counts from here, at the earliest.
    extended_at: Moment,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: Generation,
    after: Duration,
    deadline: Moment,
    look_at: Moment,
    /// Keepalives that arrived and await their confirmation.
    pub(crate) asked: u32,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// Its `Due` was proposed and is not decided.
    Proposed,
    /// Its `Due` was proposed, and whether it will be applied is not known.
    Unknown,
}

impl Alarms {
    /// Starts a timer, or starts it anew. An older generation than the known one changes nothing.
    pub(crate) fn set(&mut self, now: Moment, set: &TimerSet) {
        let after = Duration::from_millis(set.after_ms);
        let deadline = now + after;
        let slot = self.slots.entry(set.timer.clone()).or_insert(Slot {
            generation: set.generation,
            after,
            deadline,
            look_at: Slot::NEVER,
            asked: 0,
            state: State::Running,
        });
        if set.generation < slot.generation {
            return;
        }
        if set.generation > slot.generation {
            slot.state = State::Running;
        }
        slot.generation = set.generation;
        slot.after = after;
        slot.deadline = deadline;
        if deadline < slot.look_at {
            slot.look_at = deadline;
            self.queue.push(Reverse((deadline, set.timer.clone())));
        }
        self.shed();
    }

    pub(crate) fn remove(&mut self, timer: &Timer) {
        self.slots.remove(timer);
        self.shed();
    }

    pub(crate) fn retain(&mut self, is_running: impl Fn(&Timer) -> bool) {
        self.slots.retain(|timer, _| is_running(timer));
        self.shed();
    }

    /// Void entries wait for their moment, which may be an hour away: when most are void, the queue is made anew. That many
    /// were pushed or removed since the last time, so it costs each of them the same small share.
    fn shed(&mut self) {
        if self.queue.len() > 2 * self.slots.len() + VOID_MAX {
            let entry = |(timer, slot): (&Timer, &Slot)| {
                (slot.look_at < Slot::NEVER).then_some(Reverse((slot.look_at, timer.clone())))
            };
            self.queue = self.slots.iter().filter_map(entry).collect();
        }
    }

    pub(crate) fn slot(&mut self, timer: &Timer) -> Option<&mut Slot> {
        self.slots.get_mut(timer)
    }

    /// A confirmed keepalive: the full period from now.
    pub(crate) fn renew(&mut self, now: Moment, timer: &Timer) {
        if let Some(slot) = self.slots.get_mut(timer) {
            slot.deadline = slot.deadline.max(now + slot.after);
        }
    }

    /// Gives every timer that waits for a client its full period from now.
    pub(crate) fn extend_all(&mut self, now: Moment) {
        self.extended_at = self.extended_at.max(now);
    }

    /// The next timer whose time is over, taking at most `looks_left` looks. It is not named again before [`Self::look_again`].
    pub(crate) fn next_due(&mut self, now: Moment, looks_left: &mut u32) -> Option<Timer> {
        while *looks_left > 0 {
            let &Reverse((look_at, _)) = self.queue.peek()?;
            if look_at > now {
                return None;
            }
            let Reverse((_, timer)) = self.queue.pop()?;
            *looks_left -= 1;
            let Some(slot) = self.slots.get_mut(&timer).filter(|slot| slot.look_at == look_at)
            else {
                continue;
            };
            let deadline = slot.deadline_of(&timer, self.extended_at);
            if deadline > now {
                slot.look_at = deadline;
                self.queue.push(Reverse((deadline, timer)));
                continue;
            }
            slot.look_at = Slot::NEVER;
            return Some(timer);
        }
        None
    }

    pub(crate) fn look_again(&mut self, at: Moment, timer: &Timer) {
        if let Some(slot) = self.slots.get_mut(timer)
            && at < slot.look_at
        {
            slot.look_at = at;
            self.queue.push(Reverse((at, timer.clone())));
            self.shed();
        }
    }

    /// When the next look is due.
    pub(crate) fn next_look(&self) -> Option<Moment> {
        self.queue.peek().map(|Reverse((moment, _))| *moment)
    }

    /// The sessions whose `Due` was proposed and is not known to be decided.
    pub(crate) fn expiries_under_way(&self) -> Vec<(SessionId, Generation)> {
        let under_way = |(timer, slot): (&Timer, &Slot)| match (timer, slot.state) {
            (Timer::Session(session), State::Proposed | State::Unknown) => {
                Some((*session, slot.generation))
            }
            (Timer::Session(_), State::Running) => None,
            (
                Timer::Adoption(_)
                | Timer::HoldEnd(..)
                | Timer::MaxHold(..)
                | Timer::Preempt(..)
                | Timer::Retention(_)
                | Timer::Quiet,
                _,
            ) => None,
        };
        self.slots.iter().filter_map(under_way).collect()
    }

    /// A `Due` of this generation may yet be applied.
    pub(crate) fn may_be_in_log(&mut self, session: SessionId, generation: Generation) {
        if let Some(slot) = self.slots.get_mut(&Timer::Session(session))
            && slot.generation == generation
        {
            slot.state = State::Unknown;
        }
    }

    /// The TTL of a session, without the tenth on top that only the server adds.
    pub(crate) fn ttl(&self, session: SessionId) -> Option<Duration> {
        self.slots.get(&Timer::Session(session)).map(|slot| slot.after * 10 / 11)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

impl Slot {
    /// Its `look_at` while nobody is to look: no entry of the queue is meant for it.
    const NEVER: Moment = Moment::MAX;

    fn deadline_of(&self, timer: &Timer, extended_at: Moment) -> Moment {
        match timer {
            // The client must have had its chance.
            Timer::Session(_) | Timer::Adoption(_) => self.deadline.max(extended_at + self.after),
            // Counted from a revision, whatever the client does.
            Timer::HoldEnd(..)
            | Timer::MaxHold(..)
            | Timer::Preempt(..)
            | Timer::Retention(_)
            | Timer::Quiet => self.deadline,
        }
    }
}

#[cfg(test)]
mod tests;
