//! The one task of a session: it owns the stream and the state machine, and does what the latter says.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;
use futures::{FutureExt as _, Stream as _, future::BoxFuture};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::clock::Moment;
use crate::error::{Error, Refusal};
use crate::link::{DialError, Link};
use crate::reason::Hint;
use crate::rpc::Rpc;
use crate::session::afterlife;
use crate::session::command::Command;
use crate::session::core::{Core, Flow};
use crate::session::route::{Attempted, Route};
use crate::state::SessionEnd;

/// Messages and commands taken in one go before what they caused is sent.
const BATCH: usize = 256;
/// How long a close on the stream may take before it is tried by a unary call.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Actor {
    core: Core,
    rpc: Arc<Rpc>,
    ttl: Duration,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Kept for its memory.
    taken: Vec<Command>,
    /// None: it broke, and the next one is being made.
    link: Option<Box<Link>>,
    /// The way to the next stream, perhaps beside one that stands.
    dial: Option<Dial>,
    tick: Interval,
    closing: Option<Closing>,
}

struct Dial {
    route: Box<Route>,
    attempt: BoxFuture<'static, Attempted>,
    /// Before the attempt was made; its answer renews from here.
    sent: Moment,
}

enum Closing {
    Asked(oneshot::Sender<Result<(), Error>>),
    /// The last handle is gone.
    Abandoned,
}

impl Actor {
    pub(crate) fn new(
        core: Core,
        rpc: Arc<Rpc>,
        ttl: Duration,
        commands: mpsc::UnboundedReceiver<Command>,
        link: Link,
        tick: Duration,
    ) -> Self {
        let mut tick = interval(tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let link = Some(Box::new(link));
        Self { core, rpc, ttl, commands, taken: Vec::new(), link, dial: None, tick, closing: None }
    }

    pub(crate) async fn run(mut self) {
        while self.closing.is_none() && !self.core.is_over() {
            self.flush();
            poll_fn(|cx| self.poll_step(cx)).await;
        }
        if let Some(closing) = self.closing.take() {
            let reply = match closing {
                Closing::Asked(reply) => Some(reply),
                Closing::Abandoned => None,
            };
            let result = self.close().await;
            if let Err(error) = &result {
                tracing::debug!("closing a session: {error}; it will expire");
            }
            if let Some(reply) = reply {
                // Whoever closed may have gone.
                let _ = reply.send(result);
            }
        }
        let Self { core, rpc, commands, link, dial, .. } = self;
        // An ended session has no stream, and is not attached any more.
        drop((link, dial));
        afterlife::run(core, rpc, commands).await;
    }

    /// Hands what the core left to the connection.
    fn flush(&mut self) {
        let Some(link) = &self.link else { return };
        for request in self.core.out.drain(..) {
            if link.out.send(request).is_err() {
                // The stream is gone; reading it says so, and everything is said again on the next one.
                return;
            }
        }
    }

    /// Does what is ready: first what arrived (an acknowledgement may have waited here while the process slept), then what is
    /// asked, then the clock.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.core.now();
        let mut progress = self.poll_link(cx, now);
        progress |= self.poll_dial(cx, now);
        if self.core.is_over() {
            // What is asked from here on is answered afterwards.
            return Poll::Ready(());
        }
        progress |= self.poll_commands(cx, now);
        while self.tick.poll_tick(cx).is_ready() {
            let now = self.core.now();
            match self.core.on_tick(now) {
                Flow::Go => {}
                Flow::Reconnect(hint) => self.disconnected(hint, now),
                Flow::Replace => self.replace(now),
            }
            progress = true;
        }
        if progress || self.core.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let Poll::Ready(count) = self.commands.poll_recv_many(cx, &mut self.taken, BATCH) else {
            return false;
        };
        if count == 0 {
            self.core.shared_end(SessionEnd::Closed);
            self.closing = Some(Closing::Abandoned);
        }
        for command in self.taken.drain(..) {
            match command {
                Command::Call { seq, call } => self.core.on_call(seq, call, now),
                Command::Cancel { seq } => self.core.on_cancel(seq, now),
                Command::Close { reply } => self.closing = Some(Closing::Asked(reply)),
            }
        }
        true
    }

    fn poll_link(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let Some(link) = &mut self.link else { return false };
        for taken in 0..BATCH {
            let response = match Pin::new(&mut link.inbound).poll_next(cx) {
                Poll::Pending => return taken > 0,
                Poll::Ready(Some(Ok(response))) => response,
                Poll::Ready(Some(Err(status))) => {
                    tracing::debug!("stream ended: {status}");
                    self.disconnected(None, now);
                    return true;
                }
                Poll::Ready(None) => {
                    self.disconnected(None, now);
                    return true;
                }
            };
            match self.core.on_message(response, now) {
                Flow::Go if self.core.is_over() => return true,
                Flow::Go | Flow::Replace => {}
                Flow::Reconnect(hint) => {
                    if hint.is_some() {
                        self.rpc.directory.does_not_lead(link.node);
                    }
                    self.disconnected(hint, now);
                    return true;
                }
            }
        }
        true
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let Some(dial) = &mut self.dial else { return false };
        let Poll::Ready(attempted) = dial.attempt.poll_unpin(cx) else { return false };
        dial.route.learn(&attempted);
        let sent = dial.sent;
        match attempted.result {
            Ok((link, response)) => {
                if let Some(Message::Attached(attached)) = response.message {
                    let revision = response.revision.max(attached.revision);
                    let standing = attached.standing.unwrap_or_default();
                    // The stream before this one may still stand; its last words were read above.
                    self.link = Some(Box::new(link));
                    self.dial = None;
                    self.core.on_attached(revision, standing, sent, now);
                    return true;
                }
                tracing::warn!("an attach was answered by something else");
            }
            Err(DialError::Refused(refusal)) => self.core.on_stream_refused(&refusal),
            Err(DialError::Spared) if self.link.is_some() => {
                self.give_replacement_up();
                return true;
            }
            Err(DialError::Moved(_) | DialError::Failed(_) | DialError::Spared) => {}
        }
        self.dial_next(now);
        true
    }

    /// The stream is gone: the next one is made, or goes on being made.
    fn disconnected(&mut self, hint: Option<Hint>, now: Moment) {
        self.core.on_disconnected(now);
        let Some(link) = self.link.take() else { return };
        if let Some(dial) = &mut self.dial {
            dial.route.spare_nobody(hint);
            return;
        }
        let route = Route::after(Arc::clone(&self.rpc), self.ttl, link.node, hint);
        self.dial(route, now);
    }

    /// The stream is silent: looks for another one beside it. At first only for another leader, since the node may be slow; if
    /// the silence goes on, also for another stream to the same node, which ends the one there is.
    fn replace(&mut self, now: Moment) {
        if let (Some(link), None) = (&self.link, &self.dial) {
            tracing::debug!("no acknowledgement in time, another stream is looked for");
            let sparing = !self.core.was_futile();
            let route = Route::beside(Arc::clone(&self.rpc), self.ttl, link.node, sparing);
            self.dial(route, now);
        }
    }

    fn dial(&mut self, route: Route, now: Moment) {
        let attempt = Box::pin(std::future::pending());
        self.dial = Some(Dial { route: Box::new(route), attempt, sent: now });
        self.dial_next(now);
    }

    fn dial_next(&mut self, now: Moment) {
        // A session that is over is never attached again.
        if self.core.check_end() {
            return;
        }
        let is_wanted = self.link.is_none() || self.core.is_overdue(now);
        let left = self.core.lease_left(now);
        let Some(dial) = &mut self.dial else { return };
        match dial.route.plan(left) {
            Some(plan) if is_wanted => {
                dial.sent = now;
                dial.attempt = Box::pin(dial.route.attempt(plan, self.core.attach()));
            }
            Some(_) | None => self.give_replacement_up(),
        }
    }

    /// The stream that stands was acknowledged after all, or is the right one; it is only slow.
    fn give_replacement_up(&mut self) {
        if self.link.is_some() {
            self.dial = None;
            self.core.on_replacement_given_up();
        }
    }

    /// Says goodbye: on the stream if there is one, else by a unary call.
    async fn close(&mut self) -> Result<(), Error> {
        let lease_is_alive = self.core.lease_is_alive();
        // What a dropped guard left to say goes first.
        self.flush();
        let goodbye = self.core.goodbye();
        if let Some(end) = goodbye.ended {
            return Err(Error::SessionEnded(end));
        }
        if !lease_is_alive {
            return Err(Error::SessionEnded(SessionEnd::Expired));
        }
        if let Some(link) = &mut self.link {
            let close = v1::StreamRequest { message: Some(Request::Close(v1::StreamClose {})) };
            let sent = link.out.send(close).is_ok();
            let confirmed = async {
                while let Ok(Some(response)) = link.inbound.message().await {
                    if matches!(response.message, Some(Message::Ended(_))) {
                        return true;
                    }
                }
                false
            };
            if sent && timeout(CLOSE_PATIENCE, confirmed).await.unwrap_or(false) {
                return Ok(());
            }
        }
        match afterlife::close(&self.rpc, goodbye.key).await {
            // It is over, one way or the other.
            Ok(()) | Err(Error::Refused(Refusal::SessionExpired)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
