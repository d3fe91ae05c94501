//! The controlling terminal, handed to the command's group and back, as a shell does it. A group that is not in the
//! foreground is stopped when it reads from the terminal.

use std::fs::File;
use std::io::{self, IsTerminal as _};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::Job;
use crate::supervisor::Terminal;

/// The controlling terminal, if there is one.
#[derive(Debug)]
pub(crate) struct Tty {
    file: File,
    /// How it was set before the command could change it.
    modes: Option<Termios>,
}

impl Tty {
    pub(crate) fn open() -> Option<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let modes = tcgetattr(&file).ok();
        Some(Self { file, modes })
    }

    /// Whether the command should have the terminal from its start. In a pipeline it gets it only when it asks: the
    /// pager behind us may need it more.
    pub(crate) fn is_for_the_command() -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    pub(crate) fn owner(&self, job: &Job) -> Terminal {
        match tcgetpgrp(&self.file) {
            Ok(group) if group == getpgrp() => Terminal::Ours,
            Ok(group) if group == job.pid() => Terminal::Command,
            Ok(_) => Terminal::Others,
            Err(_) => Terminal::None,
        }
    }

    pub(crate) fn give_to(&self, job: &Job) {
        if self.owner(job) == Terminal::Ours {
            self.set_group(job.pid());
        }
    }

    pub(crate) fn take_from(&self, job: &Job) {
        if self.owner(job) == Terminal::Command {
            self.set_group(getpgrp());
        }
    }

    /// Back as it was, after the command was killed and could not tidy up.
    pub(crate) fn restore_modes(&self, job: &Job) {
        if let Some(modes) = &self.modes
            && self.owner(job) == Terminal::Ours
        {
            let _best_effort = blocking_ttou(|| tcsetattr(&self.file, SetArg::TCSANOW, modes));
        }
    }

    fn set_group(&self, group: Pid) {
        let _gone_terminal = blocking_ttou(|| tcsetpgrp(&self.file, group));
    }
}

/// For a thread that writes while the command has the terminal: under `stty tostop` that would stop all of us.
pub(crate) fn never_stopped_by_writing() {
    let _cannot_fail = ttou().thread_block();
}

fn ttou() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTTOU);
    set
}

/// In the background even taking the terminal back would stop us, unless SIGTTOU is blocked for that moment.
fn blocking_ttou<T>(act: impl FnOnce() -> T) -> T {
    let set = ttou();
    let blocked = set.thread_block();
    let result = act();
    if blocked.is_ok() {
        let _cannot_fail = set.thread_unblock();
    }
    result
}
