//! Looking at the state: every query of [`crate::query`]. Nothing here changes anything.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::call::Known;
use crate::ids::{Epoch, Revision, Seq, SessionId, Token};
use crate::limits::{CHAIN_MAX, HOLDERS_SHOWN_MAX};
use crate::machine::Machine;
use crate::name::Name;
use crate::object::{Holding, Object};
use crate::outcome::{
    HeldBy, HoldState, Holder, Loss, Outcome, Standing, StandingHold, StandingWait,
};
use crate::query::{
    Blocker, Check, Counts, ObjectSummary, ObjectView, Page, SessionHold, SessionSummary,
    SessionView, SessionWait, Sort, WaiterView,
};
use crate::queue::{Place, Waiting};
use crate::record::WaiterRecord;

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
        let holding = self.objects.get(name).and_then(|object| object.holders().get(&token));
        let hold = holding.and_then(|holding| self.hold_of_session(holding.session, token));
        match hold.map(|hold| hold.state) {
            None => Check::NotHeld,
            Some(HoldState::Held) => Check::Held,
            Some(HoldState::Cooling) => Check::Cooling,
            Some(HoldState::Revoked) => Check::Revoked,
        }
    }

    /// One object with at most `queue_max` of its waiters and as many who stand aside; none: there is nothing of that name.
    #[must_use]
    pub fn inspect(&self, name: &Name, queue_max: usize) -> Option<ObjectView> {
        let object = self.objects.get(name)?;
        let queue = object.queue.iter().take(queue_max).zip(1..);
        let aside = object.aside.iter().take(queue_max);
        Some(ObjectView {
            name: name.clone(),
            kind: object.kind(),
            holders: self.holders_of(object).collect(),
            queue: queue.map(|((_, waiting), at)| self.waiter_view(waiting, at)).collect(),
            queue_len: object.queue.len(),
            aside: aside.map(|(_, waiting)| self.waiter_view(waiting, 0)).collect(),
            detail: object.state.detail(object.permits()),
            deadlock: self.deadlock_at(object),
            statistics: object.statistics,
        })
    }

    pub(crate) fn waiter_view(&self, waiting: &Waiting, position: u32) -> WaiterView {
        let session = &self.sessions.get(&waiting.session).expect("a waiter's session is alive");
        let waiter = &session.waits[&waiting.seq];
        WaiterView {
            session: waiting.session,
            session_name: session.name.clone(),
            labels: session.labels.clone(),
            seq: waiting.seq,
            demand: waiting.demand,
            priority: waiting.priority,
            position,
            owner: waiter.owner.clone(),
            since_stamp_ms: waiter.since_stamp_ms,
        }
    }

    /// By token.
    pub(crate) fn holders_of<'a>(
        &'a self,
        object: &'a Object,
    ) -> impl Iterator<Item = Holder> + 'a {
        object.holders().iter().map(|(token, holding)| self.holder(*token, *holding))
    }

    fn holder(&self, token: Token, holding: Holding) -> Holder {
        let session = &self.sessions.get(&holding.session).expect("a hold's session is kept");
        let hold = &session.holds[&token];
        Holder {
            session: holding.session,
            session_name: session.name.clone(),
            labels: session.labels.clone(),
            token,
            demand: holding.demand,
            state: hold.state,
            owner: hold.owner.clone(),
            metadata: hold.metadata.clone(),
            value: hold.campaign.as_ref().map(|campaign| campaign.value.clone()),
            since_stamp_ms: hold.since_stamp_ms,
        }
    }

    /// The first holders, and how many hold and wait in all; nobody, if there is nothing of that name.
    pub(crate) fn held_by(&self, name: &Name) -> HeldBy {
        let (holders, holders_total, queue_len) = match self.objects.get(name) {
            Some(object) => (
                self.holders_of(object).take(HOLDERS_SHOWN_MAX).collect(),
                object.holders().len() as u32,
                object.queue.len(),
            ),
            None => (Vec::new(), 0, 0),
        };
        HeldBy { name: name.clone(), holders, holders_total, queue_len }
    }

    /// Counts from 1, the farthest of several; zero: it stands aside.
    pub(crate) fn position(&self, waiter: &WaiterRecord) -> u32 {
        let place = Place::of(waiter);
        let positions = waiter.items.iter().filter_map(|item| {
            self.objects.get(&item.name).expect("a wait's object exists").queue.position(place)
        });
        positions.max().unwrap_or(0)
    }

    /// What stands for a live session; nothing for any other.
    pub(crate) fn standing(&self, id: SessionId) -> Standing {
        let Some(session) = self.live(id) else { return Standing::default() };
        let holds = session.holds.values().map(|hold| StandingHold {
            seq: hold.seq,
            token: hold.token,
            name: hold.items.first().name.clone(),
            state: hold.state,
            unadopted: hold.unadopted,
        });
        let waits = session.waits.values().map(|waiter| StandingWait {
            seq: waiter.seq,
            name: waiter.items.first().name.clone(),
            position: self.position(waiter),
        });
        Standing {
            holds: holds.collect(),
            waits: waits.collect(),
            losses: session.losses.iter().cloned().collect(),
        }
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
            Sort::LongestWait => match self.longest_wait_stamp_ms(object) {
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
            kind: object.kind(),
            holders: object.holders().len() as u32,
            queue_len: object.queue.len(),
            longest_wait_stamp_ms: self.longest_wait_stamp_ms(object),
            holder: self.holders_of(object).next(),
        }
    }

    /// The stamp of whoever waits longest; zero when nobody waits. The first of each priority came before the rest of it.
    /// Who came first is decided by arrival: stamps of two leaders may run backwards.
    fn longest_wait_stamp_ms(&self, object: &Object) -> u64 {
        let waiters = object.queue.leaders().map(|(_, waiting)| {
            &self.live(waiting.session).expect("a waiter's session is alive").waits[&waiting.seq]
        });
        let longest = waiters.min_by_key(|waiter| waiter.arrival);
        longest.map_or(0, |waiter| waiter.since_stamp_ms)
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
        let holds = session.holds.values().map(|hold| SessionHold {
            name: hold.items.first().name.clone(),
            others: hold.items.count() as u32 - 1,
            kind: hold.items.first().demand.kind(),
            token: hold.token,
            state: hold.state,
            unadopted: hold.unadopted,
            since_stamp_ms: hold.since_stamp_ms,
        });
        let waits = session.waits.values().map(|waiter| SessionWait {
            name: waiter.items.first().name.clone(),
            others: waiter.items.count() as u32 - 1,
            kind: waiter.items.first().demand.kind(),
            seq: waiter.seq,
            position: self.position(waiter),
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
            for item in session.waits.values().flat_map(|wait| wait.items.iter()) {
                let object = self.objects.get(&item.name).expect("a wait's object exists");
                for holder in self.holders_of(object) {
                    if found.len() == CHAIN_MAX {
                        return found;
                    }
                    if met.insert(holder.session) {
                        to_follow.push_back(holder.session);
                    }
                    found.push(Blocker {
                        waiter,
                        name: item.name.clone(),
                        holder: holder.session,
                        holder_name: holder.session_name,
                        token: holder.token,
                    });
                }
            }
        }
        found
    }
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
