//! Unary calls: attached before they are proposed if they may wait, answered when they are decided, or with `queued` when
//! their time is over. Dropping the handler (the caller is gone, or its deadline passed) detaches the wait and ends nothing:
//! the same seq waits on.

use conclave_machine::{Call, Command, Event, Outcome, Revision, Seq, SessionKey};
use conclave_raft::{Consistency, Decided, WaitAnswer, WaitTicket};
use tokio::time::{Instant, sleep_until};

use crate::convert::answer::CallResult;
use crate::convert::request::Wait;
use crate::deadline;
use crate::edge::Edge;
use crate::limits::{TIME_OUT_AGAIN, UNARY_WAIT_MAX};
use crate::status::Failure;

/// An answer and the revision it was decided at.
type Answer = Result<(CallResult, Revision), Failure>;

/// Decides a call that answers at once.
pub(super) async fn decide(edge: &Edge, (call, _): (Call, Wait)) -> Answer {
    let Decided { revision, outcome } = edge.propose(Command::Call(call)).await?;
    Ok((CallResult::of_outcome(outcome), revision))
}

/// Decides a call that may wait, and waits for it as long as a unary call does.
pub(super) async fn wait_for(
    edge: &Edge,
    (call, wait): (Call, Wait),
    deadline: Option<Instant>,
) -> Answer {
    let arrived = Instant::now();
    let (key, seq) = (call.key, call.seq);
    let ticket = attach(edge, key, seq, wait).await?;
    let Decided { revision, outcome } = edge.propose(Command::Call(call)).await?;
    match (outcome, ticket) {
        (Outcome::Queued { position }, Some(ticket)) => {
            let answer_by = deadline.map_or(arrived + UNARY_WAIT_MAX, |deadline| {
                deadline::with_margin(deadline).min(arrived + UNARY_WAIT_MAX)
            });
            let waiting = Waiting { edge, key, seq, ticket, answer_by };
            waiting.answer(arrived, wait, position, revision).await
        }
        (outcome, ticket) => {
            if let Some(ticket) = ticket {
                ticket.settled();
            }
            Ok((CallResult::of_outcome(outcome), revision))
        }
    }
}

/// Only the owner of a session attaches to its waits. Whoever is not known here is told so by the machine, which alone
/// knows: this node's state may be an old one.
async fn attach(
    edge: &Edge,
    key: SessionKey,
    seq: Seq,
    wait: Wait,
) -> Result<Option<WaitTicket>, Failure> {
    if wait == Wait::None {
        return Ok(None);
    }
    let known = edge.read(Consistency::Stale, move |machine| machine.authenticate(&key)).await?;
    Ok(known.value.is_ok().then(|| edge.hub().attach(key.id, seq)))
}

/// A queued call whose handler waits.
struct Waiting<'a> {
    edge: &'a Edge,
    key: SessionKey,
    seq: Seq,
    ticket: WaitTicket,
    answer_by: Instant,
}

impl Waiting<'_> {
    async fn answer(
        mut self,
        arrived: Instant,
        wait: Wait,
        position: u32,
        queued_at: Revision,
    ) -> Answer {
        let over_at = match wait {
            Wait::For(time) => Some(arrived + time),
            Wait::Forever | Wait::None => None,
        };
        let until = over_at.map_or(self.answer_by, |over_at| over_at.min(self.answer_by));
        tokio::select! {
            biased;
            answer = self.ticket.answer() => return of_wait(answer),
            () = sleep_until(until) => {}
        }
        if over_at.is_some_and(|over_at| over_at <= self.answer_by) {
            self.time_out().await
        } else {
            self.still_queued(position, queued_at).await
        }
    }

    /// The wait's time is over: the log decides between the grant and this.
    async fn time_out(&mut self) -> Answer {
        let command = Command::TimeOut { session: self.key.id, seq: self.seq };
        loop {
            match self.edge.propose(command.clone()).await {
                Ok(Decided { revision, outcome }) => {
                    return Ok((CallResult::of_outcome(outcome), revision));
                }
                Err(Failure::Overloaded) if Instant::now() < self.answer_by => {
                    tokio::select! {
                        biased;
                        answer = self.ticket.answer() => return of_wait(answer),
                        () = sleep_until(Instant::now() + TIME_OUT_AGAIN) => {}
                    }
                }
                // Not to be forwarded: the time already waited would start anew there.
                Err(Failure::NotLeader { leader }) => return Err(Failure::Moved { leader }),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Not decided within the time of a call. The place in the queue may have moved since it was told.
    async fn still_queued(&mut self, position: u32, queued_at: Revision) -> Answer {
        let (session, seq) = (self.key.id, self.seq);
        let now =
            self.edge.read(Consistency::Stale, move |machine| machine.answer(session, seq)).await?;
        match now.value {
            Some(outcome) => Ok((CallResult::of_outcome(outcome), now.revision)),
            // Its end is on the way to the ticket; the next call with this seq hears it.
            None => Ok((CallResult::Queued { position }, queued_at)),
        }
    }
}

fn of_wait(answer: WaitAnswer) -> Answer {
    match answer {
        WaitAnswer::Event { revision, n: _, event } => match event {
            Event::Granted { token, waiting, .. } => {
                Ok((CallResult::Granted { token, waiting }, revision))
            }
            Event::Passed { passed, .. } => Ok((CallResult::Passed(passed), revision)),
            Event::WaitEnded { end, .. } => Ok((CallResult::of_wait_end(end), revision)),
            other @ (Event::Lost { .. }
            | Event::Contended { .. }
            | Event::HoldEnded { .. }
            | Event::SessionEnded { .. }
            | Event::TimerSet(_)
            | Event::TimerStopped { .. }
            | Event::Noted { .. }) => {
                Err(Failure::Unexpected { what: format!("no end of a wait: {other:?}") })
            }
        },
        // The wait keeps its place; the same seq waits on at the leader.
        WaitAnswer::Moved { leader } => Err(Failure::Moved { leader }),
    }
}
