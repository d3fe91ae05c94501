//! The crate against a scripted server, by a clock that the test moves. Nothing sleeps and hopes: whatever is awaited is awaited
//! for as long as it takes, and a test that awaits what never comes fails.

mod calls;
mod ends;
mod fake;
mod guards;
mod losses;
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
        let mut fake = Fake::start("a").await;
        let clock = Clock::manual();
        let builder = Client::builder().endpoint(fake.address()).request_timeout(request_timeout);
        let client = builder.build().expect("an address").with_clock(clock.clone());
        let (session, stream) =
            tokio::join!(client.session().ttl(TTL).name("test").open(), async {
                let mut stream = fake.accept().await;
                stream.welcome(TTL).await;
                stream
            });
        Self { fake, clock, session: session.expect("open"), stream }
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
        self.stream = self.fake.accept().await;
        self.stream.attach().await
    }
}

/// What the future says when it is polled once, now.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}
