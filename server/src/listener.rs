//! Accepting connections: bounded in number, without Nagle's delay, and closed when the server is gone.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use conclave_raft::{Incoming, Socket};
use futures::StreamExt as _;
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

/// Where connections come from.
pub(crate) enum Listener {
    Real(TcpListener),
    Simulated(Incoming),
}

/// What a connection runs over.
enum Stream {
    Real(TcpStream),
    Simulated(Box<dyn Socket>),
}

/// One accepted connection. Counts until dropped; fails once the server is over, however busy its peer is.
pub(crate) struct Connection {
    stream: Stream,
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
    listener: Listener,
    connections_max: usize,
    count: ConnectionCount,
    over: CancellationToken,
) -> impl futures::Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(connections_max));
    futures::stream::unfold((listener, places), move |(mut listener, places)| {
        let (count, over) = (count.clone(), over.clone());
        async move {
            let stream = accept(&mut listener, &places).await;
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
    listener: &mut Listener,
    places: &Arc<Semaphore>,
) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let permit = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok(stream) => return Ok((stream, permit)),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

impl Listener {
    async fn accept(&mut self) -> io::Result<Stream> {
        match self {
            Self::Real(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Real(stream))
            }
            Self::Simulated(incoming) => match incoming.next().await {
                Some(socket) => Ok(Stream::Simulated(socket?)),
                None => std::future::pending().await,
            },
        }
    }
}

impl Connection {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut (dyn Socket + '_)> {
        match &mut self.get_mut().stream {
            Stream::Real(stream) => Pin::new(stream),
            Stream::Simulated(socket) => Pin::new(&mut **socket),
        }
    }

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
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Real(stream) => stream.is_write_vectored(),
            Stream::Simulated(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = Option<SocketAddr>;

    fn connect_info(&self) -> Self::ConnectInfo {
        match &self.stream {
            Stream::Real(stream) => stream.peer_addr().ok(),
            Stream::Simulated(_) => None,
        }
    }
}
