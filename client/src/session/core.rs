//! The session's own state machine: calls, holds, keepalives, losses. Takes commands, messages and ticks, leaves what is to
//! be sent in `out`. Does no I/O and never waits; it is owned by one task.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::call_request::Op as Wire;
use conclave_proto::v1::stream_request::Message;
use tokio::sync::oneshot;

use crate::clock::Moment;
use crate::error::{NotAnswered, Refusal};
use crate::reason::Hint;
use crate::session::command::{Answer, Call, Op, WaitPlan};
use crate::session::handle::Handle;
use crate::session::hold::HoldCore;
use crate::session::pulse::Pulse;
use crate::session::shared::Shared;
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
    /// The same in every repetition, but for what is left of the wait.
    wire: Wire,
    /// (revision, n) of the newest answer; older ones do not count.
    pub(super) newest: (u64, u32),
    /// It may be known to the cluster.
    pub(super) sent: bool,
    /// Nobody wants it any more: a cancel is on its way, a grant is given back.
    pub(super) cancelled: bool,
    /// Sent again then, after an answer that decided nothing.
    pub(super) again_at: Option<Moment>,
    pub(super) since: Moment,
}

impl Pending {
    /// The token of the hold that it is about, as it is sent.
    pub(super) fn token(&self) -> Option<u64> {
        match &self.wire {
            Wire::Release(op) => Some(op.token),
            Wire::Adopt(op) => Some(op.token),
            Wire::Downgrade(op) => Some(op.token),
            Wire::Upgrade(op) => Some(op.token),
            Wire::Proclaim(op) => Some(op.term),
            Wire::Complete(op) => Some(op.token),
            Wire::Acquire(_) | Wire::SetEligible(_) | Wire::Edit(_) => None,
        }
    }
}

/// A hold that was granted and neither given back nor said to be no longer used.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) core: Arc<HoldCore>,
    pub(super) granted_at: u64,
    /// Its guard is gone and the release is on its way.
    pub(super) releasing: bool,
    /// It may have ended or changed its token: the answer that is on its way says so, and an attach does not judge it.
    pub(super) settling: bool,
}

impl Held {
    pub(super) const fn new(core: Arc<HoldCore>, granted_at: u64) -> Self {
        Self { core, granted_at, releasing: false, settling: false }
    }
}

/// Who released a hold that was lost, and what to answer once the cluster has heard that it is no longer used.
pub(crate) type Release = (oneshot::Sender<Answer>, Lost);

#[derive(Debug)]
pub(crate) struct Core {
    pub(super) shared: Arc<Shared>,
    /// Weak: the task must not keep itself alive.
    pub(super) handle: Weak<Handle>,
    pub(super) pending: HashMap<u64, Pending>,
    pub(super) window: Window,
    /// Arrived, but too far ahead to be sent.
    pub(super) backlog: BTreeSet<u64>,
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
    /// Of the last attempt to attach: they rise, so that one that comes late judges nothing.
    pub(super) attaches: u64,
    pub(crate) out: Vec<v1::StreamRequest>,
    /// How long a call that does not wait may go unanswered while there is no connection.
    request_timeout: Duration,
    pub(super) over: bool,
}

/// Whoever dropped the other end does not want to know.
pub(super) fn tell(reply: oneshot::Sender<Answer>, answer: Answer) {
    let _ = reply.send(answer);
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
            attaches: 0,
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
        let Some(call) = self.admit(call) else {
            self.seen(seq, now);
            return;
        };
        let wire = call.op.to_wire();
        let pending = Pending {
            call,
            wire,
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

    /// The call, if it is to be sent. What is asked of a hold that was lost, or is not known, is answered here; of a lost one that
    /// is given back the cluster hears that its user stopped.
    fn admit(&mut self, call: Call) -> Option<Call> {
        let Some(hold) = call.op.hold() else { return Some(call) };
        let token = hold.token();
        let is_release = matches!(call.op, Op::Release { .. });
        let settles = call.op.settles_hold();
        let lost = hold.lost().cloned();
        if lost.is_none()
            && let Some(held) = self.held.get_mut(&token)
        {
            held.releasing |= is_release;
            held.settling |= settles;
            return Some(call);
        }
        match (lost, call.reply) {
            (Some(lost), reply) if is_release => {
                self.held.remove(&token);
                self.stop_using(token, reply.map(|reply| (reply, lost)));
            }
            (Some(lost), Some(reply)) => tell(reply, Answer::Lost(lost)),
            (None, Some(reply)) => tell(reply, Answer::Refused(Refusal::NotHolder)),
            (_, None) => {}
        }
        None
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
            let hold = pending.call.op.hold().cloned();
            self.pending.remove(&seq);
            self.backlog.remove(&seq);
            if let Some(hold) = hold {
                self.settle(&hold);
            }
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
        let mut op = pending.wire.clone();
        match &mut op {
            Wire::Acquire(v1::AcquireOp { wait, .. })
            | Wire::Upgrade(v1::UpgradeOp { wait, .. }) => {
                *wait = Some(pending.call.wait.to_wire(now));
            }
            Wire::Release(_)
            | Wire::Adopt(_)
            | Wire::Downgrade(_)
            | Wire::Proclaim(_)
            | Wire::SetEligible(_)
            | Wire::Complete(_)
            | Wire::Edit(_) => {}
        }
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
        self.held.insert(token, Held::new(Arc::clone(&core), granted_at));
        self.ask_for_nobody(Op::Release { hold: core }, now);
    }

    /// A call of the task itself.
    pub(super) fn ask_for_nobody(&mut self, op: Op, now: Moment) {
        let seq = self.shared.take_seq();
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
                (Op::Release { .. } | Op::ReleasePart { .. }, _) | (_, WaitPlan::Forever) => None,
                (_, WaitPlan::Until(end)) => Some(end),
                (_, WaitPlan::None) => Some(pending.since),
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
                    tell(reply, Answer::NotAnswered(NotAnswered { after, last }));
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
}
