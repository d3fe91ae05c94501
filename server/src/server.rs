//! One running server: a node, two listeners, and the order in which they start and stop.

use std::net::SocketAddr;
use std::time::Duration;

use conclave_raft::{Fatal, Node, NodeConfig};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Router, Server as Transport};

use crate::bind::bind;
use crate::config::ServerConfig;
use crate::edge::Edge;
use crate::error::ServerError;
use crate::health::Health;
use crate::limits;
use crate::listener::{ConnectionCount, incoming};
use crate::metrics::Metrics;
use crate::ready::Ready;
use crate::routes;

/// A server that listens. Dropping it without [`shutdown`](Self::shutdown) closes its connections and leaves its node to end
/// by itself.
pub struct Server {
    pub client_addr: SocketAddr,
    pub peer_addr: SocketAddr,
    edge: Edge,
    health: Health,
    clients: Listening,
    peers: Listening,
    /// Cancelled: connections that are still there are closed.
    over: CancellationToken,
}

/// One listener and its connections.
struct Listening {
    /// Sent: accepts no more, asks its clients to leave.
    leave: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Binds, starts the node, serves. A leader may not be known yet.
    ///
    /// # Errors
    /// An address that cannot be bound or must not be, a data directory that is not this node's, ...
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        let clients = bind("listen", &config.listen, config.insecure).await?;
        let peers = bind("peer_listen", &config.peer_listen, config.insecure).await?;
        let (client_addr, peer_addr) = (clients.1, peers.1);
        let node = Node::start(node_config(&config, client_addr, peer_addr)).await?;
        let metrics = Metrics::new();
        let edge = Edge::new(node, config.name.clone(), config.ttl_floor, metrics);
        let health = Health::start(edge.clone()).await;
        let over = CancellationToken::new();

        let count = ConnectionCount::default();
        let client_routes = routes::for_clients(&edge, &health, count.clone());
        let client_router = transport(limits::CLIENT_STREAMS_MAX, true).add_routes(client_routes);
        let peer_routes = routes::for_peers(&edge);
        let peer_router = transport(limits::PEER_STREAMS_MAX, false).add_routes(peer_routes);
        Ok(Self {
            client_addr,
            peer_addr,
            clients: listen(
                clients.0,
                client_router,
                limits::CLIENT_CONNECTIONS_MAX,
                count,
                over.clone(),
            ),
            peers: listen(
                peers.0,
                peer_router,
                limits::PEER_CONNECTIONS_MAX,
                ConnectionCount::default(),
                over.clone(),
            ),
            edge,
            health,
            over,
        })
    }

    #[must_use]
    pub fn ready(&self) -> Ready {
        Ready { client: self.client_addr, peer: self.peer_addr, pid: std::process::id() }
    }

    /// Resolves when the node cannot go on; the process then exits non-zero.
    pub async fn failed(&self) -> Fatal {
        self.edge.node().failed().await
    }

    /// The node below, for tests that look behind the edge.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.edge.node()
    }

    /// Stops gracefully, within `limits::DRAIN_MAX`: accepts no more clients, hands leadership over (which ends
    /// the session streams with where to go), lets calls end, closes what is left.
    pub async fn shutdown(mut self) {
        let until = Instant::now() + limits::DRAIN_MAX;
        tracing::info!("stopping");
        self.edge.stop();
        self.health.stop().await;
        self.clients.leave();
        // Peers are listened to until leadership is handed over: their votes may be needed for it, and ours.
        if timeout_at(until, self.edge.node().shutdown()).await.is_err() {
            tracing::warn!("the node did not stop in time");
        }
        self.peers.leave();
        let drained = async {
            self.clients.ended().await;
            self.peers.ended().await;
        };
        // Even when the node took all the time: what has nothing left to say ends at once.
        let until = until.max(Instant::now() + Duration::from_millis(100));
        if timeout_at(until, drained).await.is_err() {
            tracing::warn!("closing connections that did not end in time");
        }
        self.over.cancel();
        tracing::info!("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.cancel();
        self.clients.task.abort();
        self.peers.task.abort();
    }
}

impl Listening {
    fn leave(&mut self) {
        if let Some(leave) = self.leave.take() {
            // An error: it ended already.
            let _ = leave.send(());
        }
    }

    async fn ended(&mut self) {
        if !self.task.is_finished() && (&mut self.task).await.is_err() {
            tracing::error!("a listener's task panicked");
        }
    }
}

fn node_config(
    config: &ServerConfig,
    client_addr: SocketAddr,
    peer_addr: SocketAddr,
) -> NodeConfig {
    let own = config.cluster.iter().find(|member| member.name == config.name);
    let peer_address = config
        .peer_advertise
        .clone()
        .or_else(|| own.map(|own| own.peer_address.clone()))
        .unwrap_or_else(|| peer_addr.to_string());
    let client_address = config.advertise.clone().unwrap_or_else(|| {
        // Nobody can dial "all addresses"; the host by which peers reach this node is the better guess.
        match peer_address.rsplit_once(':') {
            Some((host, _)) if client_addr.ip().is_unspecified() => {
                format!("{host}:{}", client_addr.port())
            }
            _ => client_addr.to_string(),
        }
    });
    NodeConfig {
        name: config.name.clone(),
        cluster: config.cluster.clone(),
        join: config.join.clone(),
        join_patience: config.join_patience,
        token: config.cluster_token.clone(),
        client_address,
        peer_address,
        storage: config.storage.clone(),
        timing: config.timing,
        retention: config.retention,
    }
}

/// Every limit of a connection, said once. There is no time limit for calls: each brings its own.
fn transport(streams_max: u32, accept_http1: bool) -> Transport {
    Transport::builder()
        .accept_http1(accept_http1)
        .max_concurrent_streams(streams_max)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(limits::PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(limits::LOCAL_RESETS_MAX))
        .http2_keepalive_interval(Some(limits::PING_AFTER))
        .http2_keepalive_timeout(Some(limits::PING_TIMEOUT))
}

fn listen(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    count: ConnectionCount,
    over: CancellationToken,
) -> Listening {
    let (leave, left) = oneshot::channel();
    let connections = incoming(listener, connections_max, count, over);
    let serving = router.serve_with_incoming_shutdown(connections, async move {
        // An error: the server was dropped.
        let _ = left.await;
    });
    let task = tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "a listener ended");
        }
    });
    Listening { leave: Some(leave), task }
}
