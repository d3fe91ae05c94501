//! Binding a listener: never beyond loopback without being told that nothing is encrypted.

use std::net::SocketAddr;

use conclave_raft::Dial;
use tokio::net::{TcpListener, lookup_host};

use crate::config::ServerConfig;
use crate::error::ServerError;
use crate::listener::Listener;

/// The listener and the address it got.
pub(crate) async fn bind(
    field: &'static str,
    address: &str,
    config: &ServerConfig,
) -> Result<(Listener, SocketAddr), ServerError> {
    if let Dial::Simulated(network) = config.storage.dial() {
        // Simulated hosts have names only.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        return Ok((Listener::Simulated((network.listen)(address)), nowhere));
    }
    let failed = |error| ServerError::Bind { field, address: address.to_owned(), error };
    let found: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    if !config.insecure
        && let Some(beyond) = found.iter().find(|found| !found.ip().is_loopback())
    {
        return Err(ServerError::Exposed { field, address: beyond.to_string() });
    }
    let listener = TcpListener::bind(&*found).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((Listener::Real(listener), bound))
}
