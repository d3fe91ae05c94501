//! Scenarios of a client: what it believes, who is served, and that nothing is leaked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conclave_client::{Client, Consistency, Progress, SessionState};
use conclave_tests::{Cluster, Process, Signal, alone, eventually, together};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{client, session, wait_for_queue};

const HOLDER: &str = env!("CARGO_BIN_EXE_holder");

fn boottime_ns() -> i128 {
    let now = clock_gettime(ClockId::Boottime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_7_a_holder_stopped_for_longer_than_its_ttl_never_sees_its_guard_valid_again() {
    let _turn = alone();
    let cluster = Cluster::start(3);
    let ttl = Duration::from_secs(5);
    let mut holder = Process::start(
        HOLDER.as_ref(),
        ["hold", &cluster.endpoints(), "job", "5000"],
        &[],
        cluster.folder(),
        "holder",
    );
    eventually("the holder believes", Duration::from_secs(10), || {
        holder.output().contains("valid").then_some(())
    });
    let client = client(&cluster);
    let next = session(&client, "next").await;
    let token = client
        .admin()
        .inspect("job", 10, Consistency::Linearizable)
        .await
        .unwrap()
        .expect("it is held")
        .holders[0]
        .token;

    holder.signal(Signal::STOP);
    let stopped = Instant::now();
    let guard = next.mutex("job").lock_timeout(ttl * 3).await.expect("the holder expires");
    assert!(stopped.elapsed() > ttl, "not before its TTL");
    let resumed_ns = boottime_ns();
    holder.signal(Signal::CONT);
    assert_eq!(holder.exit_code(Duration::from_secs(5)), 0);

    let output = holder.output();
    let stamps = |word: &str| -> Vec<i128> {
        output.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
    };
    let believed_ns = stamps("valid ").into_iter().max().expect("it believed for a while");
    assert!(believed_ns < resumed_ns, "believed {} ns too late", believed_ns - resumed_ns);
    assert_eq!(stamps("lost ").len(), 1);
    assert!(!client.admin().check("job", token).await.unwrap().held, "the old token is dead");
    assert!(guard.check().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_8_of_500_waiters_half_are_killed_and_the_rest_is_served_in_order() {
    let _turn = alone();
    const CHUNK: usize = 50;
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let first = session(&client, "first").await;
    let held = first.mutex("job").lock().await.unwrap();
    let mut doomed = Vec::new();
    let mut survivors = JoinSet::new();
    for chunk in 0..5 {
        for number in 0..CHUNK {
            let name = format!("survivor-{chunk}-{number:02}");
            let session = session(&client, &name).await;
            survivors.spawn(async move {
                let guard = session.mutex("job").lock().await.expect("a survivor is served");
                let token = guard.token();
                guard.release().await.expect("it held");
                (token, name, session)
            });
        }
        let process = Process::start(
            HOLDER.as_ref(),
            ["wait", &cluster.endpoints(), "job", "5000", &CHUNK.to_string()],
            &[],
            cluster.folder(),
            &format!("doomed-{chunk}"),
        );
        wait_for_queue(&client, "job", 2 * CHUNK * (chunk + 1)).await;
        doomed.push(process);
    }
    let order: Vec<_> = queue(&client, "job")
        .await
        .into_iter()
        .filter(|name| name.starts_with("survivor"))
        .collect();

    for process in &mut doomed {
        process.kill();
    }
    held.release().await.unwrap();
    let released = Instant::now();
    let mut served = Vec::new();
    while let Some(ended) = survivors.join_next().await {
        served.push(ended.unwrap());
    }
    // Dead waiters expire together, after 1.1 TTL at the latest: one stall at most, not one for each.
    assert!(released.elapsed() < Duration::from_secs(15), "took {:?}", released.elapsed());
    served.sort_by_key(|(token, ..)| *token);
    let served: Vec<_> = served.into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(served, order, "first come, first served");
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_9_a_thousand_tasks_of_one_session_count_exactly() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let session = Arc::new(session(&client(&cluster), "counter").await);
    let counter = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let (session, counter) = (Arc::clone(&session), Arc::clone(&counter));
        tasks.spawn(async move {
            let guard = session.mutex("counter").lock().await.expect("a grant");
            // Not atomic on purpose: only the lock makes this exact.
            let seen = counter.load(Ordering::Relaxed);
            tokio::task::yield_now().await;
            counter.store(seen + 1, Ordering::Relaxed);
            guard.release().await.expect("it held");
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(counter.load(Ordering::Relaxed), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_10_eight_instant_holders_in_sequence_take_milliseconds() {
    let _turn = alone();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let first = session(&client, "first").await;
    let held = first.mutex("job").lock().await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let session = session(&client, &format!("instant-{number}")).await;
        tasks.spawn(async move {
            let guard = session.mutex("job").lock().await.expect("a grant");
            guard.release().await.expect("it held");
            session
        });
    }
    wait_for_queue(&client, "job", 8).await;
    let started = Instant::now();
    held.release().await.unwrap();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let took = started.elapsed();
    assert!(took < Duration::from_millis(500), "eight hand-overs took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_17_a_cancel_that_crosses_a_grant_leaks_nothing() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let holder = session(&client, "holder").await;
    let waiter = session(&client, "waiter").await;
    let granted = AtomicU64::new(0);
    // What a cycle takes here and now, so that cancels and grants meet on a fast machine as on a slow one.
    let measured = Instant::now();
    for _ in 0..20 {
        holder.mutex("job").lock().await.unwrap().release().await.unwrap();
    }
    let cycle = measured.elapsed() / 20;
    for round in 0..300u32 {
        let held = holder.mutex("job").lock().await.unwrap();
        let mutex = waiter.mutex("job");
        let wait = async {
            // From long before the grant to long after it.
            let time = cycle * (round * 37 % 100) / 25;
            if let Ok(guard) = tokio::time::timeout(time, mutex.lock()).await {
                granted.fetch_add(1, Ordering::Relaxed);
                guard.expect("a grant").release().await.expect("it held");
            }
        };
        let release = async {
            tokio::time::sleep(cycle * (round * 53 % 100) / 50).await;
            held.release().await.expect("it held");
        };
        tokio::join!(wait, release);
    }
    let granted = granted.into_inner();
    assert!((1..300).contains(&granted), "{granted} of 300: nothing crossed");
    let started = Instant::now();
    while let Some(left) =
        client.admin().inspect("job", 10, Consistency::Linearizable).await.unwrap()
    {
        assert!(started.elapsed() < Duration::from_secs(5), "left over: {left:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_24_stream_waits_keep_their_places_across_a_leader_change() {
    let _turn = alone();
    const WAITS: usize = 100;
    let mut cluster = Cluster::start(3);
    let client = client(&cluster);
    let holder = session(&client, "holder").await;
    let held = holder.mutex("job").lock().await.unwrap();
    let mut waiters = JoinSet::new();
    for number in 0..WAITS {
        let name = format!("stream-{number:03}");
        let session = session(&client, &name).await;
        let (progress, mut queued) = watch::channel(Progress::Asking);
        waiters.spawn(async move {
            let mutex = session.mutex("job").progress(progress);
            let guard = mutex.lock().await.expect("a grant");
            let token = guard.token();
            guard.release().await.expect("it held");
            (token, name, session)
        });
        queued.wait_for(|progress| *progress != Progress::Asking).await.expect("it is queued");
    }
    let before = queue(&client, "job").await;
    assert_eq!(before.len(), WAITS);

    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.leader();
    assert_eq!(queue(&client, "job").await, before, "every wait kept its place");
    assert!(held.is_valid());
    held.release().await.unwrap();
    let mut served = Vec::new();
    while let Some(ended) = waiters.join_next().await {
        served.push(ended.unwrap());
    }
    served.sort_by_key(|(token, ..)| *token);
    let served: Vec<_> = served.into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(served, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_25_a_client_that_expired_locally_never_comes_back_to_life() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let client = client(&cluster);
    let ttl = Duration::from_secs(5);
    let session = client.session().name("late").ttl(ttl).open().await.unwrap();
    let guard = session.mutex("job").lock().await.unwrap();

    // The cluster hears and says nothing from 0 to 0.9 TTL, then everything goes on: for the servers the session still lives.
    for node in 0..cluster.size() {
        cluster.signal(node, Signal::STOP);
    }
    let mut state = session.watch_state();
    state.wait_for(|state| *state == SessionState::Expired).await.unwrap();
    for node in 0..cluster.size() {
        cluster.signal(node, Signal::CONT);
    }
    assert!(!guard.is_valid());
    let leader = cluster.leader();
    assert!(cluster.status(leader).is_some());
    let other = client.session().name("next").open().await.unwrap();
    let tried = other.mutex("job").try_lock().await;
    assert!(tried.is_err(), "the server still keeps the hold: {tried:?}");

    // It lives again for the server, and the client could reach it: it stays dead all the same.
    let next = other.mutex("job").lock_timeout(ttl * 4).await.expect("it ends for the server too");
    assert_eq!(session.state(), SessionState::Expired);
    assert!(!guard.is_valid() && !session.is_valid());
    assert!(session.mutex("another").lock().await.is_err(), "no new grant on a dead session");
    assert!(next.token() > guard.token());
}

/// The session names in the queue, first to be served first.
async fn queue(client: &Client, name: &str) -> Vec<String> {
    let seen = client.admin().inspect(name, 10_000, Consistency::Linearizable).await.unwrap();
    seen.expect("it is held").queue.into_iter().map(|waiter| waiter.session_name).collect()
}
