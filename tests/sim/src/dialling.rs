//! Brings tonic's channels onto the simulated network: for nodes and for clients.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

use crate::network::Network;
use crate::socket::Socket;

/// Connects from one host.
#[derive(Clone)]
struct Connector {
    network: Network,
    from: Arc<str>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Socket>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let address = uri.authority().map(ToString::to_string).unwrap_or_default();
        let connecting = self.network.connect(&self.from, &address);
        async move { connecting.await.map(TokioIo::new) }.boxed()
    }
}

/// For the node of that host.
pub fn of_node(network: &Network, host: &str) -> conclave_raft::SimulatedNetwork {
    let connector = Connector { network: network.clone(), from: host.into() };
    let network = network.clone();
    conclave_raft::SimulatedNetwork {
        dial: Arc::new(move |endpoint| endpoint.connect_with_connector_lazy(connector.clone())),
        listen: Arc::new(move |address| {
            let arrivals = network.listen(address);
            arrivals.map(|socket| Ok(Box::new(socket?) as Box<dyn conclave_raft::Socket>)).boxed()
        }),
    }
}

/// For a client on that host.
pub fn of_client(network: &Network, host: &str) -> conclave_client::simulation::SimulatedNetwork {
    let connector = Connector { network: network.clone(), from: host.into() };
    let again = connector.clone();
    conclave_client::simulation::SimulatedNetwork {
        dial: Arc::new(move |endpoint| endpoint.connect_with_connector_lazy(connector.clone())),
        connect: Arc::new(move |endpoint| {
            let connector = again.clone();
            async move { endpoint.connect_with_connector(connector).await }.boxed()
        }),
    }
}
