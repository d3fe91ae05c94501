//! Group commit without a timer: whatever arrived while entries were in flight goes together into the next one.
//!
//! Every proposal is answered exactly once, with what is surely known: decided, surely not proposed, or unknown.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use conclave_machine::Command;
use openraft::Raft;
use openraft::errors::ClientWriteError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use crate::answer::{LeaderHint, NotLeader, ProposeError};
use crate::codec::{BatchBuilder, encode_command};
use crate::hub::{Hub, Reply};
use crate::state_machine::{StateMachine, deliver};
use crate::types::{Applied, Batch, Callback, TypeConfig, WriteResult, committed_leader};

/// Commands of one entry: beyond it an entry only gets slower to apply, not cheaper to commit.
const BATCH_COMMANDS_MAX: usize = 256;
/// Bytes of one entry, unless a single command has more.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Entries on their way: while the first is being synced the second one gathers.
const IN_FLIGHT_MAX: usize = 2;
/// Turns that an entry waits for company, while company comes.
const GATHER_TURNS_MAX: usize = 16;
/// Commands that may wait for an entry; a quarter of a second of the fastest log.
const QUEUE_COMMANDS_MAX: usize = 32 << 10;

/// A cheap handle to the queue of proposals.
#[derive(Debug, Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Waiting>,
    in_flight: InFlight,
}

#[derive(Debug)]
struct Waiting {
    command: Bytes,
    reply: Reply,
}

/// The term this node may propose in; none: it does not lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mandate {
    pub(crate) term: Option<u64>,
    pub(crate) leader: Option<LeaderHint>,
}

/// Everybody who waits for entries that were handed to openraft.
#[derive(Debug, Clone, Default)]
struct InFlight {
    slots: Arc<Mutex<Vec<Weak<Slot>>>>,
}

/// Those who wait for one entry. Emptied by whoever answers them first.
#[derive(Debug)]
struct Slot {
    term: u64,
    waiting: Mutex<Option<(Vec<Reply>, OwnedSemaphorePermit)>>,
}

impl Proposer {
    /// Starts the task that proposes. It ends when all handles are gone or the sender of `mandate` is.
    pub(crate) fn start(
        raft: Raft<TypeConfig, StateMachine>,
        hub: Hub,
        mandate: watch::Receiver<Mandate>,
    ) -> (Self, JoinHandle<()>) {
        let (queue, receiver) = mpsc::channel(QUEUE_COMMANDS_MAX);
        let in_flight = InFlight::default();
        let task = Task {
            raft,
            hub,
            mandate,
            queue: receiver,
            left: None,
            room: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            in_flight: in_flight.clone(),
        };
        let task = tokio::spawn(task.run());
        (Self { queue, in_flight }, task)
    }

    /// Waits for room in the queue, never for the decision. The reply is answered in any case.
    pub(crate) async fn propose(&self, command: &Command, reply: Reply) {
        let waiting = Waiting { command: encode_command(command), reply };
        if let Err(mpsc::error::SendError(waiting)) = self.queue.send(waiting).await {
            waiting.reply.fail(ProposeError::Stopped);
        }
    }

    /// Never waits: refuses when the queue is full. On an error the reply is dropped unanswered.
    pub(crate) fn try_propose(&self, command: &Command, reply: Reply) -> Result<(), ProposeError> {
        let waiting = Waiting { command: encode_command(command), reply };
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
        })
    }

    /// Entries of other terms than this one may never be heard of again: whoever waits for them is told so.
    pub(crate) fn give_up_except(&self, term: Option<u64>, leader: Option<&LeaderHint>) {
        for slot in self.in_flight.take_except(term) {
            slot.fail(&ProposeError::Unknown { leader: leader.cloned() });
        }
    }
}

impl InFlight {
    /// Before it is proposed, so that whoever gives up finds it. Whoever gave up before that has changed the mandate first, so
    /// a slot that came too late to be found sees it here. An error: it must not be proposed.
    fn add(&self, slot: &Arc<Slot>, mandate: &watch::Receiver<Mandate>) -> Result<(), NotLeader> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(slot));
        drop(slots);
        let mandate = mandate.borrow();
        match mandate.term == Some(slot.term) {
            true => Ok(()),
            false => Err(NotLeader { leader: mandate.leader.clone() }),
        }
    }

    fn take_except(&self, term: Option<u64>) -> Vec<Arc<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        slots.retain(|slot| match slot.upgrade() {
            Some(slot) if Some(slot.term) == term => true,
            Some(slot) => {
                taken.push(slot);
                false
            }
            None => false,
        });
        taken
    }
}

impl Slot {
    fn take(&self) -> Option<Vec<Reply>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.take().map(|(replies, _permit)| replies)
    }

    fn fail(&self, error: &ProposeError) {
        for reply in self.take().into_iter().flatten() {
            reply.fail(error.clone());
        }
    }
}

/// openraft's way back to the slot; dropped uncalled when its core dies.
struct Ending {
    slot: Arc<Slot>,
    hub: Hub,
}

impl Ending {
    fn applied(&self, applied: Applied) {
        let Some(replies) = self.slot.take() else { return deliver(&self.hub, applied) };
        #[cfg(feature = "planted")]
        if replies.is_empty() {
            return deliver(&self.hub, applied);
        }
        assert_eq!(replies.len(), applied.commands.len(), "an outcome for each command");
        for (command, reply) in applied.commands.into_iter().zip(replies) {
            self.hub.deliver(command.revision, Some(reply), command.outcome, &command.events);
        }
    }

    fn complete(&self, result: WriteResult) {
        match result {
            Ok(response) => self.applied(response.data),
            // Only this one promises that the entry was never appended.
            Err(ClientWriteError::ForwardToLeader(_)) => {
                self.slot.fail(&ProposeError::NotLeader { leader: None });
            }
            Err(
                ClientWriteError::LogEntryDiscarded(_)
                | ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_),
            ) => self.slot.fail(&ProposeError::Unknown { leader: None }),
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.slot.fail(&ProposeError::Unknown { leader: None });
    }
}

struct Task {
    raft: Raft<TypeConfig, StateMachine>,
    hub: Hub,
    mandate: watch::Receiver<Mandate>,
    queue: mpsc::Receiver<Waiting>,
    /// Was taken from the queue, but did not fit into the last entry.
    left: Option<Waiting>,
    room: Arc<Semaphore>,
    in_flight: InFlight,
}

impl Task {
    async fn run(mut self) {
        loop {
            let room = self.room.clone().acquire_owned();
            let Ok(permit) = room.await else { break };
            let Some(first) = self.first().await else { break };
            self.gather().await;
            let mandate = self.mandate.borrow().clone();
            match mandate.term {
                Some(term) => self.propose(first, term, permit).await,
                None => self.refuse(first, &ProposeError::NotLeader { leader: mandate.leader }),
            }
        }
        self.queue.close();
        while let Some(waiting) = self.queue.recv().await {
            waiting.reply.fail(ProposeError::Stopped);
        }
    }

    async fn first(&mut self) -> Option<Waiting> {
        if let Some(left) = self.left.take() {
            return Some(left);
        }
        tokio::select! {
            waiting = self.queue.recv() => waiting,
            // Nobody changes the mandate any more: the node stops.
            () = ended(&mut self.mandate) => None,
        }
    }

    /// Lets those who were just answered come back with their next command, as long as any come: an entry of a few commands
    /// costs as much as a full one. No timer: with nobody else about it costs one turn of the scheduler.
    async fn gather(&self) {
        for _ in 0..GATHER_TURNS_MAX {
            let before = self.queue.len();
            tokio::task::yield_now().await;
            let now = self.queue.len();
            if now == before || now >= BATCH_COMMANDS_MAX {
                return;
            }
        }
    }

    fn refuse(&mut self, first: Waiting, error: &ProposeError) {
        first.reply.fail(error.clone());
        while let Ok(waiting) = self.queue.try_recv() {
            waiting.reply.fail(error.clone());
        }
    }

    async fn propose(&mut self, first: Waiting, term: u64, permit: OwnedSemaphorePermit) {
        let mut batch = BatchBuilder::new(now_ms());
        batch.push(&first.command);
        let mut replies = vec![first.reply];
        while batch.commands() < BATCH_COMMANDS_MAX {
            let Ok(waiting) = self.queue.try_recv() else { break };
            if batch.bytes() + BatchBuilder::cost(waiting.command.len()) > BATCH_BYTES_MAX {
                self.left = Some(waiting);
                break;
            }
            batch.push(&waiting.command);
            replies.push(waiting.reply);
        }

        let payload = batch.finish();
        #[cfg(feature = "planted")]
        if crate::planted::planted("reply before the commit") {
            early::answer(&self.raft, term, &payload, std::mem::take(&mut replies)).await;
        }
        let slot = Arc::new(Slot { term, waiting: Mutex::new(Some((replies, permit))) });
        if let Err(NotLeader { leader }) = self.in_flight.add(&slot, &self.mandate) {
            return slot.fail(&ProposeError::NotLeader { leader });
        }
        let ending = Ending { slot: slot.clone(), hub: self.hub.clone() };
        let written = self
            .raft
            .write(Batch::new(payload))
            .with_leader(committed_leader(term))
            .responder(Callback::new(move |result| ending.complete(result)))
            .await;
        if let Err(error) = written {
            tracing::warn!(%error, "the Raft core takes no more proposals");
            slot.fail(&ProposeError::Stopped);
        }
    }
}

async fn ended(mandate: &mut watch::Receiver<Mandate>) {
    while mandate.changed().await.is_ok() {}
}

fn now_ms() -> u64 {
    // A clock before 1970 shows zero.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(feature = "planted")]
mod early;
#[cfg(test)]
mod tests;
