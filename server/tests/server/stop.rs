//! Starting and stopping: what may be listened on, the ready file, and a stop that tells everybody where to go.

use std::time::Duration;

use conclave_proto::v1::stream_response::Message as Said;
use conclave_server::{Server, ServerConfig, ServerError};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::Code;

use crate::support::{Api, Stream, acquire, config, forever, none, reason, soon, start};

#[tokio::test]
async fn a_graceful_stop_ends_streams_with_moved_and_waits_with_unavailable() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, waiter) = (api.open("holder").await, api.open("waiter").await);
    api.granted(&holder, 1, "a").await;
    let (mut stream, _) = Stream::open(&server, "one").await;
    stream.acquire(1, "a", forever()).await;
    stream.queued(1).await;
    let mut its = api.clone();
    let call =
        tokio::spawn(async move { its.locks.acquire(acquire(&waiter, 1, "a", forever())).await });
    api.queue_len("a", 2).await;
    let address = server.client_addr;

    let begun = Instant::now();
    soon("the stop", server.shutdown()).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(matches!(stream.next().await, Said::Moved(_)));
    stream.ends().await;
    let status = soon("its end", call).await.expect("no panic").expect_err("no grant");
    assert_eq!(reason(&status), (Code::Unavailable, "NOT_LEADER".to_owned()));
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn an_idle_client_does_not_hold_up_the_stop() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("one").await;
    api.granted(&key, 1, "a").await;
    // A connection that says nothing at all.
    let silent = TcpStream::connect(server.client_addr).await.expect("it listens");
    let begun = Instant::now();
    soon("the stop", server.shutdown()).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    drop(silent);
    let request = acquire(&key, 2, "b", none());
    assert_eq!(api.locks.acquire(request).await.expect_err("gone").code(), Code::Unavailable);
}

#[tokio::test]
async fn beyond_loopback_needs_a_word() {
    let exposed = ServerConfig { listen: "0.0.0.0:0".to_owned(), ..config() };
    let error = Server::start(exposed.clone()).await.err().expect("refused");
    assert!(matches!(error, ServerError::Exposed { field: "listen", .. }), "{error}");
    assert!(error.to_string().contains("--insecure"), "{error}");
    let exposed_peers = ServerConfig { peer_listen: "0.0.0.0:0".to_owned(), ..config() };
    let error = Server::start(exposed_peers).await.err().expect("refused");
    assert!(matches!(error, ServerError::Exposed { field: "peer_listen", .. }), "{error}");
    let server = Server::start(ServerConfig { insecure: true, ..exposed }).await.expect("told so");
    server.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let server = start().await;
    let taken = ServerConfig { listen: server.client_addr.to_string(), ..config() };
    let error = Server::start(taken).await.err().expect("refused").to_string();
    assert!(error.contains("listen") && error.contains(&server.client_addr.to_string()), "{error}");
}

#[tokio::test]
async fn the_ready_file_says_where_and_is_never_half_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ready.json");
    let config = ServerConfig { ready_file: Some(path.clone()), ..config() };
    let (ready, listening) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(conclave_server::run(config, move |at| {
        ready.send(*at).expect("somebody waits");
    }));
    let ready = soon("ready", listening).await.expect("it starts");
    let text = std::fs::read_to_string(&path).expect("written before it is told");
    let said: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(said["client"], ready.client.to_string());
    assert_eq!(said["peer"], ready.peer.to_string());
    assert_eq!(said["pid"], std::process::id());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    assert!(TcpStream::connect(ready.client).await.is_ok());
    running.abort();
}

#[tokio::test]
async fn a_ready_file_that_cannot_be_written_is_an_error() {
    let config = ServerConfig { ready_file: Some("/not/there/ready.json".into()), ..config() };
    let ended = soon("the end", conclave_server::run(config, |_| panic!("not ready"))).await;
    assert!(matches!(ended, Err(ServerError::ReadyFile { .. })), "{ended:?}");
}
