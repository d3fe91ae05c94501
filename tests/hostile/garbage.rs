//! Bytes that are no HTTP, messages that are no messages, peers that are none.

use std::time::Duration;

use conclave_proto::internal::v1 as internal;
use conclave_proto::internal::v1::peer_service_client::PeerServiceClient;
use tokio::io::AsyncWriteExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::victim::Victim;
use crate::wire::{DATA, END_STREAM, PREFACE, SETTINGS, Wire, call, frame};

/// What a connection attempt may leave behind while it is judged, all together.
const MIB_MORE: u64 = 64;

/// Draws bytes; the same ones each time.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 24
    }

    fn draw(&mut self, longest: u64) -> Vec<u8> {
        let length = self.next() % longest;
        (0..length).map(|_| self.next().to_be_bytes()[7]).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_both_ports_is_hung_up_on() {
    let victim = Victim::start().await;
    let mut bytes = Bytes(7);
    for port in victim.ports() {
        let settings = frame(SETTINGS, 0, 0, &[]);
        let mut openings: Vec<Vec<u8>> = (0..100).map(|_| bytes.draw(4096)).collect();
        // A hello of TLS, a line that never was HTTP, headers without end, a preface with garbage for frames, half a preface.
        openings.push(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
        openings.push(b"EHLO example.org\r\n".to_vec());
        openings.push([b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'a'; 1 << 20]].concat());
        openings.push([PREFACE, &bytes.draw(4096)].concat());
        openings.push([PREFACE, &settings[..], &frame(0xee, 0xff, 77, &bytes.draw(999))].concat());
        openings.push([PREFACE, &settings[..], &frame(0, 1, 5, b"data of no stream")].concat());
        openings.push(PREFACE[..13].to_vec());
        for opening in openings {
            let mut wire = Wire::silent(&port).await;
            // It may hang up before it has read all.
            let _taken = wire.write(&opening, Duration::from_secs(5)).await;
            let _closed_already = wire.tcp.shutdown().await;
            assert!(wire.is_hung_up_on(Duration::from_secs(20)).await, "{port}: {opening:?}");
        }
    }
    victim.goes_on(MIB_MORE).await;
}

/// Every method that takes a message of a client, and every method of the peers.
const CLIENTS: &[&str] = &[
    "SessionService/Stream",
    "SessionService/Open",
    "SessionService/KeepAlive",
    "SessionService/Attach",
    "SessionService/Resume",
    "SessionService/AckStopped",
    "SessionService/Close",
    "LockService/Acquire",
    "LockService/Release",
    "LockService/Cancel",
    "LockService/Check",
    "ElectionService/GetElection",
    "ObjectService/GetRegister",
    "WatchService/Watch",
    "AdminService/Inspect",
    "AdminService/List",
    "AdminService/ForceRelease",
    "AdminService/KillSession",
    "NoService/NoMethod",
];
const PEERS: &[&str] = &[
    "Introduce",
    "Form",
    "Vote",
    "PreVote",
    "Append",
    "AppendStream",
    "InstallSnapshot",
    "TransferLeader",
];

/// A message of gRPC: not compressed, so long, and these bytes, of which only some may follow.
fn message(length: u32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn random_and_truncated_messages_end_their_call_and_nothing_else() {
    let victim = Victim::start().await;
    let [clients, peers] = victim.ports();
    let public = CLIENTS.iter().map(|path| format!("/conclave.v1.{path}"));
    let inner = PEERS.iter().map(|path| format!("/conclave.internal.v1.PeerService/{path}"));
    let paths: Vec<String> = public.chain(inner).collect();
    let mut bytes = Bytes(11);
    for port in [clients, peers] {
        for path in &paths {
            let mut wire = Wire::open(&port).await;
            let mut stream = 1;
            for number in 0..12 {
                let body = bytes.draw(300);
                let length = u32::try_from(body.len()).expect("short");
                // Whole, cut off before its end, said to be of 4 GiB, or compressed in no way that there is.
                let mut sent = match number % 4 {
                    0 => message(length, &body),
                    1 => message(length + 50, &body),
                    2 => message(u32::MAX, &body),
                    _ => message(length, &body),
                };
                if number % 4 == 3 {
                    sent[0] = 7;
                }
                let call = [call(stream, path), frame(DATA, END_STREAM, stream, &sent)].concat();
                assert!(wire.write(&call, Duration::from_secs(5)).await, "{path} on {port}");
                let ended = wire.ends_call(stream, Duration::from_secs(20)).await;
                assert!(ended, "{path} on {port} does not end: {body:?}");
                stream += 2;
            }
        }
    }
    victim.goes_on(MIB_MORE).await;
}

fn peer(address: &str) -> PeerServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    PeerServiceClient::new(endpoint.connect_lazy())
}

fn vote(marks: &[(&'static str, &[u8])]) -> Request<internal::VoteRequest> {
    let ballot = internal::Ballot { term: u64::MAX / 2, voted_for: Some(7), committed: false };
    let vote = internal::VoteRequest { ballot: Some(ballot), last: None, transfer: false };
    let mut request = Request::new(vote);
    for (name, value) in marks {
        let value = std::str::from_utf8(value).expect("a text");
        request.metadata_mut().insert(*name, value.parse().expect("a header"));
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_peer_changes_no_term_and_no_vote() {
    let victim = Victim::start().await;
    let [clients, peers] = victim.ports();
    let before = victim.cluster.status(0).expect("it answers").term;
    // What peers say has no place where clients are.
    let status = peer(&clients).vote(vote(&[])).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    let introduced = peer(&peers).introduce(internal::IntroduceRequest {}).await;
    let node = introduced.expect("anybody is told").into_inner();
    let cluster = hex(&node.cluster_id.expect("it belongs to one"));
    let own = node.id.to_string();
    let forged: [&[(&'static str, &[u8])]; 4] = [
        &[],
        &[
            ("conclave-cluster", b"00000000000000000000000000000000"),
            ("conclave-from", b"7"),
            ("conclave-to", own.as_bytes()),
        ],
        &[
            ("conclave-cluster", cluster.as_bytes()),
            ("conclave-from", b"7"),
            ("conclave-to", b"99"),
        ],
        &[("conclave-cluster", b"nonsense"), ("conclave-from", b"-1"), ("conclave-to", b"x")],
    ];
    for marks in forged {
        let status = peer(&peers).vote(vote(marks)).await.expect_err("refused");
        assert_eq!(status.code(), Code::FailedPrecondition, "{marks:?}: {status:?}");
    }
    assert_eq!(victim.cluster.status(0).expect("it answers").term, before);
    victim.goes_on(MIB_MORE).await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
