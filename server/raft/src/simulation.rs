//! A world in which bytes, messages and time are made up, for tests of the whole cluster in one thread. What a node is told here
//! replaces its disk and its sockets and nothing else; time is that of the runtime it runs in.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use conclave_store::{SimulatedLog, SimulatedSnapshots};
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint};

/// One end of a connection.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Connections as they come.
pub type Incoming = BoxStream<'static, io::Result<Box<dyn Socket>>>;

/// What a simulated node stands on.
#[derive(Clone)]
pub struct Simulation {
    /// For the identity, which is small and synced before it counts.
    pub directory: PathBuf,
    pub log: SimulatedLog,
    pub snapshots: SimulatedSnapshots,
    pub network: SimulatedNetwork,
}

/// How a simulated node reaches others and is reached.
#[derive(Clone)]
pub struct SimulatedNetwork {
    /// A channel that connects when it is used, and again when it broke.
    pub dial: Arc<dyn Fn(Endpoint) -> Channel + Send + Sync>,
    /// Listens at `HOST:PORT`.
    pub listen: Arc<dyn Fn(&str) -> Incoming + Send + Sync>,
}

/// How a node reaches others.
#[derive(Clone)]
pub enum Dial {
    Real,
    Simulated(SimulatedNetwork),
}

impl Dial {
    /// A channel that connects when it is used, and again when it broke.
    #[must_use]
    pub fn channel(&self, endpoint: Endpoint) -> Channel {
        match self {
            Self::Real => endpoint.connect_lazy(),
            Self::Simulated(network) => (network.dial)(endpoint),
        }
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real => "Real",
            Self::Simulated(_) => "Simulated",
        })
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl PartialEq for Simulation {
    fn eq(&self, other: &Self) -> bool {
        self.directory == other.directory
    }
}

impl Eq for Simulation {}
