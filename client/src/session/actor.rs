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
    line: Line,
    tick: Interval,
    closing: Option<Closing>,
}

/// The stream, or the way to the next one.
enum Line {
    Up(Box<Link>),
    Dialling { route: Box<Route>, attempt: BoxFuture<'static, Attempted> },
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
        let line = Line::Up(Box::new(link));
        Self { core, rpc, ttl, commands, taken: Vec::new(), line, tick, closing: None }
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
        let Self { core, rpc, commands, line, .. } = self;
        // An ended session has no stream, and is not attached any more.
        drop(line);
        afterlife::run(core, rpc, commands).await;
    }

    /// Hands what the core left to the connection.
    fn flush(&mut self) {
        let Line::Up(link) = &self.line else { return };
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
        let mut progress = self.poll_line(cx, now);
        progress |= self.poll_commands(cx, now);
        while self.tick.poll_tick(cx).is_ready() {
            let now = self.core.now();
            if let Flow::Reconnect(hint) = self.core.on_tick(now) {
                tracing::debug!("no acknowledgement in time, the stream is given up");
                self.reconnect(hint, now);
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

    fn poll_line(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        match &mut self.line {
            Line::Up(link) => {
                for taken in 0..BATCH {
                    let end = match Pin::new(&mut link.inbound).poll_next(cx) {
                        Poll::Pending => return taken > 0,
                        Poll::Ready(Some(Ok(response))) => {
                            match self.core.on_message(response, now) {
                                Flow::Go => continue,
                                Flow::Reconnect(hint) => (hint, String::new()),
                            }
                        }
                        Poll::Ready(Some(Err(status))) => (None, status.to_string()),
                        Poll::Ready(None) => (None, String::new()),
                    };
                    tracing::debug!("stream ended {}", end.1);
                    self.reconnect(end.0, now);
                    return true;
                }
                true
            }
            Line::Dialling { route, attempt } => match attempt.poll_unpin(cx) {
                Poll::Pending => false,
                Poll::Ready(attempted) => {
                    route.learn(&attempted);
                    self.on_attempted(attempted.result, now);
                    true
                }
            },
        }
    }

    fn on_attempted(&mut self, result: Result<(Link, v1::StreamResponse), DialError>, now: Moment) {
        match result {
            Ok((link, response)) => {
                if let Some(Message::Attached(attached)) = response.message {
                    let standing = attached.standing.unwrap_or_default();
                    self.line = Line::Up(Box::new(link));
                    self.core.on_attached(response.revision.max(attached.revision), standing, now);
                    return;
                }
                tracing::warn!("an attach was answered by something else");
            }
            Err(DialError::Refused(refusal)) => self.core.on_stream_refused(&refusal),
            Err(DialError::Moved(_) | DialError::Failed(_)) => {}
        }
        self.dial_next();
    }

    /// Gives the stream up and makes the next attempt.
    fn reconnect(&mut self, hint: Option<Hint>, now: Moment) {
        self.core.on_disconnected(now);
        if let Line::Up(_) = self.line {
            self.rpc.directory.set_leader(None);
            let route = Box::new(Route::new(Arc::clone(&self.rpc), self.ttl, hint));
            let attempt = Box::pin(std::future::pending());
            self.line = Line::Dialling { route, attempt };
            self.dial_next();
        }
    }

    fn dial_next(&mut self) {
        // A session that is over is never attached again.
        if self.core.check_end() {
            return;
        }
        if let Line::Dialling { route, attempt } = &mut self.line {
            let plan = route.plan();
            *attempt = Box::pin(route.attempt(plan, self.core.attach()));
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
        if let Line::Up(link) = &mut self.line {
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
