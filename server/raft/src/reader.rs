//! ReadIndex: a majority confirms, after the question was put, that this node leads; then the local machine catches up.
//!
//! Never by lease: openraft restores the lease of a restarted follower as zero.

use std::time::Duration;

use conclave_machine::{Command, Machine, Term};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ForwardToLeader, LinearizableReadError, RaftError};
use openraft::{LinearizerOption, Raft};

use crate::answer::{Decided, LeaderHint, NotLeader, ProposeError};
use crate::leadership::hint;
use crate::planted::planted;
use crate::proposer::Proposer;
use crate::quorum::{Confirmed, Quorum};
use crate::read::ReadError;
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;
use crate::view::View;

/// Before a majority that did not answer in time is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What the node and its clock ask of Raft.
pub(crate) struct Reader {
    raft: Raft<TypeConfig, StateMachine>,
    view: View,
    proposer: Proposer,
    patience: Duration,
}

impl Reader {
    pub(crate) fn new(
        raft: Raft<TypeConfig, StateMachine>,
        view: View,
        proposer: Proposer,
        patience: Duration,
    ) -> Self {
        Self { raft, view, proposer, patience }
    }

    /// The term in which this node was confirmed as leader. What was committed then is applied.
    pub(crate) async fn index(&self) -> Result<Term, ReadError> {
        // An age of zero: only a round of heartbeats that starts after this counts.
        let option = LinearizerOption::new(Some(Duration::ZERO), true);
        let option = option.with_wait_timeout(self.patience);
        let linearizer = self.raft.get_read_linearizer(option).await.map_err(read_error)?;
        let term = linearizer.read_log_id().committed_leader_id().term;
        match linearizer.try_await_ready(&self.raft, Some(self.patience)).await {
            Ok(Ok(_)) => Ok(Term(term)),
            Ok(Err(_)) => Err(ReadError::NoQuorum),
            Err(_) => Err(ReadError::Stopped),
        }
    }
}

impl Quorum for Reader {
    fn look<T>(&self, query: impl FnOnce(&Machine) -> T) -> T {
        self.view.look(query)
    }

    async fn confirm(&self) -> Result<Confirmed, NotLeader> {
        if planted("keepalive acknowledged by a deposed leader") {
            let term = Term(self.raft.server_metrics().borrow_watched().vote.leader_id.term);
            return Ok(Confirmed { term, revision: self.view.look(Machine::revision) });
        }
        loop {
            match self.index().await {
                Ok(term) => {
                    return Ok(Confirmed { term, revision: self.view.look(Machine::revision) });
                }
                Err(ReadError::NotLeader { leader }) => return Err(NotLeader { leader }),
                Err(ReadError::Stopped) => return Err(NotLeader { leader: None }),
                // Slow is not deposed: who leads no longer is told so by the end of the leadership, which drops this.
                Err(ReadError::NoQuorum) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    async fn propose(&self, command: Command) -> Result<Decided, ProposeError> {
        self.proposer.propose_and_wait(&command).await
    }
}

fn read_error(error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> ReadError {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
            ReadError::NotLeader { leader: leader(&forward) }
        }
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ReadError::NoQuorum,
        RaftError::Fatal(_) => ReadError::Stopped,
    }
}

fn leader(forward: &ForwardToLeader<TypeConfig>) -> Option<LeaderHint> {
    Some(hint(forward.leader_id?, forward.leader_node.as_ref()?))
}
