//! Notices when this node cannot go on. Neither an error of the Raft core nor the end of a task, by a panic or in peace, ends the
//! process by itself.

use std::time::Duration;

use conclave_store::Wal;
use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::Fatal;
use crate::formation::Formation;
use crate::membership::Attendance;
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

/// How often the core is looked at.
const STEP: Duration = Duration::from_millis(100);

pub(crate) struct Watchdog {
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) log: Wal,
    pub(crate) failure: watch::Sender<Option<Fatal>>,
    pub(crate) stopping: CancellationToken,
}

/// A task without which the node is none, and what it is called.
pub(crate) type Vital = (&'static str, JoinHandle<()>);

impl Watchdog {
    /// Ends with an orderly stop, or with the first failure. The vital tasks end in order only after the stop began.
    pub(crate) async fn run(self, formation: Formation, attendance: Attendance, vital: Vec<Vital>) {
        let fatal = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return,
            fatal = self.log_failed() => fatal,
            fatal = self.core_died() => fatal,
            fatal = misfit(&formation, &attendance) => fatal,
            fatal = ended(vital) => fatal,
        };
        if !self.stopping.is_cancelled() {
            tracing::error!(%fatal, "this node cannot go on");
            self.failure.send_replace(Some(fatal));
        }
    }

    async fn log_failed(&self) -> Fatal {
        let mut failed = self.log.failed();
        match failed.wait_for(Option::is_some).await {
            Ok(failure) => {
                let reason = failure.as_ref().map(ToString::to_string).unwrap_or_default();
                Fatal::Log { reason }
            }
            // The log is in our hands, so its writer only goes away by a panic.
            Err(_) => Fatal::Log { reason: "the writer of the log is gone".to_owned() },
        }
    }

    /// Looks from time to time: the metrics change with every entry, far too often to wait for.
    async fn core_died(&self) -> Fatal {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(error) = &metrics.borrow_watched().running_state {
                return Fatal::Core { reason: error.to_string() };
            }
            if matches!(metrics.changed().now_or_never(), Some(Err(_))) {
                return Fatal::Core { reason: "it panicked".to_owned() };
            }
            tokio::time::sleep(STEP).await;
        }
    }
}

/// A node that does not belong (any more). One that was taken out does not find its cluster either, so both are looked for at once.
async fn misfit(formation: &Formation, attendance: &Attendance) -> Fatal {
    let formed = async {
        match formation.run().await {
            Ok(()) => std::future::pending().await,
            Err(fatal) => fatal,
        }
    };
    tokio::select! {
        fatal = formed => fatal,
        fatal = attendance.run() => fatal,
    }
}

/// The first of these that ended. When it ended because the core or the log did, those are given the time to say so first.
async fn ended(vital: Vec<Vital>) -> Fatal {
    let tasks = vital.into_iter().map(|(task, handle)| async move { (task, handle.await) });
    let mut tasks: FuturesUnordered<_> = tasks.collect();
    let Some((task, end)) = tasks.next().await else { return std::future::pending().await };
    let reason = end.err().map_or_else(|| "it returned".to_owned(), |error| error.to_string());
    tokio::time::sleep(3 * STEP).await;
    Fatal::Task { task, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> Vital {
        ("one that goes on", tokio::spawn(std::future::pending()))
    }

    #[tokio::test]
    async fn a_task_that_panics_is_fatal() {
        let broken = tokio::spawn(async { panic!("out of cheese") });
        let fatal = ended(vec![idle(), ("the clock", broken), idle()]).await;
        let said = fatal.to_string();
        assert!(said.contains("the clock of this node ended"), "{said}");
        assert!(said.contains("out of cheese"), "{said}");
    }

    #[tokio::test]
    async fn a_task_that_returns_while_the_node_runs_is_fatal() {
        let over = tokio::spawn(async {});
        let fatal = ended(vec![idle(), ("the proposer", over)]).await;
        assert_eq!(fatal, Fatal::Task { task: "the proposer", reason: "it returned".to_owned() });
    }

    #[tokio::test]
    async fn tasks_that_go_on_are_not_fatal() {
        assert_eq!(ended(vec![idle(), idle()]).now_or_never(), None);
        assert_eq!(ended(Vec::new()).now_or_never(), None);
    }
}
