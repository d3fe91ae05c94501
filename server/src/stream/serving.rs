//! A stream that knows its session: reads, proposes, answers. Never waits for a decision, never holds more than it may.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use conclave_machine::{
    Command, Event, LossNumber, Outcome, Refusal, Revision, Seq, SessionKey, Token, WaitEnd,
};
use conclave_proto::v1;
use conclave_proto::v1::session_ended::End;
use conclave_proto::v1::stream_request::Message as Said;
use conclave_proto::v1::stream_response::Message;
use conclave_raft::{Feed, FeedSender, KeepAliveAck, KeepAliveError, Notice, ProposeError};
use futures::Stream as _;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::convert::answer::{self, CallResult, DisplayClock};
use crate::convert::request::{self, Wait};
use crate::edge::Edge;
use crate::limits::{
    STREAM_OUTSTANDING_MAX, STREAM_READS_AT_ONCE, STREAM_SPAN_MAX, TIME_OUT_AGAIN,
};
use crate::metrics::StreamCount;
use crate::status::{Failure, Malformed};
use crate::stream::asked::{Asked, Questions};
use crate::stream::waits::Waits;
use crate::stream::{Farewell, Inbound, moved};

pub(super) struct Serving {
    edge: Edge,
    inbound: Inbound,
    /// False: the client says no more; what it asked is still answered.
    is_listening: bool,
    /// Heard when so much was unanswered already; its turn comes when there is room, and nothing is read meanwhile.
    parked: Option<v1::StreamRequest>,
    key: SessionKey,
    feed: Feed,
    sender: FeedSender,
    questions: Questions,
    waits: Waits,
    /// Refused by a full queue without a word to the client; asked again in this order, at these instants.
    again: VecDeque<(Instant, Command, Asked)>,
    again_alarm: Option<Pin<Box<Sleep>>>,
    out: VecDeque<v1::StreamResponse>,
    /// Said once `out` is.
    farewell: Option<Farewell>,
    /// Events up to this revision are in what was said first.
    opened_at: Revision,
    /// (revision, n) of the last thing told; an answer of this node alone stands there.
    told: (Revision, u32),
    /// The cancel whose outcome was told: the event that says the same is not.
    cancelled: Option<(Revision, Seq)>,
    _counted: StreamCount,
}

impl Serving {
    pub(super) fn new(
        edge: Edge,
        inbound: Inbound,
        key: SessionKey,
        feed: Feed,
        opened_at: Revision,
        standing_waits: Vec<Seq>,
    ) -> Self {
        let mut waits = Waits::default();
        for seq in standing_waits {
            waits.begin(seq, None);
        }
        let counted = edge.metrics().stream();
        Self {
            edge,
            inbound,
            is_listening: true,
            parked: None,
            key,
            sender: feed.sender(),
            feed,
            questions: Questions::default(),
            waits,
            again: VecDeque::new(),
            again_alarm: None,
            out: VecDeque::new(),
            farewell: None,
            opened_at,
            told: (opened_at, 0),
            cancelled: None,
            _counted: counted,
        }
    }

    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<v1::StreamResponse, Farewell>> {
        let mut reads_left = STREAM_READS_AT_ONCE;
        loop {
            if let Some(message) = self.out.pop_front() {
                return Poll::Ready(Ok(message));
            }
            if let Some(farewell) = self.farewell.take() {
                return Poll::Ready(Err(farewell));
            }
            match self.feed.poll_recv(context) {
                Poll::Ready(Some(notice)) => {
                    self.notice(notice);
                    continue;
                }
                Poll::Ready(None) => return Poll::Ready(Err(Farewell::Silence)),
                Poll::Pending => {}
            }
            if let Poll::Ready(seq) = self.waits.poll_over(context) {
                self.time_out(seq);
                continue;
            }
            if let Poll::Ready((command, asked)) = self.poll_again(context) {
                self.propose(command, asked);
                continue;
            }
            if let Some(said) = self.parked.take() {
                if self.has_room_for(&said) {
                    self.heard(said);
                    continue;
                }
                self.parked = Some(said);
            }
            if self.is_deaf() || !self.is_listening {
                // Woken by the feed. An answered client that says no more is done.
                if !self.is_listening && self.is_done() {
                    return Poll::Ready(Err(Farewell::Silence));
                }
                return Poll::Pending;
            }
            if reads_left == 0 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads_left -= 1;
            match Pin::new(&mut self.inbound).poll_next(context) {
                Poll::Ready(Some(Ok(said))) if self.has_room_for(&said) => self.heard(said),
                Poll::Ready(Some(Ok(said))) => self.parked = Some(said),
                Poll::Ready(Some(Err(status))) => self.farewell = Some(Farewell::Status(status)),
                Poll::Ready(None) => self.is_listening = false,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// So much waits for a commit that nothing more is proposed until some of it is answered. A keepalive is none of that: it
    /// needs a majority and no disk, and a session must not end because its calls are slow.
    fn has_room_for(&self, said: &v1::StreamRequest) -> bool {
        matches!(said.message, Some(Said::KeepAlive(_)))
            || self.questions.proposals() + self.again.len() < STREAM_OUTSTANDING_MAX
    }

    /// The client is not listened to: something waits for room, or far too much is unanswered, keepalives too.
    fn is_deaf(&self) -> bool {
        self.parked.is_some() || self.questions.span() >= STREAM_SPAN_MAX
    }

    fn is_done(&self) -> bool {
        self.questions.len() == 0
            && self.parked.is_none()
            && self.again.is_empty()
            && self.waits.is_empty()
    }

    /// One message of the client.
    fn heard(&mut self, said: v1::StreamRequest) {
        self.feed.use_it();
        match said.message {
            Some(Said::Call(call)) => self.call(call),
            Some(Said::CancelSeq(seq)) => match request::seq(seq, "cancel_seq") {
                Ok(seq) => {
                    self.propose(Command::Cancel { key: self.key, seq }, Asked::Cancel { seq });
                }
                Err(malformed) => self.hang_up(malformed),
            },
            Some(Said::KeepAlive(v1::StreamKeepAlive { number, losses_seen_through })) => {
                let tag = self.questions.ask(Asked::KeepAlive { number });
                let through = LossNumber(losses_seen_through);
                self.edge.keep_alive_to(self.key, through, self.sender.clone(), tag);
            }
            Some(Said::AckStoppedToken(token)) => {
                let SessionKey { id: session, secret, .. } = self.key;
                let token = Token(token);
                let command = Command::AckStopped { session, secret, token };
                self.propose(command, Asked::AckStopped { token });
            }
            Some(Said::Close(v1::StreamClose {})) => {
                self.propose(Command::Close { key: self.key }, Asked::Close);
            }
            Some(Said::Open(_) | Said::Attach(_) | Said::Resume(_)) => {
                self.hang_up(Malformed {
                    reason: "INVALID_REQUEST",
                    field: "message".into(),
                    message: "was open, attach or resume, which only the first one is".to_owned(),
                });
            }
            None => self.hang_up(Malformed {
                reason: "INVALID_REQUEST",
                field: "message".into(),
                message: "is missing".to_owned(),
            }),
        }
    }

    fn call(&mut self, call: v1::CallRequest) {
        let number = call.seq;
        match request::call(self.key, call) {
            Ok((call, wait)) => {
                let over_at = match wait {
                    Wait::For(time) => Some(Instant::now() + time),
                    Wait::Forever | Wait::None => None,
                };
                self.propose(Command::Call(call), Asked::Call { seq: Seq(number), over_at });
            }
            // Without a seq there is no call to answer.
            Err(malformed) if number == 0 => self.hang_up(malformed),
            Err(malformed) => {
                let result = CallResult::Failed(malformed.into());
                self.answer_here(Seq(number), &result);
            }
        }
    }

    /// What was said belongs to nothing that could be answered: the stream ends, the session does not.
    fn hang_up(&mut self, malformed: Malformed) {
        self.farewell = Some(Farewell::Status(Failure::from(malformed).status()));
    }

    fn propose(&mut self, command: Command, asked: Asked) {
        let tag = self.questions.ask(asked);
        if let Err(error) = self.edge.propose_to(command, self.sender.clone(), tag) {
            self.questions.answered(tag);
            self.undecided(asked, error);
        }
    }

    fn time_out(&mut self, seq: Seq) {
        let command = Command::TimeOut { session: self.key.id, seq };
        self.propose(command, Asked::TimeOut { seq });
    }

    fn poll_again(&mut self, context: &mut Context<'_>) -> Poll<(Command, Asked)> {
        let Some((at, ..)) = self.again.front() else {
            self.again_alarm = None;
            return Poll::Pending;
        };
        let at = *at;
        let alarm = self.again_alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        if alarm.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        match self.again.pop_front() {
            Some((_, command, asked)) => Poll::Ready((command, asked)),
            None => Poll::Pending,
        }
    }

    /// One notice of the feed.
    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Decided { tag, revision, outcome } => {
                if let Some(asked) = self.questions.answered(tag) {
                    self.decided(asked, revision, outcome);
                }
            }
            Notice::Undecided { tag, error } => {
                if let Some(asked) = self.questions.answered(tag) {
                    self.undecided(asked, error);
                }
            }
            Notice::KeptAlive { tag, answer } => {
                if let Some(Asked::KeepAlive { number }) = self.questions.answered(tag) {
                    self.kept_alive(number, answer);
                }
            }
            Notice::Event { revision, n, event } => {
                if revision > self.opened_at {
                    self.event(revision, n, event);
                }
            }
            Notice::Moved { leader } => self.farewell = Some(moved(leader.as_ref())),
            Notice::Overrun => {
                self.farewell = Some(Farewell::Status(Failure::Overloaded.status()));
            }
            Notice::Replaced => self.farewell = Some(Farewell::Silence),
        }
    }

    fn decided(&mut self, asked: Asked, revision: Revision, outcome: Outcome) {
        match asked {
            Asked::Call { seq, over_at } => {
                let result = CallResult::of_outcome(outcome);
                match result {
                    CallResult::Queued { .. } => self.waits.begin(seq, over_at),
                    _ => self.waits.end(seq),
                }
                self.answer(revision, 0, seq, &result);
                self.end_if_gone(&result);
            }
            Asked::Cancel { seq } => {
                let result = CallResult::of_outcome(outcome);
                if result == CallResult::Cancelled {
                    self.cancelled = Some((revision, seq));
                }
                self.waits.end(seq);
                self.answer(revision, 0, seq, &result);
                self.end_if_gone(&result);
            }
            // The waiter is told by the event, whatever it became.
            Asked::TimeOut { seq: _ } => {}
            Asked::AckStopped { token } => match outcome {
                Outcome::Stopped => self.say(revision, 0, Message::StoppedToken(token.get())),
                // It stands, although its client let go of it: an attach compares what both believe.
                Outcome::Refused(refusal) => {
                    let status = Failure::from(refusal).status();
                    self.farewell = Some(Farewell::Status(status));
                }
                other => {
                    let status = answer::unexpected(&other).status();
                    self.farewell = Some(Farewell::Status(status));
                }
            },
            Asked::Close => match outcome {
                // The event that the session ended comes next.
                Outcome::Ended => {}
                Outcome::Refused(Refusal::Fenced { .. }) => self.gone(End::Fenced),
                _ => self.gone(End::Expired),
            },
            Asked::KeepAlive { .. } => {}
        }
    }

    /// There is no decision on what was asked.
    fn undecided(&mut self, asked: Asked, error: ProposeError) {
        match error {
            // Attach and the same seqs again, there: whatever became of them is found by their seq.
            ProposeError::NotLeader { leader } | ProposeError::Unknown { leader } => {
                self.farewell = Some(moved(leader.as_ref()));
            }
            ProposeError::Stopped => {
                self.farewell = Some(moved(self.edge.leadership().leader.as_ref()));
            }
            ProposeError::Overloaded => self.overloaded(asked),
        }
    }

    /// Surely not proposed. A call is told so; what has no answer of its own to tell it by is asked again from here.
    fn overloaded(&mut self, asked: Asked) {
        let SessionKey { id: session, secret, .. } = self.key;
        let at = Instant::now() + TIME_OUT_AGAIN;
        let command = match asked {
            Asked::Call { seq, .. } => {
                return self.answer_here(seq, &CallResult::Failed(Failure::Overloaded));
            }
            Asked::TimeOut { seq } => return self.waits.again(seq, at),
            Asked::KeepAlive { .. } => return,
            Asked::Cancel { seq } => Command::Cancel { key: self.key, seq },
            Asked::AckStopped { token } => Command::AckStopped { session, secret, token },
            Asked::Close => Command::Close { key: self.key },
        };
        self.again.push_back((at, command, asked));
    }

    fn kept_alive(&mut self, number: u64, answer: Result<KeepAliveAck, KeepAliveError>) {
        match answer {
            Ok(KeepAliveAck { revision, losses }) => {
                let losses = losses.iter().map(answer::loss).collect();
                let revision = revision.get();
                let ack = v1::KeepAliveResponse { number, losses, revision };
                let message = Some(Message::KeepAlive(ack));
                self.out.push_back(v1::StreamResponse { revision, n: 0, message });
            }
            Err(KeepAliveError::Refused(Refusal::Fenced { .. })) => self.gone(End::Fenced),
            Err(KeepAliveError::Refused(_)) => self.gone(End::Expired),
            Err(KeepAliveError::NotLeader { leader }) => {
                self.farewell = Some(moved(leader.as_ref()));
            }
            Err(KeepAliveError::Stopped) => self.farewell = Some(moved(None)),
            // No acknowledgement is the answer: the client's deadline counts from its last acknowledged one.
            Err(KeepAliveError::Overloaded) => {}
        }
    }

    fn event(&mut self, revision: Revision, n: u32, event: Event) {
        match event {
            Event::Granted { seq, token, waiting, .. } => {
                self.waits.end(seq);
                self.answer(revision, n, seq, &CallResult::Granted { token, waiting });
            }
            Event::Passed { seq, passed, .. } => {
                self.waits.end(seq);
                self.answer(revision, n, seq, &CallResult::Passed(passed));
            }
            Event::WaitEnded { seq, end, .. } => {
                self.waits.end(seq);
                if end == WaitEnd::Cancelled && self.cancelled == Some((revision, seq)) {
                    return;
                }
                self.answer(revision, n, seq, &CallResult::of_wait_end(end));
            }
            Event::Lost { loss, .. } => self.say(revision, n, Message::Lost(answer::loss(&loss))),
            Event::Contended { token, waiting, highest_priority, .. } => {
                let token = token.get();
                let contended = v1::Contended { token, waiting, highest_priority };
                self.say(revision, n, Message::Contended(contended));
            }
            Event::SessionEnded { end, .. } => {
                self.say(revision, n, Message::Ended(answer::session_ended(end)));
                self.farewell = Some(Farewell::Silence);
            }
            // For watchers and for the clock; the hub does not tell them to sessions.
            Event::HoldEnded { .. }
            | Event::TimerSet(_)
            | Event::TimerStopped { .. }
            | Event::Noted { .. } => {}
        }
    }

    /// A refusal that says the session is gone ends the stream: nothing can come after it.
    fn end_if_gone(&mut self, result: &CallResult) {
        match result {
            CallResult::Failed(Failure::Refused(Refusal::SessionExpired)) => {
                self.gone(End::Expired);
            }
            CallResult::Failed(Failure::Refused(Refusal::Fenced { .. })) => self.gone(End::Fenced),
            _ => {}
        }
    }

    fn gone(&mut self, end: End) {
        let (revision, n) = self.told;
        let ended = v1::SessionEnded { end: end.into(), ..Default::default() };
        self.say(revision, n, Message::Ended(ended));
        self.farewell = Some(Farewell::Silence);
    }

    /// An answer of this node alone: it supersedes nothing that the log decides later.
    fn answer_here(&mut self, seq: Seq, result: &CallResult) {
        let (revision, n) = self.told;
        self.answer(revision, n, seq, result);
    }

    fn answer(&mut self, revision: Revision, n: u32, seq: Seq, result: &CallResult) {
        let answer = result.to_wire(seq, DisplayClock::now());
        self.say(revision, n, Message::Answer(answer));
    }

    fn say(&mut self, revision: Revision, n: u32, message: Message) {
        self.told = self.told.max((revision, n));
        let message = Some(message);
        self.out.push_back(v1::StreamResponse { revision: revision.get(), n, message });
    }
}
