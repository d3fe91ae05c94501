//! The entrance: which cluster, and with how much patience.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::admin::Admin;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::error::ConfigError;
use crate::follow::{Observation, Watch};
use crate::ids::{SessionId, SessionSecret};
use crate::overheard::Ear;
use crate::rpc::Rpc;
use crate::session::{ResumeBuilder, SessionBuilder};
use crate::simulation::{Dial, SimulatedNetwork};

/// How long a call is tried, unless told otherwise: longer than a fail-over takes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Where `conclave dev` listens.
const DEFAULT_ENDPOINT: &str = "127.0.0.1:7420";
/// A node that does not answer the first message of a stream within this time is not worth waiting for when time is short.
const DIAL_PATIENCE_MIN: Duration = Duration::from_millis(500);

/// A client of one cluster. Cheap to clone. Connects when something is asked; finds the leader by itself, and again when it changes.
///
/// Each session has a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    rpc: Arc<Rpc>,
    clock: Clock,
}

/// Configures a [`Client`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before build()"]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    request_timeout: Duration,
    dial: Dial,
    ear: Option<Ear>,
}

impl Client {
    /// A client of the cluster whose nodes (some of them is enough) have these client addresses, each `HOST:PORT`.
    ///
    /// # Errors
    /// [`ConfigError`]: none, or not addresses. Nothing is connected to yet.
    pub fn connect<S: Into<String>>(
        endpoints: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        Self::builder().endpoints(endpoints).build()
    }

    /// A client of the cluster that the environment names: `CONCLAVE_ENDPOINTS`, separated by commas; 127.0.0.1:7420 when it is not set.
    ///
    /// # Errors
    /// [`ConfigError`]: not addresses. Nothing is connected to yet.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let endpoints = std::env::var("CONCLAVE_ENDPOINTS").unwrap_or_default();
        let endpoints: Vec<&str> =
            endpoints.split(',').map(str::trim).filter(|endpoint| !endpoint.is_empty()).collect();
        if endpoints.is_empty() {
            Self::connect([DEFAULT_ENDPOINT])
        } else {
            Self::connect(endpoints)
        }
    }

    /// To say more than endpoints.
    pub const fn builder() -> ClientBuilder {
        ClientBuilder {
            endpoints: Vec::new(),
            request_timeout: REQUEST_TIMEOUT,
            dial: Dial::Real,
            ear: None,
        }
    }

    /// To open a session.
    pub fn session(&self) -> SessionBuilder {
        SessionBuilder::new(Arc::clone(&self.rpc), self.clock.clone())
    }

    /// To take over a session of an earlier process, with its holds.
    pub fn resume(&self, session: SessionId, secret: SessionSecret) -> ResumeBuilder {
        ResumeBuilder::new(Arc::clone(&self.rpc), self.clock.clone(), session, secret)
    }

    /// Follows one election, vacancy included: first a view of it, then every change. Needs no session.
    ///
    /// ```no_run
    /// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::Error> {
    /// use conclave_client::Observed;
    /// let mut changes = client.observe("scheduler");
    /// while let Some(change) = changes.next().await {
    ///     match change? {
    ///         Observed::Elected { session_name, term, .. } => println!("{session_name} leads in term {term}"),
    ///         Observed::Vacant { .. } => println!("nobody leads"),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn observe(&self, name: &str) -> Observation {
        Observation::new(Arc::clone(&self.rpc), name)
    }

    /// Follows all objects whose names begin with `prefix` (all that there are, when it is empty): first what there is, then
    /// everything that happens, or what there is anew when something may have been missed. Needs no session.
    pub fn watch(&self, prefix: &str) -> Watch {
        Watch::new(Arc::clone(&self.rpc), prefix)
    }

    /// To look at the cluster, and the operator's verbs.
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.rpc))
    }

    /// The same client by a clock that a test moves.
    #[cfg(test)]
    pub(crate) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The same client with that much patience when it dials, which is measured by the machine's own clock.
    #[cfg(test)]
    pub(crate) fn with_dial_patience(mut self, patience: Duration) -> Self {
        self.rpc = Arc::new(Rpc { dial_patience_min: patience, ..(*self.rpc).clone() });
        self
    }
}

impl ClientBuilder {
    /// Adds one endpoint, `HOST:PORT`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Adds endpoints, each `HOST:PORT`.
    pub fn endpoints<S: Into<String>>(mut self, endpoints: impl IntoIterator<Item = S>) -> Self {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// How long a unary call, an open, and a try without a connection are attempted before they are
    /// [`NotAnswered`](crate::NotAnswered); 10 s unless set. Waiting for a lock is not bounded by it.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// For tests of the whole cluster in one thread.
    #[doc(hidden)]
    pub fn simulated(mut self, network: SimulatedNetwork) -> Self {
        self.dial = Dial::Simulated(network);
        self
    }

    /// For tests that judge what went over the wire.
    #[doc(hidden)]
    pub fn overheard(mut self, ear: Ear) -> Self {
        self.ear = Some(ear);
        self
    }

    /// Makes the client. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`ConfigError`]: no endpoints, or not addresses.
    pub fn build(self) -> Result<Client, ConfigError> {
        let clock = match self.dial {
            Dial::Real => Clock::Boot,
            Dial::Simulated(_) => Clock::Runtime(Instant::now()),
        };
        let directory = Arc::new(Directory::new(self.endpoints)?.dialled_by(self.dial));
        let request_timeout = self.request_timeout;
        let rpc =
            Rpc { directory, request_timeout, dial_patience_min: DIAL_PATIENCE_MIN, ear: self.ear };
        let rpc = Arc::new(rpc);
        Ok(Client { rpc, clock })
    }
}
