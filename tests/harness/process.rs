//! One process under test: its output is kept in files, it can be stopped and killed by its id, and it dies with its handle.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// A running (or ended) process.
pub struct Process {
    child: Child,
    status: Option<ExitStatus>,
    output: PathBuf,
    errors: PathBuf,
    started: Instant,
}

impl Process {
    /// Starts `program`; its standard output and error go to `<folder>/<label>.out` and `.err`, appended to.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
        folder: &Path,
        label: &str,
    ) -> Self {
        let output = folder.join(format!("{label}.out"));
        let errors = folder.join(format!("{label}.err"));
        let append = |path: &Path| {
            File::options().create(true).append(true).open(path).expect("a file for the output")
        };
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(append(&output))
            .stderr(append(&errors))
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self { child, status: None, output, errors, started: Instant::now() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// All it wrote to standard output so far.
    pub fn output(&self) -> String {
        text_of(&self.output)
    }

    /// All it wrote to standard error so far, and before it all that ran under its label.
    pub fn errors(&self) -> String {
        text_of(&self.errors)
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).unwrap_or_else(|error| panic!("signal {signal:?}: {error}"));
    }

    /// `kill -9`, then reaped.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            let _gone_already = self.child.kill();
            self.status = Some(self.child.wait().expect("a child can be waited for"));
        }
    }

    /// The exit status, if it ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("a child can be waited for");
        }
        self.status
    }

    /// Waits for the end, at most `limit`; answers the exit code (128 + n for signal n).
    pub fn exit_code(&mut self, limit: Duration) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        let from = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            }
            assert!(
                from.elapsed() < limit,
                "still running after {limit:?}; it wrote:\n{}\n{}",
                self.output(),
                self.errors()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.errors.display(), tail(&self.errors()));
            eprintln!("--- {} ---\n{}", self.output.display(), tail(&self.output()));
        }
    }
}

/// Whoever was killed in the middle of a character has still written what stands before it.
fn text_of(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The last 60 lines.
fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
