//! The command line: names, help texts and values, nothing that acts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::load::Times;
use crate::shape::Shape;

/// Measures Conclave, and what people use today beside it
///
/// Starts three nodes on loopback unless told where a cluster is. Each client is one session with one connection and one
/// outstanding call, in a closed loop; rows in which clients share connections say so. Figures are only worth something on a
/// machine that does nothing else: the load before the run stands in the result.
#[derive(Debug, Parser)]
#[command(
    name = "conclave-bench",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// A cluster that runs already, comma separated; else one is started
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', global = true)]
    pub(crate) endpoint: Vec<String>,
    /// The `conclave` to start [default: the one beside this program]
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) binary: Option<PathBuf>,
    /// Where the servers that are started keep their data: on a disk [default: the folder for temporary files]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// What was measured, where the source tree of this folder is not it
    #[arg(long, value_name = "COMMIT", global = true)]
    pub(crate) commit: Option<String>,
    /// Measured time of one repetition
    #[arg(long, value_name = "N", default_value_t = 5, global = true)]
    pub(crate) seconds: u64,
    /// Time before it, which does not count
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1s", global = true)]
    pub(crate) warm_up: Duration,
    /// Repetitions; their median is shown
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub(crate) repetitions: u32,
    /// For people, or for programs: the fields of json stay
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, global = true)]
    pub(crate) output: Format,
}

impl Global {
    pub(crate) const fn times(&self) -> Times {
        Times { warm_up: self.warm_up, measured: Duration::from_secs(self.seconds) }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Each client locks and unlocks a mutex of its own
    Own(LoadArgs),
    /// All clients lock and unlock one mutex: hand-overs
    One(LoadArgs),
    /// One read-write lock; nine cycles of ten read
    Rw(LoadArgs),
    /// One semaphore with a permit for every fourth client
    Sem(LoadArgs),
    /// All clients win and resign one election: hand-overs
    Elect(LoadArgs),
    #[command(flatten)]
    Figures(Workload),
    /// From the start of one node to its first grant
    Start,
    /// Everything that the table of targets needs, in about ten minutes, with the verdicts
    Report(ReportArgs),
    /// What `vacancy` starts and kills
    #[command(hide = true)]
    Stand(StandArgs),
    /// `own` and `one` beside etcd, ZooKeeper and Redis, where they are installed
    ///
    /// All run at the same time and are driven one after the other within each repetition. Their clients are at the leader and
    /// have a connection each, as ours.
    Compare(CompareArgs),
}

/// What is more than a closed loop, and needs a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Workload {
    /// The process of an elected leader is killed: the time until the next candidate leads
    Vacancy(VacancyArgs),
    /// Release with few and with many waiters queued on one name
    ///
    /// Waiters share up to 20 sessions, a connection each.
    Queue(QueueArgs),
    /// Kill the leading node again and again: the longest time without a grant
    Failover(FailoverArgs),
    /// Sessions that only live, many to a connection: CPU, memory, and whether one was lost
    Sessions(SessionsArgs),
    /// A snapshot of a million held locks: whether apply pauses
    Snapshot(SnapshotArgs),
    /// A cluster that does nothing: CPU and memory
    Idle,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LoadArgs {
    /// Clients, each with one outstanding call
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) clients: u32,
    /// Sessions, a connection each, that the clients share [default: one for each client]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sessions: Option<u32>,
}

/// Where the peers are, if not where they usually are.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeerArgs {
    /// The etcd to start [default: the one on the PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) etcd: Option<PathBuf>,
    /// ZooKeeper: a jar that names the others, or a folder of jars [default: Debian's]
    #[arg(long, value_name = "JAR-OR-FOLDER")]
    pub(crate) zookeeper: Option<PathBuf>,
    /// The redis-server to start [default: the one on the PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) redis: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) peers: PeerArgs,
    /// What to compare, again and again: own:CLIENTS, own:CLIENTS:CONNECTIONS, or the same of one [default: six of them]
    #[arg(long, value_name = "SHAPE")]
    pub(crate) row: Vec<Shape>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) peers: PeerArgs,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct VacancyArgs {
    /// Processes of leaders to kill
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kills: u32,
    /// TTL of their sessions
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5s")]
    pub(crate) ttl: Duration,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StandArgs {
    pub(crate) name: String,
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) ttl: Duration,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct QueueArgs {
    /// Lengths of the queue, comma separated; the last is compared to the first
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "10,10000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) waiters: Vec<u32>,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FailoverArgs {
    /// Kills of the leader
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kills: u32,
    /// Clients that lock and unlock meanwhile, a session each
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) clients: u32,
}

/// How sessions say that they live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeptAlive {
    /// A stream each, many to a connection.
    Stream,
    /// A unary call each time.
    Unary,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SessionsArgs {
    /// Sessions
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// How they say that they live
    #[arg(long, value_enum, value_name = "HOW", default_value = "stream")]
    pub(crate) by: KeptAlive,
    /// Their TTL
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10s")]
    pub(crate) ttl: Duration,
    /// Time between two keepalives [default: a fifth of the TTL by stream, as the client crate; half of it by unary calls]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) every: Option<Duration>,
}

impl SessionsArgs {
    pub(crate) fn every(&self) -> Duration {
        self.every.unwrap_or(match self.by {
            KeptAlive::Stream => self.ttl / 5,
            KeptAlive::Unary => self.ttl / 2,
        })
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SnapshotArgs {
    /// Sessions
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sessions: u32,
    /// Locks that each of them holds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) locks: u32,
}
