//! Arguments of the commands that change or await something without holding it: `latch`, `gate`, `barrier`, `register`, `counter`.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::run::WaitArgs;
use super::values::duration;

/// Create a latch, count it down, or wait until it is at zero
///
/// Whoever waits passes when the latch has been counted down to zero, also later. It stays until `conclave delete`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("act").required(true).args(["count", "done", "reset", "wait"])))]
#[command(after_help = "\
Exit codes: 0 done or passed, 1 refused, 69 no cluster answered, 75 not at zero in time.

Examples:
  conclave latch import --count 3
  conclave latch import --done --key shard-2
  conclave latch import --wait && ./publish.sh
  conclave latch import --wait -w 60")]
pub(crate) struct LatchArgs {
    /// Name of the latch: 1 to 512 bytes
    pub(crate) name: String,
    /// Create it with this count, or find one that was made with the same
    #[arg(long, value_name = "N", conflicts_with_all = ["nonblock", "timeout"])]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Count it down by one
    #[arg(long, conflicts_with_all = ["nonblock", "timeout"])]
    pub(crate) done: bool,
    /// With --done: count only once for this key in a round, so that whoever is started anew counts once
    #[arg(long, requires = "done", value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Begin a new round with the first count
    #[arg(long, conflicts_with_all = ["nonblock", "timeout"])]
    pub(crate) reset: bool,
    /// Wait until it is at zero
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

/// How long `--wait` waits.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PatienceArgs {
    /// With --wait: do not wait, exit with 75 if it is not open
    #[arg(short = 'n', long = "nonblock", conflicts_with = "timeout")]
    pub(crate) nonblock: bool,
    /// With --wait: wait at most this long, then exit with 75
    #[arg(short = 'w', long = "timeout", value_name = "SECS", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

/// Open a gate, close it, or wait until it is open
///
/// A gate that was never opened is closed. It stays as it is until somebody says otherwise.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("act").required(true).args(["open", "close", "wait"])))]
#[command(after_help = "\
Exit codes: 0 done or passed, 1 refused, 69 no cluster answered, 75 not open in time.

Examples:
  conclave gate maintenance-over --close
  conclave gate maintenance-over --wait -w 600 && ./worker.sh
  conclave gate maintenance-over --open")]
pub(crate) struct GateArgs {
    /// Name of the gate: 1 to 512 bytes
    pub(crate) name: String,
    /// Open it: whoever waits passes
    #[arg(long, conflicts_with_all = ["nonblock", "timeout"])]
    pub(crate) open: bool,
    /// Close it
    #[arg(long, conflicts_with_all = ["nonblock", "timeout"])]
    pub(crate) close: bool,
    /// Wait until it is open
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

/// Wait until so many have arrived, then all go on
///
/// The next generation begins at once. Whoever goes away while it waits is not counted any more. All must name the same number.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all arrived, 1 refused or broken, 69 no cluster answered, 75 the others did not come in time.

Examples:
  conclave barrier phase-1 --parties 3 && ./phase-2.sh
  conclave barrier phase-1 --parties 3 -w 60 -o json")]
pub(crate) struct BarrierArgs {
    /// Name of the barrier: 1 to 512 bytes
    pub(crate) name: String,
    /// How many go on together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) parties: u32,
    /// One that goes away while it waits breaks the barrier for all that wait
    #[arg(long)]
    pub(crate) break_on_loss: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Read or write a small value that the cluster keeps
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave register set config/mode fast
  conclave register get config/mode
  conclave lock billing -- sh -c 'conclave register set billing/cursor 42 --guarded'")]
pub(crate) struct RegisterArgs {
    #[command(subcommand)]
    pub(crate) act: RegisterCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegisterCommand {
    /// Print the value; 1 if there is none
    Get {
        /// Name of the register
        name: String,
    },
    /// Write the value: at most 64 KiB
    Set {
        /// Name of the register
        name: String,
        /// The value; `-`: from standard input
        value: String,
        /// Only if it has this version
        #[arg(long, value_name = "V", conflicts_with = "if_absent")]
        if_version: Option<u64>,
        /// Only if there is none
        #[arg(long)]
        if_absent: bool,
        #[command(flatten)]
        guard: GuardArgs,
    },
}

/// Add to a number that the cluster keeps, or read it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave counter add invoices 1
  conclave counter get invoices")]
pub(crate) struct CounterArgs {
    #[command(subcommand)]
    pub(crate) act: CounterCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CounterCommand {
    /// Print the number; one that is not there is 0
    Get {
        /// Name of the counter
        name: String,
    },
    /// Add this, exactly once, and print what it is then
    Add {
        /// Name of the counter
        name: String,
        /// How much; may be negative
        #[arg(allow_negative_numbers = true)]
        delta: i64,
        #[command(flatten)]
        guard: GuardArgs,
    },
}

/// The fence against a holder of yesterday.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct GuardArgs {
    /// Only while the grant holds under which this runs (CONCLAVE_NAME, CONCLAVE_TOKEN)
    #[arg(long)]
    pub(crate) guarded: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Arguments;

    fn is_valid(words: &[&str]) -> bool {
        Arguments::try_parse_from(["conclave"].iter().chain(words)).is_ok()
    }

    #[test]
    fn exactly_one_act() {
        assert!(!is_valid(&["latch", "x"]));
        assert!(!is_valid(&["latch", "x", "--done", "--wait"]));
        assert!(!is_valid(&["latch", "x", "--count", "0"]));
        assert!(is_valid(&["latch", "x", "--count", "3"]));
        assert!(is_valid(&["latch", "x", "--done", "--key", "a"]));
        assert!(!is_valid(&["gate", "x", "--open", "--close"]));
        assert!(is_valid(&["gate", "x", "--open"]));
    }

    #[test]
    fn only_a_wait_has_patience() {
        assert!(!is_valid(&["latch", "x", "--done", "-w", "3"]));
        assert!(is_valid(&["latch", "x", "--wait", "-w", "3"]));
        assert!(!is_valid(&["latch", "x", "--wait", "-n", "-w", "3"]));
        assert!(is_valid(&["gate", "x", "--wait", "-n"]));
    }

    #[test]
    fn parties_and_deltas() {
        assert!(!is_valid(&["barrier", "x", "--parties", "0"]));
        assert!(is_valid(&["barrier", "x", "--parties", "2", "-w", "1"]));
        assert!(is_valid(&["counter", "add", "x", "-3"]));
        assert!(!is_valid(&["register", "set", "x", "v", "--if-absent", "--if-version", "3"]));
    }
}
