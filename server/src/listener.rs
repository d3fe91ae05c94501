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
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::limits::{PREFACE_BYTES, PREFACE_MAX, SILENCE_MAX};

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
    patience: Patience,
    count: ConnectionCount,
    _permit: OwnedSemaphorePermit,
}

/// How long a connection may say nothing: it holds a descriptor and a place that others wait for.
struct Patience {
    alarm: Pin<Box<Sleep>>,
    accepted: Instant,
    /// When the last byte came or went.
    moved: Instant,
    heard_bytes: u64,
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
                let patience = Patience::new();
                Connection { stream, over, patience, count, _permit: permit }
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

impl Patience {
    fn new() -> Self {
        let now = Instant::now();
        let alarm = Box::pin(sleep_until(now + PREFACE_MAX));
        Self { alarm, accepted: now, moved: now, heard_bytes: 0 }
    }

    fn heard(&mut self, bytes: usize) {
        self.moved = Instant::now();
        self.heard_bytes = self.heard_bytes.saturating_add(bytes as u64);
    }

    /// When it is over, unless something moves before.
    fn ends(&self) -> Instant {
        if self.heard_bytes < PREFACE_BYTES {
            return self.accepted + PREFACE_MAX;
        }
        self.moved + SILENCE_MAX
    }

    /// Called when nothing moves now; the alarm is set anew only when it rings, not with each byte.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        while self.alarm.as_mut().poll(context).is_ready() {
            let ends = self.ends();
            if ends <= Instant::now() {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "silent for too long"));
            }
            self.alarm.as_mut().reset(ends);
        }
        Poll::Pending
    }

    fn poll_written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                self.moved = Instant::now();
                Poll::Ready(written)
            }
            Poll::Pending => self.poll_over(context).map(Err),
        }
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
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                self.patience.heard(buffer.filled().len() - before);
                Poll::Ready(read)
            }
            Poll::Pending => self.patience.poll_over(context).map(Err),
        }
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
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.patience.poll_written(context, written)
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    /// How long this patience lasts, if after each of these times so many bytes are heard.
    async fn lasts(heard: &[(Duration, usize)]) -> Duration {
        let from = Instant::now();
        let mut patience = Patience::new();
        for &(after, bytes) in heard {
            tokio::select! {
                _ = poll_fn(|context| patience.poll_over(context)) => return from.elapsed(),
                () = tokio::time::sleep(after) => {}
            }
            patience.heard(bytes);
        }
        poll_fn(|context| patience.poll_over(context)).await;
        from.elapsed()
    }

    fn about(measured: Duration, expected: Duration) {
        // The clock of tokio counts whole milliseconds.
        assert!(measured.abs_diff(expected) <= Duration::from_millis(2), "{measured:?}");
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_only_connects_is_not_waited_for() {
        about(lasts(&[]).await, PREFACE_MAX);
        // Nor who dribbles.
        about(lasts(&[(SECOND, 1); 20]).await, PREFACE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_something_now_and_then_stays() {
        let mut heard = vec![(SECOND, 24)];
        heard.extend([(SILENCE_MAX - SECOND, 1); 10]);
        let all: Duration = heard.iter().map(|(after, _)| *after).sum();
        about(lasts(&heard).await, all + SILENCE_MAX);
    }
}
