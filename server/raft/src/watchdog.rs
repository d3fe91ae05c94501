//! Notices when this node cannot go on. A panic or an error of the Raft core does not end the process by itself.

use std::time::Duration;

use conclave_store::Wal;
use futures::FutureExt as _;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::Fatal;
use crate::formation::Formation;
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

impl Watchdog {
    /// Ends with an orderly stop, or with the first failure.
    pub(crate) async fn run(self, formation: Formation, clock: JoinHandle<()>) {
        let fatal = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return,
            fatal = self.log_failed() => fatal,
            fatal = self.core_died() => fatal,
            fatal = misfit(&formation) => fatal,
            fatal = clock_died(clock) => fatal,
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

async fn misfit(formation: &Formation) -> Fatal {
    match formation.run().await {
        Ok(()) => std::future::pending().await,
        Err(fatal) => fatal,
    }
}

/// The clock ends by itself only with the node.
async fn clock_died(clock: JoinHandle<()>) -> Fatal {
    match clock.await {
        Ok(()) => std::future::pending().await,
        Err(error) => Fatal::Core { reason: format!("the clock died: {error}") },
    }
}
