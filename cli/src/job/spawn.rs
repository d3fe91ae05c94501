//! The one place with unsafe code: what must happen in the child between fork and exec.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};

/// Starts the command as the leader of a new process group that is killed when this thread ends.
#[expect(
    unsafe_code,
    reason = "the parent-death signal can only be asked for by the child itself, after the fork"
)]
pub(super) fn in_own_group(command: &mut Command) -> io::Result<Pid> {
    let parent = getpid();
    command.process_group(0);
    let in_child = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // If the parent died before the line above, no signal will ever come.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(Errno::ESRCH)) }
    };
    // SAFETY: the closure makes two system calls and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(in_child);
    }
    // Reaped by `Job::reap` alone: the handle is let go.
    let child = command.spawn()?;
    Ok(Pid::from_raw(i32::try_from(child.id()).map_err(|_| Errno::ERANGE)?))
}
