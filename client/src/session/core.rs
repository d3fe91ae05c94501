//! The session's own state machine: calls, holds, keepalives, losses. Takes commands, messages and ticks, leaves what is to
//! be sent in `out`. Does no I/O and never waits; it is owned by one task.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message;

use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::error::{NotAnswered, Refusal};
use crate::reason::Hint;
use crate::session::command::{Answer, Call, Op, WaitPlan};
use crate::session::handle::Handle;
use crate::session::hold::HoldCore;
use crate::session::pulse::Pulse;
use crate::session::shared::{Identity, Shared};
use crate::session::window::Window;
use crate::state::{Lost, LostReason, SessionEnd, SessionState};

/// What the task does after a step of the core.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Go,
    /// The stream is of no use any more; perhaps the server said who leads.
    Reconnect(Option<Hint>),
    /// The stream is silent. It may only be slow: another one is looked for beside it, and its acknowledgements count meanwhile.
    Replace,
}

/// A call without a final answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) call: Call,
    /// (revision, n) of the newest answer; older ones do not count.
    pub(super) newest: (u64, u32),
    /// It may be known to the cluster.
    pub(super) sent: bool,
    /// Nobody wants it any more: a cancel is on its way, a grant is given back.
    pub(super) cancelled: bool,
    /// Sent again then, after an answer that decided nothing.
    pub(super) again_at: Option<Moment>,
    since: Moment,
}

/// A hold that was granted and neither given back nor said to be no longer used.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) core: Arc<HoldCore>,
    pub(super) granted_at: u64,
    /// Its guard is gone and the release is on its way.
    pub(super) releasing: bool,
}

/// Who released a hold that was lost, and what to answer once the cluster has heard that it is no longer used.
pub(crate) type Release = (oneshot::Sender<Answer>, Lost);

/// What a close needs.
#[derive(Debug)]
pub(crate) struct Goodbye {
    pub(crate) ended: Option<SessionEnd>,
    pub(crate) key: v1::SessionKey,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(super) shared: Arc<Shared>,
    /// Weak: the task must not keep itself alive.
    pub(super) handle: Weak<Handle>,
    pub(super) pending: HashMap<u64, Pending>,
    pub(super) window: Window,
    /// Arrived, but too far ahead to be sent.
    backlog: BTreeSet<u64>,
    pub(super) held: HashMap<u64, Held>,
    /// Holds of a resumed session that were not adopted yet: claimed, so that an attach releases none.
    pub(super) unadopted: BTreeSet<u64>,
    pub(super) pulse: Pulse,
    pub(super) losses_seen_through: u64,
    /// Losses of tokens that no hold is known of: their grant may still be on its way.
    pub(super) early_losses: HashMap<u64, Lost>,
    /// Lost holds that are no longer used, until the cluster has heard of it.
    pub(super) stopped: BTreeMap<u64, Option<Release>>,
    pub(super) connected: bool,
    pub(crate) out: Vec<v1::StreamRequest>,
    /// How long a call that does not wait may go unanswered while there is no connection.
    request_timeout: Duration,
    over: bool,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, handle: &Arc<Handle>) -> Self {
        let now = shared.clock.now();
        Self {
            window: Window::new(shared.identity.next_seq),
            pulse: Pulse::new(shared.identity.ttl, now),
            handle: Arc::downgrade(handle),
            request_timeout: handle.rpc.request_timeout,
            shared,
            pending: HashMap::new(),
            backlog: BTreeSet::new(),
            held: HashMap::new(),
            unadopted: BTreeSet::new(),
            losses_seen_through: 0,
            early_losses: HashMap::new(),
            stopped: BTreeMap::new(),
            connected: false,
            out: Vec::new(),
            over: false,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.shared.clock.now()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn send(&mut self, message: Message) {
        if self.connected {
            self.out.push(v1::StreamRequest { message: Some(message) });
        }
    }

    /// A new mutation.
    pub(crate) fn on_call(&mut self, seq: u64, call: Call, now: Moment) {
        if self.over {
            if let Some((token, release)) = self.call_after_end(call) {
                self.stopped.insert(token, release);
            }
            return;
        }
        self.window.arrived(seq);
        if let Op::Release { token } = call.op
            && !self.begin_release(token)
        {
            match self.held.remove(&token).and_then(|held| held.core.lost().cloned()) {
                Some(lost) => self.stop_using(token, call.reply.map(|reply| (reply, lost))),
                None => {
                    if let Some(reply) = call.reply {
                        // Whoever dropped the other end does not want to know.
                        let _ = reply.send(Answer::Refused(Refusal::NotHolder));
                    }
                }
            }
            self.seen(seq, now);
            return;
        }
        let pending = Pending {
            call,
            newest: (0, 0),
            sent: false,
            cancelled: false,
            again_at: None,
            since: now,
        };
        self.pending.insert(seq, pending);
        if self.window.admits(seq) {
            self.send_call(seq, now);
        } else {
            self.backlog.insert(seq);
        }
    }

    /// False: it is not sent, since the hold was lost (then the cluster hears that its user stopped) or is not known.
    fn begin_release(&mut self, token: u64) -> bool {
        match self.held.get_mut(&token) {
            Some(held) if held.core.lost().is_none() => {
                held.releasing = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Says that a lost hold is no longer used, now and after each reconnect until it was heard; then `release` is answered.
    pub(super) fn stop_using(&mut self, token: u64, release: Option<Release>) {
        self.stopped.insert(token, release);
        self.send(Message::AckStoppedToken(token));
    }

    /// Nobody waits for this call any more.
    pub(crate) fn on_cancel(&mut self, seq: u64, now: Moment) {
        let Some(pending) = self.pending.get_mut(&seq) else { return };
        pending.call.reply = None;
        pending.call.progress = None;
        if pending.sent {
            pending.cancelled = true;
            pending.again_at = None;
            self.send(Message::CancelSeq(seq));
        } else {
            self.pending.remove(&seq);
            self.backlog.remove(&seq);
            self.seen(seq, now);
        }
    }

    /// Sends a call, again or for the first time; of a cancelled one only the cancel, which also forbids the call itself.
    pub(super) fn send_call(&mut self, seq: u64, now: Moment) {
        if !self.connected {
            return;
        }
        let seen_through = self.window.seen_through();
        let Some(pending) = self.pending.get_mut(&seq) else { return };
        pending.again_at = None;
        if pending.cancelled {
            self.send(Message::CancelSeq(seq));
            return;
        }
        pending.sent = true;
        let op = match &pending.call.op {
            Op::Acquire(acquire) => {
                let wait = Some(pending.call.wait.to_wire(now));
                v1::call_request::Op::Acquire(v1::AcquireOp { wait, ..(**acquire).clone() })
            }
            Op::Release { token } => v1::call_request::Op::Release(v1::ReleaseOp { token: *token }),
            Op::Adopt { token } => v1::call_request::Op::Adopt(v1::AdoptOp { token: *token }),
        };
        self.send(Message::Call(v1::CallRequest { seq, seen_through, op: Some(op) }));
    }

    /// The outcome of `seq` was received: calls that were too far ahead may go now.
    pub(super) fn seen(&mut self, seq: u64, now: Moment) {
        if !self.window.seen(seq) || self.backlog.is_empty() {
            return;
        }
        while let Some(first) = self.backlog.first().copied()
            && self.window.admits(first)
        {
            self.backlog.remove(&first);
            self.send_call(first, now);
        }
    }

    /// Gives back what was granted to nobody.
    pub(super) fn give_back(&mut self, token: u64, granted_at: u64, now: Moment) {
        let core = HoldCore::new(token, 0);
        self.held.insert(token, Held { core, granted_at, releasing: true });
        let seq = self.shared.take_seq();
        let op = Op::Release { token };
        self.on_call(seq, Call { op, wait: WaitPlan::None, progress: None, reply: None }, now);
    }

    /// Looks at the clock: the deadline, the next keepalive, calls to be repeated.
    pub(crate) fn on_tick(&mut self, now: Moment) -> Flow {
        if self.check_end() {
            return Flow::Go;
        }
        let mut flow = Flow::Go;
        if self.connected {
            if self.is_overdue(now) {
                flow = Flow::Replace;
            }
            if self.pulse.is_due(now) {
                self.keep_alive(now);
            }
        }
        self.look_after_calls(now);
        self.publish(now);
        flow
    }

    /// Whether the stream is silent for so long that another one should be looked for.
    pub(crate) fn is_overdue(&self, now: Moment) -> bool {
        self.connected && self.pulse.is_overdue(now, self.lease_left(now))
    }

    /// Whether another stream was looked for before, while this one was only slow.
    pub(crate) fn was_futile(&self) -> bool {
        self.pulse.was_futile()
    }

    /// No other stream is looked for any more: the one there is shall have more time.
    pub(crate) fn on_replacement_given_up(&mut self) {
        self.pulse.be_patient();
    }

    pub(crate) fn lease_left(&self, now: Moment) -> Duration {
        self.shared.lease.left(now)
    }

    pub(super) fn keep_alive(&mut self, now: Moment) {
        let number = self.pulse.beat(now);
        let losses_seen_through = self.losses_seen_through;
        self.send(Message::KeepAlive(v1::StreamKeepAlive { number, losses_seen_through }));
    }

    fn look_after_calls(&mut self, now: Moment) {
        let mut again: Vec<u64> = Vec::new();
        let mut given_up: Vec<u64> = Vec::new();
        for (seq, pending) in &self.pending {
            if pending.again_at.is_some_and(|at| at <= now) {
                again.push(*seq);
            }
            let end = match (&pending.call.op, pending.call.wait) {
                _ if self.connected || pending.call.reply.is_none() => None,
                // A release goes on until the session ends, and so does a wait without end.
                (Op::Release { .. }, _) | (Op::Acquire(_), WaitPlan::Forever) => None,
                (Op::Acquire(_) | Op::Adopt { .. }, WaitPlan::Until(end)) => Some(end),
                (Op::Acquire(_) | Op::Adopt { .. }, WaitPlan::None | WaitPlan::Forever) => {
                    Some(pending.since)
                }
            };
            if end.is_some_and(|end| end.plus(self.request_timeout) <= now) {
                given_up.push(*seq);
            }
        }
        again.sort_unstable();
        for seq in again {
            self.send_call(seq, now);
        }
        for seq in given_up {
            if let Some(pending) = self.pending.get_mut(&seq) {
                let after = now.since(pending.since);
                if let Some(reply) = pending.call.reply.take() {
                    let last = "the connection is away".to_owned();
                    let _ = reply.send(Answer::NotAnswered(NotAnswered { after, last }));
                }
            }
            self.on_cancel(seq, now);
        }
    }

    pub(super) fn publish(&self, now: Moment) {
        let state = match self.shared.ended() {
            Some(SessionEnd::Closed) => SessionState::Closed,
            Some(_) => SessionState::Expired,
            None if self.shared.lease.in_jeopardy(now) => SessionState::Jeopardy,
            None if !self.connected => SessionState::Reconnecting,
            None => SessionState::Active,
        };
        self.shared.publish(state);
    }

    /// Whether the session is over, by whoever noticed first; then everything is told so, once. A close by this client is
    /// over only when its command comes, which is on its way: the cluster must hear of it.
    pub(crate) fn check_end(&mut self) -> bool {
        if !self.over
            && let Some(end) =
                self.shared.ended().filter(|end| **end != SessionEnd::Closed).cloned()
        {
            self.end(end);
        }
        self.over
    }

    /// The session is over: every guard is lost, every wait fails, nothing is granted any more.
    pub(crate) fn end(&mut self, end: SessionEnd) {
        if self.over {
            return;
        }
        self.over = true;
        self.connected = false;
        self.out.clear();
        let end = self.shared.end(end).clone();
        let now = self.now();
        for held in self.held.values() {
            held.core.lose(self.lost(LostReason::SessionEnded(end.clone()), now));
        }
        for (_, pending) in self.pending.drain() {
            if let Some(reply) = pending.call.reply {
                let _ = reply.send(Answer::Ended(end.clone()));
            }
        }
        self.backlog.clear();
        // Their guards are gone, and whether their releases came in time is not known. A close frees its holds by itself.
        let releasing = self.held.extract_if(|_, held| held.releasing).map(|(token, _)| token);
        if end == SessionEnd::Closed {
            releasing.for_each(drop);
        } else {
            self.stopped.extend(releasing.map(|token| (token, None)));
        }
        self.publish(now);
        tracing::info!(session = %self.shared.identity.id, %end, "session ended");
    }

    pub(super) fn lost(&self, reason: LostReason, now: Moment) -> Lost {
        Lost::new(reason, now, self.shared.lease.renewed_at(), self.shared.clock.clone())
    }

    /// The stream is gone; nothing is lost by that alone.
    pub(crate) fn on_disconnected(&mut self, now: Moment) {
        self.connected = false;
        self.out.clear();
        self.pulse.forget();
        self.publish(now);
    }

    /// What this client believes, for the first message of the next stream. Whatever lies below `next_seq` is judged by it, also
    /// when it arrives late: so calls are listed that were never sent, for by then they may have been.
    pub(crate) fn attach(&self) -> Message {
        let believed = self.held.iter().filter(|(_, held)| held.core.lost().is_none());
        let held = believed.map(|(token, _)| *token).chain(self.unadopted.iter().copied());
        Message::Attach(v1::AttachRequest {
            key: Some(self.shared.key()),
            held: held.collect(),
            waiting: self.pending.keys().copied().collect(),
            next_seq: self.window.next_seq(),
        })
    }

    /// Nobody holds on to this session any more, or somebody closed it.
    pub(crate) fn shared_end(&self, end: SessionEnd) {
        self.shared.end(end);
    }

    pub(crate) fn lease_is_alive(&self) -> bool {
        self.shared.lease.is_alive(self.now())
    }

    /// Ends the session on this side; what it takes to end it on the other, unless it ended otherwise before.
    pub(crate) fn goodbye(&mut self) -> Goodbye {
        self.end(SessionEnd::Closed);
        let ended = Some(self.ended()).filter(|end| *end != SessionEnd::Closed);
        Goodbye { ended, key: self.shared.key() }
    }

    /// How it ended; of a session that has not ended: expired, since its task asks only after the end.
    pub(crate) fn ended(&self) -> SessionEnd {
        self.shared.ended().cloned().unwrap_or(SessionEnd::Expired)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// Tokens of lost holds whose users stopped, not confirmed by the cluster.
    pub(crate) fn take_stopped(&mut self) -> BTreeMap<u64, Option<Release>> {
        std::mem::take(&mut self.stopped)
    }

    /// A call after the end is answered at once, unless it gives a lost hold back: then the token whose use has stopped, and whom
    /// to tell when the cluster has heard so.
    pub(crate) fn call_after_end(&mut self, call: Call) -> Option<(u64, Option<Release>)> {
        let (answer, reply) = match (call.op, call.reply) {
            (Op::Release { token }, reply) => {
                let held = self.held.remove(&token);
                match held.and_then(|held| held.core.lost().cloned()) {
                    None => (Answer::Refused(Refusal::NotHolder), reply),
                    // A close frees its holds by itself.
                    Some(lost)
                        if *lost.reason() == LostReason::SessionEnded(SessionEnd::Closed) =>
                    {
                        (Answer::Lost(lost), reply)
                    }
                    Some(lost) => return Some((token, reply.map(|reply| (reply, lost)))),
                }
            }
            (Op::Acquire(_) | Op::Adopt { .. }, reply) => (Answer::Ended(self.ended()), reply),
        };
        if let Some(reply) = reply {
            // Whoever dropped the other end does not want to know.
            let _ = reply.send(answer);
        }
        None
    }
}
