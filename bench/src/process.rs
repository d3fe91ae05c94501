//! A server process under load: started, watched through /proc, and ended with its handle. Its output is kept in a file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Serialize;

use crate::failure::Failure;

/// The unit of CPU times in /proc: `USER_HZ`, 100 on every Linux that is in use.
const TICKS_A_SECOND: f64 = 100.0;
/// What a failed start shows of a log.
const LINES_SHOWN: usize = 8;

#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a process used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Of all its threads, user and system, since it began.
    pub(crate) cpu_seconds: f64,
    /// Resident now.
    pub(crate) memory_kib: u64,
}

/// What a node used while something was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NodeUsage {
    pub(crate) node: String,
    /// Within the measured time.
    pub(crate) cpu_seconds: f64,
    /// Resident at its end.
    pub(crate) memory_kib: u64,
}

impl Process {
    /// Starts it; all it says goes to `<folder>/<name>.log`. It is killed when this thread ends, however that happens; so it
    /// must be the main one.
    pub(crate) fn start(
        name: &str,
        program: &Path,
        arguments: &[OsString],
        folder: &Path,
    ) -> Result<Self, Failure> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.map_err(|error| Failure::of(&log.display().to_string(), error))?;
        let errors = file.try_clone().map_err(|error| Failure::of("the log", error))?;
        // Part of util-linux, and it becomes the program itself, so that the process id stays.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.current_dir(folder).stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().map_err(|error| {
            Failure::new(format!("setpriv does not start: {error}"), "it is part of util-linux")
        })?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Fails with its last words if it has ended.
    pub(crate) fn must_run(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<_> = said.lines().collect();
                let last = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
                Err(Failure::new(format!("{} ended ({status}):\n{last}", self.name), ""))
            }
            Err(error) => Err(Failure::of(&self.name, error)),
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        usage_of(&self.child.id().to_string())
    }

    /// `kill -9`, then reaped.
    pub(crate) fn kill(&mut self) {
        // Fails only when it ended before.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Of this program itself.
pub(crate) fn own_usage() -> Usage {
    usage_of("self")
}

/// Zeros when there is no such process (any more).
fn usage_of(id: &str) -> Usage {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    Usage { cpu_seconds: cpu_seconds(&stat), memory_kib: memory_kib(&status) }
}

/// The name in it is in parentheses and may have anything inside: the fields are counted from its end.
fn cpu_seconds(stat: &str) -> f64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_A_SECOND
}

fn memory_kib(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_understood_whatever_the_name_of_the_process() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 2 0 0 0 150 25 0 0 20 0 1 0 5 6 7";
        assert!((cpu_seconds(stat) - 1.75).abs() < 1e-9);
        assert_eq!(memory_kib("Name:\tx\nVmRSS:\t  1234 kB\nRssAnon:\t 9 kB\n"), 1234);
        assert!(own_usage().memory_kib > 0);
    }
}
