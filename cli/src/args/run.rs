//! What all commands share that run a command under a grant.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::values::duration;
use crate::failure::{Failure, code};
use crate::supervisor::grace_max;

/// Whether to wait, and how long.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Do not wait: exit with 75 if it cannot be had at once
    #[arg(short = 'n', long = "nonblock", visible_alias = "nb", conflicts_with = "wait")]
    pub(crate) nonblock: bool,
    /// Wait at most this long, then exit with 75
    #[arg(short = 'w', long = "wait", value_name = "SECS", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
    /// Exit with this code instead of 75 if it was not acquired
    #[arg(short = 'E', long = "conflict-exit-code", value_name = "N", default_value_t = code::NOT_ACQUIRED)]
    pub(crate) conflict_exit_code: u8,
}

/// How a command is run under a grant.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
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
}

/// The end of the help of all of them, before their examples.
macro_rules! run_help {
    ($examples:literal) => {
        concat!(
            "\
Exit codes:
  the command's own, or 128+N if signal N ended it
  75   not acquired (-E changes it)
  76   the lock was lost or in danger, and the command was stopped (or never started)
  69   no cluster answered
  125  conclave itself failed; 126 COMMAND cannot be run; 127 COMMAND not found

Signals: TERM, INT and HUP are passed on to the command's group. Ctrl-Z stops the group, then conclave; after `fg` the
command goes on only if the lock is still held. Killing conclave kills the command; what the command started may outlive
that by its own doing. Not guarded: stopping conclave alone with SIGSTOP, and a COMMAND on a file system that hangs while
it is started. Let what you write to check the token.

Examples:
  ",
            $examples
        )
    };
}
pub(super) use run_help;

impl RunArgs {
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
