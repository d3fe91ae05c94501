//! Redis: one node, every write synced before it is answered, and the lock of its documentation: `SET NX PX`, given back by a
//! script that compares. No queue, no fencing token, no other node: the bar for speed, not for safety.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::START_MAX;
use crate::failure::Failure;
use crate::load::{Load, Times, Worker, run};
use crate::process::Process;
use crate::shape::{Shape, Work};

const UNLOCK: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";
/// Longer than one repetition.
const LOCK_MS: &str = "600000";
/// Whoever finds it taken tries again after this time.
const TRY_AGAIN: Duration = Duration::from_millis(1);
/// More than any answer that is asked for here.
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) processes: Vec<Process>,
    address: String,
    pub(crate) version: String,
    unlock: String,
    /// A number that no other repetition has.
    runs: u32,
    _folder: TempDir,
}

impl Redis {
    pub(crate) async fn start(
        binary: &Path,
        network: [u8; 2],
        folder: TempDir,
    ) -> Result<Self, Failure> {
        let host = format!("127.{}.{}.1", network[0], network[1]);
        let address = format!("{host}:6379");
        let words = ["--bind", &host, "--port", "6379", "--save", "", "--daemonize", "no"];
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        words.extend(["--appendonly", "yes", "--appendfsync", "always"].map(OsString::from));
        words.extend(["--maxclients".into(), "20000".into(), "--dir".into()]);
        words.push(folder.path().as_os_str().to_owned());
        let mut process = Process::start("redis", binary, &words, folder.path())?;
        let from = Instant::now();
        let mut connection = loop {
            process.must_run()?;
            match Connection::open(&address).await {
                Ok(connection) => break connection,
                Err(error) if from.elapsed() > START_MAX => {
                    return Err(Failure::of("redis", error));
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
        let failed = |error: String| Failure::of("redis", error);
        let info = connection.ask(&["INFO", "server"]).await.map_err(failed)?.unwrap_or_default();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let version = version.unwrap_or("unknown").trim().to_owned();
        let unlock = connection.ask(&["SCRIPT", "LOAD", UNLOCK]).await.map_err(failed)?;
        let unlock = unlock.unwrap_or_default();
        Ok(Self { processes: vec![process], address, version, unlock, runs: 0, _folder: folder })
    }

    /// One repetition. Each client has a connection of its own, also where those of others share some.
    pub(crate) async fn measure(&mut self, shape: Shape, times: Times) -> Result<Load, Failure> {
        self.runs += 1;
        let mut workers = Vec::new();
        for number in 0..shape.clients {
            let connection = Connection::open(&self.address).await;
            let connection = connection.map_err(|error| Failure::of("redis", error))?;
            let name = match shape.work {
                Work::Own => format!("bench/{}/{number}", self.runs),
                Work::One => format!("bench/{}", self.runs),
                Work::Rw | Work::Sem | Work::Elect => {
                    return Err(Failure::new("the lock of Redis is a mutex only", ""));
                }
            };
            let (own, unlock) = (number.to_string(), self.unlock.clone());
            workers.push(RedisWorker { connection, name, own, unlock });
        }
        Ok(run(workers, times, &self.processes.iter().collect::<Vec<_>>()).await)
    }
}

/// One client.
struct RedisWorker {
    connection: Connection,
    name: String,
    own: String,
    unlock: String,
}

impl Worker for RedisWorker {
    async fn cycle(&mut self) -> Result<(), String> {
        let Self { connection, name, own, unlock } = self;
        while connection.ask(&["SET", name, own, "NX", "PX", LOCK_MS]).await?.is_none() {
            sleep(TRY_AGAIN).await;
        }
        match connection.ask(&["EVALSHA", unlock, "1", name, own]).await?.as_deref() {
            Some("1") => Ok(()),
            other => Err(format!("unlock answered {other:?}")),
        }
    }
}

/// As much of the protocol as is spoken here: arrays of strings there, one simple answer back.
struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    async fn open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// None: nil.
    async fn ask(&mut self, words: &[&str]) -> Result<Option<String>, String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        let written = self.stream.write_all(request.as_bytes()).await;
        written.map_err(|error| error.to_string())?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Option<String>, String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.map_err(|error| error.to_string())?;
        let line = line.trim_end();
        if read == 0 || line.is_empty() {
            return Err("the connection ended".to_owned());
        }
        let (kind, rest) = line.split_at(1);
        match kind {
            "+" | ":" => Ok(Some(rest.to_owned())),
            "$" if rest == "-1" => Ok(None),
            "$" => self.bulk(rest).await.map(Some),
            _ => Err(line.to_owned()),
        }
    }

    async fn bulk(&mut self, length: &str) -> Result<String, String> {
        let length: usize = length.parse().map_err(|_| format!("no length: {length}"))?;
        if length > ANSWER_BYTES_MAX {
            return Err(format!("an answer of {length} bytes"));
        }
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).await.map_err(|error| error.to_string())?;
        bytes.truncate(length);
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}
