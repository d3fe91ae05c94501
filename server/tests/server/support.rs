//! A running server, clients of it, and short words for what tests say all the time.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::admin_service_client::AdminServiceClient;
use conclave_proto::v1::call_answer::Result as Answer;
use conclave_proto::v1::election_service_client::ElectionServiceClient;
use conclave_proto::v1::item::Demand;
use conclave_proto::v1::lock_service_client::LockServiceClient;
use conclave_proto::v1::object_service_client::ObjectServiceClient;
use conclave_proto::v1::session_service_client::SessionServiceClient;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use conclave_proto::v1::watch_service_client::WatchServiceClient;
use conclave_raft::Storage;
use conclave_server::{Server, ServerConfig};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

/// Nothing here takes so long unless it hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Fails instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// One node alone on free ports, keeping nothing.
pub(crate) fn config() -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".to_owned(),
        peer_listen: "127.0.0.1:0".to_owned(),
        storage: Storage::Ephemeral,
        ttl_floor: Duration::from_millis(500),
        ..ServerConfig::alone()
    }
}

/// A server that leads.
pub(crate) async fn start() -> Server {
    let server = Server::start(config()).await.expect("it starts");
    leads(&server).await;
    server
}

pub(crate) async fn leads(server: &Server) {
    let mut leadership = server.node().leadership();
    soon("leadership", leadership.wait_for(|leadership| leadership.leading))
        .await
        .expect("the node lives");
}

pub(crate) async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.client_addr));
    endpoint.expect("an address").connect().await.expect("it listens")
}

/// All services over one connection.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) sessions: SessionServiceClient<Channel>,
    pub(crate) locks: LockServiceClient<Channel>,
    pub(crate) elections: ElectionServiceClient<Channel>,
    pub(crate) objects: ObjectServiceClient<Channel>,
    pub(crate) watches: WatchServiceClient<Channel>,
    pub(crate) admin: AdminServiceClient<Channel>,
}

impl Api {
    pub(crate) async fn of(server: &Server) -> Self {
        Self::over(channel(server).await)
    }

    pub(crate) fn over(channel: Channel) -> Self {
        Self {
            sessions: SessionServiceClient::new(channel.clone()),
            locks: LockServiceClient::new(channel.clone()),
            elections: ElectionServiceClient::new(channel.clone()),
            objects: ObjectServiceClient::new(channel.clone()),
            watches: WatchServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel),
        }
    }

    /// A session of this name by a unary call. Its TTL outlives any test.
    pub(crate) async fn open(&mut self, name: &str) -> v1::SessionKey {
        let request = open(name);
        let secret = request.secret.clone();
        let opened = self.sessions.open(request).await.expect("a session").into_inner();
        v1::SessionKey { session: opened.session, secret, epoch: opened.epoch }
    }

    /// Acquires and expects the grant.
    pub(crate) async fn granted(&mut self, key: &v1::SessionKey, seq: u64, name: &str) -> u64 {
        let answer = self.locks.acquire(acquire(key, seq, name, none())).await.expect("an answer");
        match answer.into_inner().result.expect("a result") {
            v1::acquire_response::Result::Granted(granted) => granted.token,
            other => panic!("not granted: {other:?}"),
        }
    }

    pub(crate) async fn release(&mut self, key: &v1::SessionKey, seq: u64, token: u64) {
        let key = Some(key.clone());
        let request = v1::ReleaseRequest { key, seq, token, ..Default::default() };
        self.locks.release(request).await.expect("released");
    }

    /// Waits until so many stand in the queue of `name`.
    pub(crate) async fn queue_len(&mut self, name: &str, len: u32) {
        let grown = async {
            loop {
                let request = v1::InspectRequest { name: name.to_owned(), ..Default::default() };
                let seen = self.admin.inspect(request).await.expect("inspected").into_inner();
                if seen.queue_len == len {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        soon(&format!("a queue of {len}"), grown).await;
    }
}

/// A secret nobody else of this process has.
pub(crate) fn secret() -> Vec<u8> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes().to_vec()
}

pub(crate) fn open(name: &str) -> v1::OpenRequest {
    v1::OpenRequest {
        secret: secret(),
        ttl_ms: 60_000,
        lock_delay_ms: 0,
        name: name.to_owned(),
        labels: HashMap::from([("host".to_owned(), "here".to_owned())]),
    }
}

pub(crate) fn none() -> Option<v1::Wait> {
    None
}

pub(crate) fn forever() -> Option<v1::Wait> {
    Some(v1::Wait { kind: Some(v1::wait::Kind::Forever(true)) })
}

pub(crate) fn wait_ms(ms: u64) -> Option<v1::Wait> {
    Some(v1::Wait { kind: Some(v1::wait::Kind::Ms(ms)) })
}

pub(crate) fn mutex(name: &str, wait: Option<v1::Wait>) -> v1::AcquireOp {
    v1::AcquireOp { wait, ..wanted(name, Demand::Mutex(v1::MutexDemand {})) }
}

/// An acquire of one object that does not wait.
pub(crate) fn wanted(name: &str, demand: Demand) -> v1::AcquireOp {
    v1::AcquireOp { items: vec![item(name, demand)], ..Default::default() }
}

pub(crate) fn item(name: &str, demand: Demand) -> v1::Item {
    v1::Item { name: name.to_owned(), demand: Some(demand) }
}

/// The number of the next attach: it rises, whoever attaches.
pub(crate) fn attempt() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn acquire(
    key: &v1::SessionKey,
    seq: u64,
    name: &str,
    wait: Option<v1::Wait>,
) -> v1::AcquireRequest {
    let acquire = Some(mutex(name, wait));
    v1::AcquireRequest { key: Some(key.clone()), seq, seen_through: 0, acquire }
}

/// The code, the reason and the field (or empty) of a refusal.
pub(crate) fn told(status: &Status) -> (Code, String, String) {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, conclave_server::DOMAIN);
    (status.code(), info.reason, info.metadata.get("field").cloned().unwrap_or_default())
}

pub(crate) fn reason(status: &Status) -> (Code, String) {
    let (code, reason, _) = told(status);
    (code, reason)
}

/// One session stream from the client's end.
pub(crate) struct Stream {
    pub(crate) to: mpsc::Sender<v1::StreamRequest>,
    pub(crate) from: Streaming<v1::StreamResponse>,
    /// (revision, n) of the newest message: they never go back.
    newest: (u64, u32),
}

impl Stream {
    pub(crate) async fn begin(server: &Server, first: Say) -> Self {
        let (to, requests) = mpsc::channel(4096);
        to.send(v1::StreamRequest { message: Some(first) }).await.expect("room");
        let mut client = SessionServiceClient::new(channel(server).await);
        let from = client.stream(ReceiverStream::new(requests)).await.expect("a stream");
        Self { to, from: from.into_inner(), newest: (0, 0) }
    }

    /// A stream with a new session.
    pub(crate) async fn open(server: &Server, name: &str) -> (Self, v1::SessionKey) {
        let request = open(name);
        let secret = request.secret.clone();
        let mut stream = Self::begin(server, Say::Open(request)).await;
        match stream.next().await {
            Said::Opened(opened) => {
                let (session, epoch) = (opened.session, opened.epoch);
                (stream, v1::SessionKey { session, secret, epoch })
            }
            other => panic!("not opened: {other:?}"),
        }
    }

    pub(crate) async fn say(&self, message: Say) {
        self.to.send(v1::StreamRequest { message: Some(message) }).await.expect("a stream");
    }

    pub(crate) async fn acquire(&self, seq: u64, name: &str, wait: Option<v1::Wait>) {
        let op = Some(v1::call_request::Op::Acquire(mutex(name, wait)));
        self.say(Say::Call(v1::CallRequest { seq, seen_through: 0, op })).await;
    }

    pub(crate) async fn release(&self, seq: u64, token: u64) {
        let op = Some(v1::call_request::Op::Release(v1::ReleaseOp { token, permits: 0 }));
        self.say(Say::Call(v1::CallRequest { seq, seen_through: 0, op })).await;
    }

    pub(crate) async fn call(&self, seq: u64, op: v1::call_request::Op) {
        self.say(Say::Call(v1::CallRequest { seq, seen_through: 0, op: Some(op) })).await;
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Said>, Status> {
        let Some(response) = soon("a message", self.from.message()).await? else {
            return Ok(None);
        };
        let message = response.message.expect("a message in it");
        if !matches!(message, Said::KeepAlive(_) | Said::Moved(_) | Said::Refused(_)) {
            let at = (response.revision, response.n);
            assert!(at >= self.newest, "{at:?} after {:?}: {message:?}", self.newest);
            self.newest = at;
        }
        Ok(Some(message))
    }

    pub(crate) async fn next(&mut self) -> Said {
        self.try_next().await.expect("no error").expect("not the end")
    }

    /// The next message, which is the answer of `seq`.
    pub(crate) async fn answer(&mut self, seq: u64) -> Answer {
        match self.next().await {
            Said::Answer(answer) if answer.seq == seq => answer.result.expect("a result"),
            other => panic!("not the answer of {seq}: {other:?}"),
        }
    }

    pub(crate) async fn granted(&mut self, seq: u64) -> u64 {
        match self.answer(seq).await {
            Answer::Granted(granted) => granted.token,
            other => panic!("{seq} was not granted: {other:?}"),
        }
    }

    pub(crate) async fn queued(&mut self, seq: u64) -> u32 {
        match self.answer(seq).await {
            Answer::Queued(queued) => queued.position,
            other => panic!("{seq} was not queued: {other:?}"),
        }
    }

    /// Keeps the session alive and returns the acknowledgement, which is the next message.
    pub(crate) async fn keep_alive(&mut self, number: u64, through: u64) -> v1::KeepAliveResponse {
        let message = v1::StreamKeepAlive { number, losses_seen_through: through };
        self.say(Say::KeepAlive(message)).await;
        match self.next().await {
            Said::KeepAlive(ack) => {
                assert_eq!(ack.number, number);
                ack
            }
            other => panic!("not acknowledged: {other:?}"),
        }
    }

    pub(crate) async fn ends(&mut self) {
        let end = self.try_next().await.expect("no error");
        assert!(end.is_none(), "not the end: {end:?}");
    }
}
