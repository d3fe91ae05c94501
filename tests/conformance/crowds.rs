//! Scenarios of very many sessions.

use std::time::{Duration, Instant};

use conclave_client::{ListOptions, SessionState};
use conclave_tests::raw::Raw;
use conclave_tests::{Cluster, alone};
use tokio::task::JoinSet;

use crate::support::{client, session};

const CROWD: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn scenario_21_ten_thousand_sessions_expire_and_the_keepalives_of_the_others_are_not_starved()
{
    let _turn = alone();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let ttl = Duration::from_secs(20);
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    let mut opening = JoinSet::new();
    let started = Instant::now();
    for lane in 0..50 {
        let node = node.clone();
        opening.spawn(async move {
            for number in 0..CROWD / 50 {
                let name = format!("crowd/{lane}/{number}");
                let key = node.open(&name, ttl, Duration::ZERO).await.expect("a session");
                node.acquire_now(&key, 1, &name).await;
            }
        });
    }
    while let Some(ended) = opening.join_next().await {
        ended.unwrap();
    }
    let opened = started.elapsed();
    assert!(opened < ttl, "opening took {opened:?}, the first expired meanwhile");

    // Those that live: the shortest TTL there is, so that a starved keepalive shows at once.
    let mut living = Vec::new();
    for number in 0..20 {
        let session = client.session().name(format!("living-{number}"));
        let session = session.ttl(Duration::from_secs(5)).open().await.unwrap();
        let guard = session.mutex(format!("living/{number}")).lock().await.unwrap();
        living.push((session, guard));
    }
    let crowd = ListOptions { prefix: "crowd/".to_owned(), limit: 1, ..ListOptions::default() };
    let mut left = CROWD as u64;
    while left > 0 {
        for (session, guard) in &living {
            let state = session.state();
            assert!(!matches!(state, SessionState::Jeopardy | SessionState::Expired), "{state:?}");
            assert!(guard.is_valid());
        }
        left = client.admin().list(&crowd).await.unwrap().total;
        // 1.1 TTL after the last was opened, and time to take ten thousand away.
        assert!(started.elapsed() < opened + ttl * 2, "{left} are still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let late = session(&client, "late").await;
    assert!(late.mutex("crowd/0/0").try_lock().await.is_ok(), "it is free");
}
