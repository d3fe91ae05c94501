//! A command in a process group of its own, as the kernel sees it: started so that it dies with us, signalled as a
//! group, reaped to the last member. It decides nothing.
//!
//! Why not `process-wrap`: its group child waits on other threads and only for ends. Here the parent-death signal
//! needs the spawn on the main thread, job control needs to see stops, and one reaper must see every end.

mod spawn;
mod terminal;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, getpid};

pub(crate) use terminal::{Tty, never_stopped_by_writing};

use crate::supervisor::Boot;

/// So many programs are just being started aside. If that fails, the standard library reaps the child itself, and panics if
/// it does not find it.
static STARTING_ASIDE: AtomicU32 = AtomicU32::new(0);

/// What the kernel told about the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It ended, with a code as a shell would give it.
    Exited(u8),
    /// A signal ended it.
    Killed(Signal),
    Stopped(Signal),
}

/// Where the command writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Where we do.
    Inherited,
    /// To us.
    Piped,
}

/// What the command writes, when it writes to us.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) out: ChildStdout,
    pub(crate) err: ChildStderr,
}

/// Why a command does not run.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The grant was over before the command could begin.
    TooLate,
    /// It cannot be run.
    Failed(io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        if error.raw_os_error() == Some(spawn::TOO_LATE as i32) {
            Self::TooLate
        } else {
            Self::Failed(error)
        }
    }
}

/// A running command and its group.
#[derive(Debug)]
pub(crate) struct Job {
    /// Also the id of its group.
    pid: Pid,
    pipes: Option<Pipes>,
}

impl Job {
    /// Starts `command[0]` with its arguments, before `start_by` or not at all. Must be called on the main thread: the
    /// parent-death signal follows the thread that spawned.
    pub(crate) fn start(
        command: &[OsString],
        environment: &[(&str, OsString)],
        start_by: Boot,
        output: Output,
    ) -> Result<Self, StartError> {
        debug_assert_eq!(nix::unistd::gettid(), getpid(), "spawned from the main thread");
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        };
        // What the command leaves behind becomes ours, so that a group is gone when we say so, also where the first
        // process of a container reaps nobody.
        prctl::set_child_subreaper(true).map_err(io::Error::from)?;
        let mut command = Command::new(program);
        command.args(arguments);
        for (name, value) in environment {
            command.env(name, value);
        }
        if output == Output::Piped {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        // Reaped by `Job::reap` alone: the handle is let go.
        let mut child = spawn::in_own_group(&mut command, start_by)?;
        let pid = i32::try_from(child.id()).map_err(|_| io::Error::from(Errno::ERANGE))?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let pipes = pipes.map(|(out, err)| Pipes { out, err });
        Ok(Self { pid: Pid::from_raw(pid), pipes })
    }

    /// Once; none when it writes where we do.
    pub(crate) fn take_pipes(&mut self) -> Option<Pipes> {
        self.pipes.take()
    }

    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// To every process of the group. True when there was one that could be reached.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        killpg(self.pid, signal).is_ok()
    }

    /// Whether the group has no process any more. Only meaningful once the command itself was reaped.
    pub(crate) fn is_gone(&self) -> bool {
        killpg(self.pid, None) == Err(Errno::ESRCH)
    }

    /// Reaps whatever ended (orphans of the command too) and tells what concerns the command itself.
    pub(crate) fn reap(&self) -> Vec<News> {
        let mut news = Vec::new();
        // Meanwhile only the group is reaped; what else ended has time.
        let is_starting = STARTING_ASIDE.load(Ordering::Acquire) > 0;
        let whom = is_starting.then(|| Pid::from_raw(-self.pid.as_raw()));
        loop {
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
            match waitpid(whom, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.pid => {
                    news.push(News::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.pid => {
                    news.push(News::Killed(signal));
                }
                Ok(WaitStatus::Stopped(pid, signal)) if pid == self.pid => {
                    news.push(News::Stopped(signal));
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return news,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return news,
            }
        }
    }
}

/// As a shell counts: 128 + n.
pub(crate) fn code_of_signal(signal: Signal) -> u8 {
    128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0))
}

/// The exit code of timeout(1) for a command that could not be started: 127 not found, 126 found but not to be run.
pub(crate) fn code_of_start_error(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound => 127,
        _ => 126,
    }
}

/// Stops this process; comes back when it is continued. SIGSTOP, because our own handler has SIGTSTP.
pub(crate) fn stop_self(whole_job: bool) {
    let target = if whole_job { Pid::from_raw(0) } else { getpid() };
    let _cannot_fail = kill(target, Signal::SIGSTOP);
}

/// Whether anybody above us could continue us after a stop. Not for the first process of a container, and not in the
/// group of a session leader on a terminal: no shell with job control stands above it.
pub(crate) fn is_continuable(tty: Option<&Tty>) -> bool {
    let own = getpid();
    let leads_session = nix::unistd::getsid(None).is_ok_and(|session| session == getpgrp());
    own != Pid::from_raw(1) && !(tty.is_some() && leads_session)
}

/// Whether the one who started us had this signal ignored (nohup, or a shell's background job): then it stays so, for
/// us and for the command.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_mask(&status).is_some_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
}

fn ignored_mask(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Runs a program beside everything, without waiting for it: no shell, no arguments, no input. On a thread of its own,
/// since starting it may take as long as its file system likes.
pub(crate) fn run_aside(program: &OsStr, environment: Vec<(&'static str, OsString)>) {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for (name, value) in environment {
        command.env(name, value);
    }
    let shown = program.to_string_lossy().into_owned();
    // Here and not in the thread: what reaps is this thread.
    STARTING_ASIDE.fetch_add(1, Ordering::AcqRel);
    std::thread::spawn(move || {
        use std::os::unix::process::CommandExt as _;
        let started = command.process_group(0).spawn();
        STARTING_ASIDE.fetch_sub(1, Ordering::AcqRel);
        if let Err(error) = started {
            let line = format!("conclave: --on-lost {shown} could not be started: {error}\n");
            let _nobody_reads = io::stderr().write_all(line.as_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_become_codes_as_in_a_shell() {
        assert_eq!(code_of_signal(Signal::SIGKILL), 137);
        assert_eq!(code_of_signal(Signal::SIGTERM), 143);
    }

    #[test]
    fn what_cannot_be_started_has_the_codes_of_timeout() {
        assert_eq!(code_of_start_error(&io::Error::from(io::ErrorKind::NotFound)), 127);
        assert_eq!(code_of_start_error(&io::Error::from(io::ErrorKind::PermissionDenied)), 126);
    }

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored_mask(status), Some(0x1001));
        assert_eq!(ignored_mask("Name:\tx\n"), None);
        assert!(!is_ignored(Signal::SIGTERM));
    }
}
