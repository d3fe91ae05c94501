//! Memberships as they stand in the log.

use std::collections::{BTreeMap, BTreeSet};

use conclave_raft::storage::MemberNode;
use openraft::Membership;

type Config = Membership<u64, MemberNode>;

fn node(name: &str, claim: u64, stays_learner: bool) -> MemberNode {
    MemberNode {
        name: name.to_owned(),
        peer_address: format!("{name}:7421"),
        client_address: if claim == 0 { String::new() } else { format!("{name}:7420") },
        claim,
        stays_learner,
    }
}

fn config(sets: &[&[u64]], nodes: &[(u64, MemberNode)]) -> Config {
    let sets: Vec<BTreeSet<u64>> = sets.iter().map(|ids| ids.iter().copied().collect()).collect();
    let nodes: BTreeMap<_, _> = nodes.iter().cloned().collect();
    Membership::new(sets, nodes).expect("a membership")
}

pub(crate) fn memberships() -> Vec<(&'static str, Config)> {
    let [a, b] = ["a", "b"].map(|name| node(name, 0, false));
    let joined = node("d", u64::MAX, false);
    vec![
        ("none", Membership::default()),
        ("formed", config(&[&[1, 2]], &[(1, a.clone()), (2, b.clone())])),
        ("joint", config(&[&[1, 2], &[2]], &[(1, a.clone()), (2, b)])),
        ("joined", config(&[&[1]], &[(1, a.clone()), (1_003, joined)])),
        ("standing", config(&[&[1]], &[(1, a.clone()), (1_003, node("d", 7, true))])),
        ("expected", config(&[&[1]], &[(1, a), (1_004, node("e", 0, false))])),
    ]
}
