//! The task that owns all deadlines: it feeds the [`Schedule`] with what happened and does what comes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conclave_machine::{LossNumber, Machine, SessionKey};
use futures::future::{BoxFuture, FutureExt, OptionFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::answer::{Decided, Leadership, NotLeader, ProposeError};
use crate::clock::Clock;
use crate::counters::ClockCounters;
use crate::feed::{FeedSender, Notice};
use crate::hub::Hub;
use crate::keepalive::{KeepAliveAck, KeepAliveError};
use crate::quorum::{Confirmed, Quorum};
use crate::schedule::{Action, Schedule};
use crate::vigil::Asked;

/// Keepalives that may wait for their answer, wherever they are: several of each session of a full leader (100,000).
const KEEPALIVES_MAX: usize = 1 << 19;
/// Things done to the schedule while the machine is borrowed: well under a millisecond, since apply waits meanwhile.
const CHUNK: usize = 1024;

type Answer = Result<KeepAliveAck, KeepAliveError>;

/// A cheap handle to the task that owns the deadlines. The task ends with the last handle.
#[derive(Debug, Clone)]
pub struct Deadlines {
    keepalives: mpsc::UnboundedSender<Asked<Waiting>>,
    waiting: Arc<AtomicUsize>,
    counters: Arc<ClockCounters>,
}

/// A keepalive's way back; counted, so that the whole way is bounded.
#[derive(Debug)]
pub(crate) struct Waiting {
    to: AnswerTo,
    _counted: Counted,
}

#[derive(Debug)]
enum AnswerTo {
    Once(oneshot::Sender<Answer>),
    Feed { feed: FeedSender, tag: u64 },
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Deadlines {
    /// Starts the task. It serves while `leadership` says that this node leads, and it ends with the last handle or with
    /// the sender of `leadership`; `quorum` must hold neither. A task that panicked is fatal to the node.
    pub(crate) fn start<Q: Quorum>(
        clock: Clock,
        quorum: Arc<Q>,
        hub: Hub,
        leadership: watch::Receiver<Leadership>,
        election_timeout_max: Duration,
    ) -> (Self, JoinHandle<()>) {
        let (keepalives, receiver) = mpsc::unbounded_channel();
        let counters = Arc::<ClockCounters>::default();
        let task = Task {
            clock,
            quorum,
            hub,
            leadership,
            serving: 0,
            keepalives: receiver,
            schedule: Schedule::new(election_timeout_max, counters.clone()),
            confirming: None,
            proposing: FuturesUnordered::new(),
        };
        let handle = Self { keepalives, waiting: Arc::default(), counters };
        (handle, tokio::spawn(task.run()))
    }

    /// Keeps the session alive: acknowledged once a majority confirmed, after this call began, that this node leads.
    ///
    /// # Cancel safety
    /// A dropped call may still renew the session.
    pub async fn keep_alive(&self, key: SessionKey, losses_seen_through: LossNumber) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.ask(key, losses_seen_through, AnswerTo::Once(sender));
        receiver.await.unwrap_or(Err(KeepAliveError::Stopped))
    }

    /// The same for a feed of the session: the answer is a `Notice::KeptAlive` with this tag, behind every notice of a
    /// revision up to its own.
    pub fn keep_alive_to(
        &self,
        key: SessionKey,
        losses_seen_through: LossNumber,
        feed: FeedSender,
        tag: u64,
    ) {
        self.ask(key, losses_seen_through, AnswerTo::Feed { feed, tag });
    }

    #[must_use]
    pub fn counters(&self) -> &ClockCounters {
        &self.counters
    }

    fn ask(&self, key: SessionKey, losses_seen_through: LossNumber, to: AnswerTo) {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let reply = Waiting { to, _counted: Counted(self.waiting.clone()) };
        if waiting >= KEEPALIVES_MAX {
            return reply.send(Err(KeepAliveError::Overloaded));
        }
        let asked = Asked { key, losses_seen_through, reply, counted: false };
        if let Err(mpsc::error::SendError(asked)) = self.keepalives.send(asked) {
            asked.reply.send(Err(KeepAliveError::Stopped));
        }
    }
}

impl Waiting {
    fn send(self, answer: Answer) {
        match self.to {
            // An error: the caller does not wait any more.
            AnswerTo::Once(sender) => drop(sender.send(answer)),
            AnswerTo::Feed { feed, tag } => {
                feed.push(Notice::KeptAlive { tag, answer });
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Task<Q> {
    clock: Clock,
    quorum: Arc<Q>,
    hub: Hub,
    leadership: watch::Receiver<Leadership>,
    /// The number of the leadership that the schedule is of.
    serving: u64,
    keepalives: mpsc::UnboundedReceiver<Asked<Waiting>>,
    schedule: Schedule<Waiting>,
    /// The one confirmation that counts.
    confirming: Option<BoxFuture<'static, Happened>>,
    proposing: FuturesUnordered<BoxFuture<'static, Happened>>,
}

/// What the task was woken by.
enum Happened {
    /// Look around; also when something came that is read where it lies.
    Woke,
    Asked(Asked<Waiting>),
    Confirmed(u64, Result<Confirmed, NotLeader>),
    Decided(u64, Result<Decided, ProposeError>),
    Ended,
}

impl<Q: Quorum> Task<Q> {
    async fn run(mut self) {
        self.heed_leadership();
        loop {
            let mut happened = vec![self.next().await];
            self.take_ready(&mut happened);
            if happened.iter().any(|what| matches!(what, Happened::Ended)) {
                self.hub.inbox().close();
                self.schedule.stop(None);
                self.act();
                return;
            }
            self.heed_leadership();
            self.heed_tidings();
            self.heed(happened);
            let now = self.clock.now();
            self.quorum.look(|machine| self.schedule.look(now, machine, &self.hub));
            self.act();
        }
    }

    async fn next(&mut self) -> Happened {
        let leads = self.schedule.term().is_some();
        let until = self.schedule.next_look(self.clock.now());
        tokio::select! {
            asked = self.keepalives.recv() => asked.map_or(Happened::Ended, Happened::Asked),
            Some(confirmed) = OptionFuture::from(self.confirming.as_mut()) => {
                self.confirming = None;
                confirmed
            }
            Some(decided) = self.proposing.next() => decided,
            changed = self.leadership.changed() => {
                changed.map_or(Happened::Ended, |()| Happened::Woke)
            }
            () = self.hub.inbox().urgent(), if leads => Happened::Woke,
            () = tokio::task::yield_now(), if self.schedule.is_busy() => Happened::Woke,
            () = self.clock.sleep_until(until), if leads => Happened::Woke,
        }
    }

    /// Everything else that happened already. All keepalives that arrived are taken before anything is proposed.
    fn take_ready(&mut self, happened: &mut Vec<Happened>) {
        while let Some(Some(decided)) = self.proposing.next().now_or_never() {
            happened.push(decided);
        }
        while let Ok(asked) = self.keepalives.try_recv() {
            happened.push(Happened::Asked(asked));
        }
    }

    fn heed_leadership(&mut self) {
        let now = self.leadership.borrow_and_update().clone();
        let Leadership { term, leading, serving, leader } = now;
        match (leading, self.schedule.term()) {
            (true, Some(present)) if present == term && serving == self.serving => {}
            (true, _) => {
                self.serving = serving;
                self.hub.inbox().open();
                let machine = self.quorum.look(Machine::clone);
                self.schedule.lead(self.clock.now(), term, &machine);
                tracing::info!(term = term.get(), "keeping the time of all sessions");
            }
            (false, _) => {
                self.hub.inbox().close();
                self.confirming = None;
                self.schedule.stop(leader);
            }
        }
    }

    fn heed_tidings(&mut self) {
        if self.schedule.term().is_none() {
            return;
        }
        let tidings = self.hub.inbox().take();
        let now = self.clock.now();
        if tidings.overflowed {
            tracing::warn!("too many tidings at once; every timer starts anew");
            let machine = self.quorum.look(Machine::clone);
            self.schedule.reread(now, &machine);
        }
        let mut items = tidings.items.into_iter().peekable();
        while items.peek().is_some() {
            self.quorum.look(|machine| {
                for (revision, tiding) in items.by_ref().take(CHUNK) {
                    self.schedule.tiding(now, revision, tiding, machine);
                }
            });
        }
    }

    fn heed(&mut self, happened: Vec<Happened>) {
        let mut happened = happened.into_iter().peekable();
        while happened.peek().is_some() {
            let (now, delivered) = (self.clock.now(), self.hub.delivered());
            self.quorum.look(|machine| {
                for what in happened.by_ref().take(CHUNK) {
                    match what {
                        Happened::Asked(asked) => self.schedule.keep_alive(asked, machine),
                        Happened::Confirmed(number, result) => {
                            self.schedule.confirmed(now, number, result, delivered, machine);
                        }
                        Happened::Decided(number, result) => {
                            self.schedule.decided(now, number, result, machine);
                        }
                        Happened::Woke | Happened::Ended => {}
                    }
                }
            });
        }
    }

    fn act(&mut self) {
        for action in self.schedule.take_actions() {
            let quorum = self.quorum.clone();
            match action {
                Action::Confirm { number } => {
                    let confirm =
                        async move { Happened::Confirmed(number, quorum.confirm().await) };
                    self.confirming = Some(confirm.boxed());
                }
                Action::Propose { number, command } => {
                    let propose =
                        async move { Happened::Decided(number, quorum.propose(command).await) };
                    self.proposing.push(propose.boxed());
                }
                Action::Answer { reply, answer } => reply.send(answer),
            }
        }
    }
}

#[cfg(test)]
mod tests;
