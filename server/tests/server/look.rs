//! Looking: inspect, list, sessions, status, HTTP, health, reflection.

use conclave_proto::v1;
use conclave_server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Api, Stream, acquire, channel, forever, soon, start};

/// The status line and the body of a GET by plain HTTP/1.1.
pub(crate) async fn get(server: &Server, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.client_addr).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    soon(path, stream.read_to_string(&mut answer)).await.expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().expect("a status line").to_owned(), body.to_owned())
}

pub(crate) async fn health(server: &Server, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(channel(server).await);
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.expect("an answer").into_inner().status()
}

#[tokio::test]
async fn inspect_and_lists_show_holders_and_waiters() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let (holder, other) = (api.open("billing").await, api.open("batch").await);
    let token = api.granted(&holder, 1, "jobs/a").await;
    api.granted(&holder, 2, "jobs/b").await;
    let mut its = api.clone();
    let key = other.clone();
    let call =
        tokio::spawn(async move { its.locks.acquire(acquire(&key, 1, "jobs/a", forever())).await });
    api.queue_len("jobs/a", 1).await;

    for stale in [false, true] {
        let request = v1::InspectRequest { name: "jobs/a".to_owned(), stale, queue_max: 0 };
        let seen = api.admin.inspect(request).await.expect("inspected").into_inner();
        assert!(seen.exists);
        assert_eq!(seen.kind(), v1::Kind::Mutex);
        assert_eq!(
            (seen.holders[0].session_name.as_str(), seen.holders[0].token),
            ("billing", token)
        );
        assert_eq!((seen.queue[0].session_name.as_str(), seen.queue[0].position), ("batch", 1));
        assert_eq!(seen.statistics.expect("statistics").grants, 1);

        let request = v1::ListRequest { prefix: "jobs/".to_owned(), stale, ..Default::default() };
        let list = api.admin.list(request).await.expect("a list").into_inner();
        let names: Vec<_> = list.objects.iter().map(|object| object.name.as_str()).collect();
        assert_eq!((names, list.total), (vec!["jobs/a", "jobs/b"], 2));

        let request =
            v1::ListSessionsRequest { prefix: "b".to_owned(), stale, ..Default::default() };
        let list = api.admin.list_sessions(request).await.expect("a list").into_inner();
        assert_eq!((list.total, list.sessions[0].name.as_str()), (2, "billing"));
        assert_eq!((list.sessions[0].holds, list.sessions[1].waits), (2, 1));

        let request = v1::DescribeSessionRequest { session: other.session, stale };
        let described = api.admin.describe_session(request).await.expect("found").into_inner();
        assert_eq!(described.waits[0].name, "jobs/a");
        let blocker = &described.blocked_by[0];
        assert_eq!((blocker.holder_name.as_str(), blocker.token), ("billing", token));
    }
    let sorted =
        v1::ListRequest { sort: v1::Sort::MostWaiters.into(), limit: 1, ..Default::default() };
    let list = api.admin.list(sorted).await.expect("a list").into_inner();
    assert_eq!((list.objects.len(), list.objects[0].queue_len, list.total), (1, 1, 2));
    let unknown = v1::DescribeSessionRequest { session: 77_777, stale: false };
    let status = api.admin.describe_session(unknown).await.expect_err("unknown");
    assert_eq!(status.code(), tonic::Code::NotFound);
    call.abort();
}

#[tokio::test]
async fn the_status_names_the_leader_and_counts() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let key = api.open("one").await;
    api.granted(&key, 1, "a").await;
    let status = api.admin.status(v1::StatusRequest {}).await.expect("a status").into_inner();
    assert_eq!(status.node, "node");
    let leader = status.leader.expect("a leader");
    assert_eq!((leader.name.as_str(), leader.address), ("node", server.client_addr.to_string()));
    assert_eq!((status.sessions, status.objects, status.holds, status.waiters), (1, 1, 1, 0));
    assert_eq!(status.nodes.len(), 1);
    assert_eq!(status.nodes[0].role(), v1::node_status::Role::Leader);
    assert!(status.nodes[0].reachable && status.nodes[0].applied > 0);
    assert!(status.revision >= 2 && status.term >= 1 && !status.cluster_id.is_empty());
}

#[tokio::test]
async fn http_and_grpc_share_one_port() {
    let server = start().await;
    let (mut stream, _) = Stream::open(&server, "one").await;
    stream.keep_alive(1, 0).await;
    let (line, body) = get(&server, "/livez").await;
    assert_eq!((line.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
    let (line, body) = get(&server, "/readyz").await;
    assert_eq!((line.as_str(), body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
    let (line, body) = get(&server, "/metrics").await;
    assert_eq!(line, "HTTP/1.1 200 OK");
    for sample in
        ["conclave_leader 1", "conclave_sessions 1", "conclave_streams 1", "conclave_holds 0"]
    {
        assert!(body.lines().any(|line| line == sample), "no {sample:?} in\n{body}");
    }
    assert!(body.contains("# TYPE conclave_proposals_total counter"), "{body}");
    assert!(body.contains("# TYPE conclave_apply_seconds histogram"), "{body}");
    let number = |name: &str| {
        let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|number| number.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    let count = number("conclave_apply_seconds_count");
    assert!(count >= 1.0, "the open of the session was applied: {body}");
    assert!(number("conclave_apply_seconds_bucket{le=\"0.02\"}") <= count, "{body}");
    assert_eq!(number("conclave_apply_seconds_bucket{le=\"+Inf\"}").to_bits(), count.to_bits());
    let (line, _) = get(&server, "/nothing").await;
    assert_eq!(line, "HTTP/1.1 404 Not Found");
    assert_eq!(health(&server, "").await, ServingStatus::Serving);
    assert_eq!(health(&server, "conclave.v1.LockService").await, ServingStatus::Serving);
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let server = start().await;
    let mut client = ServerReflectionClient::new(channel(&server).await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let answers = client.server_reflection_info(tokio_stream::once(request)).await;
    let mut answers = answers.expect("answers").into_inner();
    let answer = soon("a list", answers.message()).await.expect("no error").expect("one");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "conclave.v1.SessionService",
        "conclave.v1.LockService",
        "conclave.v1.AdminService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(names.iter().all(|name| !name.contains("internal")), "{names:?}");
}
