//! Accepting connections: bounded in number, without Nagle's delay, and closed when the server is gone.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// After a failed accept (no descriptor left, mostly) the next one is tried after this time.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Open connections of one listener.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionCount {
    open: Arc<AtomicUsize>,
}

/// One accepted connection. Counts until dropped; fails once the server is over, however busy its peer is.
pub(crate) struct Connection {
    stream: TcpStream,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    count: ConnectionCount,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionCount {
    pub(crate) fn get(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// Connections as they come, at most `connections_max` at one time; further ones wait in the kernel.
pub(crate) fn incoming(
    listener: TcpListener,
    connections_max: usize,
    count: ConnectionCount,
    over: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(connections_max));
    futures::stream::unfold((listener, places), move |(listener, places)| {
        let (count, over) = (count.clone(), over.clone());
        async move {
            let stream = accept(&listener, &places).await;
            let connection = stream.map(|(stream, permit)| {
                count.open.fetch_add(1, Ordering::Relaxed);
                let over = Box::pin(over.cancelled_owned());
                Connection { stream, over, count, _permit: permit }
            });
            Some((connection, (listener, places)))
        }
    })
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                return Ok((stream, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

impl Connection {
    fn poll_over(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.over.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server is gone"));
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.count.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_over(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = Option<SocketAddr>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.peer_addr().ok()
    }
}
