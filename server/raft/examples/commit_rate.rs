//! How many commands a second one node or three commit on this machine, closed loop, all of them in this process:
//! `commit_rate NODES OUTSTANDING SECONDS`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use conclave_machine::{Command, SessionId};
use conclave_raft::{Consistency, Member, Node, NodeConfig, Storage};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let (count, outstanding, seconds) = (next(1)?, next(64)?, next(5)?);

    let nodes = start(count).await?;
    let leader = leader(&nodes).await;
    let node = leader.clone();
    let propose = move || {
        let node = node.clone();
        async move { node.propose(command()).await.is_ok() }
    };
    println!("commits: {}", measure(outstanding, seconds, propose).await?);
    let node = leader.clone();
    let read = move || {
        let node = node.clone();
        async move { node.read(Consistency::Linearizable, |_| ()).await.is_ok() }
    };
    println!("reads:   {}", measure(outstanding, seconds, read).await?);
    for node in &nodes {
        node.halt().await;
    }
    Ok(())
}

/// About 100 bytes that the machine refuses at once: what is measured is the way there and back.
fn command() -> Command {
    let reason = "x".repeat(80).into_boxed_str();
    Command::Kill { session: SessionId(u64::MAX), by: "bench".into(), reason }
}

async fn start(count: u64) -> Result<Vec<Node>, Error> {
    let mut listeners = Vec::new();
    let mut members = Vec::new();
    for number in 0..count {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let peer_address = listener.local_addr()?.to_string();
        members.push(Member { name: format!("n{number}"), peer_address });
        listeners.push(listener);
    }
    let mut nodes = Vec::new();
    for (member, listener) in members.iter().zip(listeners) {
        let alone = NodeConfig::alone(&member.name, "", &member.peer_address, Storage::Ephemeral);
        let node = Node::start(NodeConfig { cluster: members.clone(), ..alone }).await?;
        let server = tonic::transport::Server::builder()
            .add_service(node.peer_service())
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        tokio::spawn(server);
        nodes.push(node);
    }
    Ok(nodes)
}

async fn leader(nodes: &[Node]) -> Node {
    loop {
        let found = nodes.iter().find(|node| node.leadership().borrow().leading);
        if let Some(node) = found {
            return node.clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Counts what succeeded; says how many did not.
async fn measure<F>(
    outstanding: u64,
    seconds: u64,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> Result<String, Error>
where
    F: Future<Output = bool> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..outstanding {
        let (stop, call) = (stop.clone(), call.clone());
        clients.push(tokio::spawn(async move {
            let (mut took, mut failed) = (Vec::new(), 0_u64);
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                match call().await {
                    true => took.push(begun.elapsed()),
                    false => failed += 1,
                }
            }
            (took, failed)
        }));
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut took, mut failed) = (Vec::new(), 0);
    for client in clients {
        let (more, unanswered) = client.await?;
        took.extend(more);
        failed += unanswered;
    }
    let rate = took.len() as f64 / started.elapsed().as_secs_f64();
    took.sort();
    let at =
        |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default();
    let max = took.last().copied().unwrap_or_default();
    Ok(format!("{rate:.0}/s, p50 {:?}, p99 {:?}, max {max:?}, failed {failed}", at(0.5), at(0.99)))
}
