//! What is given, refused and changed, by what a leader may know.

use super::*;

/// Three voters `a`, `b`, `c` with the ids 1 to 3, `a` leads; all are heard and have everything.
fn three() -> Members {
    let node = |(id, name): (u64, &str)| {
        let known = Known {
            node: MemberNode {
                name: name.to_owned(),
                peer_address: format!("{name}:1"),
                client_address: format!("{name}:2"),
                ..MemberNode::default()
            },
            voter: true,
            heard: true,
            behind: Some(0),
        };
        (id, known)
    };
    Members {
        own: 1,
        nodes: [(1, "a"), (2, "b"), (3, "c")].map(node).into(),
        last_index: 50,
        at: None,
        joint: false,
        settled: true,
        young: false,
    }
}

fn newcomer(name: &str, claim: u64) -> Newcomer {
    Newcomer {
        name: name.to_owned(),
        peer_address: format!("{name}:1"),
        client_address: format!("{name}:2"),
        claim,
    }
}

/// The same members with `d`, a learner that joined under the id 1,040.
fn with_learner(heard: bool, behind: Option<u64>) -> Members {
    let mut members = three();
    let node = MemberNode {
        name: "d".to_owned(),
        peer_address: "d:1".to_owned(),
        client_address: "d:2".to_owned(),
        claim: 7,
        stays_learner: false,
    };
    members.nodes.insert(1_040, Known { node, voter: false, heard, behind });
    members
}

fn refused<T: std::fmt::Debug>(result: Result<T, MemberError>, why: &str) {
    let said = result.expect_err("refused").to_string();
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_fresh_id_is_above_whatever_the_log_has_ever_handed_out() {
    let (first, _) = three().add("d", "d:1", false).expect("added");
    assert_eq!(first, 1_050);
    assert!(has_joined(first));
    // The entry that handed it out stands at 51 or behind it; that it was taken out again changes nothing.
    let later = Members { last_index: 51, ..three() };
    let (second, _) = later.add("d", "d:1", false).expect("added");
    assert!(second > first);
    assert!(!has_joined(MEMBERS_MAX as u64), "nor does it meet an id of the list that formed it");
}

#[test]
fn one_change_at_a_time() {
    for unready in [
        Members { joint: true, ..three() },
        Members { settled: false, ..with_learner(true, Some(0)) },
    ] {
        refused(unready.add("e", "e:1", false), "another change");
        refused(unready.join(&newcomer("e", 1), true), "another change");
        refused(unready.promote("d"), "another change");
        refused(unready.remove("b"), "another change");
        assert_eq!(unready.promote_all_ready(), None);
    }
}

#[test]
fn names_and_addresses_are_checked_and_names_are_unique() {
    refused(three().add("b", "x:1", false), "is there already");
    refused(three().add("", "x:1", false), "the name");
    refused(three().add("x\n", "x:1", false), "the name");
    refused(three().add(&"x".repeat(65), "x:1", false), "longer");
    for address in ["", "x", "x:0", ":1", "0.0.0.0:1", "[::]:1", "a:b:1", "x y:1"] {
        refused(three().add("x", address, false), "the peer address");
    }
    refused(three().join(&newcomer("b", 1), true), "conclave member remove b");
    refused(three().join(&newcomer("x", 0), true), "the claim");
}

#[test]
fn no_more_members_than_there_may_be() {
    let mut members = three();
    for id in 2_000..2_000 + MEMBERS_MAX as u64 - 3 {
        let mut known = members.nodes[&2].clone();
        known.node.name = format!("n{id}");
        members.nodes.insert(id, known);
    }
    refused(members.add("x", "x:1", false), "no more are taken");
    refused(members.join(&newcomer("x", 1), true), "no more are taken");
}

#[test]
fn who_does_not_know_the_token_needs_a_prepared_place() {
    refused(three().join(&newcomer("d", 1), false), "conclave member add d d:1");
    assert!(matches!(three().join(&newcomer("d", 1), true), Ok(Admission::Gets(1_050, _))));
    let mut members = with_learner(false, None);
    let place = members.nodes.get_mut(&1_040).expect("there");
    place.node.claim = 0;
    assert!(matches!(members.join(&newcomer("d", 1), false), Ok(Admission::Gets(1_040, _))));
    let elsewhere = Newcomer { peer_address: "x:1".to_owned(), ..newcomer("d", 1) };
    refused(members.join(&elsewhere, true), "--peer-advertise d:1");
}

#[test]
fn who_asks_again_gets_the_same_place() {
    let members = with_learner(false, None);
    assert_eq!(members.join(&newcomer("d", 7), true), Ok(Admission::Has(1_040)));
}

#[test]
fn a_living_members_name_is_not_given_away_and_that_of_a_dead_learner_with_a_fresh_id_only() {
    refused(with_learner(true, None).join(&newcomer("d", 8), true), "is there already");
    let dead = with_learner(false, None);
    let Ok(Admission::Gets(id, Change::Batch(changes))) = dead.join(&newcomer("d", 8), true) else {
        panic!("it gets another place")
    };
    assert_eq!(id, 1_050);
    assert_eq!(changes[0], Change::RemoveNodes(BTreeSet::from([1_040])));
    // A leader that has just begun has heard nobody yet.
    let young = Members { young: true, ..dead };
    refused(young.join(&newcomer("d", 8), true), "the leader is new");
    // A voter's never, dead or not: it may have promised something.
    let mut members = three();
    members.nodes.get_mut(&2).expect("there").heard = false;
    refused(members.join(&newcomer("b", 8), true), "conclave member remove b");
}

#[test]
fn a_learner_votes_only_when_it_is_there_and_has_caught_up() {
    refused(with_learner(true, Some(LAG_MAX + 1)).promote("d"), "lacks 1001 log entries");
    refused(with_learner(true, None).promote("d"), "an unknown number of");
    refused(with_learner(false, Some(0)).promote("d"), "is not reached");
    refused(three().promote("b"), "votes already");
    refused(three().promote("x"), "no member \"x\"");
    for late in [with_learner(true, Some(LAG_MAX + 1)), with_learner(false, Some(0)), three()] {
        assert_eq!(late.promote_all_ready(), None);
    }
    let ready = with_learner(true, Some(LAG_MAX));
    let promoted = Change::AddVoterIds(BTreeSet::from([1_040]));
    assert_eq!(ready.promote("d"), Ok(promoted.clone()));
    assert_eq!(ready.promote_all_ready(), Some(promoted));
}

#[test]
fn a_place_that_nobody_took_is_not_promoted_and_a_standing_learner_only_by_hand() {
    let mut expected = with_learner(true, Some(0));
    expected.nodes.get_mut(&1_040).expect("there").node.claim = 0;
    refused(expected.promote("d"), "no node has taken the place");
    assert_eq!(expected.promote_all_ready(), None);
    let mut standing = with_learner(true, Some(0));
    standing.nodes.get_mut(&1_040).expect("there").node.stays_learner = true;
    assert_eq!(standing.promote_all_ready(), None);
    assert!(standing.promote("d").is_ok());
}

#[test]
fn whoever_is_removed_must_leave_a_majority_that_lives() {
    assert_eq!(
        three().remove("b"),
        Ok(Removal::Change(2, Change::RemoveVoters(BTreeSet::from([2]))))
    );
    let mut members = three();
    members.nodes.get_mut(&3).expect("there").heard = false;
    // The dead one may go; the other living one may not.
    assert!(members.remove("c").is_ok());
    refused(members.remove("b"), "only 1 are reached, and 2 are needed");
    refused(members.remove("a"), "only 1 are reached");
    // A leader that has just begun has not heard them all yet.
    members.young = true;
    assert_eq!(members.remove("b"), Err(MemberError::UnderWay));
    assert!(members.remove("c").is_ok());
    refused(three().remove("x"), "no member");
    let mut alone = three();
    alone.nodes.retain(|id, _| *id == 1);
    refused(alone.remove("a"), "the only voter");
}

#[test]
fn the_leader_hands_over_before_it_is_removed() {
    assert_eq!(three().remove("a"), Ok(Removal::HandOver));
}

#[test]
fn a_learner_may_always_go() {
    let mut members = with_learner(false, None);
    members.nodes.get_mut(&3).expect("there").heard = false;
    let gone = Change::RemoveNodes(BTreeSet::from([1_040]));
    assert_eq!(members.remove("d"), Ok(Removal::Change(1_040, gone)));
}

#[test]
fn no_promotion_leaves_too_few_that_live() {
    let mut members = with_learner(true, Some(0));
    for id in [2, 3] {
        members.nodes.get_mut(&id).expect("there").heard = false;
    }
    refused(members.promote("d"), "only 2 are reached, and 3 are needed");
    assert_eq!(members.promote_all_ready(), None);
}

#[test]
fn nobody_joins_while_a_member_is_known_at_an_address_that_leads_nowhere() {
    let mut members = three();
    members.nodes.get_mut(&1).expect("there").node.peer_address = "0.0.0.0:7421".to_owned();
    refused(members.join(&newcomer("d", 1), true), "start it with --peer-advertise");
    refused(members.add("d", "d:1", false), "start it with --peer-advertise");
}

#[test]
fn a_member_that_moved_is_written_down_once() {
    let said = MemberNode {
        name: "b".to_owned(),
        peer_address: "elsewhere:1".to_owned(),
        client_address: "b:2".to_owned(),
        ..MemberNode::default()
    };
    let Some(Change::SetNodes(nodes)) = three().moved(2, &said) else { panic!("it moved") };
    assert_eq!(nodes[&2].peer_address, "elsewhere:1");
    let mut members = three();
    members.nodes.get_mut(&2).expect("there").node = nodes[&2].clone();
    assert_eq!(members.moved(2, &said), None);
    assert_eq!(members.moved(9, &said), None, "who is no member has no address");
}
