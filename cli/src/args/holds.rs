//! Arguments of the commands that run a command under a grant: `lock`, `rwlock`, `sem`, `elect`, `once`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::run::{RunArgs, run_help};
use super::values::duration;

/// Run a command while holding a lock, or several
///
/// Waits until NAME is free, runs COMMAND (no shell), and frees the lock when it and everything it left in its process
/// group has ended. Whoever comes second waits behind the first, in order, and is told behind whom. Of several names all
/// are held or none, so that `lock A B` and `lock B A` never wait for each other.
///
/// The command sees CONCLAVE_NAME (several names on a line each), CONCLAVE_TOKEN (larger at each grant: hand it to what you
/// write to, and let that refuse smaller ones), CONCLAVE_SESSION and CONCLAVE_TERM.
///
/// If the cluster is not heard for 2/3 of the TTL, or takes the lock away, the command's process group gets TERM, and
/// KILL in time before anybody else may be granted; the exit code is 76. A short loss of connection or a change of
/// leader stops nothing.
#[derive(Debug, Args)]
#[command(after_help = run_help!("\
  conclave lock nightly-report -- ./report.sh
  conclave lock -n backup -- pg_dump -f out.sql
  conclave lock -w 10 -E 0 cleanup -- ./cleanup.sh
  conclave lock accounts/7 accounts/9 -- ./transfer.sh
  conclave lock --max-hold 1h --on-lost ./page-me migrate -- ./migrate.sh"))]
pub(crate) struct LockArgs {
    /// Names of the locks, up to 64: 1 to 512 bytes each
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Run a command while holding a read-write lock
///
/// Alone, or with --shared beside others that share it. Served in the order of arrival: a writer waits for the readers before
/// it, and readers that come after it wait for the writer. All else is as with `conclave lock`.
#[derive(Debug, Args)]
#[command(after_help = run_help!("\
  conclave rwlock --shared schema -- ./worker.sh
  conclave rwlock schema -- ./migrate.sh"))]
pub(crate) struct RwlockArgs {
    /// Name of the lock: 1 to 512 bytes
    pub(crate) name: String,
    /// Share it with others that share it
    #[arg(short = 's', long)]
    pub(crate) shared: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Run a command while holding permits of a semaphore
///
/// At most N of them are given out. All who use the semaphore must name the same limit; `conclave resize` changes what counts.
/// Served in the order of arrival, so that a large weight is not overtaken by small ones. All else is as with `conclave lock`.
#[derive(Debug, Args)]
#[command(after_help = run_help!("\
  conclave sem gpu --limit 4 -- ./train.sh
  conclave sem db-connections --limit 100 --weight 20 -- ./import.sh"))]
pub(crate) struct SemArgs {
    /// Name of the semaphore: 1 to 512 bytes
    pub(crate) name: String,
    /// How many permits there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// How many permits the command needs
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) weight: u32,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Run a command while leading, or watch who leads
///
/// Stands as a candidate, runs COMMAND when it leads, and resigns when the command has ended. The winner is the candidate with
/// the highest priority, then the one that arrived first. The command sees its term as CONCLAVE_TERM: hand it to whatever it
/// changes. All else is as with `conclave lock`.
///
/// With --forever it stands again when the command has ended or the leadership was lost, and runs the command again when it
/// leads again, until it is asked to end: by TERM or INT, or by a HUP that ends the command.
///
/// With --observe it shows the leader, and then every change, vacancy included; with json one object a line.
#[derive(Debug, Args)]
#[command(after_help = run_help!("\
  conclave elect scheduler --value host-7:8080 --forever -- ./scheduler.sh
  conclave elect scheduler --priority 10 -- ./scheduler.sh
  conclave elect scheduler --observe -o json"))]
pub(crate) struct ElectArgs {
    /// Name of the election: 1 to 512 bytes
    pub(crate) name: String,
    /// Show who leads and every change, until Ctrl-C
    #[arg(long, conflicts_with_all = ["value", "forever", "preempt_after", "command"])]
    pub(crate) observe: bool,
    /// What observers are told when it leads, for example an address; at most 4 KiB
    #[arg(long, value_name = "V", default_value = "", hide_default_value = true)]
    pub(crate) value: String,
    /// Stand again, and run the command again when it leads again
    #[arg(long, conflicts_with_all = ["nonblock", "wait"])]
    pub(crate) forever: bool,
    /// Give way to a higher priority that has waited for this long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) preempt_after: Option<Duration>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The command and its arguments, after `--`
    #[arg(last = true, required_unless_present = "observe", value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Run a command once for a key; everybody gets its output and its exit code
///
/// One of those that ask runs COMMAND; all others wait for it, print what it wrote and exit with its code, and so does whoever
/// asks within the retention. If the one that runs it dies, is stopped by a signal or loses its turn, the next one runs it. A
/// code of 76 is never kept.
///
/// Of what the command writes the first 48 KiB are kept, and the first 15 KiB of what it writes to standard error.
#[derive(Debug, Args)]
#[command(after_help = run_help!("\
  conclave once rates/2026-11-24 -- ./fetch-rates.sh
  conclave once --retention 1h --retry-failures warm-cache/v7 -- ./warm-cache.sh"))]
pub(crate) struct OnceArgs {
    /// What is done once: 1 to 512 bytes
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// How long the result is kept: 10 s to 7 days
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    pub(crate) retention: Duration,
    /// A code other than 0 is no result: the next one runs the command
    #[arg(long)]
    pub(crate) retry_failures: bool,
    /// Give up once so many runs ended without a result while others waited; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) attempts_max: u32,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Arguments, Command};
    use super::*;

    fn command(words: &[&str]) -> Result<Command, clap::Error> {
        Arguments::try_parse_from(["conclave"].iter().chain(words)).map(|parsed| parsed.command)
    }

    fn lock(words: &[&str]) -> Result<LockArgs, clap::Error> {
        match command(&[&["lock"], words].concat())? {
            Command::Lock(args) => Ok(*args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_dashes_before_the_command_are_required() {
        for name in ["lock", "rwlock", "elect", "once"] {
            assert!(command(&[name, "job"]).is_err(), "{name}");
            assert!(command(&[name, "job", "--"]).is_err(), "{name}");
            assert!(command(&[name, "job", "--", "true"]).is_ok(), "{name}");
        }
        assert!(command(&["rwlock", "job", "true"]).is_err());
        let args = lock(&["job", "--", "sh", "-c", "exit 3", "-n"]).expect("valid");
        assert_eq!(args.command, ["sh", "-c", "exit 3", "-n"]);
        assert!(!args.run.wait.nonblock);
    }

    #[test]
    fn names_end_at_the_dashes() {
        let args = lock(&["a", "b", "c", "--", "d"]).expect("valid");
        assert_eq!(args.names, ["a", "b", "c"]);
        assert_eq!(args.command, ["d"]);
        assert!(lock(&["--", "true"]).is_err());
    }

    #[test]
    fn flags_of_flock_and_timeout() {
        let args = lock(&["-w", "2", "-E", "0", "-k1.5", "job", "--", "true"]).expect("valid");
        assert_eq!(args.run.wait.wait, Some(Duration::from_secs(2)));
        assert_eq!(args.run.wait.conflict_exit_code, 0);
        assert_eq!(args.run.kill_after, Some(Duration::from_millis(1_500)));
        assert!(args.run.check().is_ok());
        assert!(lock(&["-n", "-w", "2", "job", "--", "true"]).is_err(), "either or");
        assert!(command(&["rwlock", "-s", "job", "--", "true"]).is_ok());
    }

    #[test]
    fn a_kill_after_that_does_not_fit_is_refused() {
        let args = lock(&["-k", "1.8", "job", "--", "true"]).expect("valid");
        assert!(args.run.check().is_ok());
        let args = lock(&["-k", "1.81", "job", "--", "true"]).expect("valid");
        let failure = args.run.check().expect_err("does not fit");
        assert_eq!(failure.code, 125);
        assert!(failure.to_string().contains("longer --ttl"), "{failure}");
    }

    #[test]
    fn a_semaphore_needs_a_limit_and_a_weight_above_zero() {
        assert!(command(&["sem", "gpu", "--", "true"]).is_err());
        assert!(command(&["sem", "gpu", "--limit", "0", "--", "true"]).is_err());
        assert!(command(&["sem", "gpu", "--limit", "2", "--weight", "0", "--", "true"]).is_err());
        assert!(command(&["sem", "gpu", "--limit", "2", "--weight", "2", "--", "true"]).is_ok());
    }

    #[test]
    fn an_observer_runs_nothing() {
        assert!(command(&["elect", "x", "--observe"]).is_ok());
        assert!(command(&["elect", "x", "--observe", "--", "true"]).is_err());
        assert!(command(&["elect", "x", "--forever", "-n", "--", "true"]).is_err());
    }
}
