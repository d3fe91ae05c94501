//! The way from a follower to the leader for unary calls: the whole typed call, once, with the caller's own deadline.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use conclave_raft::{Dial, LeaderHint};
use tokio::time::Instant;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::limits::FORWARD_CONNECT_MAX;
use crate::status::Failure;

/// Says which node forwarded the call; it is then never forwarded again.
const MARK: &str = "conclave-forwarded-by";
/// Channels kept; a cluster has fewer peers, so more mean that addresses changed.
const CHANNELS_MAX: usize = 64;
/// A leader that answers no ping is not waited for.
const PING_AFTER: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Forwarder {
    mark: AsciiMetadataValue,
    dial: Dial,
    /// By peer address.
    channels: Mutex<HashMap<Box<str>, Channel>>,
}

pub(crate) fn is_forwarded(metadata: &MetadataMap) -> bool {
    metadata.contains_key(MARK)
}

impl Forwarder {
    pub(crate) fn new(name: &str, dial: Dial) -> Self {
        let mark = AsciiMetadataValue::try_from(name)
            .unwrap_or_else(|_| AsciiMetadataValue::from_static("a node"));
        Self { mark, dial, channels: Mutex::default() }
    }

    /// The call as it is sent on.
    pub(crate) fn mark<Q>(&self, message: Q, deadline: Option<Instant>) -> Request<Q> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(MARK, self.mark.clone());
        if let Some(deadline) = deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        request
    }

    /// A channel to the leader's peer listener; it connects when used and again when broken.
    pub(crate) fn channel(&self, leader: &LeaderHint) -> Result<Channel, Failure> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&leader.peer_address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", leader.peer_address))
            .map_err(|_| Failure::NotLeader { leader: Some(leader.clone()) })?;
        let endpoint = endpoint
            .connect_timeout(FORWARD_CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT);
        let channel = self.dial.channel(endpoint);
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        channels.insert(leader.peer_address.clone(), channel.clone());
        Ok(channel)
    }

    /// The leader's own words as they are; without a reason the connection failed and nothing is known.
    pub(crate) fn told(status: Status) -> Status {
        let says_why = status.get_details_error_info().is_some();
        let is_protocol = matches!(status.code(), Code::Unimplemented | Code::OutOfRange);
        if says_why || is_protocol {
            return status;
        }
        tracing::debug!(%status, "a forwarded call was not answered");
        Failure::Unknown.status()
    }
}
