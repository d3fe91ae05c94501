//! The crate against a scripted server, by a clock that the test moves. Nothing sleeps and hopes: whatever is awaited is awaited
//! for as long as it takes, and a test that awaits what never comes fails.

mod calls;
mod changes;
mod core;
mod elections;
mod ends;
mod fake;
mod following;
mod guards;
mod locks;
mod losses;
mod objects;
mod once;
mod roads;
mod standing;

use std::time::Duration;

use futures::FutureExt as _;

use crate::clock::Clock;
use crate::tests::fake::{Fake, FakeStream};
use crate::{Client, MutexGuard, Session};

/// Longer than anything takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(10);

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Awaits, but not for ever.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: nothing came"))
}

/// Waits until another task has made it so.
async fn until(what: &str, so: impl Fn() -> bool) {
    within(what, async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A client of one fake, an open session, and the fake's end of its stream.
struct Scene {
    fake: Fake,
    /// Other nodes of the cluster, asked when the first is of no use.
    others: Vec<Fake>,
    clock: Clock,
    session: Session,
    stream: FakeStream,
}

impl Scene {
    /// Session 1, TTL 10 s, its first keepalive acknowledged.
    async fn open() -> Self {
        Self::open_with(PATIENCE).await
    }

    async fn open_with(request_timeout: Duration) -> Self {
        Self::open_of(request_timeout, &[]).await
    }

    /// A cluster with more nodes of these names; the first one leads.
    async fn open_among(others: &[&str]) -> Self {
        Self::open_of(PATIENCE, others).await
    }

    async fn open_of(request_timeout: Duration, names: &[&str]) -> Self {
        let mut fake = Fake::start("a").await;
        let mut others = Vec::new();
        for name in names {
            others.push(Fake::start(name).await);
        }
        let clock = Clock::manual();
        let builder = Client::builder().endpoint(fake.address()).request_timeout(request_timeout);
        let builder = builder.endpoints(others.iter().map(Fake::address));
        let client = builder.build().expect("an address").with_clock(clock.clone());
        // A busy machine is slow by its own clock, which is not the one that the test moves.
        let client = client.with_dial_patience(PATIENCE);
        let (session, stream) =
            tokio::join!(client.session().ttl(TTL).name("test").open(), fake.welcome(TTL));
        Self { fake, others, clock, session: session.expect("open"), stream }
    }

    /// A guard with that token, granted at that revision.
    async fn guard(&mut self, name: &str, token: u64, revision: u64) -> MutexGuard {
        let mutex = self.session.mutex(name);
        let (guard, ()) = tokio::join!(mutex.lock(), async {
            let call = self.stream.call().await;
            self.stream.grant(call.seq, token, revision, 0);
        });
        guard.expect("granted")
    }

    /// The stream breaks, the client comes back.
    async fn reconnect(&mut self) -> conclave_proto::v1::AttachRequest {
        self.stream.cut();
        let (stream, attach) = self.fake.attach().await;
        self.stream = stream;
        attach
    }
}

/// What the future says when it is polled once, now.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}
