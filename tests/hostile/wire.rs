//! HTTP/2 by hand: frames that no decent library sends.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Of settings and pings: the answer to them.
pub(crate) const ACK: u8 = 1;

pub(crate) struct Wire {
    pub(crate) tcp: TcpStream,
    /// What was read and is no whole frame yet.
    rest: Vec<u8>,
}

/// One that the server sent.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Wire {
    /// Connected, and nothing said.
    pub(crate) async fn silent(address: &str) -> Self {
        let tcp = TcpStream::connect(address).await.expect("it listens");
        Self { tcp, rest: Vec::new() }
    }

    /// With the preface and our settings (none).
    pub(crate) async fn open(address: &str) -> Self {
        let mut wire = Self::silent(address).await;
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        wire.tcp.write_all(&hello).await.expect("it takes the preface");
        wire
    }

    /// Writes, unless that takes too long or the server hung up; whether it was all taken.
    pub(crate) async fn write(&mut self, bytes: &[u8], limit: Duration) -> bool {
        let until = Instant::now() + limit;
        matches!(timeout_at(until, self.tcp.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The next frame; none: the server hung up, or said nothing until then.
    pub(crate) async fn next(&mut self, until: Instant) -> Option<Frame> {
        loop {
            if let Some(frame) = self.cut() {
                return Some(frame);
            }
            let mut buffer = [0; 16 * 1024];
            match timeout_at(until, self.tcp.read(&mut buffer)).await {
                Ok(Ok(length @ 1..)) => self.rest.extend_from_slice(&buffer[..length]),
                Ok(Ok(0) | Err(_)) | Err(_) => return None,
            }
        }
    }

    fn cut(&mut self) -> Option<Frame> {
        let head = self.rest.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.rest.get(9..9 + length)?.to_vec();
        self.rest.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// Whether the server ends this call within that time: with its status, or by a reset.
    pub(crate) async fn ends_call(&mut self, stream: u32, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while let Some(frame) = self.next(until).await {
            let ends = match frame.kind {
                HEADERS | DATA => frame.flags & END_STREAM != 0,
                RST_STREAM => true,
                _ => false,
            };
            if ends && frame.stream == stream {
                return true;
            }
        }
        false
    }

    /// Whether the server hangs up within this time. Whatever it says before is dropped.
    pub(crate) async fn is_hung_up_on(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match timeout_at(until, self.tcp.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(_)) => {}
                Err(_) => return false,
            }
        }
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = length.to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The start of a gRPC call, without its message: the stream stays open.
pub(crate) fn call(stream: u32, path: &str) -> Vec<u8> {
    // Indexed: POST and http. Literals without indexing: the path and the authority, and two with names of their own.
    let mut block = vec![0x83, 0x86];
    block.push(0x04);
    literal(&mut block, path);
    block.push(0x01);
    literal(&mut block, "nobody");
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        block.push(0x00);
        literal(&mut block, name);
        literal(&mut block, value);
    }
    frame(HEADERS, END_HEADERS, stream, &block)
}

fn literal(block: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
    block.push(length.expect("a short text"));
    block.extend(text.as_bytes());
}
