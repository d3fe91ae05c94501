//! Bytes that are no message: random, truncated, too many. Each is answered, nothing breaks.

use bytes::{Buf as _, BufMut as _, Bytes};
use conclave_proto::v1;
use conclave_server::Server;
use prost::Message as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use crate::support::{Api, acquire, channel, none, soon, start};

const SEED: u64 = 0x5EED_0BAD_C0FF_EE00;

const METHODS: &[&str] = &[
    "/conclave.v1.SessionService/Stream",
    "/conclave.v1.SessionService/Open",
    "/conclave.v1.SessionService/Attach",
    "/conclave.v1.SessionService/Resume",
    "/conclave.v1.SessionService/KeepAlive",
    "/conclave.v1.SessionService/Close",
    "/conclave.v1.SessionService/AckStopped",
    "/conclave.v1.LockService/Acquire",
    "/conclave.v1.LockService/Release",
    "/conclave.v1.LockService/Adopt",
    "/conclave.v1.LockService/Downgrade",
    "/conclave.v1.LockService/Upgrade",
    "/conclave.v1.LockService/Cancel",
    "/conclave.v1.LockService/Check",
    "/conclave.v1.ElectionService/Proclaim",
    "/conclave.v1.ElectionService/SetEligible",
    "/conclave.v1.ElectionService/GetElection",
    "/conclave.v1.ObjectService/Edit",
    "/conclave.v1.ObjectService/Complete",
    "/conclave.v1.ObjectService/GetRegister",
    "/conclave.v1.ObjectService/GetCounter",
    "/conclave.v1.ObjectService/GetOnceResult",
    "/conclave.v1.WatchService/Watch",
    "/conclave.v1.WatchService/Observe",
    "/conclave.v1.AdminService/Inspect",
    "/conclave.v1.AdminService/List",
    "/conclave.v1.AdminService/ListSessions",
    "/conclave.v1.AdminService/DescribeSession",
    "/conclave.v1.AdminService/KillSession",
    "/conclave.v1.AdminService/ForceRelease",
    "/conclave.v1.AdminService/Resize",
    "/conclave.v1.AdminService/Transfer",
    "/conclave.v1.AdminService/Delete",
];

/// Bytes as they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Sends these bytes as one message, and reads the first answer.
async fn send(server: &Server, method: &'static str, bytes: Bytes) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel(server).await);
    client.ready().await.expect("a connection");
    let path = PathAndQuery::from_static(method);
    let messages = Request::new(tokio_stream::once(bytes));
    let mut answers = soon(method, client.streaming(messages, path, Raw)).await?.into_inner();
    soon(method, answers.message()).await.map(drop)
}

/// Xorshift: the same bytes in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> Bytes {
        let len = self.next() % 200;
        (0..len).map(|_| self.next() as u8).collect()
    }
}

async fn lives(server: &Server) {
    let mut api = Api::of(server).await;
    let key = api.open("after the storm").await;
    let token = api.granted(&key, 1, "still works").await;
    api.release(&key, 2, token).await;
}

#[tokio::test]
async fn random_bytes_are_answered_and_change_nothing() {
    let server = start().await;
    let mut random = Random(SEED);
    let mut refused = 0;
    for _ in 0..8 {
        for method in METHODS {
            let bytes = random.bytes();
            let Err(status) = send(&server, method, bytes.clone()).await else { continue };
            refused += 1;
            let code = status.code();
            let known = [Code::Internal, Code::InvalidArgument, Code::NotFound];
            assert!(
                known.contains(&code) || code == Code::FailedPrecondition,
                "{method} with {bytes:?} (seed {SEED:#x}): {status:?}"
            );
        }
    }
    assert!(refused > METHODS.len(), "only {refused} were refused: these bytes test nothing");
    let mut api = Api::of(&server).await;
    let status = api.admin.status(v1::StatusRequest {}).await.expect("a status").into_inner();
    assert_eq!(status.holds + status.sessions, 0);
    lives(&server).await;
}

#[tokio::test]
async fn a_message_cut_anywhere_is_answered() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("one").await;
    let whole = acquire(&key, 1, "cut", none()).encode_to_vec();
    for len in 0..whole.len() {
        let bytes = Bytes::copy_from_slice(&whole[..len]);
        let status = send(&server, "/conclave.v1.LockService/Acquire", bytes).await;
        let status = status.expect_err("a cut message is not taken");
        assert!(
            [Code::Internal, Code::InvalidArgument].contains(&status.code()),
            "{len}: {status:?}"
        );
    }
    lives(&server).await;
}

#[tokio::test]
async fn a_name_that_is_no_utf8_is_refused() {
    let server = start().await;
    let mut bytes =
        v1::InspectRequest { name: "xx".to_owned(), ..Default::default() }.encode_to_vec();
    let at = bytes.iter().position(|byte| *byte == b'x').expect("the name");
    bytes[at] = 0xFF;
    let status = send(&server, "/conclave.v1.AdminService/Inspect", bytes.into()).await;
    assert_eq!(status.expect_err("no name").code(), Code::Internal);
    lives(&server).await;
}

#[tokio::test]
async fn a_message_over_one_mebibyte_is_refused_and_the_connection_lives() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let request = v1::InspectRequest { name: "n".repeat(1024 * 1024), ..Default::default() };
    let status = api.admin.inspect(request).await.expect_err("too long");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    api.admin.status(v1::StatusRequest {}).await.expect("the same connection");
    lives(&server).await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unimplemented() {
    let server = start().await;
    let status = send(&server, "/conclave.v2.LockService/Acquire", Bytes::new()).await;
    assert_eq!(status.expect_err("not there").code(), Code::Unimplemented);
}
