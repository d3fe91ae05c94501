//! The one place with unsafe code: what must happen in the child between fork and exec.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

use crate::supervisor::Boot;

/// What the child answers when it came too late. No exec fails with this.
pub(super) const TOO_LATE: Errno = Errno::ETIME;

/// Starts the command as the leader of a new process group that is killed when this thread ends, unless `start_by` has passed
/// when the child is about to become the command: a fork may take long, and a machine may sleep in the midst of it.
///
/// What remains: an exec that hangs in the kernel, on a file system that does not answer, ends when it likes. Until then we
/// hang with it and keep nothing alive; then the command is killed before it is waited for, but not before it began.
#[expect(
    unsafe_code,
    reason = "the parent-death signal can only be asked for by the child itself, after the fork"
)]
pub(super) fn in_own_group(command: &mut Command, start_by: Boot) -> io::Result<Child> {
    let parent = getpid();
    command.process_group(0);
    let in_child = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // If the parent died before the line above, no signal will ever come.
        if getppid() != parent {
            return Err(io::Error::from(Errno::ESRCH));
        }
        if Boot::now() >= start_by { Err(io::Error::from(TOO_LATE)) } else { Ok(()) }
    };
    // SAFETY: the closure makes three system calls and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(in_child);
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_child_that_comes_too_late_never_becomes_the_command() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("ran");
        let mut touch = Command::new("touch");
        touch.arg(&file);
        let error = in_own_group(&mut touch, Boot::now()).expect_err("too late");
        assert_eq!(error.raw_os_error(), Some(TOO_LATE as i32));
        assert!(!file.exists());
        let soon_enough = Boot::now().plus(Duration::from_secs(60));
        let mut touch = Command::new("touch");
        touch.arg(&file);
        let mut child = in_own_group(&mut touch, soon_enough).expect("started");
        assert!(child.wait().expect("its end").success());
        assert!(file.exists());
    }
}
