//! Scenarios seen from the bare wire: retries, reused numbers, revocation, a change of the leader under waits.

use std::time::{Duration, Instant};

use conclave_tests::raw::{Acquired, Raw, Wait, reason};
use conclave_tests::{Cluster, alone, together};
use tonic::Code;

const NO_DELAY: Duration = Duration::ZERO;
const TTL: Duration = Duration::from_secs(10);

/// Any node that is not `leader`.
fn follower_of(leader: usize) -> usize {
    (leader + 1) % 3
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_1_a_queued_waiter_whose_session_dies_gets_an_error_and_never_a_grant() {
    let _turn = together();
    let cluster = Cluster::start_with(3, &["--ttl-floor", "1s"]);
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    let holder = node.open("holder", TTL, NO_DELAY).await.unwrap();
    let token = node.acquire_now(&holder, 1, "job").await;
    let dying = node.open("dying", Duration::from_secs(2), NO_DELAY).await.unwrap();

    let started = Instant::now();
    let answer = node.acquire(&dying, 1, "job", Wait::Forever(true)).await;
    let refused = answer.expect_err("the session is not kept alive");
    assert_eq!(reason(&refused), (Code::FailedPrecondition, "SESSION_EXPIRED".into()));
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "1.1 TTL, and no more than the waits' 30 s"
    );

    node.keep_alive(&holder, 1).await.unwrap();
    node.release(&holder, 2, 0, token).await.unwrap();
    let next = node.open("next", TTL, NO_DELAY).await.unwrap();
    let next_token = node.acquire_now(&next, 1, "job").await;
    assert!(next_token > token);
    let late = node.acquire(&dying, 1, "job", Wait::Forever(true)).await.expect_err("it is dead");
    assert_eq!(reason(&late).1, "SESSION_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_2_a_stale_release_after_a_new_acquire_frees_nobody() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let node = Raw::new(&cluster.endpoint(leader));
    let other = Raw::new(&cluster.endpoint(follower_of(leader)));
    let key = node.open("client", TTL, NO_DELAY).await.unwrap();
    let first = node.acquire_now(&key, 1, "job").await;
    node.release(&key, 2, 0, first).await.unwrap();
    let second = node.acquire_now(&key, 3, "job").await;

    // The same call again, on another node: answered from memory, not run.
    other.release(&key, 2, 0, first).await.unwrap();
    // The old token under a new number.
    let refused = other.release(&key, 4, 3, first).await.expect_err("it was released");
    assert_eq!(reason(&refused), (Code::FailedPrecondition, "NOT_HOLDER".into()));
    // The old number after the client said that it has the answer.
    let refused = node.release(&key, 2, 3, first).await.expect_err("it was answered before");
    assert_eq!(reason(&refused), (Code::FailedPrecondition, "SEQ_GONE".into()));
    assert!(node.check("job", second).await.unwrap().held);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_3_a_lost_reply_retried_on_another_node_is_one_grant() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let node = Raw::new(&cluster.endpoint(leader));
    let key = node.open("client", TTL, NO_DELAY).await.unwrap();
    for round in 0..20 {
        let name = format!("job/{round}");
        let seq = round + 1;
        // The reply is lost: the call is dropped at some point between sending and answer.
        let call = node.acquire(&key, seq, &name, Wait::None(true));
        let _lost = tokio::time::timeout(Duration::from_micros(200 * round), call).await;

        let mut tokens = Vec::new();
        for target in [follower_of(leader), leader, follower_of(leader)] {
            let other = Raw::new(&cluster.endpoint(target));
            tokens.push(other.acquire_now(&key, seq, &name).await);
        }
        tokens.dedup();
        assert_eq!(tokens.len(), 1, "{name}: one grant, one token");
        let seen = node.inspect(&name).await.unwrap();
        assert_eq!(seen.statistics.unwrap().grants, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_22_the_same_seq_with_another_body_is_refused() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    let key = node.open("client", TTL, NO_DELAY).await.unwrap();
    let token = node.acquire_now(&key, 1, "job").await;
    let refused =
        node.acquire(&key, 1, "another", Wait::None(true)).await.expect_err("another body");
    assert_eq!(reason(&refused), (Code::FailedPrecondition, "SEQ_REUSED".into()));
    let refused = node.release(&key, 1, 0, token).await.expect_err("another body");
    assert_eq!(reason(&refused), (Code::FailedPrecondition, "SEQ_REUSED".into()));
    // The wait time is not part of the body.
    let again = node.acquire(&key, 1, "job", Wait::Ms(50)).await.unwrap();
    assert!(matches!(again, Acquired::Granted(granted) if granted.token == token));
    assert!(!node.inspect("another").await.unwrap().exists);
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_20_cooling_is_kept_until_its_end_across_a_leader_change() {
    let _turn = alone();
    let mut cluster = Cluster::start_with(3, &["--ttl-floor", "1s"]);
    let leader = cluster.leader();
    let node = Raw::new(&cluster.endpoint(leader));
    let (ttl, delay) = (Duration::from_secs(2), Duration::from_secs(8));
    let dead = node.open("dead", ttl, delay).await.unwrap();
    let token = node.acquire_now(&dead, 1, "job").await;
    wait_for_state(&node, "job", token, conclave_proto::v1::HoldState::Cooling).await;
    let cooling_from = Instant::now();
    tokio::time::sleep(Duration::from_secs(3)).await;

    cluster.kill(leader);
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    let next = node.open("next", TTL, NO_DELAY).await.unwrap();
    let granted = node.acquire(&next, 1, "job", Wait::Ms(25_000)).await.unwrap();
    assert!(matches!(granted, Acquired::Granted(_)), "{granted:?}");
    // Rebuilt in full by the new leader: at least the delay, and at most once more the delay.
    let cooled = cooling_from.elapsed();
    assert!(cooled >= delay, "granted after {cooled:?}, before the lock-delay of {delay:?}");
    assert!(cooled < delay * 2 + Duration::from_secs(8), "granted only after {cooled:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_20_a_hold_ends_at_once_when_its_old_holder_says_that_it_stopped() {
    let _turn = alone();
    let mut cluster = Cluster::start_with(3, &["--ttl-floor", "1s"]);
    let leader = cluster.leader();
    let node = Raw::new(&cluster.endpoint(leader));
    // Cooling, ended by a dead session's acknowledgement.
    let dead = node.open("dead", Duration::from_secs(1), Duration::from_secs(120)).await.unwrap();
    let cooling = node.acquire_now(&dead, 1, "cooling").await;
    wait_for_state(&node, "cooling", cooling, conclave_proto::v1::HoldState::Cooling).await;
    // Revoked, of a session that lives.
    let alive = node.open("alive", Duration::from_secs(60), NO_DELAY).await.unwrap();
    let revoked = node.acquire_now(&alive, 1, "revoked").await;
    assert!(node.force_release("revoked", revoked, false).await.unwrap().revoked);

    cluster.kill(leader);
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    let next = node.open("next", Duration::from_secs(60), NO_DELAY).await.unwrap();
    for (seq, key, name, token) in [(1, &dead, "cooling", cooling), (2, &alive, "revoked", revoked)]
    {
        let tried = node.acquire(&next, seq, name, Wait::None(true)).await.unwrap();
        assert!(matches!(tried, Acquired::Held(_)), "{name} is still occupied: {tried:?}");
        assert!(!node.check(name, token).await.unwrap().held, "{name} is lost to its holder");
        node.ack_stopped(key, token).await.unwrap();
        let granted = node.acquire_now(&next, seq + 2, name).await;
        assert!(granted > token);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_24_unary_waits_keep_their_places_across_a_leader_change() {
    let _turn = alone();
    const WAITS: u64 = 100;
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let node = Raw::new(&cluster.endpoint(leader));
    let holder = node.open("holder", Duration::from_secs(120), NO_DELAY).await.unwrap();
    let token = node.acquire_now(&holder, 1, "job").await;
    let mut waiters = Vec::new();
    for number in 0..WAITS {
        let name = format!("waiter-{number:03}");
        waiters.push(node.open(&name, Duration::from_secs(120), NO_DELAY).await.unwrap());
    }
    let mut calls = Vec::new();
    for (key, position) in waiters.iter().cloned().zip(1u32..) {
        let caller = node.clone();
        calls.push(tokio::spawn(async move {
            caller.acquire(&key, 1, "job", Wait::Forever(true)).await
        }));
        // One after the other, so that the order is known; each call then stands until the leader dies.
        while node.inspect("job").await.unwrap().queue_len < position {
            tokio::task::yield_now().await;
        }
    }
    let before = node.queue("job").await.unwrap();
    assert_eq!(before.len() as u64, WAITS);

    cluster.kill(leader);
    for call in calls {
        let broken = call.await.unwrap().expect_err("its leader is dead");
        // The connection broke, and that is all that is known: no decision was made.
        assert!(matches!(broken.code(), Code::Unavailable | Code::Unknown), "{broken:?}");
    }
    let node = Raw::new(&cluster.endpoint(cluster.leader()));
    assert_eq!(node.queue("job").await.unwrap(), before, "every wait kept its place");

    // The same seqs wait on, on whatever node, and are served in the same order.
    node.release(&holder, 2, 0, token).await.unwrap();
    let mut last = token;
    for key in &waiters {
        let other = Raw::new(&cluster.endpoint(cluster.leader()));
        let granted = other.acquire(key, 1, "job", Wait::Forever(true)).await.unwrap();
        let Acquired::Granted(granted) = granted else { panic!("not its turn: {granted:?}") };
        assert!(granted.token > last, "tokens rise in the order of the queue");
        last = granted.token;
        other.release(key, 2, 0, granted.token).await.unwrap();
    }
}

/// Waits until the hold is in that state.
async fn wait_for_state(node: &Raw, name: &str, token: u64, state: conclave_proto::v1::HoldState) {
    let started = Instant::now();
    while node.check(name, token).await.unwrap().state() != state {
        assert!(started.elapsed() < Duration::from_secs(15), "{name} never became {state:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
