//! openraft's own bookkeeping over a peer that answers when the test says so.

use futures::FutureExt as _;
use futures::stream::BoxStream;
use openraft::EntryPayload;
use openraft::raft::StreamAppendError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::*;
use crate::appended::Appended;
use crate::types::{Entry, Vote, log_id_of};
use conclave_store::LogPosition;

const PATIENCE: Duration = Duration::from_secs(3600);

/// A request as openraft remembers it (replication/inflight_append.rs): its number instead of the time it left.
#[derive(Clone, Copy)]
struct Inflight {
    number: usize,
    previous: Option<LogId>,
    last: Option<LogId>,
}

type Queue = Arc<Mutex<VecDeque<Inflight>>>;

/// openraft on one side, a peer on the other.
struct Line {
    to_send: mpsc::UnboundedSender<Request>,
    queue: Queue,
    requests: Requests<BoxStream<'static, Request>>,
    answers: Option<BoxStream<'static, Result<Answer, Broken>>>,
    peer: mpsc::UnboundedSender<Result<proto::AppendStreamResponse, Status>>,
    /// What the peer was asked and did not answer: where each request ends.
    asked: VecDeque<Option<LogId>>,
    answered: usize,
}

fn at(index: u64) -> Option<LogId> {
    Some(log_id_of(LogPosition { term: 3, index }))
}

/// Time that stands still, outside any task: whatever is polled says at once what it has.
fn still() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime")
}

/// There are always entries to come, so that openraft is asked at once.
fn never_resting() -> Appended {
    let appended = Appended::default();
    appended.up_to(u64::MAX);
    appended
}

impl Line {
    fn new() -> Self {
        let (to_send, input) = mpsc::unbounded_channel();
        let queue = Queue::default();
        let (noted, mut number) = (queue.clone(), 0);
        // openraft notes a request in the poll that hands it out (replication/mod.rs, `next_append_request`).
        let input = UnboundedReceiverStream::new(input).inspect(move |request: &Request| {
            number += 1;
            let Reach { previous, last } = Reach::of(request);
            noted.lock().expect("unpoisoned").push_back(Inflight { number, previous, last });
        });
        let requests = Requests::new(input.boxed(), Rest::new(&never_resting()));
        let (peer, answers) = mpsc::unbounded_channel();
        let answers = requests.answered_by(PATIENCE).over(UnboundedReceiverStream::new(answers));
        let answers = Some(answers.boxed());
        Self { to_send, queue, requests, answers, peer, asked: VecDeque::new(), answered: 0 }
    }

    /// openraft has entries after `previous` up to `last` to send; none: only a commit index that moved.
    fn send(&self, previous: u64, last: u64) {
        let entry = |index| Entry {
            log_id: log_id_of(LogPosition { term: 3, index }),
            payload: EntryPayload::Blank,
        };
        let request = Request {
            vote: Vote::new_committed(3, 1),
            prev_log_id: at(previous),
            entries: (previous + 1..=last).map(entry).collect(),
            leader_commit: at(previous),
        };
        self.to_send.send(request).expect("the stream is there");
    }

    /// The connection takes what it gets; how many requests that were.
    fn pull(&mut self) -> usize {
        let mut pulled = 0;
        while let Some(Some(request)) = self.requests.next().now_or_never() {
            self.asked.push_back(Reach::of(&request).last);
            pulled += 1;
        }
        pulled
    }

    /// The peer answers the oldest request.
    fn answer(&mut self) {
        let last = self.asked.pop_front().expect("it was asked");
        self.answered += 1;
        self.answer_with(&Ok(last));
    }

    fn answer_with(&self, answer: &Answer) {
        self.peer.send(Ok(wire::stream_response(answer))).expect("the stream is there");
    }

    /// openraft asks for the next answer.
    fn hear(&mut self) -> Option<Answer> {
        let answers = self.answers.as_mut().expect("not dropped");
        let answer = answers.next().now_or_never()??;
        Some(answer.expect("an answer"))
    }

    /// openraft looks at a match (replication/inflight_append_queue.rs, `drain_acked`): the request whose time it credits.
    fn credit(&self, matched: Option<LogId>) -> Option<usize> {
        let mut queue = self.queue.lock().expect("unpoisoned");
        let mut credited = None;
        while let Some(first) = queue.front().copied() {
            if matched < first.last {
                if matched > first.previous {
                    credited = Some(first.number);
                }
                break;
            }
            credited = Some(first.number);
            queue.pop_front();
        }
        credited
    }
}

#[test]
fn an_answer_confirms_no_leadership_after_a_later_request_of_the_same_end() {
    let still = still();
    let _entered = still.enter();
    let mut line = Line::new();
    line.send(9, 10);
    line.send(10, 10);
    assert_eq!(line.pull(), 2);
    line.answer();
    assert_eq!(
        line.hear(),
        None,
        "it would be taken for the second one, which may never be answered"
    );
    line.answer();
    assert_eq!(line.hear(), Some(Ok(at(10))));
    assert_eq!(line.credit(at(10)), Some(2));
}

#[test]
fn nothing_is_sent_between_an_answer_and_the_look_at_it() {
    let still = still();
    let _entered = still.enter();
    let mut line = Line::new();
    line.send(9, 10);
    assert_eq!(line.pull(), 1);
    line.answer();
    assert_eq!(line.hear(), Some(Ok(at(10))));
    line.send(10, 10);
    assert_eq!(line.pull(), 0, "openraft has not looked at the answer");
    assert_eq!(line.credit(at(10)), Some(1));
    assert_eq!(line.hear(), None);
    assert_eq!(line.pull(), 1);
}

#[tokio::test]
async fn a_connection_that_waits_is_woken_when_openraft_has_looked() {
    let mut line = Line::new();
    line.send(9, 10);
    assert_eq!(line.pull(), 1);
    line.answer();
    assert_eq!(line.hear(), Some(Ok(at(10))));
    line.send(10, 11);
    let Line { requests, answers, .. } = &mut line;
    let answers = answers.as_mut().expect("not dropped");
    // Polled in this order, so the connection waits before openraft asks again.
    let request = tokio::select! {
        biased;
        request = requests.next() => request,
        _ = answers.next() => panic!("nothing was answered"),
    };
    assert_eq!(request.map(|request| request.prev_log_id), Some(at(10)));
}

#[test]
fn answers_to_requests_of_different_ends_pass_one_by_one() {
    let still = still();
    let _entered = still.enter();
    let mut line = Line::new();
    line.send(9, 10);
    line.send(10, 12);
    line.send(12, 13);
    assert_eq!(line.pull(), 3);
    for (number, index) in [(1, 10), (2, 12), (3, 13)] {
        line.answer();
        assert_eq!(line.hear(), Some(Ok(at(index))));
        assert_eq!(line.credit(at(index)), Some(number));
    }
}

#[test]
fn a_conflict_and_a_higher_vote_pass_whatever_is_under_way() {
    let still = still();
    let _entered = still.enter();
    let refusals = [
        StreamAppendError::Conflict(at(10).expect("an entry")),
        StreamAppendError::HigherVote(Vote::new(4, 2)),
    ];
    for refusal in refusals {
        let mut line = Line::new();
        line.send(10, 10);
        line.send(10, 10);
        assert_eq!(line.pull(), 2);
        line.answer_with(&Err(refusal.clone()));
        assert_eq!(line.hear(), Some(Err(refusal)));
        line.send(10, 11);
        assert_eq!(line.pull(), 0, "openraft has not looked at the answer");
    }
}

#[test]
fn an_answer_that_nothing_was_asked_for_breaks_the_stream() {
    let still = still();
    let _entered = still.enter();
    let mut line = Line::new();
    line.answer_with(&Ok(at(10)));
    let answers = line.answers.as_mut().expect("not dropped");
    let first = answers.next().now_or_never();
    assert!(matches!(first, Some(Some(Err(Broken::Status(_))))), "{first:?}");
    assert!(matches!(answers.next().now_or_never(), Some(None)));
}

#[test]
fn nobody_who_hears_no_answers_is_asked_for_requests() {
    let still = still();
    let _entered = still.enter();
    let mut line = Line::new();
    line.send(9, 10);
    assert_eq!(line.pull(), 1);
    line.send(10, 11);
    line.answers = None;
    assert!(
        line.to_send.is_closed(),
        "openraft's next stream must not share its requests with this one"
    );
    assert_eq!(line.requests.next().now_or_never().map(|request| request.is_none()), Some(true));
}

#[tokio::test]
async fn what_was_asked_is_late_after_its_patience_and_silence_is_not() {
    let (to_send, input) = mpsc::unbounded_channel::<Request>();
    let mut requests =
        Requests::new(UnboundedReceiverStream::new(input), Rest::new(&never_resting()));
    let (_peer, answers) = mpsc::unbounded_channel();
    let patience = Duration::from_millis(1);
    let answers = requests.answered_by(patience).over(UnboundedReceiverStream::new(answers));
    let mut answers = std::pin::pin!(answers);
    let silence = tokio::time::timeout(20 * patience, answers.next()).await;
    assert!(silence.is_err(), "nothing was asked: {silence:?}");
    let request = Request {
        vote: Vote::new_committed(3, 1),
        prev_log_id: at(9),
        entries: Vec::new(),
        leader_commit: None,
    };
    to_send.send(request).expect("the stream is there");
    assert!(requests.next().await.is_some());
    assert!(matches!(answers.next().await, Some(Err(Broken::Late))));
}

/// A small deterministic generator (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

#[test]
fn in_any_order_only_what_was_answered_is_credited_and_in_the_end_all_of_it() {
    let still = still();
    let _entered = still.enter();
    let mut credits = 0;
    for seed in 1..=2000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut line = Line::new();
        let (mut last, mut sent, mut credited, mut matched) = (10, 0, 0, None);
        let mut heard: Option<Option<LogId>> = None;
        for turn in 0..2000 {
            let ending = turn >= 100;
            if ending && credited == sent {
                break;
            }
            match dice.roll(4) {
                0 if !ending => {
                    let more = dice.roll(3).saturating_sub(1);
                    line.send(last, last + more);
                    last += more;
                    sent += 1;
                }
                0 | 1 => drop(line.pull()),
                2 if !line.asked.is_empty() => line.answer(),
                // openraft looks at what it heard before it asks again, and the connection may come between the two.
                _ => match heard.take() {
                    Some(answer) => {
                        let number = line.credit(answer).unwrap_or(credited);
                        assert!(number <= line.answered, "seed {seed}: {number} is unanswered");
                        assert!(number >= credited, "seed {seed}: time goes back");
                        (credited, matched) = (number, answer);
                        credits += 1;
                    }
                    None => heard = line.hear().map(|answer| answer.expect("a match")),
                },
            }
        }
        let all = if sent > 0 { at(last) } else { None };
        assert_eq!((credited, matched), (sent, all), "seed {seed}");
    }
    assert!(credits > 20_000, "{credits}");
}
