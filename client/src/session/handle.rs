//! The many hands on one session. When the last one is gone (sessions, mutexes, guards), the task closes the session.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Error;
use crate::mutex::Progress;
use crate::rpc::Rpc;
use crate::session::command::{Answer, Call, Command, Op, WaitPlan};
use crate::session::shared::Shared;
use crate::state::{LostReason, SessionEnd};

#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    /// Unbounded, so that dropping a guard never waits; bounded by the guards and futures that exist.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) rpc: Arc<Rpc>,
}

/// Withdraws a call whose future is dropped.
struct Withdraw<'a> {
    handle: &'a Handle,
    seq: u64,
    armed: bool,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        if self.armed {
            // Without a task the session is over and nothing is left to withdraw.
            let _ = self.handle.commands.send(Command::Cancel { seq: self.seq });
        }
    }
}

impl Handle {
    /// Asks once, however often it is sent. Dropping the future withdraws it; a grant that crosses is released.
    pub(crate) async fn call(
        &self,
        op: Op,
        wait: WaitPlan,
        progress: Option<watch::Sender<Progress>>,
    ) -> Answer {
        let (reply, answer) = oneshot::channel();
        let seq = match self.send(Call { op, wait, progress, reply: Some(reply) }) {
            Ok(seq) => seq,
            Err(end) => return Answer::Ended(end),
        };
        let mut withdraw = Withdraw { handle: self, seq, armed: true };
        let answer = answer.await;
        withdraw.armed = false;
        let Ok(answer) = answer else { return Answer::Ended(self.over()) };
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

    /// Gives a hold back. What is sent is sent, also if the answer is not waited for.
    pub(crate) fn release(&self, token: u64, reply: Option<oneshot::Sender<Answer>>) {
        let call = Call { op: Op::Release { token }, wait: WaitPlan::None, progress: None, reply };
        // Also when the session is over: its task then says that the lost hold is no longer used.
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
