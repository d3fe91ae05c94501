//! Nodes that can be started, stopped and started again, and a client's few commands.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use conclave_machine::{
    Acquire, Call, Command, Demand, Labels, Name, Op, Open, Outcome, Secret, Seq, SessionId,
    SessionKey,
};
use conclave_raft::{Decided, Member, Node, NodeConfig, ProposeError, StartError, Storage};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;

/// Long enough for anything on a busy machine; no test waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Fails the test instead of waiting for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// Asks again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A running node and the server of its peer port.
pub(crate) struct Running {
    pub(crate) node: Node,
    server: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Running {
    /// Serves the peers of `config` at the address that it lists.
    pub(crate) async fn start(config: NodeConfig) -> Result<Self, StartError> {
        let listener = TcpListener::bind(own_address(&config)).await.expect("a free port");
        let node = Node::start(config).await?;
        let service = node.peer_service();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            // The server's own setting does not reach sockets that it did not bind.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let served = tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(incoming, async { drop(stopped.await) })
                .await;
            served.expect("the peer port is served");
        });
        Ok(Self { node, server, stop })
    }

    /// As a crash, as far as the others can see; the files are closed properly.
    pub(crate) async fn kill(self) {
        // An error: the server is gone.
        let _ = self.stop.send(());
        soon("the node stops", self.node.halt()).await;
        // Ends with the last connection: the peers are told to make new ones.
        soon("the server stops", self.server).await.expect("no panic");
    }
}

fn own_address(config: &NodeConfig) -> String {
    let own = config.cluster.iter().find(|member| member.name == config.name);
    own.map_or(&config.peer_address, |member| &member.peer_address).clone()
}

/// Directories and addresses of some nodes.
pub(crate) struct Places {
    directory: TempDir,
    pub(crate) members: Vec<Member>,
}

impl Places {
    pub(crate) async fn new(names: &[&str]) -> Self {
        let mut members = Vec::new();
        for name in names {
            let address = free_address().await;
            members.push(Member { name: (*name).to_owned(), peer_address: address.to_string() });
        }
        Self { directory: TempDir::new().expect("a temporary directory"), members }
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self, name: &str) -> NodeConfig {
        let member = self.members.iter().find(|member| member.name == name).expect("a member");
        let storage = Storage::Directory(self.directory(name));
        let client_address = format!("{name}.example:7420");
        NodeConfig {
            cluster: self.members.clone(),
            ..NodeConfig::alone(name, &client_address, &member.peer_address, storage)
        }
    }
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    listener.local_addr().expect("an address")
}

/// Waits until the node leads and may serve.
pub(crate) async fn leads(node: &Node) {
    let mut leadership = node.leadership();
    soon("the node leads", leadership.wait_for(|now| now.leading)).await.expect("it runs");
}

/// The place of the node that leads.
pub(crate) async fn leader_of(nodes: &[&Node]) -> usize {
    let mut found = None;
    until("one of the nodes leads", async || {
        found = nodes.iter().position(|node| node.leadership().borrow().leading);
        found.is_some()
    })
    .await;
    found.expect("just found")
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn open(secret: u128) -> Command {
    Command::Open(Open {
        secret: Secret(secret),
        ttl_ms: 600_000,
        lock_delay_ms: 0,
        name: name("test"),
        labels: Labels::default(),
    })
}

pub(crate) async fn open_session(node: &Node, secret: u128) -> SessionKey {
    match soon("a session", node.propose(open(secret))).await {
        Ok(Decided { outcome: Outcome::Opened { session, epoch, .. }, .. }) => {
            SessionKey { id: session, secret: Secret(secret), epoch }
        }
        other => panic!("no session: {other:?}"),
    }
}

pub(crate) fn acquire(key: SessionKey, seq: u64, lock: &str) -> Command {
    Command::Call(Call {
        key,
        seq: Seq(seq),
        seen_through: Seq(seq - 1),
        op: Op::Acquire(Acquire::of(name(lock), Demand::Mutex)),
    })
}

/// A command that any machine answers, whatever it knows: for filling a log.
pub(crate) fn filler(number: u64) -> Command {
    Command::TimeOut { session: SessionId(number), seq: Seq(1) }
}

/// Proposes where the leader is, again and again until it is decided. Only for commands that may happen twice.
pub(crate) async fn decide(nodes: &[&Node], command: Command) -> Decided {
    soon("a decision", async {
        loop {
            for node in nodes {
                match node.propose(command.clone()).await {
                    Ok(decided) => return decided,
                    Err(
                        ProposeError::NotLeader { .. }
                        | ProposeError::Unknown { .. }
                        | ProposeError::Overloaded
                        | ProposeError::Stopped,
                    ) => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
