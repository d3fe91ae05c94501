//! Keeps house: takes a snapshot when the log grew long in bytes, cuts off what is too much of it, and keeps the cluster's
//! idea of this node's addresses right.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{ChangeMembers, Raft};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::answer::Leadership;
use crate::config::Retention;
use crate::growth::Growth;
use crate::identity::Myself;
use crate::snapshots::Snapshots;
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

/// How often the log is looked at.
const STEP: Duration = Duration::from_millis(500);
/// How long a change of this node's addresses may take: without a majority it takes for ever, and snapshots must go on.
const REGISTER_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Keeper {
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) myself: Myself,
    pub(crate) snapshots: Snapshots,
    pub(crate) growth: Growth,
    pub(crate) leadership: watch::Receiver<Leadership>,
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
        let mut leadership = self.leadership.clone();
        let tidied = async {
            loop {
                self.tidy(&mut asked).await?;
                if leadership.borrow_and_update().leading {
                    self.register().await;
                }
                tokio::select! {
                    () = tokio::time::sleep(STEP) => {}
                    changed = leadership.changed() => if changed.is_err() { break },
                }
            }
            Ok::<_, openraft::errors::Fatal<TypeConfig>>(())
        };
        tokio::select! {
            // An error: the core stopped, which others tell.
            _ = tidied => {}
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
        if self.snapshots.is_spoiled() {
            // Whoever lags behind waits for a good one.
            self.raft.trigger().snapshot().await?;
        } else if grown >= asked.snapshot_at_bytes.saturating_add(step) {
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

    /// The leader tells the cluster its own addresses when they are not those that it joined with.
    async fn register(&self) {
        let own = self.myself.node();
        let id = self.myself.id();
        let metrics = self.raft.server_metrics().borrow_watched().clone();
        let known = metrics.membership_config.membership().get_node(&id).cloned();
        let settled = metrics.membership_config == metrics.committed_membership_config;
        if !settled || known.is_none_or(|known| known == own) {
            return;
        }
        tracing::info!(?own, "this node has other addresses now");
        let change = ChangeMembers::SetNodes(BTreeMap::from([(id, own)]));
        let change = self.raft.change_membership(change, true);
        match tokio::time::timeout(REGISTER_PATIENCE, change).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "its addresses are not taken; trying again"),
            Err(_) => tracing::warn!("its addresses are not taken in time; trying again"),
        }
    }
}
