//! Binding a listener: never beyond loopback without being told that nothing is encrypted.

use std::net::SocketAddr;

use tokio::net::{TcpListener, lookup_host};

use crate::error::ServerError;

/// The listener and the address it got.
pub(crate) async fn bind(
    field: &'static str,
    address: &str,
    insecure: bool,
) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |error| ServerError::Bind { field, address: address.to_owned(), error };
    let found: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    if !insecure && let Some(beyond) = found.iter().find(|found| !found.ip().is_loopback()) {
        return Err(ServerError::Exposed { field, address: beyond.to_string() });
    }
    let listener = TcpListener::bind(&*found).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
