//! Looking, in the plainest way.

use conclave_machine::{
    Blocker, Check, Counts, Epoch, HoldState, Kind, Name, ObjectSummary, ObjectView, Page,
    Revision, Seq, SessionHold, SessionId, SessionSummary, SessionView, SessionWait, Sort, Token,
    WaiterView, limits::CHAIN_MAX,
};

use crate::model::{Model, Object, Session, count};

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
        }
    }

    #[must_use]
    pub fn check(&self, name: &Name, token: Token) -> Check {
        match self.hold(token).filter(|hold| hold.name == *name).map(|hold| hold.state) {
            Some(HoldState::Held) => Check::Held,
            Some(HoldState::Cooling) => Check::Cooling,
            Some(HoldState::Revoked) => Check::Revoked,
            None => Check::NotHeld,
        }
    }

    #[must_use]
    pub fn inspect(&self, name: &Name, queue_max: usize) -> Option<ObjectView> {
        let object = self.objects.iter().find(|object| object.name == *name)?;
        let queue = self.queue(name).into_iter().enumerate().take(queue_max);
        let queue = queue.map(|(before, wait)| {
            let session = self.live(wait.session).expect("a waiter's session lives");
            WaiterView {
                session: session.id,
                session_name: session.name.clone(),
                labels: session.labels.clone(),
                seq: wait.seq,
                priority: wait.priority,
                position: count(before) + 1,
                owner: wait.owner.clone(),
                since_stamp_ms: wait.since_stamp_ms,
            }
        });
        Some(ObjectView {
            name: name.clone(),
            kind: object.kind,
            holders: self.holds_of(name).map(|hold| self.holder(hold)).collect(),
            queue: queue.collect(),
            queue_len: self.queue_len(name),
            statistics: object.statistics,
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
            let waits = self.waits.iter().filter(|wait| wait.name.as_str() == name);
            let longest_ms = waits.clone().map(|wait| wait.since_stamp_ms).next();
            let rank = match sort {
                Sort::Name => 0,
                Sort::LongestWait => longest_ms.unwrap_or(u64::MAX),
                Sort::MostWaiters => u64::MAX - waits.count() as u64,
            };
            (rank, name.to_owned())
        };
        items.sort_by_cached_key(|item| key(item.name.as_str()));
        items.retain(|item| after.is_none_or(|after| key(item.name.as_str()) > key(after)));
        items.truncate(limit);
        Page { items, total, revision: self.revision() }
    }

    fn summary(&self, object: &Object) -> ObjectSummary {
        let waiting = self.waits.iter().filter(|wait| wait.name == object.name);
        ObjectSummary {
            name: object.name.clone(),
            kind: object.kind,
            holders: count(self.holds_of(&object.name).count()),
            queue_len: self.queue_len(&object.name),
            longest_wait_stamp_ms: waiting.map(|wait| wait.since_stamp_ms).next().unwrap_or(0),
            holder: self.holds_of(&object.name).next().map(|hold| self.holder(hold)),
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
        let mut holds: Vec<_> = holds
            .map(|hold| SessionHold {
                name: hold.name.clone(),
                kind: Kind::Mutex,
                token: hold.token,
                state: hold.state,
                unadopted: hold.unadopted,
                since_stamp_ms: hold.since_stamp_ms,
            })
            .collect();
        holds.sort_by_key(|hold| hold.token);
        holds
    }

    fn session_waits(&self, id: SessionId) -> Vec<SessionWait> {
        let waits = self.waits.iter().filter(|wait| wait.session == id);
        let mut waits: Vec<_> = waits
            .map(|wait| SessionWait {
                name: wait.name.clone(),
                kind: Kind::Mutex,
                seq: wait.seq,
                position: self.position(id, wait.seq).expect("it waits"),
                priority: wait.priority,
                since_stamp_ms: wait.since_stamp_ms,
            })
            .collect();
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
            for wait in self.session_waits(waiter) {
                for hold in self.holds_of(&wait.name) {
                    if chain.len() == CHAIN_MAX {
                        return chain;
                    }
                    chain.push(Blocker {
                        waiter,
                        name: wait.name.clone(),
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
