//! Three servers in one process: forwarding, moved streams, and a node without a quorum.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::acquire_response::Result as Answer;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use conclave_raft::{Member, Timing};
use conclave_server::{Server, ServerConfig};
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::look::{get, health};
use crate::support::{
    Api, LIMIT, Stream, acquire, attempt, config, forever, none, open, reason, soon,
};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// More patience than by default: these tests share a busy machine and are about forwarding, not about failing over fast.
fn patient() -> Timing {
    Timing {
        heartbeat: Duration::from_millis(200),
        election_min: Duration::from_millis(1_000),
        election_max: Duration::from_millis(2_000),
        ..Timing::default()
    }
}

/// Configurations of three nodes on loopback addresses that no other cluster of this machine has.
fn three() -> Vec<ServerConfig> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(64) + COUNT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = (number % (64 * 256)).to_be_bytes();
    let host = |node: usize| format!("127.{}.{low}.{}", u32::from(high) + 130, node + 1);
    let member = |node: usize| Member {
        name: NAMES[node].to_owned(),
        peer_address: format!("{}:7421", host(node)),
    };
    (0..3)
        .map(|node| ServerConfig {
            name: NAMES[node].to_owned(),
            listen: format!("{}:7420", host(node)),
            peer_listen: format!("{}:7421", host(node)),
            cluster: (0..3).map(member).collect(),
            timing: patient(),
            ..config()
        })
        .collect()
}

/// Three servers that know one leader, which is the first of them.
pub(crate) async fn start_three() -> Vec<Server> {
    let mut servers = Vec::new();
    for config in three() {
        servers.push(Server::start(config).await.expect("it starts"));
    }
    let leader = loop {
        let mut names = Vec::new();
        for server in &servers {
            let mut leadership = server.node().leadership();
            let known = soon("a leader", leadership.wait_for(|seen| seen.leader.is_some()));
            names.push(known.await.expect("the node lives").leader.clone().expect("one").name);
        }
        let leads = |server: &Server| server.node().leadership().borrow().leading;
        if names.iter().all(|name| *name == names[0]) && servers.iter().any(leads) {
            break servers.iter().position(leads).expect("one leads");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    servers.swap(0, leader);
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_call_on_a_follower_is_forwarded_and_a_stream_is_told_where_to_go() {
    let servers = start_three().await;
    let mut api = Api::of(&servers[1]).await;
    let key = api.open("one").await;
    let token = api.granted(&key, 1, "a").await;
    let keep_alive =
        v1::KeepAliveRequest { key: Some(key.clone()), number: 3, ..Default::default() };
    assert_eq!(api.sessions.keep_alive(keep_alive).await.expect("kept").into_inner().number, 3);
    // A refusal of the leader comes through as it is.
    let wrong = v1::SessionKey { secret: vec![7; 16], ..key.clone() };
    let status = api.locks.acquire(acquire(&wrong, 2, "a", none())).await.expect_err("refused");
    assert_eq!(reason(&status), (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned()));
    // A read too, and linearizable: it sees what was just granted.
    api.queue_len("a", 0).await;
    // The caller's deadline goes along: the leader answers before it.
    let other = api.open("two").await;
    let mut request = Request::new(acquire(&other, 1, "a", forever()));
    request.set_timeout(Duration::from_secs(3));
    let answer = api.locks.acquire(request).await.expect("in time").into_inner();
    assert!(matches!(answer.result, Some(Answer::Queued(_))), "{answer:?}");
    // It waits on through the other follower.
    let mut third = Api::of(&servers[2]).await;
    let waiting =
        tokio::spawn(async move { third.locks.acquire(acquire(&other, 1, "a", forever())).await });
    api.release(&key, 2, token).await;
    let answer = soon("the grant", waiting).await.expect("no panic").expect("granted");
    assert!(matches!(answer.into_inner().result, Some(Answer::Granted(_))));

    let mut stream = Stream::begin(&servers[1], Say::Open(open("three"))).await;
    match stream.next().await {
        Said::Moved(moved) => {
            let leader = moved.leader.expect("known");
            assert_eq!(leader.address, servers[0].client_addr.to_string());
        }
        other => panic!("{other:?}"),
    }
    stream.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_sends_its_streams_to_the_next_and_all_keep_their_places() {
    let mut servers = start_three().await;
    let (mut holder, holder_key) = Stream::open(&servers[0], "holder").await;
    holder.acquire(1, "a", none()).await;
    let token = holder.granted(1).await;
    let (mut waiter, waiter_key) = Stream::open(&servers[0], "waiter").await;
    waiter.acquire(1, "a", forever()).await;
    waiter.queued(1).await;
    assert!(matches!(holder.next().await, Said::Contended(_)));
    soon("the stop", servers.remove(0).shutdown()).await;
    assert!(matches!(holder.next().await, Said::Moved(_)));
    holder.ends().await;
    assert!(matches!(waiter.next().await, Said::Moved(_)));

    let holder = attach(&servers, &holder_key, &[token], &[]).await;
    let mut waiter = attach(&servers, &waiter_key, &[], &[1]).await;
    holder.release(2, token).await;
    assert!(waiter.granted(1).await > token);
}

/// Attaches at whichever of them leads.
async fn attach(servers: &[Server], key: &v1::SessionKey, held: &[u64], waiting: &[u64]) -> Stream {
    let attach = || v1::AttachRequest {
        key: Some(key.clone()),
        held: held.into(),
        waiting: waiting.into(),
        next_seq: 2,
        number: attempt(),
    };
    let found = async {
        loop {
            for server in servers {
                let mut stream = Stream::begin(server, Say::Attach(attach())).await;
                match stream.next().await {
                    Said::Attached(attached) => {
                        let standing = attached.standing.expect("a standing");
                        assert_eq!(standing.holds.len(), held.len());
                        assert_eq!(standing.waits.len(), waiting.len());
                        return stream;
                    }
                    Said::Moved(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("a leader that attaches", found).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stepping_down_moves_the_leader_where_it_was_told() {
    let servers = start_three().await;
    let to = servers[2].node().status().name.to_string();
    // Asked at a follower, so forwarded.
    let mut api = Api::of(&servers[1]).await;
    let request = v1::StepDownRequest { to: to.clone() };
    let answer = api.admin.step_down(request).await.expect("handed over").into_inner();
    assert_eq!(answer.leader.expect("a leader").name, to);
    let unknown = v1::StepDownRequest { to: "nobody".to_owned() };
    let led = async {
        loop {
            let status = api.admin.step_down(unknown.clone()).await.expect_err("nobody");
            match reason(&status) {
                (Code::NotFound, _) => return,
                // The new one does not serve yet.
                (Code::Unavailable, _) => tokio::time::sleep(Duration::from_millis(20)).await,
                other => panic!("{other:?}"),
            }
        }
    };
    soon("the new leader serves", led).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_leader_says_so_and_shows_what_it_knows() {
    let config = three().swap_remove(0);
    let server = Server::start(config).await.expect("it starts without its peers");
    assert_eq!(health(&server, "").await, ServingStatus::NotServing);
    assert_eq!(health(&server, "conclave.v1.SessionService").await, ServingStatus::NotServing);
    assert_eq!(get(&server, "/livez").await.0, "HTTP/1.1 200 OK");
    assert_eq!(get(&server, "/readyz").await.0, "HTTP/1.1 503 Service Unavailable");
    let (_, metrics) = get(&server, "/metrics").await;
    assert!(metrics.lines().any(|line| line == "conclave_leader_known 0"), "{metrics}");

    let mut api = Api::of(&server).await;
    let status = api.sessions.open(open("one")).await.expect_err("no leader");
    assert_eq!(reason(&status), (Code::Unavailable, "NOT_LEADER".to_owned()));
    let mut stream = Stream::begin(&server, Say::Open(open("one"))).await;
    assert!(matches!(stream.next().await, Said::Moved(v1::Moved { leader: None })));
    stream.ends().await;
    let status = api.admin.status(v1::StatusRequest {}).await.expect("never needs a quorum");
    let status = status.into_inner();
    assert_eq!((status.node.as_str(), status.leader), ("a", None));
    let stale = v1::InspectRequest { name: "x".to_owned(), stale: true, queue_max: 0 };
    assert!(!api.admin.inspect(stale).await.expect("stale").into_inner().exists);
    let fresh = v1::InspectRequest { name: "x".to_owned(), ..Default::default() };
    assert_eq!(api.admin.inspect(fresh).await.expect_err("fresh").code(), Code::Unavailable);
    let begun = tokio::time::Instant::now();
    server.shutdown().await;
    assert!(begun.elapsed() < LIMIT);
}
