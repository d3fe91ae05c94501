//! Arguments of `conclave lock`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::values::duration;
use crate::failure::{Failure, code};
use crate::supervisor::grace_max;

/// Run a command while holding a lock
///
/// Waits until NAME is free, runs COMMAND (no shell), and frees the lock when it and everything it left in its process
/// group has ended. Whoever comes second waits behind the first, in order, and is told behind whom.
///
/// The command sees CONCLAVE_NAME, CONCLAVE_TOKEN (larger at each grant: hand it to what you write to, and let that
/// refuse smaller ones), CONCLAVE_SESSION and CONCLAVE_TERM.
///
/// If the cluster is not heard for 2/3 of the TTL, or takes the lock away, the command's process group gets TERM, and
/// KILL in time before anybody else may be granted; the exit code is 76. A short loss of connection or a change of
/// leader stops nothing.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LockArgs {
    /// Name of the lock: 1 to 512 bytes
    pub(crate) name: String,
    /// Do not wait: exit with 75 if it is held
    #[arg(short = 'n', long = "nonblock", visible_alias = "nb", conflicts_with = "wait")]
    pub(crate) nonblock: bool,
    /// Wait at most this long, then exit with 75
    #[arg(short = 'w', long = "wait", value_name = "SECS", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
    /// Exit with this code instead of 75 if it was not acquired
    #[arg(short = 'E', long = "conflict-exit-code", value_name = "N", default_value_t = code::NOT_ACQUIRED)]
    pub(crate) conflict_exit_code: u8,
    /// KILL this long after a TERM; at most 0.18 TTL, which is also what a lost lock gets without it
    #[arg(short = 'k', long = "kill-after", value_name = "TIME", value_parser = duration)]
    pub(crate) kill_after: Option<Duration>,
    /// How long the lock outlives a client that vanished
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub(crate) ttl: Duration,
    /// How long the lock stays occupied after this session expired
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s", hide_default_value = true)]
    pub(crate) lock_delay: Duration,
    /// Higher goes first; arrival decides among equals
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// Take the lock away from the command after this time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_hold: Option<Duration>,
    /// Program to start (without arguments) when the lock is lost or in danger; it sees CONCLAVE_LOST too
    #[arg(long, value_name = "CMD")]
    pub(crate) on_lost: Option<OsString>,
    /// How others see who holds it
    #[arg(long, value_name = "NAME", hide_default_value = true, default_value_t = crate::identity::user_at_host())]
    pub(crate) session_name: String,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const AFTER_HELP: &str = "\
Exit codes:
  the command's own, or 128+N if signal N ended it
  75   not acquired (-E changes it)
  76   the lock was lost or in danger, and the command was stopped
  69   no cluster answered
  125  conclave itself failed; 126 COMMAND cannot be run; 127 COMMAND not found

Signals: TERM, INT and HUP are passed on to the command's group. Ctrl-Z stops the group, then conclave; after `fg` the
command goes on only if the lock is still held. Killing conclave kills the command; what the command started may outlive
that by its own doing, and stopping conclave alone with SIGSTOP cannot be guarded: let what you write to check the token.

Examples:
  conclave lock nightly-report -- ./report.sh
  conclave lock -n backup -- pg_dump -f out.sql
  conclave lock -w 10 -E 0 cleanup -- ./cleanup.sh
  conclave lock --max-hold 1h --on-lost ./page-me migrate -- ./migrate.sh";

impl LockArgs {
    /// What clap cannot see: whether the parts fit each other.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let longest = grace_max(self.ttl);
        match self.kill_after {
            Some(kill_after) if kill_after > longest => Err(Failure::new(
                code::INTERNAL,
                format!(
                    "-k {} does not fit: between TERM and the moment at which the command must be gone lie {} of a TTL of {}",
                    humantime::format_duration(kill_after),
                    humantime::format_duration(longest),
                    humantime::format_duration(self.ttl),
                ),
                "give a shorter -k or a longer --ttl",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Arguments, Command};
    use super::*;

    fn parse(words: &[&str]) -> Result<LockArgs, clap::Error> {
        let words = ["conclave", "lock"].iter().chain(words);
        match Arguments::try_parse_from(words)?.command {
            Command::Lock(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_dashes_before_the_command_are_required() {
        assert!(parse(&["job", "true"]).is_err());
        assert!(parse(&["job", "--"]).is_err());
        let args = parse(&["job", "--", "sh", "-c", "exit 3", "-n"]).expect("valid");
        assert_eq!(args.command, ["sh", "-c", "exit 3", "-n"]);
        assert!(!args.nonblock);
    }

    #[test]
    fn flags_of_flock_and_timeout() {
        let args = parse(&["-w", "2", "-E", "0", "-k1.5", "job", "--", "true"]).expect("valid");
        assert_eq!(args.wait, Some(Duration::from_secs(2)));
        assert_eq!(args.conflict_exit_code, 0);
        assert_eq!(args.kill_after, Some(Duration::from_millis(1_500)));
        assert!(args.check().is_ok());
        assert!(parse(&["-n", "-w", "2", "job", "--", "true"]).is_err(), "either or");
    }

    #[test]
    fn a_kill_after_that_does_not_fit_is_refused() {
        let args = parse(&["-k", "1.8", "job", "--", "true"]).expect("valid");
        assert!(args.check().is_ok());
        let args = parse(&["-k", "1.81", "job", "--", "true"]).expect("valid");
        let failure = args.check().expect_err("does not fit");
        assert_eq!(failure.code, 125);
        assert!(failure.to_string().contains("longer --ttl"), "{failure}");
    }
}
