//! A client outside of the containers, all the time: one session that holds a lock from beginning to end, and three that
//! contend for another one. Whatever happens to the nodes, the first is never lost, tokens rise, and no two are inside.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use conclave_client::{Client, MutexGuard};
use conclave_tests::eventually;
use tokio::runtime::Runtime;

use crate::stage::PATIENCE;

/// Of the one that holds a lock: longer than any outage here, so that nothing may be lost.
const TTL: Duration = Duration::from_secs(60);
/// Of those that contend: a client looks for another node the sooner the shorter it is.
const TTL_OF_CONTENDERS: Duration = Duration::from_secs(20);
const CONTENDERS: usize = 3;
/// How long one of them stays inside.
const INSIDE: Duration = Duration::from_millis(5);

pub(crate) struct Outside {
    runtime: Runtime,
    client: Client,
    held: Option<MutexGuard>,
    witness: Arc<Witness>,
}

#[derive(Default)]
struct Witness {
    inside: AtomicUsize,
    /// Of the last grant of the contended lock.
    token: AtomicU64,
    stop: AtomicBool,
    grants: Mutex<Vec<Instant>>,
    complaints: Mutex<Vec<String>>,
}

impl Outside {
    /// Connects at the first use.
    pub(crate) fn new(endpoints: &[String]) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let client = {
            let _inside = runtime.enter();
            Client::connect(endpoints.iter().cloned()).expect("endpoints")
        };
        Self { runtime, client, held: None, witness: Arc::default() }
    }

    pub(crate) fn begin(&mut self) {
        let client = self.client.clone();
        self.held = Some(self.runtime.block_on(async {
            let session = client.session().name("keeper").ttl(TTL).open().await.expect("a session");
            session.mutex("deploy/held").lock().await.expect("a grant")
        }));
        for _ in 0..CONTENDERS {
            self.runtime.spawn(contend(self.client.clone(), Arc::clone(&self.witness)));
        }
        self.grants_go_on();
    }

    /// Waits for a grant that comes after now.
    pub(crate) fn grants_go_on(&self) {
        let from = Instant::now();
        eventually("a grant", PATIENCE, || {
            let complaints = self.witness.complaints();
            assert!(complaints.is_empty(), "the client outside: {complaints:?}");
            (self.witness.last_grant()? > from).then_some(())
        });
    }

    /// The longest time without a grant since then.
    pub(crate) fn longest_gap_since(&self, from: Instant) -> Duration {
        let grants = self.witness.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let first = grants.partition_point(|at| *at < from).saturating_sub(1);
        grants[first..].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    pub(crate) fn token_held(&self) -> u64 {
        self.held.as_ref().expect("it has begun").token().get()
    }

    /// Everything that was promised was kept, up to now.
    pub(crate) fn verdict(&self) {
        self.grants_go_on();
        let held = self.held.as_ref().expect("it has begun");
        assert!(held.is_valid(), "the lock that is held was lost: {:?}", held.lost_reason());
        let check = self.runtime.block_on(held.check());
        assert!(check.expect("an answer"), "the cluster does not know of the lock that is held");
        let complaints = self.witness.complaints();
        assert!(complaints.is_empty(), "the client outside: {complaints:?}");
    }

    pub(crate) fn end(&mut self) {
        self.witness.stop.store(true, Ordering::Relaxed);
        let _inside = self.runtime.enter();
        self.held = None;
    }
}

impl Witness {
    fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn complain(&self, what: String) {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn last_grant(&self) -> Option<Instant> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).last().copied()
    }

    /// Between a grant and its release.
    async fn witness(&self, guard: &MutexGuard) {
        let token = guard.token().get();
        let others = self.inside.fetch_add(1, Ordering::SeqCst);
        if others > 0 {
            self.complain(format!("{others} were inside when token {token} was granted"));
        }
        let last = self.token.swap(token, Ordering::SeqCst);
        if token <= last {
            self.complain(format!("token {token} came after {last}"));
        }
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        tokio::time::sleep(INSIDE).await;
        if let Some(lost) = guard.lost_reason() {
            self.complain(format!("token {token} was lost: {lost}"));
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn contend(client: Client, witness: Arc<Witness>) {
    let session = match client.session().name("contender").ttl(TTL_OF_CONTENDERS).open().await {
        Ok(session) => session,
        Err(error) => return witness.complain(format!("no session: {error}")),
    };
    while !witness.stop.load(Ordering::Relaxed) {
        let guard = match session.mutex("deploy/contended").lock().await {
            Ok(guard) => guard,
            Err(error) => return witness.complain(format!("no grant: {error}")),
        };
        witness.witness(&guard).await;
        if let Err(error) = guard.release().await {
            return witness.complain(format!("no release: {error}"));
        }
    }
}
