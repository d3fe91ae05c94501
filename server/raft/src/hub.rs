//! Where outcomes and events leave, in the order (revision, n), to those whom they concern. It decides nothing and never waits
//! for a reader.
//!
//! Whoever waits registers here before proposing, so that no answer can pass by. Only a leader serves waits: on a node that
//! does not lead, every feed and ticket ends at once with `Moved`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conclave_machine::{Event, Outcome, Revision, Seq, SessionId};
use tokio::sync::oneshot;

use crate::answer::{Decided, LeaderHint, ProposeError};
use crate::feed::{Feed, FeedSender, Notice};
use crate::inbox::Inbox;
use crate::ring::Ring;
use crate::watcher::{Interest, Position, Watcher};

/// Parts with a lock each: apply and some thousand readers seldom meet.
const SHARDS: usize = 64;

/// Feeds of one session that are offered at one time: a client makes one stream, perhaps a second one beside it.
const OFFERED_MAX: usize = 4;

/// A cheap handle; all clones are the same hub.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shards: Box<[Mutex<Shard>]>,
    /// Sessions with a listener: apply looks no further when there is none.
    listening: AtomicUsize,
    attachments: AtomicU64,
    /// Every notice of this revision has left.
    delivered: AtomicU64,
    inbox: Arc<Inbox>,
    ring: Arc<Ring>,
}

#[derive(Debug)]
struct Shard {
    /// The same in all shards, changed one after the other.
    serving: Serving,
    sessions: HashMap<SessionId, Listeners>,
}

#[derive(Debug, Clone)]
enum Serving {
    Yes,
    No { leader: Option<LeaderHint> },
}

#[derive(Debug, Default)]
struct Listeners {
    feed: Option<FeedSender>,
    /// Told the same, and attached to nothing before one of them takes over; the oldest first.
    offered: VecDeque<FeedSender>,
    /// By seq and number of the attachment: a detach removes only its own.
    tickets: BTreeMap<(Seq, u64), oneshot::Sender<WaitAnswer>>,
}

/// Where the answer to a proposal goes.
#[derive(Debug)]
pub enum Reply {
    Once(oneshot::Sender<Result<Decided, ProposeError>>),
    /// Into the feed, in order with the events of its session.
    Feed {
        feed: FeedSender,
        tag: u64,
    },
}

/// How a wait of a [`WaitTicket`] went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitAnswer {
    /// `Event::Granted`, `Event::Passed` or `Event::WaitEnded` of the ticket's seq.
    Event { revision: Revision, n: u32, event: Event },
    /// This node stopped leading; the wait keeps its place. None: no leader is known.
    Moved { leader: Option<LeaderHint> },
}

/// An attachment to the wait of one seq. Dropping it detaches; the wait keeps its place.
#[derive(Debug)]
pub struct WaitTicket {
    hub: Hub,
    session: SessionId,
    seq: Seq,
    number: u64,
    /// None: settled.
    answer: Option<oneshot::Receiver<WaitAnswer>>,
}

impl Hub {
    /// A hub of a node that does not lead yet.
    pub(crate) fn new() -> Self {
        let shard = || {
            let serving = Serving::No { leader: None };
            Mutex::new(Shard { serving, sessions: HashMap::new() })
        };
        let shards = std::iter::repeat_with(shard).take(SHARDS).collect();
        let shared = Shared {
            shards,
            listening: AtomicUsize::new(0),
            attachments: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            inbox: Arc::default(),
            ring: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Everything that concerns the session from now on, in order; attaches all its waits. An older feed of the session ends
    /// as `Replaced`. The caller has checked the session's key.
    #[must_use]
    pub fn subscribe(&self, session: SessionId) -> Feed {
        self.feed(session, |listeners, new| listeners.feed.replace(new))
    }

    /// The same, unless the feed there is was ever used: whoever opened the session has heard so, and what asks to open it once
    /// more was delayed on its way. None: so it is.
    #[must_use]
    pub fn subscribe_unless_used(&self, session: SessionId) -> Option<Feed> {
        let mut is_used = false;
        let feed = self.feed(session, |listeners, new| {
            let feed = listeners.feed.as_ref();
            is_used = feed.is_some_and(|feed| feed.is_open() && feed.is_used());
            if is_used { Some(new) } else { listeners.feed.replace(new) }
        });
        (!is_used).then_some(feed)
    }

    /// As [`subscribe`](Self::subscribe), but the feed that there is goes on until this one [takes over](Feed::takes_over): whether
    /// it may is not decided yet.
    #[must_use]
    pub fn offer(&self, session: SessionId) -> Feed {
        self.feed(session, |Listeners { offered, .. }, new| {
            offered.push_back(new);
            if offered.len() > OFFERED_MAX { offered.pop_front() } else { None }
        })
    }

    /// A new feed and its place among the listeners. Which one had to give way for it, the place says.
    fn feed(
        &self,
        session: SessionId,
        place: impl FnOnce(&mut Listeners, FeedSender) -> Option<FeedSender>,
    ) -> Feed {
        let sender = FeedSender::new();
        let replaced = {
            let mut shard = self.shard(session);
            match &shard.serving {
                Serving::No { leader } => {
                    sender.finish(Some(Notice::Moved { leader: leader.clone() }));
                    None
                }
                Serving::Yes => place(self.listeners(&mut shard, session), sender.clone()),
            }
        };
        if let Some(replaced) = replaced {
            replaced.finish(Some(Notice::Replaced));
        }
        Feed::new(session, sender, self.clone())
    }

    /// Unless this feed is over, or was not offered.
    pub(crate) fn takes_over(&self, session: SessionId, feed: &FeedSender) {
        let replaced = {
            let mut shard = self.shard(session);
            let Some(listeners) = shard.sessions.get_mut(&session) else { return };
            let at = listeners.offered.iter().position(|offered| offered.is(feed));
            let Some(taking) = at.and_then(|at| listeners.offered.remove(at)) else { return };
            listeners.feed.replace(taking)
        };
        if let Some(older) = replaced {
            older.finish(Some(Notice::Replaced));
        }
    }

    /// A unary wait: the final answer of that seq. To be called before proposing. The caller has checked the session's key.
    #[must_use]
    pub fn attach(&self, session: SessionId, seq: Seq) -> WaitTicket {
        let (sender, receiver) = oneshot::channel();
        let number = self.shared.attachments.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(session);
        match &shard.serving {
            Serving::No { leader } => {
                let moved = WaitAnswer::Moved { leader: leader.clone() };
                // The receiver is in our hands.
                let _ = sender.send(moved);
            }
            Serving::Yes => {
                self.listeners(&mut shard, session).tickets.insert((seq, number), sender);
            }
        }
        drop(shard);
        WaitTicket { hub: self.clone(), session, seq, number, answer: Some(receiver) }
    }

    /// What is noted of these objects, from behind this position; on every node, whoever leads.
    #[must_use]
    pub fn watch(&self, interest: Interest, after: Position) -> Watcher {
        Watcher::new(self.shared.ring.clone(), interest, after)
    }

    /// The state of `revision` came from a snapshot: whoever watches has missed what led to it.
    pub(crate) fn restored(&self, revision: Revision) {
        self.shared.ring.restored(revision);
    }

    /// Is somebody attached to the wait of `seq`?
    pub(crate) fn is_attached(&self, session: SessionId, seq: Seq) -> bool {
        self.shard(session)
            .sessions
            .get(&session)
            .is_some_and(|listeners| listeners.has_feed() || listeners.has_ticket(seq))
    }

    pub(crate) fn has_feed(&self, session: SessionId) -> bool {
        let shard = self.shard(session);
        shard.sessions.get(&session).is_some_and(Listeners::has_feed)
    }

    /// Called by apply, on every node, in order, once the state of `revision` can be read.
    pub(crate) fn deliver(
        &self,
        revision: Revision,
        reply: Option<Reply>,
        outcome: Outcome,
        events: &[Event],
    ) {
        self.shared.inbox.applied(revision, events);
        self.shared.ring.push(revision, events);
        if let Some(reply) = reply {
            reply.decide(Decided { revision, outcome });
        }
        if self.shared.listening.load(Ordering::SeqCst) > 0 {
            for (n, event) in (1..).zip(events) {
                if let Some(session) = told_to(event) {
                    self.tell(session, revision, n, event);
                }
            }
        }
        self.shared.delivered.store(revision.get(), Ordering::Release);
    }

    /// The last revision of which nothing is still to be told; what came by a snapshot was never told.
    pub(crate) fn delivered(&self) -> Revision {
        Revision(self.shared.delivered.load(Ordering::Acquire))
    }

    /// This node leads now; called before anybody is told so.
    pub(crate) fn leadership_gained(&self) {
        for shard in &self.shared.shards {
            lock(shard).serving = Serving::Yes;
        }
    }

    /// This node stopped leading: every feed and ticket ends with `Moved`. Also called when a follower hears of a leader.
    pub(crate) fn leadership_lost(&self, leader: Option<&LeaderHint>) {
        for shard in &self.shared.shards {
            let sessions = {
                let mut shard = lock(shard);
                shard.serving = Serving::No { leader: leader.cloned() };
                std::mem::take(&mut shard.sessions)
            };
            self.shared.listening.fetch_sub(sessions.len(), Ordering::SeqCst);
            for listeners in sessions.into_values() {
                listeners.moved(leader);
            }
        }
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.shared.inbox
    }

    fn tell(&self, session: SessionId, revision: Revision, n: u32, event: &Event) {
        let mut shard = self.shard(session);
        let Some(listeners) = shard.sessions.get_mut(&session) else { return };
        if let Some(seq) = final_of(event) {
            for sender in listeners.take_tickets(seq) {
                // An error: the ticket was dropped just now and is about to detach.
                let _ = sender.send(WaitAnswer::Event { revision, n, event: event.clone() });
            }
        }
        let told = listeners
            .feed
            .as_ref()
            .is_none_or(|feed| feed.push(Notice::Event { revision, n, event: event.clone() }));
        if !told {
            listeners.feed = None;
        }
        let offered = &mut listeners.offered;
        offered.retain(|feed| feed.push(Notice::Event { revision, n, event: event.clone() }));
        self.forget_if_silent(&mut shard, session);
        drop(shard);
        if !told {
            self.shared.inbox.detached(session, None);
        }
    }

    /// Called when a feed is dropped: detaches, unless another one is there.
    pub(crate) fn unsubscribe(&self, session: SessionId, feed: &FeedSender) {
        let mut shard = self.shard(session);
        let Some(listeners) = shard.sessions.get_mut(&session) else { return };
        if !listeners.feed.as_ref().is_some_and(|current| current.is(feed)) {
            listeners.offered.retain(|offered| !offered.is(feed));
            self.forget_if_silent(&mut shard, session);
            return;
        }
        listeners.feed = None;
        self.forget_if_silent(&mut shard, session);
        drop(shard);
        self.shared.inbox.detached(session, None);
    }

    /// Removes one ticket; true: it was there, and nobody else is attached to its wait.
    fn remove_ticket(&self, session: SessionId, seq: Seq, number: u64) -> bool {
        let mut shard = self.shard(session);
        let Some(listeners) = shard.sessions.get_mut(&session) else { return false };
        let removed = listeners.tickets.remove(&(seq, number)).is_some();
        let alone = !listeners.has_feed() && !listeners.has_ticket(seq);
        self.forget_if_silent(&mut shard, session);
        removed && alone
    }

    fn shard(&self, session: SessionId) -> MutexGuard<'_, Shard> {
        // Session ids are drawn from a counter shared with tokens: spread neighbours (Fibonacci hashing).
        let hash = session.get().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        lock(&self.shared.shards[hash as usize % SHARDS])
    }

    fn listeners<'a>(&self, shard: &'a mut Shard, session: SessionId) -> &'a mut Listeners {
        shard.sessions.entry(session).or_insert_with(|| {
            self.shared.listening.fetch_add(1, Ordering::SeqCst);
            Listeners::default()
        })
    }

    fn forget_if_silent(&self, shard: &mut Shard, session: SessionId) {
        let silent = |listeners: &Listeners| {
            listeners.feed.is_none() && listeners.offered.is_empty() && listeners.tickets.is_empty()
        };
        if shard.sessions.get(&session).is_some_and(silent) {
            shard.sessions.remove(&session);
            self.shared.listening.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Listeners {
    /// A feed that overran counts no more, though its reader may not have noticed yet.
    fn has_feed(&self) -> bool {
        self.feed.as_ref().is_some_and(FeedSender::is_open)
    }

    fn has_ticket(&self, seq: Seq) -> bool {
        self.tickets.range((seq, 0)..=(seq, u64::MAX)).next().is_some()
    }

    fn take_tickets(&mut self, seq: Seq) -> Vec<oneshot::Sender<WaitAnswer>> {
        let mut taken = Vec::new();
        while let Some((&key, _)) = self.tickets.range((seq, 0)..=(seq, u64::MAX)).next() {
            taken.extend(self.tickets.remove(&key));
        }
        taken
    }

    fn moved(self, leader: Option<&LeaderHint>) {
        for feed in self.feed.into_iter().chain(self.offered) {
            feed.finish(Some(Notice::Moved { leader: leader.cloned() }));
        }
        for sender in self.tickets.into_values() {
            // An error: nobody waits any more.
            let _ = sender.send(WaitAnswer::Moved { leader: leader.cloned() });
        }
    }
}

impl Reply {
    /// Called by apply, through the hub.
    pub(crate) fn decide(self, decided: Decided) {
        match self {
            // An error: the proposer does not wait any more.
            Self::Once(sender) => drop(sender.send(Ok(decided))),
            Self::Feed { feed, tag } => {
                let Decided { revision, outcome } = decided;
                feed.push(Notice::Decided { tag, revision, outcome });
            }
        }
    }

    /// There is no decision.
    pub(crate) fn fail(self, error: ProposeError) {
        match self {
            Self::Once(sender) => drop(sender.send(Err(error))),
            Self::Feed { feed, tag } => {
                feed.push(Notice::Undecided { tag, error });
            }
        }
    }
}

impl WaitTicket {
    /// The answer of the wait.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped and the ticket kept.
    pub async fn answer(&mut self) -> WaitAnswer {
        let Some(receiver) = &mut self.answer else { return std::future::pending().await };
        let answer = receiver.await;
        self.answer = None;
        // The hub drops a sender unsent only with this very ticket.
        answer.unwrap_or(WaitAnswer::Moved { leader: None })
    }

    /// There is no wait: the proposal was answered with something else than `Queued`. Saves the leader the look whether
    /// somebody still waits; forgetting it harms nothing.
    pub fn settled(mut self) {
        self.answer = None;
        self.hub.remove_ticket(self.session, self.seq, self.number);
    }
}

impl Drop for WaitTicket {
    fn drop(&mut self) {
        if self.answer.take().is_some()
            && self.hub.remove_ticket(self.session, self.seq, self.number)
        {
            self.hub.shared.inbox.detached(self.session, Some(self.seq));
        }
    }
}

/// The session whose client is told. `HoldEnded` and the timers are for the clock, `Noted` is for watchers.
fn told_to(event: &Event) -> Option<SessionId> {
    match event {
        Event::Granted { session, .. }
        | Event::Passed { session, .. }
        | Event::WaitEnded { session, .. }
        | Event::Lost { session, .. }
        | Event::Contended { session, .. }
        | Event::SessionEnded { session, .. } => Some(*session),
        Event::HoldEnded { .. }
        | Event::TimerSet(_)
        | Event::TimerStopped { .. }
        | Event::Noted { .. } => None,
    }
}

/// The seq whose wait this event ends.
fn final_of(event: &Event) -> Option<Seq> {
    match event {
        Event::Granted { seq, .. } | Event::Passed { seq, .. } | Event::WaitEnded { seq, .. } => {
            Some(*seq)
        }
        Event::Lost { .. }
        | Event::Contended { .. }
        | Event::HoldEnded { .. }
        | Event::SessionEnded { .. }
        | Event::TimerSet(_)
        | Event::TimerStopped { .. }
        | Event::Noted { .. } => None,
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic between two statements leaves whole entries, at worst one listener too many in the count.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
