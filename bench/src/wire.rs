//! The public messages of Conclave, compiled here as a client in another language would: the client crate gives each session a
//! connection, and a hundred thousand of those would measure the kernel.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::failure::Failure;

#[expect(clippy::all, unused_qualifications, unreachable_pub, reason = "generated")]
pub(crate) mod v1 {
    tonic::include_proto!("conclave.v1");
}

/// Sessions on one connection: half of what a server takes.
const PER_CONNECTION: u32 = 2_000;

/// As many connections to that node as so many sessions need.
pub(crate) async fn connections(address: &str, sessions: u32) -> Result<Vec<Channel>, Failure> {
    let failed = |error: tonic::transport::Error| Failure::of(address, error);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(failed)?;
    let endpoint = endpoint.tcp_nodelay(true);
    let mut channels = Vec::new();
    for _ in 0..sessions.div_ceil(PER_CONNECTION) {
        channels.push(endpoint.connect().await.map_err(failed)?);
    }
    Ok(channels)
}

/// A session that nobody else has: the number of it and of this process make its secret.
pub(crate) fn open_request(number: u32, ttl: Duration) -> v1::OpenRequest {
    let mut secret = [0; 16];
    secret[..4].copy_from_slice(&std::process::id().to_be_bytes());
    secret[4..8].copy_from_slice(&number.to_be_bytes());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_nanos());
    secret[8..].copy_from_slice(&now.to_be_bytes()[8..]);
    v1::OpenRequest {
        secret: secret.to_vec(),
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        lock_delay_ms: 0,
        name: format!("bench-{number}"),
        labels: std::collections::HashMap::new(),
    }
}
