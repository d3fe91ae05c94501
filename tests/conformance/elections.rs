//! Scenarios of elections: who leads, and what observers are told.

use std::collections::HashMap;
use std::time::Duration;

use conclave_client::{Observation, Observed, Token};
use conclave_proto::v1;
use conclave_tests::raw::{Acquired, Demand, Raw, Wait, acquire};
use conclave_tests::{Cluster, alone, together};

use crate::support::{client, session};

const TERMS: usize = 12;

async fn next(observation: &mut Observation) -> Observed {
    let next = tokio::time::timeout(Duration::from_secs(60), observation.next()).await;
    next.expect("it goes on").expect("it does not end").expect("no error")
}

/// Follows an election, of which the beginning was seen, until a leadership of it is taken away.
async fn follow(mut observation: Observation, beginning: Observed) -> Vec<Observed> {
    let mut seen = vec![beginning];
    while !matches!(seen.last(), Some(Observed::Vacant { lost: true, .. })) {
        seen.push(next(&mut observation).await);
    }
    seen
}

/// Terms that began, in order, and whether each ended before the next one began. What a resync skips is not asked for.
fn check_history(seen: &[Observed], terms: &[Token]) {
    let mut leader: Option<Token> = None;
    let mut begun = Vec::new();
    let mut resyncs = 0;
    for observed in seen {
        match observed {
            Observed::View(view) | Observed::Resync(view) => {
                resyncs += usize::from(matches!(observed, Observed::Resync(_)));
                leader = view.leader.as_ref().map(|holder| holder.token);
                begun.extend(leader);
            }
            Observed::Elected { term, .. } => {
                assert_eq!(leader, None, "term {term} began beside another");
                leader = Some(*term);
                begun.push(*term);
            }
            Observed::Vacant { term, .. } => {
                assert_eq!(leader, Some(*term), "another term ended");
                leader = None;
            }
            _ => {}
        }
    }
    begun.dedup();
    let mut sorted = begun.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(begun, sorted, "each term once, in order");
    if resyncs == 0 {
        assert_eq!(begun, terms, "no term is missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_15_an_observer_sees_every_term_and_vacancy_across_leader_changes_and_reconnects()
{
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let client = client(&cluster);
    // Before the first term everybody has seen the vacant beginning.
    let mut observers = Vec::new();
    for _ in 0..3 {
        let mut observation = client.observe("primary");
        let beginning = next(&mut observation).await;
        assert!(matches!(&beginning, Observed::View(view) if view.leader.is_none()));
        observers.push(tokio::spawn(follow(observation, beginning)));
    }
    let candidates = [session(&client, "blue").await, session(&client, "green").await];
    let mut terms = Vec::new();
    for number in 0..TERMS {
        let election = candidates[number % 2].election("primary").value(format!("term {number}"));
        let leadership = election.campaign().await.expect("nobody else stands");
        terms.push(leadership.term());
        if number % 4 == 1 {
            let leader = cluster.leader();
            cluster.kill(leader);
            cluster.leader();
            cluster.restart(leader);
        }
        assert!(leadership.is_valid(), "a leader change costs no leadership");
        leadership.resign().await.unwrap();
    }
    // The last one is taken away: the end of the story, and a vacancy of another kind.
    let last = candidates[0].election("primary").campaign().await.unwrap();
    terms.push(last.term());
    client.admin().force_release("primary", last.term(), true, "a test").await.unwrap();
    for observer in observers {
        let seen = observer.await.unwrap();
        check_history(&seen, &terms);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_3_a_lost_reply_of_a_campaign_retried_on_another_node_is_one_term() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let node = Raw::new(&cluster.endpoint(leader));
    let key = node.open("candidate", Duration::from_secs(30), Duration::ZERO).await.unwrap();
    for round in 0..10 {
        let seq = round + 1;
        let campaign = || v1::AcquireOp {
            campaign: Some(v1::Campaign {
                value: b"here".to_vec(),
                eligible: Some(true),
                preempt_after_ms: None,
            }),
            metadata: HashMap::new(),
            ..acquire(
                &format!("primary/{round}"),
                Demand::Lead(v1::LeadDemand {}),
                Wait::None(true),
            )
        };
        let call = node.ask(&key, seq, campaign());
        let _lost = tokio::time::timeout(Duration::from_micros(300 * round), call).await;
        let mut terms = Vec::new();
        for target in 0..cluster.size() {
            let other = Raw::new(&cluster.endpoint(target));
            match other.ask(&key, seq, campaign()).await {
                Ok(Acquired::Granted(granted)) => terms.push(granted.token),
                other => panic!("expected the term, got {other:?}"),
            }
        }
        terms.dedup();
        assert_eq!(terms.len(), 1, "one campaign, one term");
    }
}
