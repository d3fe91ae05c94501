//! A client without any cleverness: one unary call a method, no retry, no keepalive of its own. What a client in
//! another language sees of the wire.

use std::collections::HashMap;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::admin_service_client::AdminServiceClient;
use conclave_proto::v1::lock_service_client::LockServiceClient;
use conclave_proto::v1::session_service_client::SessionServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// Unary clients of one node.
#[derive(Clone)]
pub struct Raw {
    session: SessionServiceClient<Channel>,
    lock: LockServiceClient<Channel>,
    admin: AdminServiceClient<Channel>,
}

/// What an acquire came to.
pub use v1::acquire_response::Result as Acquired;

/// What an acquire wants of an object.
pub use v1::item::Demand;

/// How long an acquire waits.
pub use v1::wait::Kind as Wait;

impl Raw {
    /// Connects at the first call.
    pub fn new(endpoint: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{endpoint}")).expect("an address");
        Self::over(endpoint.connect_timeout(Duration::from_secs(2)).connect_lazy())
    }

    /// The same over a connection of the caller's making.
    pub fn over(channel: Channel) -> Self {
        Self {
            session: SessionServiceClient::new(channel.clone()),
            lock: LockServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel),
        }
    }

    pub fn session(&self) -> SessionServiceClient<Channel> {
        self.session.clone()
    }

    pub fn lock(&self) -> LockServiceClient<Channel> {
        self.lock.clone()
    }

    pub fn admin(&self) -> AdminServiceClient<Channel> {
        self.admin.clone()
    }

    /// Opens a session; its name tells it apart in `inspect`.
    pub async fn open(
        &self,
        name: &str,
        ttl: Duration,
        lock_delay: Duration,
    ) -> Result<v1::SessionKey, Status> {
        let secret = fresh_secret();
        let request = v1::OpenRequest {
            secret: secret.clone(),
            ttl_ms: milliseconds(ttl),
            lock_delay_ms: milliseconds(lock_delay),
            name: name.to_owned(),
            labels: HashMap::new(),
        };
        let opened = self.session().open(request).await?.into_inner();
        Ok(v1::SessionKey { session: opened.session, secret, epoch: opened.epoch })
    }

    pub async fn keep_alive(
        &self,
        key: &v1::SessionKey,
        number: u64,
    ) -> Result<v1::KeepAliveResponse, Status> {
        let request =
            v1::KeepAliveRequest { key: Some(key.clone()), number, losses_seen_through: 0 };
        Ok(self.session().keep_alive(request).await?.into_inner())
    }

    /// Acquires a mutex under this seq; answers what the node answered.
    pub async fn acquire(
        &self,
        key: &v1::SessionKey,
        seq: u64,
        name: &str,
        wait: Wait,
    ) -> Result<Acquired, Status> {
        self.ask(key, seq, mutex(name, wait)).await
    }

    /// The same for whatever is wanted.
    pub async fn ask(
        &self,
        key: &v1::SessionKey,
        seq: u64,
        acquire: v1::AcquireOp,
    ) -> Result<Acquired, Status> {
        let request = v1::AcquireRequest {
            key: Some(key.clone()),
            seq,
            seen_through: 0,
            acquire: Some(acquire),
        };
        let response = self.lock().acquire(request).await?.into_inner();
        Ok(response.result.expect("an acquire is answered with a result"))
    }

    /// The same, and it must be granted: answers the token.
    pub async fn acquire_now(&self, key: &v1::SessionKey, seq: u64, name: &str) -> u64 {
        match self.acquire(key, seq, name, Wait::None(true)).await {
            Ok(Acquired::Granted(granted)) => granted.token,
            other => panic!("{name}: expected a grant, got {other:?}"),
        }
    }

    /// Puts a wait into the queue without staying with it: the call's own deadline ends the call, not the wait.
    pub async fn enqueue(&self, key: &v1::SessionKey, seq: u64, name: &str) -> u32 {
        let mut request = Request::new(v1::AcquireRequest {
            key: Some(key.clone()),
            seq,
            seen_through: 0,
            acquire: Some(mutex(name, Wait::Forever(true))),
        });
        request.set_timeout(Duration::from_millis(1500));
        match self.lock().acquire(request).await.map(|response| response.into_inner().result) {
            Ok(Some(Acquired::Queued(queued))) => queued.position,
            other => panic!("{name}: expected to be queued, got {other:?}"),
        }
    }

    pub async fn release(
        &self,
        key: &v1::SessionKey,
        seq: u64,
        seen_through: u64,
        token: u64,
    ) -> Result<(), Status> {
        let key = Some(key.clone());
        let request = v1::ReleaseRequest { key, seq, seen_through, token, permits: 0 };
        self.lock().release(request).await.map(drop)
    }

    pub async fn check(&self, name: &str, token: u64) -> Result<v1::CheckResponse, Status> {
        let request = v1::CheckRequest { name: name.to_owned(), token };
        Ok(self.lock().check(request).await?.into_inner())
    }

    pub async fn inspect(&self, name: &str) -> Result<v1::InspectResponse, Status> {
        let request = v1::InspectRequest { name: name.to_owned(), stale: false, queue_max: 10_000 };
        Ok(self.admin().inspect(request).await?.into_inner())
    }

    /// The seqs or session names in the queue, first to be served first.
    pub async fn queue(&self, name: &str) -> Result<Vec<String>, Status> {
        let seen = self.inspect(name).await?;
        Ok(seen.queue.into_iter().map(|waiter| waiter.session_name).collect())
    }

    pub async fn force_release(
        &self,
        name: &str,
        token: u64,
        now: bool,
    ) -> Result<v1::ForceReleaseResponse, Status> {
        let request =
            v1::ForceReleaseRequest { name: name.to_owned(), token, now, by: "a test".to_owned() };
        Ok(self.admin().force_release(request).await?.into_inner())
    }

    pub async fn ack_stopped(&self, key: &v1::SessionKey, token: u64) -> Result<(), Status> {
        let request =
            v1::AckStoppedRequest { session: key.session, secret: key.secret.clone(), token };
        self.session().ack_stopped(request).await.map(drop)
    }
}

/// A mutex acquire with nothing special.
pub fn mutex(name: &str, wait: Wait) -> v1::AcquireOp {
    acquire(name, Demand::Mutex(v1::MutexDemand {}), wait)
}

/// An acquire of one object with nothing special.
pub fn acquire(name: &str, demand: Demand, wait: Wait) -> v1::AcquireOp {
    v1::AcquireOp {
        items: vec![v1::Item { name: name.to_owned(), demand: Some(demand) }],
        wait: Some(v1::Wait { kind: Some(wait) }),
        priority: 0,
        max_hold_ms: 0,
        owner: None,
        metadata: HashMap::new(),
        fail_on_deadlock: false,
        campaign: None,
    }
}

/// 16 bytes that no other session of this test run has.
pub fn fresh_secret() -> Vec<u8> {
    use std::hash::{BuildHasher as _, RandomState};
    let half = || RandomState::new().hash_one(std::process::id()).to_be_bytes();
    [half(), half()].concat()
}

/// The contract of an error: its code and the reason in its `ErrorInfo`.
pub fn reason(status: &Status) -> (Code, String) {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    (status.code(), reason)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a sensible time")
}
