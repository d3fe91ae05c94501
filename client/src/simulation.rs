//! A network that is made up, for tests of the whole cluster in one thread: a client that is given one connects through it, and
//! takes its time from the runtime it runs in. Nobody else may use it, so it is no part of what this crate promises.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use tonic::transport::{Channel, Endpoint, Error};

/// How a simulated client reaches nodes.
#[derive(Clone)]
pub struct SimulatedNetwork {
    /// A channel that connects when it is used, and again when it broke.
    pub dial: Arc<dyn Fn(Endpoint) -> Channel + Send + Sync>,
    /// A channel that is connected.
    pub connect: Arc<dyn Fn(Endpoint) -> BoxFuture<'static, Result<Channel, Error>> + Send + Sync>,
}

/// How a client reaches nodes.
#[derive(Debug, Clone, Default)]
pub(crate) enum Dial {
    #[default]
    Real,
    Simulated(SimulatedNetwork),
}

impl Dial {
    /// Connects when it is used.
    pub(crate) fn channel(&self, endpoint: &Endpoint) -> Channel {
        match self {
            Self::Real => endpoint.connect_lazy(),
            Self::Simulated(network) => (network.dial)(endpoint.clone()),
        }
    }

    pub(crate) async fn connect(&self, endpoint: Endpoint) -> Result<Channel, Error> {
        match self {
            Self::Real => endpoint.connect().await,
            Self::Simulated(network) => (network.connect)(endpoint).await,
        }
    }
}

impl fmt::Debug for SimulatedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedNetwork")
    }
}
