//! Scenarios of time: wall clocks that jump, leaders that die again and again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use conclave_client::{Client, Consistency};
use conclave_tests::raw::{Raw, reason};
use conclave_tests::{Cluster, alone};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#[tokio::test(flavor = "multi_thread")]
async fn scenario_5_a_wall_clock_that_jumps_an_hour_expires_nothing() {
    if !Path::new(FAKETIME).exists() {
        eprintln!("SKIPPED: libfaketime is not installed, wall clocks cannot be moved");
        return;
    }
    let _turn = alone();
    let offsets = tempfile::tempdir().unwrap();
    let file = |node: usize| offsets.path().join(node.to_string()).display().to_string();
    let environment = |node: usize| {
        fs::write(file(node), "+0\n").unwrap();
        vec![
            ("LD_PRELOAD".to_owned(), FAKETIME.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE".to_owned(), file(node)),
            ("FAKETIME_NO_CACHE".to_owned(), "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
            ("DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ]
    };
    let cluster = Cluster::start_in(3, &[], &environment);
    let client = Client::connect(cluster.endpoints().split(',')).unwrap();
    let ttl = Duration::from_secs(5);
    let session = client.session().name("steady").ttl(ttl).open().await.unwrap();
    let guard = session.mutex("job").lock().await.unwrap();
    // A session that lives by one keepalive more: it must get its whole TTL.
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    let quiet = node.open("quiet", ttl, Duration::ZERO).await.unwrap();
    node.acquire_now(&quiet, 1, "quiet").await;
    node.keep_alive(&quiet, 1).await.unwrap();
    let kept = Instant::now();

    let leader = cluster.leader();
    let held_ms = held_ms(&client).await;
    for (node, jump) in [(leader, "+3600\n"), ((leader + 1) % 3, "-3600\n")] {
        fs::write(file(node), jump).unwrap();
    }
    // The nemesis did something: the display clock of the leader shows it.
    let shown_ms = self::held_ms(&client).await;
    assert!(shown_ms > held_ms + 3_000_000, "the wall clock did not jump: {held_ms}, {shown_ms}");

    while kept.elapsed() < ttl {
        let held = node.inspect("quiet").await.unwrap().exists;
        assert!(held || kept.elapsed() >= ttl, "expired early, after {:?}", kept.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // And not never: the bound holds as well.
    while node.inspect("quiet").await.unwrap().exists {
        assert!(kept.elapsed() < ttl * 2, "not expired after {:?}", kept.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fs::write(file(leader), "-3600\n").unwrap();
    tokio::time::sleep(ttl).await;
    assert!(guard.is_valid());
    assert!(guard.check().await.unwrap());
}

/// For how long the lock is held, by the wall clock of the node that answers.
async fn held_ms(client: &Client) -> u64 {
    let seen = client.admin().inspect("job", 1, Consistency::Linearizable).await.unwrap();
    seen.expect("it is held").holders[0].held_ms
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_6_leaders_die_again_and_again_live_clients_lose_nothing_dead_ones_expire() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let client = Client::connect(cluster.endpoints().split(',')).unwrap();
    let session = client.session().name("live").open().await.unwrap();
    let mut guards = Vec::new();
    for number in 0..20 {
        guards.push(session.mutex(format!("live/{number}")).lock().await.unwrap());
    }
    let ttl = Duration::from_secs(5);
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    let dead = node.open("dead", ttl, Duration::ZERO).await.unwrap();
    node.acquire_now(&dead, 1, "dead").await;

    for round in 0..5 {
        let leader = cluster.leader();
        cluster.kill(leader);
        cluster.leader();
        for guard in &guards {
            assert!(guard.is_valid(), "round {round}: {:?}", guard.lost_reason());
        }
        cluster.restart(leader);
        cluster.leader();
    }
    // Each leader gave it a full TTL anew; the last one stays.
    let quiet = Instant::now();
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    while node.inspect("dead").await.unwrap().exists {
        assert!(quiet.elapsed() < ttl * 2, "the dead client is not expired");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = node.keep_alive(&dead, 1).await.expect_err("it expired");
    assert_eq!(reason(&refused).1, "SESSION_EXPIRED");
    for guard in &guards {
        assert!(guard.check().await.unwrap(), "{}", guard.name());
    }
}
