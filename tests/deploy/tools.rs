//! Programs that these tests need: each run ends within a bound, and what it said is shown when it fails.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use conclave_tests::Process;
use tempfile::TempDir;

/// Longest that a program may take that does little.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What a program said, and whether it succeeded.
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs a program to its end, at most `limit`.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    environment: &[(&str, &str)],
    limit: Duration,
) -> Said {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = TempDir::new().expect("a folder");
    let label = format!("run-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut process = Process::start(program, arguments, environment, folder.path(), &label);
    let success = process.exit_code(limit) == 0;
    Said { success, output: process.output(), errors: process.errors() }
}

/// The same for what must succeed: answers its output, without the last line feed.
pub(crate) fn must<A: AsRef<OsStr> + std::fmt::Debug>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    environment: &[(&str, &str)],
    limit: Duration,
) -> String {
    let arguments: Vec<A> = arguments.into_iter().collect();
    let said = run(program, &arguments, environment, limit);
    assert!(
        said.success,
        "{} {arguments:?} failed:\n{}\n{}",
        program.display(),
        said.output,
        said.errors
    );
    said.output.trim_end().to_owned()
}

/// Whether this machine has a program that answers these arguments.
pub(crate) fn has(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
