//! The command line: names, help texts and values, nothing that acts.

mod holds;
mod member;
mod objects;
mod run;
mod server;
mod values;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use holds::{ElectArgs, LockArgs, OnceArgs, RwlockArgs, SemArgs};
pub(crate) use member::{
    MemberAddArgs, MemberArgs, MemberCommand, MemberListArgs, MemberPromoteArgs, MemberRemoveArgs,
};
pub(crate) use objects::{
    BarrierArgs, CounterArgs, CounterCommand, GateArgs, GuardArgs, LatchArgs, PatienceArgs,
    RegisterArgs, RegisterCommand,
};
pub(crate) use run::{RunArgs, WaitArgs};
pub(crate) use server::{DEV_LISTEN, DevArgs, ServerArgs};
use values::duration;

use crate::output::Format;

/// Locks that are never held twice: daemon and command line of Conclave
///
/// Start a node with `conclave dev`, run a job under a lock with `conclave lock NAME -- COMMAND`.
#[derive(Debug, Parser)]
#[command(name = "conclave", version, subcommand_required = true, arg_required_else_help = true)]
#[command(max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 69 no cluster answered, 75 not had in time. What runs a command \
has more: see `conclave lock --help`.";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Nodes of the cluster, comma separated; any of them will do
    #[arg(
        long = "endpoint",
        env = "CONCLAVE_ENDPOINTS",
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        default_value = "127.0.0.1:7420",
        hide_env_values = true,
        global = true
    )]
    pub(crate) endpoints: Vec<String>,
    /// For people, or for programs: the fields of json stay
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, global = true)]
    pub(crate) output: Format,
    /// How long to try to reach the cluster
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s", global = true)]
    pub(crate) connect_timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(DevArgs),
    Server(Box<ServerArgs>),
    Lock(Box<LockArgs>),
    Rwlock(Box<RwlockArgs>),
    Sem(Box<SemArgs>),
    Elect(Box<ElectArgs>),
    Once(Box<OnceArgs>),
    Latch(LatchArgs),
    Gate(GateArgs),
    Barrier(BarrierArgs),
    Register(RegisterArgs),
    Counter(CounterArgs),
    Status(StatusArgs),
    Inspect(InspectArgs),
    List(ListArgs),
    Watch(WatchArgs),
    Sessions(SessionsArgs),
    ForceRelease(ForceReleaseArgs),
    Resize(ResizeArgs),
    Transfer(TransferArgs),
    Delete(DeleteArgs),
    StepDown(StepDownArgs),
    Member(MemberArgs),
    Health(HealthArgs),
    Bench(BenchArgs),
    Completions(CompletionsArgs),
}

/// Redraws instead of ending.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Watch {
    /// Show it again and again until Ctrl-C; with json one document a line
    #[arg(long)]
    pub(crate) watch: bool,
    /// Time between two looks
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub(crate) interval: Duration,
}

/// Show the nodes of the cluster, who leads, and how much it keeps
///
/// Asks one node what it knows; it needs no majority, so that it also answers when the cluster does not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave status
  conclave --endpoint 10.0.0.1:7420,10.0.0.2:7420 status -o json
  conclave status --watch")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) watch: Watch,
}

/// Show who holds a name, who waits for it, since when, and what it is
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave inspect nightly-report
  conclave inspect nightly-report -o json
  conclave inspect nightly-report --watch")]
pub(crate) struct InspectArgs {
    /// Name of the lock, semaphore, election, ...
    pub(crate) name: String,
    /// Answer from one node's memory, without a majority; may be old
    #[arg(long)]
    pub(crate) stale: bool,
    /// Waiters to show at most
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) queue_max: u32,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum SortArg {
    Name,
    LongestWait,
    MostWaiters,
}

/// List everything that is held, waited for or kept
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave list
  conclave list orders/
  conclave list --sort longest-wait --limit 20 --watch")]
pub(crate) struct ListArgs {
    /// Only names that begin so
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// What comes first
    #[arg(long, value_enum, value_name = "BY", default_value_t = SortArg::Name)]
    pub(crate) sort: SortArg,
    /// Names to show at most; by name, further ones with `--after`
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) limit: u32,
    /// Sorted by name: begin behind this one
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) after: String,
    /// Answer from one node's memory, without a majority; may be old
    #[arg(long)]
    pub(crate) stale: bool,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

/// List the sessions, show one, or end one
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  conclave sessions
  conclave sessions billing@
  conclave sessions show 42
  conclave sessions kill 42 --reason 'host is gone'"
)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<SessionsCommand>,
    /// Only sessions whose name begins so
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Sessions to show at most; further ones with `--after`
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) limit: u32,
    /// Begin behind this session
    #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
    pub(crate) after: u64,
    /// Answer from one node's memory, without a majority; may be old
    #[arg(long)]
    pub(crate) stale: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Show what a session holds and waits for, and who stands in its way
    Show {
        /// Its number, as `conclave sessions` shows it
        id: u64,
        /// Answer from one node's memory, without a majority; may be old
        #[arg(long)]
        stale: bool,
    },
    /// End a session: its waits fail at once, its holds end as soon as it surely stopped
    Kill {
        /// Its number, as `conclave sessions` shows it
        id: u64,
        /// Shown to its client
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        /// Who does it
        #[arg(long, value_name = "WHO", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
        by: String,
    },
}

/// Take a lock away from its holder
///
/// The holder is told at once; the next in the queue is granted when the holder says that it stopped, or when it surely
/// did (1.1 TTL), so that the two never overlap. The token is that of the grant to be ended, as `conclave inspect` shows
/// it: a newer grant is never hit by an old order.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  conclave inspect nightly-report -o json | jq '.holders[0].token'
  conclave force-release nightly-report 17")]
pub(crate) struct ForceReleaseArgs {
    /// Name of the lock
    pub(crate) name: String,
    /// Token of the grant
    pub(crate) token: u64,
    /// Grant the next at once, without waiting for the old holder to stop; only where the resource checks tokens
    #[arg(long)]
    pub(crate) now: bool,
    /// Who does it; shown to the holder
    #[arg(long, value_name = "WHO", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
    pub(crate) by: String,
}

/// Follow what happens under a prefix
///
/// Shows what there is, and then every grant, release, loss and change as it happens, until Ctrl-C. If something may have been
/// missed, it says `resync` and shows what there is anew.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave watch
  conclave watch orders/ -o json | jq -c 'select(.event == \"granted\")'")]
pub(crate) struct WatchArgs {
    /// Only names that begin so
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
}

/// Change how many permits of a semaphore there are
///
/// Growing grants at once. Shrinking takes nothing away: it drains. 0 pauses. Who waits for more than there are then is refused.
/// Users go on naming the limit that it was made with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave resize gpu 8
  conclave resize gpu 0")]
pub(crate) struct ResizeArgs {
    /// Name of the semaphore
    pub(crate) name: String,
    /// The new limit
    pub(crate) limit: u32,
    /// Only if its limit still has this version, as `conclave inspect` shows it
    #[arg(long, value_name = "V")]
    pub(crate) if_version: Option<u64>,
    /// Who does it
    #[arg(long, value_name = "WHO", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
    pub(crate) by: String,
}

/// Hand a leadership over to another candidate
///
/// The leader of that term is told to stop; the first eligible candidate of that session leads when it surely did.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  conclave inspect scheduler
  conclave transfer scheduler 17 42")]
pub(crate) struct TransferArgs {
    /// Name of the election
    pub(crate) name: String,
    /// The term that is to end: the token of the leader, as `conclave inspect` shows it
    pub(crate) term: u64,
    /// The session of the candidate that is to lead
    pub(crate) session: u64,
    /// Who does it; shown to the leader
    #[arg(long, value_name = "WHO", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
    pub(crate) by: String,
}

/// Delete what stays by itself
///
/// A resized semaphore, a gate, a latch, a register, a counter, or the result of a `once`. Refused while it is held or waited for.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  conclave delete import/shards")]
pub(crate) struct DeleteArgs {
    /// Its name
    pub(crate) name: String,
    /// Who does it
    #[arg(long, value_name = "WHO", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
    pub(crate) by: String,
}

/// Make the leader hand over to another node
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave step-down
  conclave step-down --to b")]
pub(crate) struct StepDownArgs {
    /// Name of the node that should lead; without it any will do
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true)]
    pub(crate) to: String,
}

/// Exit with 0 if a node is ready to serve
///
/// Asks each of the endpoints; one that is ready is enough. Meant for health checks of containers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave health
  conclave --endpoint 127.0.0.1:7430 health && echo ready")]
pub(crate) struct HealthArgs {
    /// Only ask whether the process lives, not whether it has a leader
    #[arg(long)]
    pub(crate) live: bool,
}

/// Measure what a running cluster does
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Lock(BenchLockArgs),
}

/// Lock and unlock in a closed loop
///
/// Each client locks, unlocks and begins again. A cycle is one lock and one unlock; latencies are those of whole cycles,
/// the warm-up is not counted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave bench lock --clients 256 --sessions 4 --seconds 5
  conclave bench lock --clients 16 --one -o json")]
pub(crate) struct BenchLockArgs {
    /// Clients that each have one cycle in flight
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) clients: u32,
    /// All on one name; else each has a name of its own
    #[arg(long)]
    pub(crate) one: bool,
    /// Sessions that the clients share, each with a connection of its own
    #[arg(long, value_name = "M", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) sessions: u32,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// How long to run before the measurement
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub(crate) warm_up: Duration,
}

/// Print a script that completes `conclave` in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave completions bash > /etc/bash_completion.d/conclave
  conclave completions fish > ~/.config/fish/completions/conclave.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
