//! What the leader does about the membership by itself: it finishes a change that a crash left between two sets of voters,
//! promotes those that joined and caught up, and keeps the cluster's idea of its own addresses right.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::judge::Change;
use super::{MemberError, Membership};
use crate::answer::Leadership;

/// How often the leader looks.
const STEP: Duration = Duration::from_millis(200);

pub(crate) struct Steward {
    pub(crate) membership: Membership,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) stopping: CancellationToken,
}

impl Steward {
    /// Ends with the node.
    pub(crate) async fn run(self) {
        let mut leadership = self.leadership.clone();
        let looking = async {
            loop {
                if leadership.borrow_and_update().leading {
                    self.look_after().await;
                }
                tokio::select! {
                    () = tokio::time::sleep(STEP) => {}
                    changed = leadership.changed() => if changed.is_err() { break },
                }
            }
        };
        tokio::select! {
            () = looking => {}
            () = self.stopping.cancelled() => {}
        }
    }

    async fn look_after(&self) {
        match self.membership.look_after().await {
            Ok(())
            | Err(MemberError::UnderWay | MemberError::NotLeader { .. } | MemberError::Stopped) => {
            }
            Err(error) => {
                tracing::warn!(%error, "the membership is not as it should be yet; trying again");
            }
        }
    }
}

impl Membership {
    /// One look; at most one change.
    async fn look_after(&self) -> Result<(), MemberError> {
        let Ok(turn) = self.shared.turn.try_lock() else { return Ok(()) };
        let members = self.look().await?;
        if members.joint && members.settled {
            // Its first half is decided, so the second one must be, too: until then both sets must agree to everything. To
            // add nobody ends it, and who is in the new set only stays.
            tracing::info!("finishing a change of the members that was left half done");
            return self.change(&turn, &members, Change::AddVoterIds(BTreeSet::new())).await;
        }
        if let Some(change) = members.promote_all_ready() {
            self.change(&turn, &members, change.clone()).await?;
            tracing::info!(%change, "who joined has caught up and votes now");
            return Ok(());
        }
        self.adopt(&turn, self.shared.myself.id(), &self.shared.myself.node()).await
    }
}
