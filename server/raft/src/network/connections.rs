//! Connections to the peers: one a peer and lane, made when first needed and again whenever they broke.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conclave_proto::internal::v1::peer_service_client::PeerServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::MESSAGE_BYTES_MAX;
use crate::simulation::Dial;

/// What runs where, so that a megabyte of entries never stands before a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Entries.
    Entries,
    /// Heartbeats, votes and everything else that is small.
    Control,
    Snapshots,
}

/// How long the network may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until a connection is made.
    pub(crate) connect: Duration,
    /// Until a small call is answered.
    pub(crate) call: Duration,
    /// Until entries that were sent are acknowledged. Long: a slow disk is no broken network, and a broken one is found
    /// by `ping`.
    pub(crate) entries: Duration,
    /// A connection on which nothing comes is asked for a sign of life this often, and closed without one.
    pub(crate) ping: Duration,
}

/// A cheap handle to all of them.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    patience: Patience,
    dial: Dial,
    channels: Mutex<HashMap<(String, Lane), Channel>>,
}

pub(crate) type Client = PeerServiceClient<Channel>;

/// The address is no `host:port`.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is no address: {source}")]
pub(crate) struct BadAddress {
    address: String,
    source: tonic::transport::Error,
}

impl Connections {
    pub(crate) fn new(patience: Patience, dial: Dial) -> Self {
        let shared = Shared { patience, dial, channels: Mutex::new(HashMap::new()) };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn patience(&self) -> Patience {
        self.shared.patience
    }

    /// Never waits: the connection is made by the first call.
    pub(crate) fn client(&self, address: &str, lane: Lane) -> Result<Client, BadAddress> {
        let key = (address.to_owned(), lane);
        let mut channels = self.shared.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(&key) {
            Some(channel) => channel.clone(),
            None => {
                let channel = self.shared.dial.channel(self.endpoint(address)?);
                channels.insert(key, channel.clone());
                channel
            }
        };
        Ok(PeerServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint, BadAddress> {
        let Patience { connect, ping, .. } = self.shared.patience;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|source| BadAddress { address: address.to_owned(), source })?;
        Ok(endpoint
            .connect_timeout(connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(ping)
            .keep_alive_timeout(ping)
            .keep_alive_while_idle(true)
            // Windows of some messages, so that the pipeline does not wait for window updates.
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20))
    }
}
