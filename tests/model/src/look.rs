//! Looking, in the plainest way.

use conclave_machine::{
    Blocker, Candidate, Check, Counts, ElectionView, Epoch, HoldState, Kind, Name, ObjectSummary,
    ObjectView, Page, Revision, Seq, SessionHold, SessionId, SessionSummary, SessionView,
    SessionWait, Sort, Token, ValueView, Version, WaiterView,
    limits::{CHAIN_MAX, DEADLOCK_SHOWN_MAX},
};

use crate::model::{Model, Session, count};
use crate::object::{Object, State};
use crate::request::{Request, Wait};

impl Model {
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    /// `None`: unknown or ended.
    #[must_use]
    pub fn epoch(&self, id: SessionId) -> Option<Epoch> {
        self.live(id).map(|session| session.epoch)
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            revision: self.revision,
            sessions: self.sessions.iter().filter(|session| !session.ended).count() as u64,
            objects: self.objects.len() as u64,
            holds: self.holds.len() as u64,
            waiters: self.waits.len() as u64,
            value_bytes: self
                .objects
                .iter()
                .filter_map(|object| object.value())
                .map(|value| value.len() as u64)
                .sum(),
        }
    }

    #[must_use]
    pub fn check(&self, name: &Name, token: Token) -> Check {
        match self.hold(token).filter(|hold| hold.wants(name)).map(|hold| hold.state) {
            Some(HoldState::Held) => Check::Held,
            Some(HoldState::Cooling) => Check::Cooling,
            Some(HoldState::Revoked) => Check::Revoked,
            None => Check::NotHeld,
        }
    }

    #[must_use]
    pub fn inspect(&self, name: &Name, queue_max: usize) -> Option<ObjectView> {
        let object = self.object(name)?;
        let first = self.queue(name).into_iter().take(DEADLOCK_SHOWN_MAX);
        let deadlock = first.map(|wait| self.deadlock(wait)).find(|cycle| !cycle.is_empty());
        Some(ObjectView {
            name: name.clone(),
            kind: object.kind(),
            holders: self.holds_of(name).map(|hold| self.holder(name, hold)).collect(),
            queue: self.ranked(name, queue_max),
            queue_len: self.queue_len(name),
            aside: self.standing_aside(name, queue_max),
            detail: object.detail(self.in_use(name)),
            deadlock: deadlock.unwrap_or_default(),
            statistics: object.statistics,
        })
    }

    fn ranked(&self, name: &Name, queue_max: usize) -> Vec<WaiterView> {
        let queue = self.queue(name).into_iter().take(queue_max).enumerate();
        queue.map(|(before, wait)| self.waiter(name, wait, count(before) + 1)).collect()
    }

    fn standing_aside(&self, name: &Name, queue_max: usize) -> Vec<WaiterView> {
        let aside = self.aside(name).into_iter().take(queue_max);
        aside.map(|wait| self.waiter(name, wait, 0)).collect()
    }

    fn waiter(&self, name: &Name, wait: &Wait, position: u32) -> WaiterView {
        let session = self.live(wait.session).expect("a waiter's session lives");
        WaiterView {
            session: session.id,
            session_name: session.name.clone(),
            labels: session.labels.clone(),
            seq: wait.seq,
            demand: wait.demand(name).expect("it waits for this object"),
            priority: wait.priority,
            position,
            owner: wait.owner.clone(),
            since_stamp_ms: wait.since_stamp_ms,
        }
    }

    #[must_use]
    pub fn kind(&self, name: &Name) -> Option<Kind> {
        self.object(name).map(Object::kind)
    }

    #[must_use]
    pub fn register_value(&self, name: &Name) -> Option<ValueView> {
        let State::Register { version, value, bound_to } = &self.object(name)?.state else {
            return None;
        };
        Some(ValueView { version: *version, value: value.clone(), session: *bound_to })
    }

    /// None: not done, or no once.
    #[must_use]
    pub fn once_value(&self, name: &Name) -> Option<ValueView> {
        let State::Once { done: Some(done), .. } = &self.object(name)?.state else { return None };
        Some(ValueView { version: done.version, value: done.value.clone(), session: None })
    }

    #[must_use]
    pub fn counter_value(&self, name: &Name) -> Option<i64> {
        let State::Counter { value } = self.object(name)?.state else { return None };
        Some(value)
    }

    #[must_use]
    pub fn semaphore_version(&self, name: &Name) -> Option<Version> {
        let State::Semaphore { version, .. } = self.object(name)?.state else { return None };
        Some(version)
    }

    /// So many in line and so many who stand aside. None: neither a leader nor a candidate.
    #[must_use]
    pub fn election(&self, name: &Name, candidates_max: usize) -> Option<ElectionView> {
        self.object(name).filter(|object| object.kind() == Kind::Election)?;
        let value = |wait: &Wait| wait.campaign.as_ref().expect("a candidate").value.clone();
        let ranked = self.queue(name).into_iter().enumerate();
        let ranked = ranked.map(|(before, wait)| (wait, count(before) + 1));
        let aside = self.aside(name).into_iter().map(|wait| (wait, 0));
        let some = ranked.take(candidates_max).chain(aside.take(candidates_max));
        let candidates = some.map(|(wait, position)| Candidate {
            waiter: self.waiter(name, wait, position),
            value: value(wait),
        });
        Some(ElectionView {
            leader: self.holds_of(name).next().map(|hold| self.holder(name, hold)),
            candidates: candidates.collect(),
            queue_len: self.queue_len(name),
        })
    }

    /// In the order of `sort`, then of names; behind the object named `after`, which counts as unwaited for if it is gone.
    #[must_use]
    pub fn list(
        &self,
        prefix: &str,
        sort: Sort,
        after: Option<&str>,
        limit: usize,
    ) -> Page<ObjectSummary> {
        let matching =
            self.objects.iter().filter(|object| object.name.as_str().starts_with(prefix));
        let mut items: Vec<_> = matching.map(|object| self.summary(object)).collect();
        let total = items.len() as u64;
        let key = |name: &str| {
            let waits = Name::new(name).map(|name| self.arrivals(&name)).unwrap_or_default();
            let rank = match sort {
                Sort::Name => 0,
                Sort::LongestWait => waits.first().map_or(u64::MAX, |wait| wait.since_stamp_ms),
                Sort::MostWaiters => u64::MAX - waits.len() as u64,
            };
            (rank, name.to_owned())
        };
        items.sort_by_cached_key(|item| key(item.name.as_str()));
        items.retain(|item| after.is_none_or(|after| key(item.name.as_str()) > key(after)));
        items.truncate(limit);
        Page { items, total, revision: self.revision() }
    }

    /// Who waits for an object, in order of arrival.
    fn arrivals(&self, name: &Name) -> Vec<&Wait> {
        let waits = self.waits.iter();
        waits.filter(|wait| wait.wants(name) && !wait.stands_aside()).collect()
    }

    fn summary(&self, object: &Object) -> ObjectSummary {
        let name = &object.name;
        let first = self.arrivals(name).first().map(|wait| wait.since_stamp_ms);
        ObjectSummary {
            name: name.clone(),
            kind: object.kind(),
            holders: count(self.holds_of(name).count()),
            queue_len: self.queue_len(name),
            longest_wait_stamp_ms: first.unwrap_or(0),
            holder: self.holds_of(name).next().map(|hold| self.holder(name, hold)),
        }
    }

    /// `prefix` is one of the session's name.
    #[must_use]
    pub fn sessions(
        &self,
        prefix: &str,
        after: Option<SessionId>,
        limit: usize,
    ) -> Page<SessionSummary> {
        let matching: Vec<_> = self
            .sessions
            .iter()
            .filter(|session| session.name.as_str().starts_with(prefix))
            .collect();
        let items = matching
            .iter()
            .filter(|session| after.is_none_or(|after| session.id > after))
            .take(limit)
            .map(|session| SessionSummary {
                id: session.id,
                name: session.name.clone(),
                labels: session.labels.clone(),
                ttl_ms: session.ttl_ms,
                opened_stamp_ms: session.opened_stamp_ms,
                holds: count(self.holds.iter().filter(|hold| hold.session == session.id).count()),
                waits: count(self.waits.iter().filter(|wait| wait.session == session.id).count()),
                ended: session.ended,
            });
        Page { items: items.collect(), total: matching.len() as u64, revision: self.revision() }
    }

    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<SessionView> {
        let session = self.find(id)?;
        let Session { name, labels, ttl_ms, lock_delay_ms, epoch, opened_stamp_ms, ended, .. } =
            session;
        Some(SessionView {
            id,
            name: name.clone(),
            labels: labels.clone(),
            ttl_ms: *ttl_ms,
            lock_delay_ms: *lock_delay_ms,
            epoch: *epoch,
            opened_stamp_ms: *opened_stamp_ms,
            ended: *ended,
            holds: self.session_holds(id),
            waits: self.session_waits(id),
            losses: session.losses.clone(),
            blocked_by: self.blocked_by(id),
        })
    }

    fn session_holds(&self, id: SessionId) -> Vec<SessionHold> {
        let holds = self.holds.iter().filter(|hold| hold.session == id);
        let holds = holds.map(|hold| SessionHold {
            name: hold.name().clone(),
            others: others(hold),
            kind: kind(hold),
            token: hold.token,
            state: hold.state,
            unadopted: hold.unadopted,
            since_stamp_ms: hold.since_stamp_ms,
        });
        holds.collect()
    }

    fn session_waits(&self, id: SessionId) -> Vec<SessionWait> {
        let waits = self.waits.iter().filter(|wait| wait.session == id);
        let waits = waits.map(|wait| SessionWait {
            name: wait.name().clone(),
            others: others(wait),
            kind: kind(wait),
            seq: wait.seq,
            position: self.position(id, wait.seq).expect("it waits"),
            priority: wait.priority,
            since_stamp_ms: wait.since_stamp_ms,
        });
        let mut waits: Vec<_> = waits.collect();
        waits.sort_by_key(|wait| wait.seq);
        waits
    }

    /// Breadth first: who holds what the session waits for, then the same of those sessions, each looked at once.
    fn blocked_by(&self, id: SessionId) -> Vec<Blocker> {
        let mut chain = Vec::new();
        let mut met = vec![id];
        let mut at = 0;
        while at < met.len() {
            let waiter = met[at];
            at += 1;
            let mut waits: Vec<_> =
                self.waits.iter().filter(|wait| wait.session == waiter).collect();
            waits.sort_by_key(|wait| wait.seq);
            for item in waits.iter().flat_map(|wait| &wait.items) {
                for hold in self.holds_of(&item.name) {
                    if chain.len() == CHAIN_MAX {
                        return chain;
                    }
                    chain.push(Blocker {
                        waiter,
                        name: item.name.clone(),
                        holder: hold.session,
                        holder_name: self.find(hold.session).expect("kept").name.clone(),
                        token: hold.token,
                    });
                    if !met.contains(&hold.session) {
                        met.push(hold.session);
                    }
                }
            }
        }
        chain
    }

    /// All queued waits, in order of arrival.
    pub fn waits(&self) -> impl Iterator<Item = (SessionId, Seq)> + '_ {
        self.waits.iter().map(|wait| (wait.session, wait.seq))
    }
}

/// How many objects there are besides the first.
fn others(request: &Request) -> u32 {
    count(request.items.len()) - 1
}

/// Of the first object.
fn kind(request: &Request) -> Kind {
    request.items[0].demand.kind()
}
