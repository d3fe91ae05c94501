//! The leader is killed under load, twenty times: how long nobody is granted anything, and that nothing held is lost.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use conclave_client::Client;
use conclave_tests::{Cluster, alone};
use tokio::task::JoinSet;

const KILLS: usize = 20;

/// When each grant was seen, and its token, in the order in which they were seen.
type Grants = Arc<Mutex<Vec<(Instant, u64)>>>;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_killed_leaders_under_load_lose_no_hold_and_stop_grants_for_a_moment_only() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let client = Client::connect(cluster.endpoints().split(',')).unwrap();
    let keeper = client.session().name("keeper").open().await.unwrap();
    let mut held = Vec::new();
    for number in 0..10 {
        held.push(keeper.mutex(format!("held/{number}")).lock().await.unwrap());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let grants = Grants::default();
    let mut load = JoinSet::new();
    for number in 0..8 {
        let session = client.session().name(format!("load-{number}")).open().await.unwrap();
        let (stop, grants) = (Arc::clone(&stop), Arc::clone(&grants));
        load.spawn(async move {
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                let guard = session.mutex(format!("load/{number}")).lock().await.expect("a grant");
                let token = guard.token().get();
                assert!(token > last, "tokens rise: {token} after {last}");
                last = token;
                grants.lock().unwrap().push((Instant::now(), token));
                guard.release().await.expect("it held");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }

    let mut gaps = Vec::new();
    for round in 0..KILLS {
        let leader = cluster.leader();
        let killed = Instant::now();
        cluster.kill(leader);
        gaps.push(longest_gap(&grants, killed).await);
        for guard in &held {
            assert!(guard.is_valid(), "round {round}: {:?}", guard.lost_reason());
        }
        cluster.restart(leader);
        cluster.leader();
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }

    let mut tokens: Vec<_> = grants.lock().unwrap().iter().map(|(_, token)| *token).collect();
    let granted = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), granted, "no token was given twice");
    assert!(granted > KILLS * 50, "only {granted} grants: there was no load");
    for guard in &held {
        assert!(guard.check().await.unwrap(), "{} is still held", guard.name());
    }
    gaps.sort_unstable();
    println!("gaps to the next grant over {KILLS} kills: {gaps:?}");
    let median = gaps[KILLS / 2];
    assert!(median <= Duration::from_millis(1500), "median {median:?} of {gaps:?}");
    assert!(gaps[KILLS - 1] <= Duration::from_secs(4), "longest of {gaps:?}");
}

/// The longest time without a grant around `killed`, once grants flow again.
async fn longest_gap(grants: &Grants, killed: Instant) -> Duration {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let seen = grants.lock().unwrap();
        let from = seen.partition_point(|(at, _)| *at < killed).saturating_sub(1);
        let longest =
            seen[from..].windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default();
        // What was granted in the last breath of the old leader is no recovery.
        if longest >= Duration::from_millis(300) {
            return longest;
        }
        assert!(
            killed.elapsed() < Duration::from_secs(15),
            "grants never stopped, or never came back"
        );
    }
}
