//! Scenarios of what several may hold: readers and writers, permits, several objects at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conclave_client::{
    Admin, Consistency, Detail, Error, LockTimeoutError, Refusal, Session, Token, Version, Want,
};
use conclave_tests::{Cluster, together};
use tokio::task::JoinSet;

use crate::support::{client, progress, session, until_queued, wait_for_queue};

const LONG: Duration = Duration::from_secs(60);

/// Tasks that ask again and again until the flood is over. What they hold they keep for a moment.
struct Flood {
    over: Arc<AtomicBool>,
    granted: Arc<AtomicUsize>,
    tasks: JoinSet<Vec<(Instant, Token)>>,
}

impl Flood {
    fn new() -> Self {
        let (over, granted) = (Arc::default(), Arc::default());
        Self { over, granted, tasks: JoinSet::new() }
    }

    fn add<G, Asked>(&mut self, ask: impl Fn() -> Asked + Send + 'static)
    where
        G: Send,
        Asked: Future<Output = (G, Token)> + Send + 'static,
    {
        let (over, granted) = (self.over.clone(), self.granted.clone());
        self.tasks.spawn(async move {
            let mut grants = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let (guard, token) = ask().await;
                grants.push((asked, token));
                granted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await;
                drop(guard);
            }
            grants
        });
    }

    /// Returns once it has had so many grants more.
    async fn until(&self, more: usize) {
        let enough = self.granted.load(Ordering::Relaxed) + more;
        let started = Instant::now();
        while self.granted.load(Ordering::Relaxed) < enough {
            assert!(started.elapsed() < LONG, "the flood dried up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it. Nobody of it who asked after `queued` was granted before `token`.
    async fn ends_behind(mut self, queued: Instant, token: Token) {
        self.over.store(true, Ordering::Relaxed);
        let mut grants = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            grants.extend(ended.unwrap());
        }
        let asked_later = grants.iter().filter(|(asked, _)| *asked > queued);
        let overtook = asked_later.clone().filter(|(_, of)| *of < token).count();
        assert!(asked_later.count() > 0, "nobody asked later: nothing was shown");
        assert_eq!(overtook, 0, "so many overtook");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_11_a_writer_is_served_in_the_middle_of_a_flood_of_readers() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let mut flood = Flood::new();
    for number in 0..8 {
        let lock = session(&client, &format!("reader-{number}")).await.rwlock("map");
        flood.add(move || {
            let lock = lock.clone();
            async move {
                let guard = lock.read().await.expect("a reader is served");
                let token = guard.token();
                (guard, token)
            }
        });
    }
    let writer = session(&client, "writer").await;
    let present = session(&client, "present").await.rwlock("map").read().await.unwrap();
    flood.until(50).await;
    let (sender, mut seen) = progress();
    let lock = writer.rwlock("map").progress(sender);
    let write = tokio::spawn(async move { lock.write_timeout(LONG).await });
    until_queued(&mut seen).await;
    let queued = Instant::now();
    // Readers come on; none of them goes before the writer.
    tokio::time::sleep(Duration::from_millis(200)).await;
    present.release().await.unwrap();
    let guard = write.await.unwrap().expect("the writer is served");
    let token = guard.token();
    guard.release().await.unwrap();
    flood.until(50).await;
    flood.ends_behind(queued, token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_12_of_two_that_want_to_upgrade_one_is_told() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let (first, second) = (session(&client, "first").await, session(&client, "second").await);
    let upgradable = first.rwlock("map").upgradable().await.unwrap();
    let reading = second.rwlock("map").read().await.unwrap();
    let upgrade = tokio::spawn(upgradable.upgrade());
    wait_for_queue(&client, "map", 1).await;
    let told = reading.try_upgrade().await.expect_err("the other one is before it");
    assert!(matches!(told.error, Error::Refused(Refusal::WouldDeadlock)), "{}", told.error);
    assert!(told.guard.is_valid(), "it goes on reading");
    // While an upgrade is pending no new reader comes in.
    assert!(first.rwlock("map").try_read().await.is_err());
    told.guard.release().await.unwrap();
    let writing = upgrade.await.unwrap().expect("nobody reads any more");
    assert!(writing.is_valid() && writing.check().await.unwrap());
    let reading = writing.downgrade().await.unwrap();
    assert!(second.rwlock("map").try_read().await.is_ok());
    // Two plain readers: neither can wait for the other.
    let beside = second.rwlock("map").read().await.unwrap();
    let told = beside.try_upgrade().await.expect_err("somebody else reads");
    assert!(matches!(told.error, Error::Refused(Refusal::WouldDeadlock)), "{}", told.error);
    told.guard.release().await.unwrap();
    assert!(reading.try_upgrade().await.is_ok(), "the sole reader");
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_13_a_weight_of_9_of_10_is_served_in_a_flood_of_weights_of_1() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let mut flood = Flood::new();
    for number in 0..10 {
        let permits = session(&client, &format!("light-{number}")).await.semaphore("pool", 10);
        flood.add(move || {
            let permits = permits.clone();
            async move {
                let permit = permits.acquire().await.expect("a light one is served");
                let token = permit.token();
                (permit, token)
            }
        });
    }
    let heavy = session(&client, "heavy").await;
    let present = session(&client, "present").await.semaphore("pool", 10);
    let present = present.acquire_many(2).await.unwrap();
    flood.until(50).await;
    let (sender, mut seen) = progress();
    let pool = heavy.semaphore("pool", 10).progress(sender);
    let acquire = tokio::spawn(async move { pool.acquire_many(9).await });
    until_queued(&mut seen).await;
    let queued = Instant::now();
    tokio::time::sleep(Duration::from_millis(200)).await;
    present.release().await.unwrap();
    let permits = acquire.await.unwrap().expect("the heavy one is served");
    let token = permits.token();
    permits.release().await.unwrap();
    flood.until(50).await;
    flood.ends_behind(queued, token).await;
}

async fn version(admin: &Admin, name: &str) -> (Version, u64) {
    let seen = admin.inspect(name, 10, Consistency::Linearizable).await.unwrap();
    match seen.expect("it is there").detail {
        Some(Detail::Semaphore { version, in_use, .. }) => (version, in_use),
        other => panic!("no semaphore: {other:?}"),
    }
}

async fn resize(admin: &Admin, name: &str, limit: u32) {
    let (version, _) = version(admin, name).await;
    admin.resize(name, limit, version, "a test").await.expect("nobody else resizes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_14_a_semaphore_shrinks_grows_and_pauses_with_waiters() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let admin = client.admin();
    let user = session(&client, "user").await;
    let pool = user.semaphore("pool", 3);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.acquire().await.unwrap());
    }
    let (sender, mut seen) = progress();
    let waiter = pool.clone().progress(sender);
    let light = tokio::spawn(async move { waiter.acquire().await });
    until_queued(&mut seen).await;
    let (sender, mut seen) = progress();
    let waiter = pool.clone().progress(sender);
    let heavy = tokio::spawn(async move { waiter.acquire_many(3).await });
    until_queued(&mut seen).await;

    // Shrinking takes nothing from anybody and drains; what can never be had any more fails with the reason.
    resize(&admin, "pool", 1).await;
    let told = heavy.await.unwrap().expect_err("never again 3");
    let Error::Refused(Refusal::Weight { weight: 3, max: 1 }) = told else { panic!("{told}") };
    assert!(held.iter().all(|permit| permit.is_valid()));
    for permit in held.drain(..2) {
        permit.release().await.unwrap();
    }
    assert_eq!(version(&admin, "pool").await.1, 1);
    wait_for_queue(&client, "pool", 1).await;
    held.pop().unwrap().release().await.unwrap();
    let light = light.await.unwrap().expect("the last of three is gone");

    // Paused: nobody is served, whatever is free.
    resize(&admin, "pool", 0).await;
    light.release().await.unwrap();
    let mut waiters = JoinSet::new();
    for _ in 0..5 {
        let pool = pool.clone();
        waiters.spawn(async move { pool.acquire().await });
    }
    wait_for_queue(&client, "pool", 5).await;
    assert!(matches!(
        pool.acquire_timeout(1, Duration::from_millis(300)).await,
        Err(LockTimeoutError::TimedOut(_))
    ));

    // Growing serves them in the same moment.
    resize(&admin, "pool", 5).await;
    let mut permits = Vec::new();
    while let Some(granted) = waiters.join_next().await {
        permits.push(granted.unwrap().expect("five of five"));
    }
    assert_eq!(version(&admin, "pool").await.1, 5);
    // Who says what it saw before is told that it has changed.
    let (old, _) = version(&admin, "pool").await;
    resize(&admin, "pool", 6).await;
    let told = admin.resize("pool", 7, old, "a test").await.expect_err("another version");
    assert!(matches!(told, Error::Refused(Refusal::Conflict { .. })), "{told}");
}

/// The items of one request in an order that differs from task to task and from round to round.
fn wants(task: usize, round: usize) -> Vec<Want> {
    let mut wants: Vec<Want> = (0..4)
        .map(|number| Want::mutex(format!("lock/{}", (task + number * (round + 1)) % 8)))
        .collect();
    wants.sort_by_key(|want| format!("{want:?}"));
    wants.dedup_by_key(|want| format!("{want:?}"));
    wants.push(Want::permits("pool", 4, 1 + (round % 3) as u32));
    wants.push(if task.is_multiple_of(3) { Want::write("map") } else { Want::read("map") });
    let middle = (task * 7 + round * 3) % wants.len();
    wants.rotate_left(middle);
    wants
}

async fn transact(session: Session, task: usize, rounds: usize) {
    for round in 0..rounds {
        let guard = session.acquire_all(wants(task, round)).acquire_timeout(LONG).await;
        let guard = guard.expect("nobody waits for ever");
        tokio::task::yield_now().await;
        assert!(guard.is_valid());
        guard.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_16_many_who_want_several_in_any_order_always_finish() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        let session = session(&client, &format!("task-{task}")).await;
        tasks.spawn(transact(session, task, 25));
    }
    // And one who wants a single object of theirs, again and again.
    let single = session(&client, "single").await;
    tasks.spawn(async move {
        for _ in 0..25 {
            single.mutex("lock/0").lock().await.unwrap().release().await.unwrap();
        }
    });
    while let Some(ended) = tasks.join_next().await {
        ended.expect("every task finishes");
    }
    let left = client.admin().list(&Default::default()).await.unwrap();
    assert!(left.objects.is_empty(), "nothing stays behind: {:?}", left.objects);
}
