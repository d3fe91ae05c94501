//! Looking at the state: every query of [`crate::query`]. Nothing here changes anything.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::call::Known;
use crate::ids::{Epoch, Revision, Seq, SessionId, Token};
use crate::limits::{CHAIN_MAX, HOLDERS_SHOWN_MAX};
use crate::machine::Machine;
use crate::name::Name;
use crate::object::Object;
use crate::outcome::{
    HeldBy, HoldState, Holder, Loss, Outcome, Standing, StandingHold, StandingWait,
};
use crate::query::{
    Blocker, Check, Counts, ObjectSummary, ObjectView, Page, SessionHold, SessionSummary,
    SessionView, SessionWait, Sort, WaiterView,
};
use crate::record::{HoldRecord, WaiterRecord};
use crate::session::Session;

impl Machine {
    /// The number of applied commands.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The display stamp of the last entry; zero before the first.
    #[must_use]
    pub const fn last_stamp_ms(&self) -> u64 {
        self.last_stamp_ms
    }

    #[must_use]
    pub const fn counts(&self) -> Counts {
        Counts { revision: self.revision.0, ..self.counts }
    }

    /// The present epoch; none: unknown or ended.
    #[must_use]
    pub fn epoch(&self, id: SessionId) -> Option<Epoch> {
        Some(self.live(id)?.epoch)
    }

    /// The losses that the session's client has not confirmed, by number.
    #[must_use]
    pub fn losses(&self, id: SessionId) -> Vec<Loss> {
        self.live(id).map(|session| session.losses.iter().cloned().collect()).unwrap_or_default()
    }

    /// What a seq stands for now, as a retry would be told: its recorded outcome, `Queued`, `Granted`, or `Gone` for what the
    /// client has seen and what neither waits nor holds. None: a seq not met yet, or no such session.
    #[must_use]
    pub fn answer(&self, id: SessionId, seq: Seq) -> Option<Outcome> {
        self.live(id)?;
        match self.known(id, seq) {
            Known::New => None,
            Known::Gone => Some(Outcome::Refused(crate::Refusal::Gone)),
            Known::As { answer, .. } => {
                Some(self.recorded(id, seq, &answer).unwrap_or_else(Outcome::Refused))
            }
        }
    }

    /// All queued waits, in no particular order.
    pub fn waits(&self) -> impl Iterator<Item = (SessionId, Seq)> + '_ {
        self.sessions
            .iter()
            .flat_map(|(id, session)| session.waits.keys().map(move |seq| (*id, *seq)))
    }

    /// Is this token holding this name?
    #[must_use]
    pub fn check(&self, name: &Name, token: Token) -> Check {
        let hold = self.objects.get(name).and_then(|object| object.holders.get(&token));
        match hold.map(|hold| hold.state) {
            None => Check::NotHeld,
            Some(HoldState::Held) => Check::Held,
            Some(HoldState::Cooling) => Check::Cooling,
            Some(HoldState::Revoked) => Check::Revoked,
        }
    }

    /// One object with at most `queue_max` of its waiters; none: nobody holds it or waits for it.
    #[must_use]
    pub fn inspect(&self, name: &Name, queue_max: usize) -> Option<ObjectView> {
        let object = self.objects.get(name)?;
        let queue = object.queue.iter().take(queue_max).zip(1..);
        Some(ObjectView {
            name: name.clone(),
            kind: object.kind,
            holders: object.holders.values().map(|hold| self.holder(hold)).collect(),
            queue: queue.map(|(waiter, position)| self.waiter_view(waiter, position)).collect(),
            queue_len: object.queue.len(),
            statistics: object.statistics,
        })
    }

    fn waiter_view(&self, waiter: &WaiterRecord, position: u32) -> WaiterView {
        let session = &self.sessions.get(&waiter.session).expect("a waiter's session is alive");
        WaiterView {
            session: waiter.session,
            session_name: session.name.clone(),
            labels: session.labels.clone(),
            seq: waiter.seq,
            priority: waiter.priority,
            position,
            owner: waiter.owner.clone(),
            since_stamp_ms: waiter.since_stamp_ms,
        }
    }

    pub(crate) fn holder(&self, hold: &HoldRecord) -> Holder {
        let session = &self.sessions.get(&hold.session).expect("a hold's session is kept");
        Holder {
            session: hold.session,
            session_name: session.name.clone(),
            labels: session.labels.clone(),
            token: hold.token,
            state: hold.state,
            owner: hold.owner.clone(),
            metadata: hold.metadata.clone(),
            since_stamp_ms: hold.since_stamp_ms,
        }
    }

    /// The first holders, and how many hold and wait in all.
    pub(crate) fn held_by(&self, object: &Object) -> HeldBy {
        let shown = object.holders.values().take(HOLDERS_SHOWN_MAX);
        HeldBy {
            holders: shown.map(|hold| self.holder(hold)).collect(),
            holders_total: object.holders.len() as u32,
            queue_len: object.queue.len(),
        }
    }

    /// What stands for a live session; nothing for any other.
    pub(crate) fn standing(&self, id: SessionId) -> Standing {
        let Some(session) = self.live(id) else { return Standing::default() };
        let holds = self.holds_of(session).map(|(name, hold)| StandingHold {
            seq: hold.seq,
            token: hold.token,
            name: name.clone(),
            state: hold.state,
            unadopted: hold.unadopted,
        });
        let waits = self.waits_of(session).map(|(name, position, waiter)| StandingWait {
            seq: waiter.seq,
            name: name.clone(),
            position,
        });
        Standing {
            holds: holds.collect(),
            waits: waits.collect(),
            losses: session.losses.iter().cloned().collect(),
        }
    }

    /// By token.
    fn holds_of<'a>(
        &'a self,
        session: &'a Session,
    ) -> impl Iterator<Item = (&'a Name, &'a HoldRecord)> {
        session.holds.iter().map(|(token, at)| {
            let object = self.objects.get(&at.name).expect("a hold's object exists");
            (&at.name, &*object.holders[token])
        })
    }

    /// By seq, with the position in the queue.
    fn waits_of<'a>(
        &'a self,
        session: &'a Session,
    ) -> impl Iterator<Item = (&'a Name, u32, &'a WaiterRecord)> {
        session.waits.values().map(|at| {
            let queue = &self.objects.get(&at.name).expect("a wait's object exists").queue;
            let position = queue.position(at.place).expect("a wait stands in its queue");
            (&at.name, position, queue.get(at.place).expect("the position was just found"))
        })
    }

    /// Objects whose name begins with `prefix`, after the one named `after` in the order of `sort`. Of objects that sort
    /// alike the name decides; an `after` that is gone counts as one that nobody waits for.
    #[must_use]
    pub fn list(
        &self,
        prefix: &str,
        sort: Sort,
        after: Option<&str>,
        limit: usize,
    ) -> Page<ObjectSummary> {
        let rank = |object: &Object| match sort {
            Sort::Name => 0,
            Sort::LongestWait => match longest_wait_stamp_ms(object) {
                0 => u64::MAX,
                stamp_ms => stamp_ms,
            },
            Sort::MostWaiters => u64::from(u32::MAX - object.queue.len()),
        };
        let last = match sort {
            Sort::Name => 0,
            Sort::LongestWait => u64::MAX,
            Sort::MostWaiters => u64::from(u32::MAX),
        };
        let after = after.map(|after| {
            let object = Name::new(after).ok().and_then(|name| self.objects.get(&name));
            (object.map_or(last, |object| rank(object)), after)
        });
        let matching = self.objects.range(prefix, |name| name.as_str().starts_with(prefix));
        let (items, total) = page(
            matching.map(|(name, object)| ((rank(object), name.as_str()), (name, object))),
            |key| after.is_none_or(|after| *key > after),
            limit,
        );
        let items = items.into_iter().map(|(name, object)| self.summary(name, object)).collect();
        Page { items, total, revision: self.revision }
    }

    fn summary(&self, name: &Name, object: &Object) -> ObjectSummary {
        ObjectSummary {
            name: name.clone(),
            kind: object.kind,
            holders: object.holders.len() as u32,
            queue_len: object.queue.len(),
            longest_wait_stamp_ms: longest_wait_stamp_ms(object),
            holder: object.holders.values().next().map(|hold| self.holder(hold)),
        }
    }

    /// Sessions whose name begins with `prefix`, by id, ended ones whose holds remain included.
    #[must_use]
    pub fn sessions(
        &self,
        prefix: &str,
        after: Option<SessionId>,
        limit: usize,
    ) -> Page<SessionSummary> {
        let matching = self.sessions.iter().filter(|(_, s)| s.name.as_str().starts_with(prefix));
        let (items, total) = page(
            matching.map(|(id, session)| (*id, session)),
            |id| after.is_none_or(|after| *id > after),
            limit,
        );
        let items = items.into_iter().map(|session| SessionSummary {
            id: session.id,
            name: session.name.clone(),
            labels: session.labels.clone(),
            ttl_ms: session.ttl_ms,
            opened_stamp_ms: session.opened_stamp_ms,
            holds: session.holds.len() as u32,
            waits: session.waits.len() as u32,
            ended: session.ended,
        });
        Page { items: items.collect(), total, revision: self.revision }
    }

    /// One session, also an ended one whose holds remain.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<SessionView> {
        let session = self.sessions.get(&id)?;
        let holds = self.holds_of(session).map(|(name, hold)| SessionHold {
            name: name.clone(),
            kind: hold.demand.kind(),
            token: hold.token,
            state: hold.state,
            unadopted: hold.unadopted,
            since_stamp_ms: hold.since_stamp_ms,
        });
        let waits = self.waits_of(session).map(|(name, position, waiter)| SessionWait {
            name: name.clone(),
            kind: waiter.demand.kind(),
            seq: waiter.seq,
            position,
            priority: waiter.priority,
            since_stamp_ms: waiter.since_stamp_ms,
        });
        Some(SessionView {
            id,
            name: session.name.clone(),
            labels: session.labels.clone(),
            ttl_ms: session.ttl_ms,
            lock_delay_ms: session.lock_delay_ms,
            epoch: session.epoch,
            opened_stamp_ms: session.opened_stamp_ms,
            ended: session.ended,
            holds: holds.collect(),
            waits: waits.collect(),
            losses: session.losses.iter().cloned().collect(),
            blocked_by: self.blocked_by(id),
        })
    }

    /// Who stands in the session's way, and in theirs: breadth first, each session followed once.
    fn blocked_by(&self, id: SessionId) -> Vec<Blocker> {
        let mut found = Vec::new();
        let mut met = BTreeSet::from([id]);
        let mut to_follow = VecDeque::from([id]);
        while let Some(waiter) = to_follow.pop_front() {
            let Some(session) = self.sessions.get(&waiter) else { continue };
            for at in session.waits.values() {
                let object = self.objects.get(&at.name).expect("a wait's object exists");
                for hold in object.holders.values() {
                    if found.len() == CHAIN_MAX {
                        return found;
                    }
                    let holder = self.holder(hold);
                    found.push(Blocker {
                        waiter,
                        name: at.name.clone(),
                        holder: holder.session,
                        holder_name: holder.session_name,
                        token: holder.token,
                    });
                    if met.insert(hold.session) {
                        to_follow.push_back(hold.session);
                    }
                }
            }
        }
        found
    }
}

/// The stamp of whoever waits longest; zero when nobody waits. The first of each priority came before the rest of it.
/// Who came first is decided by arrival: stamps of two leaders may run backwards.
fn longest_wait_stamp_ms(object: &Object) -> u64 {
    let longest = object.queue.leaders().min_by_key(|waiter| waiter.arrival);
    longest.map_or(0, |waiter| waiter.since_stamp_ms)
}

/// The `limit` smallest keys that `wanted` lets pass, in order, with their values; and how many items there are in all.
fn page<K: Ord, V>(
    items: impl Iterator<Item = (K, V)>,
    wanted: impl Fn(&K) -> bool,
    limit: usize,
) -> (Vec<V>, u64) {
    let mut total = 0;
    let mut smallest: alloc::collections::BTreeMap<K, V> = alloc::collections::BTreeMap::new();
    for (key, value) in items {
        total += 1;
        if !wanted(&key) {
            continue;
        }
        if smallest.len() == limit {
            match smallest.last_key_value() {
                Some((last, _)) if key < *last => smallest.pop_last(),
                Some(_) | None => continue,
            };
        }
        smallest.insert(key, value);
    }
    (smallest.into_values().collect(), total)
}
