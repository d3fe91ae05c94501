//! The many hands on one session. When the last one is gone (sessions, requests, guards), the task closes the session.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Error;
use crate::progress::Progress;
use crate::rpc::Rpc;
use crate::session::command::{Answer, Call, Command, Op, WaitPlan};
use crate::session::hold::HoldCore;
use crate::session::shared::Shared;
use crate::state::{LostReason, SessionEnd};

#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    /// Unbounded, so that dropping a guard never waits; bounded by the guards and futures that exist.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) rpc: Arc<Rpc>,
}

/// A call that was asked. Dropped before it is answered, it is withdrawn, and a grant that crosses is released.
#[derive(Debug)]
pub(crate) struct Asked {
    handle: Arc<Handle>,
    pub(crate) seq: u64,
    answer: oneshot::Receiver<Answer>,
    armed: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.armed {
            // Without a task the session is over and nothing is left to withdraw.
            let _ = self.handle.commands.send(Command::Cancel { seq: self.seq });
        }
    }
}

impl Asked {
    /// The answer, once. May be dropped and asked for again before that.
    pub(crate) async fn answer(&mut self) -> Answer {
        let answer = (&mut self.answer).await;
        self.armed = false;
        let Ok(answer) = answer else { return Answer::Ended(self.handle.over()) };
        // Between the answer's way here and this line the machine may have slept.
        if let Answer::Granted(hold) = &answer
            && let Some(lost) = hold.watch().lost_now()
        {
            return match lost.reason() {
                LostReason::SessionEnded(end) => Answer::Ended(end.clone()),
                _ => Answer::Lost(lost),
            };
        }
        answer
    }
}

impl Handle {
    /// Asks once, however often it is sent.
    pub(crate) fn ask(
        self: &Arc<Self>,
        op: Op,
        wait: WaitPlan,
        progress: Option<watch::Sender<Progress>>,
    ) -> Result<Asked, SessionEnd> {
        let (reply, answer) = oneshot::channel();
        let seq = self.send(Call { op, wait, progress, reply: Some(reply) })?;
        Ok(Asked { handle: Arc::clone(self), seq, answer, armed: true })
    }

    /// Asks and waits for the answer. Dropping the future withdraws it; a grant that crosses is released.
    pub(crate) async fn call(
        self: &Arc<Self>,
        op: Op,
        wait: WaitPlan,
        progress: Option<watch::Sender<Progress>>,
    ) -> Answer {
        match self.ask(op, wait, progress) {
            Ok(mut asked) => asked.answer().await,
            Err(end) => Answer::Ended(end),
        }
    }

    /// Gives a hold back. What is sent is sent, also if the answer is not waited for.
    pub(crate) fn release(&self, hold: Arc<HoldCore>, reply: Option<oneshot::Sender<Answer>>) {
        self.tell(Op::Release { hold }, reply);
    }

    /// Sends what is not withdrawn any more, also when the session is over: its task then says that the lost hold is no longer used.
    pub(crate) fn tell(&self, op: Op, reply: Option<oneshot::Sender<Answer>>) {
        let call = Call { op, wait: WaitPlan::None, progress: None, reply };
        let seq = self.shared.take_seq();
        let _ = self.commands.send(Command::Call { seq, call });
    }

    pub(crate) async fn close(&self) -> Result<(), Error> {
        if let Some(end) = self.shared.ended() {
            return match end {
                SessionEnd::Closed => Ok(()),
                other => Err(Error::SessionEnded(other.clone())),
            };
        }
        // From here on no guard is valid; only then the cluster hears of it.
        self.shared.end(SessionEnd::Closed);
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(Command::Close { reply });
        match (sent, answer.await) {
            (Ok(()), Ok(result)) => result,
            _ => Err(Error::SessionEnded(self.over())),
        }
    }

    fn send(&self, call: Call) -> Result<u64, SessionEnd> {
        if let Some(end) = self.shared.ended() {
            return Err(end.clone());
        }
        let seq = self.shared.take_seq();
        match self.commands.send(Command::Call { seq, call }) {
            Ok(()) => Ok(seq),
            Err(_) => Err(self.over()),
        }
    }

    /// The end of a session whose task is gone: its runtime was shut down, and nobody keeps it alive.
    fn over(&self) -> SessionEnd {
        self.shared.end(SessionEnd::Expired).clone()
    }
}
