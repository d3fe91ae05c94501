//! Keeps house: takes a snapshot when the log grew long in bytes, and cuts off what is too much of it.

use std::time::Duration;

use openraft::Raft;
use tokio_util::sync::CancellationToken;

use crate::config::Retention;
use crate::growth::Growth;
use crate::snapshots::Snapshots;
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

/// How often the log is looked at.
const STEP: Duration = Duration::from_millis(500);

pub(crate) struct Keeper {
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) snapshots: Snapshots,
    pub(crate) growth: Growth,
    pub(crate) retention: Retention,
    pub(crate) stopping: CancellationToken,
}

/// What was asked of the core already.
#[derive(Default)]
struct Asked {
    /// Growth behind the last snapshot when the next one was asked for; zero: it was not.
    snapshot_at_bytes: u64,
    snapshot_index: u64,
    purge_index: u64,
}

impl Keeper {
    /// Ends with the node.
    pub(crate) async fn run(self) {
        let mut asked = Asked::default();
        let tidied = async {
            // An error: the core stopped, which others tell.
            while self.tidy(&mut asked).await.is_ok() {
                tokio::time::sleep(STEP).await;
            }
        };
        tokio::select! {
            () = tidied => {}
            () = self.stopping.cancelled() => {}
        }
    }

    async fn tidy(&self, asked: &mut Asked) -> Result<(), openraft::errors::Fatal<TypeConfig>> {
        let (index, bytes) = self.snapshots.extent();
        if asked.snapshot_index != index {
            *asked = Asked { snapshot_at_bytes: 0, snapshot_index: index, ..*asked };
        }
        // A large state is not written again for every small piece of log.
        let step = self.retention.snapshot_every_bytes.max(bytes);
        let grown = self.growth.behind(index);
        if grown >= asked.snapshot_at_bytes.saturating_add(step) {
            asked.snapshot_at_bytes = grown;
            self.raft.trigger().snapshot().await?;
        }
        // Only behind a snapshot that was taken, so never before what is still to be applied (openraft#2116).
        let cut = self.growth.cut(self.retention.keep_bytes).map(|cut| cut.min(index));
        if let Some(cut) = cut
            && cut > asked.purge_index
        {
            asked.purge_index = cut;
            self.raft.trigger().purge_log(cut).await?;
        }
        Ok(())
    }
}
