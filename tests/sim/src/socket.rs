//! One end of a simulated connection, as the tasks of a host see it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};

use crate::network::{Dialling, Network, Piece, Power};

/// Bytes that may be on their way in one direction: then the writer waits.
const IN_FLIGHT_BYTES_MAX: usize = 1 << 20;

/// One end of a connection.
pub struct Socket {
    pub(crate) network: Network,
    pub(crate) id: u64,
    pub(crate) side: usize,
    pub(crate) shut: bool,
}

/// A connection that is being made.
pub struct Connecting {
    /// None: resolved.
    pub(crate) socket: Option<Socket>,
}

impl Future for Connecting {
    type Output = io::Result<Socket>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(socket) = self.socket.take() else {
            return Poll::Ready(Err(io::Error::other("polled after its end")));
        };
        let mut shared = socket.network.shared();
        let Some(connection) = shared.connections.get_mut(&socket.id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        if connection.state != Dialling::Over {
            connection.dialler = Some(context.waker().clone());
            drop(shared);
            self.socket = Some(socket);
            return Poll::Pending;
        }
        let refused = connection.ways[1].reset;
        drop(shared);
        Poll::Ready(if refused { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(socket) })
    }
}

impl tokio::io::AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = self.network.shared();
        let Some(connection) = shared.connections.get_mut(&self.id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let way = &mut connection.ways[1 - self.side];
        if way.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        while let Some(first) = way.arrived.front_mut() {
            let count = first.len().min(buffer.remaining());
            buffer.put_slice(&first[..count]);
            first.advance(count);
            if first.is_empty() {
                way.arrived.pop_front();
            }
            if buffer.remaining() == 0 {
                break;
            }
        }
        if !buffer.filled().is_empty() || way.ended {
            return Poll::Ready(Ok(()));
        }
        way.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl tokio::io::AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.network.shared();
        let due = shared.due();
        let Some(connection) = shared.connections.get_mut(&self.id) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if connection.ways[1 - self.side].reset || self.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let way = &mut connection.ways[self.side];
        if way.bytes_in_flight >= IN_FLIGHT_BYTES_MAX {
            way.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        way.send(due, Piece::Bytes(Bytes::copy_from_slice(bytes)));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.shut, true) {
            let mut shared = self.network.shared();
            let due = shared.due();
            if let Some(connection) = shared.connections.get_mut(&self.id) {
                connection.ways[self.side].send(due, Piece::End);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut shared = self.network.shared();
        let due = shared.due();
        let Some(connection) = shared.connections.get(&self.id) else { return };
        let power = shared.power(&connection.hosts[self.side]);
        let Some(connection) = shared.connections.get_mut(&self.id) else { return };
        connection.open[self.side] = false;
        let way = &mut connection.ways[self.side];
        match power {
            Power::On if self.shut => {}
            Power::On => way.send(due, Piece::End),
            Power::ProcessGone => way.send(due, Piece::Reset),
            // What was on its way in its own memory is gone with it.
            Power::Off => {
                way.in_flight.clear();
                way.bytes_in_flight = 0;
            }
        }
    }
}
