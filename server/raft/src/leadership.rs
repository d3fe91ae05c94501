//! Turns openraft's view of who leads into what the rest of the node goes by, and tells everybody in the right order.
//!
//! "Leading" is said late and taken back early: it begins when an entry of the own term is applied, and it ends when no
//! majority was heard of for a while, although openraft may still call itself leader.

use std::time::Duration;

use conclave_machine::Term;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, Raft};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answer::{LeaderHint, Leadership};
use crate::hub::Hub;
use crate::proposer::{Mandate, Proposer};
use crate::state_machine::StateMachine;
use crate::types::{MemberNode, TypeConfig};
use crate::view::View;

/// What the task is given.
pub(crate) struct Watcher {
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) view: View,
    pub(crate) hub: Hub,
    pub(crate) proposer: Proposer,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) mandate: watch::Sender<Mandate>,
    /// Looks at the quorum this often.
    pub(crate) step: Duration,
    /// Without a majority for this long a leader stops serving.
    pub(crate) silence_max: Duration,
    pub(crate) stopping: CancellationToken,
}

/// One look at everything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    term: u64,
    /// The core calls itself leader.
    claims: bool,
    /// The core leads and hears its majority.
    in_office: bool,
    /// And it applied an entry of its own term.
    leading: bool,
    leader: Option<LeaderHint>,
}

impl Look {
    fn after(&self, before: &Leadership) -> Leadership {
        let term = Term(self.term);
        let gained = self.leading && (!before.leading || before.term != term);
        let serving = before.serving + u64::from(gained);
        Leadership { term, leading: self.leading, serving, leader: self.leader.clone() }
    }
}

impl Watcher {
    /// Ends with the node; then nobody leads any more.
    pub(crate) async fn run(self) {
        let mut server = self.raft.server_metrics();
        let mut term = self.view.watch_term();
        let mut since = None;
        loop {
            let look = self.look(&mut since);
            self.publish(&look);
            tokio::select! {
                changed = server.changed() => if changed.is_err() { break },
                changed = term.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(self.step), if look.claims => {}
                () = self.stopping.cancelled() => break,
            }
        }
        let term = self.leadership.borrow().term.get();
        self.publish(&Look { term, claims: false, in_office: false, leading: false, leader: None });
    }

    fn look(&self, since: &mut Option<(u64, Instant)>) -> Look {
        let server = self.raft.server_metrics().borrow_watched().clone();
        let term = server.vote.leader_id.term;
        let claims = server.state.is_leader() && server.current_leader == Some(server.id);
        let alone = server.membership_config.membership().voter_ids().count() == 1;
        if !claims {
            *since = None;
        } else if since.is_none_or(|(known, _)| known != term) {
            *since = Some((term, Instant::now()));
        }
        let in_office = since.is_some_and(|(_, since)| alone || self.hears_majority(since));
        let hint = |id| {
            let node = server.membership_config.membership().get_node(&id)?;
            Some(hint(id, node))
        };
        // A leader without a majority is nobody's leader.
        let leader = server.current_leader.filter(|_| in_office || !claims).and_then(hint);
        let leading = in_office && *self.view.watch_term().borrow() == term;
        Look { term, claims, in_office, leading, leader }
    }

    fn hears_majority(&self, since: Instant) -> bool {
        let acknowledged = self.raft.data_metrics().borrow_watched().last_quorum_acked;
        let silence = match acknowledged {
            Some(at) => at.elapsed().min(since.elapsed()),
            None => since.elapsed(),
        };
        silence < self.silence_max
    }

    fn publish(&self, look: &Look) {
        let before = self.leadership.borrow().clone();
        let after = look.after(&before);
        let mandate =
            Mandate { term: look.in_office.then_some(look.term), leader: look.leader.clone() };
        let lost = before.leading && (!after.leading || before.term != after.term);
        let gained = after.serving != before.serving;
        if self.mandate.send_if_modified(|known| replace(known, &mandate)) {
            self.proposer.give_up_except(mandate.term, mandate.leader.as_ref());
        }
        if lost {
            let none = Leadership { leading: false, ..after.clone() };
            self.leadership.send_if_modified(|known| replace(known, &none));
            tracing::info!(term = look.term, leader = ?look.leader, "this node leads no longer");
        }
        if lost || (!after.leading && before.leader != after.leader) {
            self.hub.leadership_lost(after.leader.as_ref());
        }
        if gained {
            self.hub.leadership_gained();
            tracing::info!(term = look.term, "this node leads");
        }
        self.leadership.send_if_modified(|known| replace(known, &after));
    }
}

/// True: it was another one.
fn replace<T: Clone + PartialEq>(known: &mut T, new: &T) -> bool {
    let other = known != new;
    if other {
        *known = new.clone();
    }
    other
}

pub(crate) fn hint(id: u64, node: &MemberNode) -> LeaderHint {
    LeaderHint {
        id,
        name: node.name.as_str().into(),
        client_address: node.client_address.as_str().into(),
        peer_address: node.peer_address.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gain_of_leadership_has_a_number_of_its_own() {
        let mut leadership = Leadership::unknown();
        // Lost and found again within one term, then another term without a loss that anybody saw, then no change.
        let looks = [(3, true, 1), (3, false, 1), (3, true, 2), (5, true, 3), (5, true, 3)];
        for (term, leading, serving) in looks {
            let look = Look { term, claims: leading, in_office: leading, leading, leader: None };
            leadership = look.after(&leadership);
            assert_eq!((leadership.term, leadership.leading), (Term(term), leading));
            assert_eq!(leadership.serving, serving);
        }
    }
}
