//! ZooKeeper: three servers, and clients that lock as its recipes and Curator do: an ephemeral sequential node each, and a watch
//! on the one before it.

mod wire;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use self::wire::Connection;
use super::START_MAX;
use crate::failure::Failure;
use crate::load::{Load, Times, Worker, run};
use crate::process::Process;
use crate::shape::{Shape, Work};

const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
const NAMES: [&str; 3] = ["zookeeper-1", "zookeeper-2", "zookeeper-3"];

#[derive(Debug)]
pub(crate) struct ZooKeeper {
    pub(crate) processes: Vec<Process>,
    leader: String,
    pub(crate) version: String,
    /// A number that no other repetition has.
    runs: u32,
    _folder: TempDir,
}

impl ZooKeeper {
    /// `jars`: one that names the others, as Debian's does, or a folder of them.
    pub(crate) async fn start(
        java: &Path,
        jars: &Path,
        network: [u8; 2],
        folder: TempDir,
    ) -> Result<Self, Failure> {
        let host = |node: usize| format!("127.{}.{}.{}", network[0], network[1], node + 1);
        let servers: Vec<_> =
            (0..3).map(|node| format!("server.{}={}:2888:3888", node + 1, host(node))).collect();
        let class_path = if jars.is_dir() { jars.join("*") } else { jars.to_owned() };
        let mut processes = Vec::new();
        for (node, name) in NAMES.iter().enumerate() {
            let config = configure(folder.path(), name, node, &host(node), &servers.join("\n"));
            let config = config.map_err(|error| Failure::of("zookeeper", error))?;
            let words: [OsString; 5] = [
                "-Xmx512m".into(),
                "-cp".into(),
                class_path.clone().into_os_string(),
                MAIN.into(),
                config.into_os_string(),
            ];
            processes.push(Process::start(name, java, &words, folder.path())?);
        }
        let from = Instant::now();
        loop {
            for process in &mut processes {
                process.must_run()?;
            }
            for node in 0..NAMES.len() {
                let address = format!("{}:2181", host(node));
                if let Some(version) = leads(&address).await {
                    let (leader, runs) = (address, 0);
                    let started = Self { processes, leader, version, runs, _folder: folder };
                    started.connect().await?.create("/bench", false).await.map_err(failed)?;
                    return Ok(started);
                }
            }
            if from.elapsed() > START_MAX {
                return Err(Failure::new("zookeeper elected no leader", ""));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// One repetition. Each client has a session and a connection of its own: ZooKeeper knows nothing else.
    pub(crate) async fn measure(&mut self, shape: Shape, times: Times) -> Result<Load, Failure> {
        self.runs += 1;
        let all = format!("/bench/{}", self.runs);
        let mut first = self.connect().await?;
        first.create(&all, false).await.map_err(failed)?;
        let mut workers = Vec::new();
        for number in 0..shape.clients {
            let mut connection = self.connect().await?;
            let parent = match shape.work {
                Work::Own => format!("{all}/{number}"),
                Work::One => all.clone(),
                Work::Rw | Work::Sem | Work::Elect => {
                    return Err(Failure::new("only its recipe of a mutex is measured", ""));
                }
            };
            if parent != all {
                connection.create(&parent, false).await.map_err(failed)?;
            }
            workers.push(ZooKeeperWorker { connection, parent });
        }
        Ok(run(workers, times, &self.processes.iter().collect::<Vec<_>>()).await)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(&self.leader).await.map_err(failed)
    }
}

fn failed(error: wire::Error) -> Failure {
    Failure::of("zookeeper", error)
}

/// Writes the configuration of one server and answers where it is.
fn configure(
    folder: &Path,
    name: &str,
    node: usize,
    host: &str,
    servers: &str,
) -> std::io::Result<PathBuf> {
    let data = folder.join(name);
    fs::create_dir_all(&data)?;
    fs::write(data.join("myid"), format!("{}\n", node + 1))?;
    let path = folder.join(format!("{name}.cfg"));
    let text = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort=2181\n\
         clientPortAddress={host}\nmaxClientCnxns=0\nadmin.enableServer=false\n\
         4lw.commands.whitelist=srvr\n{servers}\n",
        data.display()
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// The version of this server, if it answers and leads.
async fn leads(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"srvr").await.ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.ok()?;
    let line = |start| said.lines().find_map(|line: &str| line.strip_prefix(start));
    let version = line("Zookeeper version:")?.split(['-', ',']).next()?;
    (line("Mode:")?.trim() == "leader").then(|| version.trim().to_owned())
}

/// One client.
struct ZooKeeperWorker {
    connection: Connection,
    parent: String,
}

impl Worker for ZooKeeperWorker {
    async fn cycle(&mut self) -> Result<(), String> {
        self.attempt().await.map_err(|error| error.to_string())
    }
}

impl ZooKeeperWorker {
    async fn attempt(&mut self) -> Result<(), wire::Error> {
        let Self { connection, parent } = self;
        let own = connection.create(&format!("{parent}/lock-"), true).await?;
        let own_name = own.rsplit('/').next().unwrap_or_default();
        loop {
            let mut names = connection.children(parent).await?;
            names.retain(|name| name.starts_with("lock-"));
            names.sort_unstable();
            // The number at the end has as many digits everywhere.
            let Some(place) = names.iter().position(|name| name == own_name) else {
                return Err(wire::Error::Protocol("the own node is not among the children"));
            };
            let Some(before) = place.checked_sub(1) else { break };
            let before = format!("{parent}/{}", names[before]);
            if connection.exists_watched(&before).await? {
                connection.changed(&before).await?;
            }
        }
        connection.delete(&own).await
    }
}
