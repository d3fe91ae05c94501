//! One queue for everything: who stands before whom, who is in whose way, and who is served when room was made.

use std::cmp::Reverse;

use conclave_machine::{
    Demand, Event, HoldState, Item, Mode, Name, Note, Outcome, Passed, Refusal, Seq, SessionId,
    Timer, Version, WaitEnd,
};

use crate::model::{Model, count};
use crate::object::State;
use crate::request::{Hold, Wait};

/// Who is next at an object.
enum Next {
    AllPass(Version),
    Granted(SessionId, Seq),
    Exhausted(SessionId, Seq, u32),
}

/// How many wait for an object, and the priority of the first of them.
pub(crate) struct Crowd {
    name: Name,
    len: u32,
    highest: Option<i32>,
}

/// Two that may not hold at the same time, nor overtake each other.
pub(crate) fn conflict(one: Demand, other: Demand) -> bool {
    match (one, other) {
        (Demand::RwLock(one), Demand::RwLock(other)) => !matches!(
            (one, other),
            (Mode::Read, Mode::Read | Mode::Upgradable) | (Mode::Upgradable, Mode::Read)
        ),
        (_, _) => true,
    }
}

/// The smaller is served first; arrival, the order of the list, decides among equals.
fn rank(wait: &Wait) -> (bool, Reverse<i32>) {
    (wait.upgrades.is_none(), Reverse(wait.priority))
}

impl Model {
    /// By token.
    pub(crate) fn holds_of<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Hold> {
        self.holds.iter().filter(move |hold| hold.wants(name))
    }

    /// Permits of a semaphore that are given out.
    pub(crate) fn in_use(&self, name: &Name) -> u64 {
        let demands = self.holds_of(name).filter_map(|hold| hold.demand(name));
        let weights = demands.map(|demand| match demand {
            Demand::Permits { weight, .. } => u64::from(weight),
            Demand::Mutex
            | Demand::RwLock(_)
            | Demand::Lead
            | Demand::Run { .. }
            | Demand::Latch
            | Demand::Gate
            | Demand::Arrive { .. } => 0,
        });
        weights.sum()
    }

    /// The waits of an object in the order in which they are served.
    pub(crate) fn queue(&self, name: &Name) -> Vec<&Wait> {
        let waits = self.waits.iter().filter(|wait| wait.wants(name) && !wait.stands_aside());
        let mut queue: Vec<_> = waits.collect();
        queue.sort_by_key(|wait| rank(wait));
        queue
    }

    /// Candidates that stand aside, in the order in which they would be served.
    pub(crate) fn aside(&self, name: &Name) -> Vec<&Wait> {
        let waits = self.waits.iter().filter(|wait| wait.wants(name) && wait.stands_aside());
        let mut aside: Vec<_> = waits.collect();
        aside.sort_by_key(|wait| Reverse(wait.priority));
        aside
    }

    pub(crate) fn queue_len(&self, name: &Name) -> u32 {
        count(self.waits.iter().filter(|wait| wait.wants(name) && !wait.stands_aside()).count())
    }

    /// Of several objects: of the most wanted one.
    pub(crate) fn longest_queue(&self, items: &[Item]) -> u32 {
        items.iter().map(|item| self.queue_len(&item.name)).max().unwrap_or(0)
    }

    /// Who stands before it at one of its objects: before where it stands, or before where it would stand if it came now.
    pub(crate) fn ahead(&self, name: &Name, wait: &Wait) -> Vec<&Wait> {
        let mut queue = self.queue(name);
        if let Some(place) = queue.iter().position(|other| other.is(wait.session, wait.seq)) {
            queue.truncate(place);
        } else {
            queue.retain(|other| rank(other) <= rank(wait));
        }
        queue
    }

    pub(crate) fn wait(&self, session: SessionId, seq: Seq) -> Option<&Wait> {
        self.waits.iter().find(|wait| wait.is(session, seq))
    }

    /// Counts from 1; the farthest of several; zero: it stands aside.
    pub(crate) fn position(&self, session: SessionId, seq: Seq) -> Option<u32> {
        let wait = self.wait(session, seq)?;
        if wait.stands_aside() {
            return Some(0);
        }
        wait.items.iter().map(|item| count(self.ahead(&item.name, wait).len()) + 1).max()
    }

    /// Does it go with those who hold the object (but for the hold that it would replace)?
    fn fits(&self, item: &Item, wait: &Wait) -> bool {
        let Item { name, demand } = item;
        let mut others = self.holds_of(name).filter(|hold| Some(hold.token) != wait.upgrades);
        match *demand {
            Demand::Permits { weight, limit } => {
                let limit = self.limit(name).unwrap_or(limit);
                self.in_use(name) + u64::from(weight) <= u64::from(limit)
            }
            Demand::Latch | Demand::Gate => {
                self.object(name).is_some_and(|object| object.open().is_some())
            }
            Demand::Arrive { parties, .. } => {
                let queue = self.queue(name);
                let others = queue.iter().filter(|other| !other.is(wait.session, wait.seq));
                count(others.count()) + 1 >= parties
            }
            Demand::Mutex | Demand::RwLock(_) | Demand::Lead | Demand::Run { .. } => {
                others.all(|hold| !conflict(hold.demand(name).expect("of this object"), *demand))
            }
        }
    }

    /// The effective limit of a semaphore that is there.
    pub(crate) fn limit(&self, name: &Name) -> Option<u32> {
        let object = self.object(name)?;
        if let State::Semaphore { limit, .. } = object.state { Some(limit) } else { None }
    }

    /// May it have this object, by who holds it and by who stands before?
    fn free(&self, item: &Item, wait: &Wait) -> bool {
        if wait.stands_aside() {
            return false;
        }
        let Item { name, demand } = item;
        let in_the_way = || {
            let mut ahead = self.ahead(name, wait).into_iter();
            ahead.any(|other| conflict(other.demand(name).expect("waits for it"), *demand))
        };
        match demand {
            Demand::Run { .. } if self.object(name).is_some_and(|once| once.open().is_some()) => {
                true
            }
            Demand::Latch | Demand::Gate | Demand::Arrive { .. } => self.fits(item, wait),
            Demand::Mutex
            | Demand::RwLock(_)
            | Demand::Permits { .. }
            | Demand::Lead
            | Demand::Run { .. } => self.quiet.is_none() && self.fits(item, wait) && !in_the_way(),
        }
    }

    /// The first of its objects that it cannot have now; none: it can have them all.
    pub(crate) fn lacks<'a>(&self, wait: &'a Wait) -> Option<&'a Item> {
        wait.items.iter().find(|item| !self.free(item, wait))
    }

    fn next(&self, name: &Name) -> Option<Next> {
        let queue = self.queue(name);
        let first = queue.first()?;
        if let Some(version) = self.object(name)?.open() {
            return Some(Next::AllPass(version));
        }
        if let (Demand::Run { attempts_max }, State::Once { attempts, .. }) =
            (first.demand(name)?, &self.object(name)?.state)
            && self.lacks(first).is_none()
            && attempts_max > 0
            && attempts_max <= *attempts
        {
            return Some(Next::Exhausted(first.session, first.seq, *attempts));
        }
        if let Some((session, seq)) = self.successor(name)
            && self.holds_of(name).next().is_none()
        {
            return Some(Next::Granted(session, seq));
        }
        let mut ranked = queue.iter().enumerate();
        let (_, next) = ranked.find(|(place, wait)| {
            let Some(item) = wait.items.iter().find(|item| item.name == *name) else {
                return false;
            };
            // What can be seen here is looked at before what takes a look at the other objects.
            self.fits(item, wait)
                && !queue[..*place].iter().any(|other| {
                    other.demand(name).is_some_and(|other| conflict(other, item.demand))
                })
                && self.lacks(wait).is_none()
        })?;
        Some(Next::Granted(next.session, next.seq))
    }

    /// What ended in this entry makes room in this entry: as long as there is an object that something changed at, the one
    /// with the smallest name. A grant changes all the objects it is for.
    pub(crate) fn serve(&mut self) {
        while let Some(name) = self.touched.first().cloned() {
            // Everyone there, one after the other.
            while let Some(next) = self.next(&name) {
                self.serve_next(&name, &next);
            }
            self.touched.remove(&name);
        }
    }

    pub(crate) fn touch(&mut self, items: &[Item]) {
        self.touched.extend(items.iter().map(|item| item.name.clone()));
    }

    fn serve_next(&mut self, name: &Name, next: &Next) {
        match next {
            Next::AllPass(version) => self.all_pass(name, *version, false),
            Next::Granted(session, seq) => self.grant_wait(*session, *seq),
            Next::Exhausted(session, seq, attempts) => {
                let refusal = Refusal::AttemptsExhausted { attempts: *attempts };
                self.end_wait(*session, *seq, WaitEnd::Refused(refusal));
            }
        }
    }

    /// Everyone who waits there passes, in the order of service; of a barrier, the caller passes after them.
    pub(crate) fn all_pass(&mut self, name: &Name, version: Version, barrier: bool) {
        let queue: Vec<_> = self.queue(name).iter().map(|wait| (wait.session, wait.seq)).collect();
        let together = count(queue.len()) + u32::from(barrier);
        for (place, (session, seq)) in queue.into_iter().enumerate() {
            let passed = Passed { version, index: if barrier { count(place) } else { 0 } };
            let wait = self.leave(session, seq);
            self.ended_without_hold(session, &wait, Outcome::Passed(passed));
            self.events.push(Event::Passed { session, seq, name: name.clone(), passed });
        }
        self.object_mut(name).statistics.passes += u64::from(together);
        self.note(name, Note::Passed { version, count: together });
    }

    pub(crate) fn note(&mut self, name: &Name, note: Note) {
        self.events.push(Event::Noted { name: name.clone(), note });
    }

    /// Each object is told of longer queues in its statistics.
    pub(crate) fn count_queue(&mut self, items: &[Item]) {
        for item in items {
            let queue_len = self.queue_len(&item.name);
            let statistics = &mut self.object_mut(&item.name).statistics;
            statistics.queue_len_max = statistics.queue_len_max.max(queue_len);
        }
    }

    /// Takes the wait out of its queues. Whoever was to succeed is forgotten with his wait.
    pub(crate) fn leave(&mut self, session: SessionId, seq: Seq) -> Wait {
        let at = self.waits.iter().position(|wait| wait.is(session, seq));
        let wait = self.waits.remove(at.expect("a known wait"));
        self.touch(&wait.items);
        self.forget_successor(session, seq);
        wait
    }

    pub(crate) fn forget_successor(&mut self, session: SessionId, seq: Seq) {
        for object in &mut self.objects {
            if let State::Election { successor } = &mut object.state
                && *successor == Some((session, seq))
            {
                *successor = None;
            }
        }
    }

    /// A wait is over without a grant and without passing.
    pub(crate) fn end_wait(&mut self, session: SessionId, seq: Seq, end: WaitEnd) {
        let wait = self.leave(session, seq);
        let outcome = match &end {
            WaitEnd::TimedOut(held_by) => Outcome::TimedOut(held_by.clone()),
            WaitEnd::Cancelled | WaitEnd::SessionEnded(_) | WaitEnd::Fenced => Outcome::Cancelled,
            WaitEnd::Refused(refusal) => Outcome::Refused(refusal.clone()),
        };
        for item in &wait.items {
            let statistics = &mut self.object_mut(&item.name).statistics;
            match &end {
                WaitEnd::TimedOut(_) => statistics.timeouts += 1,
                WaitEnd::Cancelled
                | WaitEnd::SessionEnded(_)
                | WaitEnd::Fenced
                | WaitEnd::Refused(_) => statistics.cancels += 1,
            }
        }
        self.ended_without_hold(session, &wait, outcome);
        self.events.push(Event::WaitEnded { session, seq, name: wait.name().clone(), end });
        self.break_barrier(wait.name().clone());
    }

    /// Someone left; where that matters, everyone else who waits there is told.
    fn break_barrier(&mut self, name: Name) {
        let State::Barrier { break_on_loss: true, .. } = self.object_mut(&name).state else {
            return;
        };
        let first = self.queue(&name).first().map(|wait| (wait.session, wait.seq));
        if let Some((session, seq)) = first {
            // Which breaks what is left.
            self.end_wait(session, seq, WaitEnd::Refused(Refusal::Broken));
        }
    }

    /// All objects with their queues.
    pub(crate) fn crowds(&self) -> Vec<Crowd> {
        let crowds = self.objects.iter().map(|object| {
            let queue = self.queue(&object.name);
            let highest = queue.first().map(|wait| wait.priority);
            Crowd { name: object.name.clone(), len: count(queue.len()), highest }
        });
        crowds.collect()
    }

    /// What changed in the queues, told when all is done: object by object in order of their names.
    pub(crate) fn tell(&mut self, before: &[Crowd]) {
        let mut now = self.crowds();
        now.sort_by(|one, other| one.name.cmp(&other.name));
        for crowd in now {
            let before = before.iter().find(|before| before.name == crowd.name);
            let (len_before, highest_before) =
                before.map_or((0, None), |before| (before.len, before.highest));
            self.preempt(&crowd);
            let worth_telling = match (highest_before, crowd.highest) {
                (None, None) => false,
                (Some(before), Some(now)) => now > before,
                (Some(_), None) | (None, Some(_)) => true,
            };
            if worth_telling {
                self.tell_contended(&crowd.name);
            }
            if crowd.len != len_before {
                self.note(&crowd.name, Note::Waiting { queue_len: crowd.len });
            }
        }
    }

    /// The leader's time runs exactly while it would give way to the first who waits.
    fn preempt(&mut self, crowd: &Crowd) {
        let leaders = self.holds_of(&crowd.name).filter(|hold| hold.state == HoldState::Held);
        let gives_way = leaders.filter_map(|hold| {
            let after_ms = hold.campaign.as_ref()?.preempt_after_ms?;
            let higher = crowd.highest.is_some_and(|highest| highest > hold.priority);
            Some((hold.session, hold.token, hold.preempt.is_some(), higher, after_ms))
        });
        let gives_way: Vec<_> = gives_way.collect();
        for (session, token, runs, higher, after_ms) in gives_way {
            let timer = Timer::Preempt(session, token);
            if higher && !runs {
                let set = self.set_timer(timer, after_ms);
                self.hold_mut(token).preempt = Some(set);
            } else if runs && !higher {
                self.hold_mut(token).preempt = None;
                self.events.push(Event::TimerStopped { timer });
            }
        }
    }

    /// Tells who believes that it holds and was not told with its grant.
    fn tell_contended(&mut self, name: &Name) {
        let holders = self.holds_of(name).filter(|hold| hold.state == HoldState::Held);
        let holders = holders.filter(|hold| !self.fresh.contains(&hold.token));
        let events = holders.map(|hold| {
            let waiting = self.longest_queue(&hold.items);
            let most_wanted = hold.items.iter().find(|item| self.queue_len(&item.name) == waiting);
            let queue = self.queue(&most_wanted.expect("at least one item").name);
            Event::Contended {
                session: hold.session,
                token: hold.token,
                waiting,
                highest_priority: queue.first().map_or(0, |wait| wait.priority),
            }
        });
        let events: Vec<_> = events.collect();
        self.events.extend(events);
    }
}
