//! As much of ZooKeeper's protocol as a lock needs: one connection, one outstanding call, and the watches that fire meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SESSION_TIMEOUT_MS: i32 = 30_000;
/// Whoever waits says so this often, or its session would end.
const PING_EVERY: Duration = Duration::from_secs(8);
/// More than any answer that is asked for here.
const FRAME_BYTES_MAX: usize = 4 << 20;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const CHILDREN: i32 = 8;
const PING: i32 = 11;
/// Call numbers that are no call's.
const XID_EVENT: i32 = -1;
const XID_PING: i32 = -2;
/// Flags of a node: gone with its session, and numbered.
const EPHEMERAL_SEQUENTIAL: i32 = 3;
const NO_NODE: i32 = -101;
const ALL_PERMISSIONS: i32 = 31;

#[derive(Debug)]
pub(super) enum Error {
    Io(io::Error),
    /// Its number.
    Refused(i32),
    Protocol(&'static str),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Refused(number) => write!(f, "refused with {number}"),
            Self::Protocol(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    xid: i32,
    /// Paths whose watch fired and that nobody has waited for yet.
    fired: BTreeSet<String>,
}

impl Connection {
    /// With a session of its own.
    pub(super) async fn open(address: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = BufReader::new(stream);
        let mut connection = Self { stream, xid: 0, fired: BTreeSet::new() };
        let mut hello = Writer::default();
        hello.int(0).long(0).int(SESSION_TIMEOUT_MS).long(0).bytes(&[0; 16]).flag(false);
        connection.send(hello).await?;
        let frame = connection.frame().await?;
        let mut answer = Reader(&frame);
        let (_version, session_timeout) = (answer.int()?, answer.int()?);
        if session_timeout <= 0 {
            return Err(Error::Protocol("no session was given"));
        }
        Ok(connection)
    }

    /// Answers the path, which has a number at its end if it is of a lock.
    pub(super) async fn create(&mut self, path: &str, of_lock: bool) -> Result<String, Error> {
        let mut body = Writer::default();
        body.text(path).bytes(&[]).int(1).int(ALL_PERMISSIONS).text("world").text("anyone");
        body.int(if of_lock { EPHEMERAL_SEQUENTIAL } else { 0 });
        let answer = self.call(CREATE, body).await?;
        Reader(&answer).text()
    }

    pub(super) async fn delete(&mut self, path: &str) -> Result<(), Error> {
        let mut body = Writer::default();
        body.text(path).int(-1);
        self.call(DELETE, body).await.map(drop)
    }

    pub(super) async fn children(&mut self, path: &str) -> Result<Vec<String>, Error> {
        let mut body = Writer::default();
        body.text(path).flag(false);
        let answer = self.call(CHILDREN, body).await?;
        let mut answer = Reader(&answer);
        (0..answer.int()?).map(|_| answer.text()).collect()
    }

    /// Whether it exists; then [`Self::changed`] says when that changes.
    pub(super) async fn exists_watched(&mut self, path: &str) -> Result<bool, Error> {
        let mut body = Writer::default();
        body.text(path).flag(true);
        match self.call(EXISTS, body).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(NO_NODE)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for the watch of that path.
    pub(super) async fn changed(&mut self, path: &str) -> Result<(), Error> {
        while !self.fired.remove(path) {
            // Waits outside of a frame, so that giving up waiting tears none.
            if timeout(PING_EVERY, self.stream.fill_buf()).await.is_err() {
                let mut ping = Writer::default();
                ping.int(XID_PING).int(PING);
                self.send(ping).await?;
                continue;
            }
            let frame = self.frame().await?;
            if !self.is_event(&frame)? && Reader(&frame).int()? != XID_PING {
                return Err(Error::Protocol("an answer that nobody asked for"));
            }
        }
        Ok(())
    }

    async fn call(&mut self, kind: i32, body: Writer) -> Result<Vec<u8>, Error> {
        self.xid += 1;
        let mut request = Writer::default();
        request.int(self.xid).int(kind);
        request.0.extend(body.0);
        self.send(request).await?;
        loop {
            let frame = self.frame().await?;
            if self.is_event(&frame)? {
                continue;
            }
            let mut answer = Reader(&frame);
            let (xid, _zxid, refused) = (answer.int()?, answer.long()?, answer.int()?);
            match (xid, refused) {
                (XID_PING, _) => {}
                (xid, _) if xid != self.xid => {
                    return Err(Error::Protocol("an answer to another call"));
                }
                (_, 0) => return Ok(answer.0.to_vec()),
                (_, number) => return Err(Error::Refused(number)),
            }
        }
    }

    /// Notes it if it is one.
    fn is_event(&mut self, frame: &[u8]) -> Result<bool, Error> {
        let mut event = Reader(frame);
        if event.int()? != XID_EVENT {
            return Ok(false);
        }
        let (_zxid, _error, _kind, _state) =
            (event.long()?, event.int()?, event.int()?, event.int()?);
        self.fired.insert(event.text()?);
        Ok(true)
    }

    async fn send(&mut self, body: Writer) -> Result<(), Error> {
        let length = u32::try_from(body.0.len()).map_err(|_| Error::Protocol("too long"))?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(body.0);
        Ok(self.stream.write_all(&frame).await?)
    }

    async fn frame(&mut self) -> Result<Vec<u8>, Error> {
        let length = self.stream.read_u32().await? as usize;
        if length > FRAME_BYTES_MAX {
            return Err(Error::Protocol("an answer that is too long"));
        }
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).await?;
        Ok(frame)
    }
}

/// Big-endian numbers, and texts behind their length.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn int(&mut self, number: i32) -> &mut Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn long(&mut self, number: i64) -> &mut Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.push(u8::from(flag));
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        // Names of our own: far below two gibibytes.
        self.int(i32::try_from(bytes.len()).expect("a short text"));
        self.0.extend(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (first, rest) =
            self.0.split_first_chunk().ok_or(Error::Protocol("an answer that is too short"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn int(&mut self) -> Result<i32, Error> {
        self.take().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, Error> {
        self.take().map(i64::from_be_bytes)
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = usize::try_from(self.int()?).unwrap_or(0);
        if length > self.0.len() {
            return Err(Error::Protocol("a text that is cut off"));
        }
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| Error::Protocol("a text that is none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_short_answers_are_refused() {
        let mut writer = Writer::default();
        writer.int(-7).long(1 << 40).text("/bench");
        let mut reader = Reader(&writer.0);
        assert_eq!(reader.int().expect("an int"), -7);
        assert_eq!(reader.long().expect("a long"), 1 << 40);
        assert_eq!(reader.text().expect("a text"), "/bench");
        assert!(matches!(reader.int(), Err(Error::Protocol(_))));
        let cut_off = [0, 0, 0, 9, b'x'];
        assert!(matches!(Reader(&cut_off).text(), Err(Error::Protocol(_))));
    }
}
