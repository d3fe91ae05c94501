//! A server that says what a test tells it: every stream is handed to the test, unary calls are written down.

mod objects;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::admin_service_server::{AdminService, AdminServiceServer};
use conclave_proto::v1::election_service_server::ElectionServiceServer;
use conclave_proto::v1::object_service_server::ObjectServiceServer;
use conclave_proto::v1::session_service_server::{SessionService, SessionServiceServer};
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;
use conclave_proto::v1::watch_service_server::WatchServiceServer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Response, Status, Streaming};

use self::objects::Objects;
pub(super) use self::objects::{FakeObservation, FakeWatch, Values};
use super::within;

pub(super) struct Fake {
    address: String,
    streams: mpsc::UnboundedReceiver<FakeStream>,
    pub(super) unary: mpsc::UnboundedReceiver<Unary>,
    pub(super) values: Arc<Mutex<Values>>,
    watches: mpsc::UnboundedReceiver<FakeWatch>,
    observations: mpsc::UnboundedReceiver<FakeObservation>,
    server: tokio::task::JoinHandle<()>,
}

/// A unary call that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unary {
    AckStopped { token: u64, secret: Vec<u8> },
    Close,
}

type Answers = mpsc::UnboundedSender<Result<v1::StreamResponse, Status>>;

/// The server's end of one stream.
pub(super) struct FakeStream {
    requests: Streaming<v1::StreamRequest>,
    answers: Option<Answers>,
}

#[derive(Clone)]
struct Service {
    name: Arc<str>,
    streams: mpsc::UnboundedSender<FakeStream>,
    unary: mpsc::UnboundedSender<Unary>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub(super) async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (streams, accepted) = mpsc::unbounded_channel();
        let (unary, called) = mpsc::unbounded_channel();
        let (watches, watching) = mpsc::unbounded_channel();
        let (observations, observing) = mpsc::unbounded_channel();
        let values = Arc::default();
        let objects = Objects { values: Arc::clone(&values), watches, observations };
        let service = Service { name: name.into(), streams, unary };
        let serving = tonic::transport::Server::builder()
            .add_service(SessionServiceServer::new(service.clone()))
            .add_service(AdminServiceServer::new(service))
            .add_service(ObjectServiceServer::new(objects.clone()))
            .add_service(ElectionServiceServer::new(objects.clone()))
            .add_service(WatchServiceServer::new(objects))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.expect("served") });
        Self {
            address,
            streams: accepted,
            unary: called,
            values,
            watches: watching,
            observations: observing,
            server,
        }
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    /// The next stream that a client opens.
    pub(super) async fn accept(&mut self) -> FakeStream {
        within("a stream", self.streams.recv()).await.expect("the server runs")
    }

    /// The next stream that begins with an open and lives until its first keepalive, which is acknowledged.
    pub(super) async fn welcome(&mut self, ttl: Duration) -> FakeStream {
        loop {
            let mut stream = self.accept().await;
            let Some(Request::Open(_)) = stream.next().await else { continue };
            stream.opened(ttl);
            let Some(Request::KeepAlive(first)) = stream.next().await else { continue };
            stream.acknowledge(first.number, Vec::new());
            return stream;
        }
    }

    /// The next stream that lives until its attach, which is not answered yet.
    pub(super) async fn attach(&mut self) -> (FakeStream, v1::AttachRequest) {
        loop {
            let mut stream = self.accept().await;
            if let Some(Request::Attach(attach)) = stream.next().await {
                return (stream, attach);
            }
        }
    }

    /// Whether a stream was opened that the test did not take.
    pub(super) fn has_stream(&mut self) -> bool {
        !self.streams.is_empty()
    }

    pub(super) async fn watch(&mut self) -> FakeWatch {
        within("a watch", self.watches.recv()).await.expect("the server runs")
    }

    pub(super) async fn observation(&mut self) -> FakeObservation {
        within("an observation", self.observations.recv()).await.expect("the server runs")
    }

    pub(super) async fn unary(&mut self) -> Unary {
        within("a unary call", self.unary.recv()).await.expect("the server runs")
    }
}

impl FakeStream {
    /// The next message; none when the client ended the stream.
    pub(super) async fn next(&mut self) -> Option<Request> {
        let next = within("a message", self.requests.message()).await;
        next.unwrap_or(None).map(|request| request.message.expect("a message of this version"))
    }

    pub(super) async fn call(&mut self) -> v1::CallRequest {
        match self.next().await {
            Some(Request::Call(call)) => call,
            other => panic!("not a call: {other:?}"),
        }
    }

    /// The token that is given back, and the seq.
    pub(super) async fn release(&mut self) -> (u64, u64) {
        let call = self.call().await;
        match call.op {
            Some(v1::call_request::Op::Release(release)) => (release.token, call.seq),
            other => panic!("not a release: {other:?}"),
        }
    }

    pub(super) async fn keep_alive(&mut self) -> v1::StreamKeepAlive {
        match self.next().await {
            Some(Request::KeepAlive(keep_alive)) => keep_alive,
            other => panic!("not a keepalive: {other:?}"),
        }
    }

    /// Everything up to the end of the stream.
    pub(super) async fn rest(&mut self) -> Vec<Request> {
        let mut rest = Vec::new();
        while let Some(request) = self.next().await {
            rest.push(request);
        }
        rest
    }

    pub(super) fn say(&self, revision: u64, n: u32, message: Message) {
        let response = v1::StreamResponse { revision, n, message: Some(message) };
        // A client that has left hears nothing; the test sees that by what it awaits.
        let _ = self.answers.as_ref().expect("not cut").send(Ok(response));
    }

    pub(super) fn answer(&self, seq: u64, revision: u64, n: u32, result: v1::call_answer::Result) {
        let answer = v1::CallAnswer { seq, result: Some(result) };
        self.say(revision, n, Message::Answer(answer));
    }

    pub(super) fn grant(&self, seq: u64, token: u64, revision: u64, n: u32) {
        let granted = v1::Granted { token, waiting: 0 };
        self.answer(seq, revision, n, v1::call_answer::Result::Granted(granted));
    }

    /// The items of the acquire that comes next, and its seq.
    pub(super) async fn acquire(&mut self) -> (v1::AcquireOp, u64) {
        let call = self.call().await;
        match call.op {
            Some(v1::call_request::Op::Acquire(acquire)) => (acquire, call.seq),
            other => panic!("not an acquire: {other:?}"),
        }
    }

    /// The edit that comes next, and its seq.
    pub(super) async fn edit(&mut self) -> (v1::EditOp, u64) {
        let call = self.call().await;
        match call.op {
            Some(v1::call_request::Op::Edit(edit)) => (edit, call.seq),
            other => panic!("not an edit: {other:?}"),
        }
    }

    pub(super) fn edited(&self, seq: u64, revision: u64, edited: v1::edited::Edited) {
        let edited = v1::Edited { edited: Some(edited) };
        self.answer(seq, revision, 0, v1::call_answer::Result::Edited(edited));
    }

    pub(super) fn pass(&self, seq: u64, revision: u64, version: u64, index: u32) {
        let passed = v1::Passed { version, index };
        self.answer(seq, revision, 0, v1::call_answer::Result::Passed(passed));
    }

    /// Takes the release that comes next and answers it: its token.
    pub(super) async fn released(&mut self, revision: u64) -> u64 {
        let (token, seq) = self.release().await;
        self.answer(seq, revision, 0, v1::call_answer::Result::Released(v1::Released {}));
        token
    }

    pub(super) fn queue(&self, seq: u64, position: u32, revision: u64) {
        self.answer(seq, revision, 0, v1::call_answer::Result::Queued(v1::Queued { position }));
    }

    pub(super) fn refuse(&self, seq: u64, revision: u64, reason: &str) {
        let problem = v1::Problem { reason: reason.to_owned(), ..v1::Problem::default() };
        self.answer(seq, revision, 0, v1::call_answer::Result::Problem(problem));
    }

    pub(super) fn acknowledge(&self, number: u64, losses: Vec<v1::Loss>) {
        self.say(0, 0, Message::KeepAlive(v1::KeepAliveResponse { number, losses, revision: 0 }));
    }

    /// Takes an open and the keepalive behind it.
    pub(super) async fn welcome(&mut self, ttl: Duration) -> v1::OpenRequest {
        let open = self.welcome_silently(ttl).await;
        let first = self.keep_alive().await;
        self.acknowledge(first.number, Vec::new());
        open
    }

    /// Takes an open and acknowledges nothing.
    pub(super) async fn welcome_silently(&mut self, ttl: Duration) -> v1::OpenRequest {
        let Some(Request::Open(open)) = self.next().await else { panic!("not an open") };
        self.opened(ttl);
        open
    }

    fn opened(&self, ttl: Duration) {
        let ttl_ms = u64::try_from(ttl.as_millis()).expect("short");
        let opened = v1::OpenResponse { session: 1, epoch: 1, ttl_ms, revision: 1 };
        self.say(1, 0, Message::Opened(opened));
    }

    /// The attach that this stream begins with; not answered yet.
    pub(super) async fn attach(&mut self) -> v1::AttachRequest {
        match self.next().await {
            Some(Request::Attach(attach)) => attach,
            other => panic!("not an attach: {other:?}"),
        }
    }

    /// Answers an attach, and the keepalive behind it.
    pub(super) async fn attached(&mut self, revision: u64, standing: v1::Standing) {
        let attached = v1::AttachResponse { standing: Some(standing), ttl_ms: 10_000, revision };
        self.say(revision, 0, Message::Attached(attached));
        let first = self.keep_alive().await;
        self.acknowledge(first.number, Vec::new());
    }

    pub(super) fn moved(&self, name: &str, address: &str) {
        let leader = v1::Leader { name: name.to_owned(), address: address.to_owned() };
        self.say(0, 0, Message::Moved(v1::Moved { leader: Some(leader) }));
    }

    /// Breaks the stream.
    pub(super) fn cut(&mut self) {
        if let Some(answers) = self.answers.take() {
            let _ = answers.send(Err(Status::unavailable("cut by the test")));
        }
    }
}

pub(super) fn loss(number: u64, token: u64, reason: v1::LossReason) -> v1::Loss {
    let by = "ops".to_owned();
    v1::Loss { number, token, name: "x".to_owned(), reason: reason.into(), by, revision: 0 }
}

pub(super) fn standing_hold(seq: u64, token: u64, state: v1::HoldState) -> v1::StandingHold {
    let name = "x".to_owned();
    v1::StandingHold { seq, token, name, state: state.into(), unadopted: false }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SessionService for Service {
    type StreamStream = UnboundedReceiverStream<Result<v1::StreamResponse, Status>>;

    async fn stream(
        &self,
        request: tonic::Request<Streaming<v1::StreamRequest>>,
    ) -> Answer<Self::StreamStream> {
        let (answers, said) = mpsc::unbounded_channel();
        let stream = FakeStream { requests: request.into_inner(), answers: Some(answers) };
        // A test that has ended takes none.
        let _ = self.streams.send(stream);
        Ok(Response::new(UnboundedReceiverStream::new(said)))
    }

    async fn close(&self, _: tonic::Request<v1::CloseRequest>) -> Answer<v1::CloseResponse> {
        let _ = self.unary.send(Unary::Close);
        Ok(Response::new(v1::CloseResponse { revision: 1 }))
    }

    async fn ack_stopped(
        &self,
        request: tonic::Request<v1::AckStoppedRequest>,
    ) -> Answer<v1::AckStoppedResponse> {
        let v1::AckStoppedRequest { token, secret, .. } = request.into_inner();
        let _ = self.unary.send(Unary::AckStopped { token, secret });
        Ok(Response::new(v1::AckStoppedResponse { revision: 1 }))
    }

    async fn open(&self, _: tonic::Request<v1::OpenRequest>) -> Answer<v1::OpenResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn attach(&self, _: tonic::Request<v1::AttachRequest>) -> Answer<v1::AttachResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn resume(&self, _: tonic::Request<v1::ResumeRequest>) -> Answer<v1::ResumeResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn keep_alive(
        &self,
        _: tonic::Request<v1::KeepAliveRequest>,
    ) -> Answer<v1::KeepAliveResponse> {
        Err(Status::unimplemented("not of this script"))
    }
}

#[tonic::async_trait]
impl AdminService for Service {
    async fn status(&self, _: tonic::Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let node = self.name.as_ref().to_owned();
        Ok(Response::new(v1::StatusResponse { node, ..v1::StatusResponse::default() }))
    }

    async fn inspect(&self, _: tonic::Request<v1::InspectRequest>) -> Answer<v1::InspectResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn list(&self, _: tonic::Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn list_sessions(
        &self,
        _: tonic::Request<v1::ListSessionsRequest>,
    ) -> Answer<v1::ListSessionsResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn describe_session(
        &self,
        _: tonic::Request<v1::DescribeSessionRequest>,
    ) -> Answer<v1::DescribeSessionResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn kill_session(
        &self,
        _: tonic::Request<v1::KillSessionRequest>,
    ) -> Answer<v1::KillSessionResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn force_release(
        &self,
        _: tonic::Request<v1::ForceReleaseRequest>,
    ) -> Answer<v1::ForceReleaseResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn resize(&self, _: tonic::Request<v1::ResizeRequest>) -> Answer<v1::ResizeResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn transfer(
        &self,
        _: tonic::Request<v1::TransferRequest>,
    ) -> Answer<v1::TransferResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn delete(&self, _: tonic::Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        Err(Status::unimplemented("not of this script"))
    }

    async fn step_down(
        &self,
        _: tonic::Request<v1::StepDownRequest>,
    ) -> Answer<v1::StepDownResponse> {
        Err(Status::unimplemented("not of this script"))
    }
}
