//! What the tests of the command line share: a node of their own, and `conclave` against it.
#![expect(dead_code, reason = "each test binary uses its part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use conclave_tests::{Process, Signal, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// Longest that anything without a deadline of its own may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// In a script: waits for [`Node::end`].
pub(crate) const UNTIL_END: &str = "while [ ! -f end ]; do sleep 0.02; done";

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_conclave"))
}

/// One node, with nothing kept, on a free port.
pub(crate) struct Node {
    folder: TempDir,
    process: Process,
    endpoint: String,
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(extra: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let ready = folder.path().join("ready.json");
        let mut arguments = vec!["dev", "--ephemeral", "--listen", "127.0.0.1:0", "--ready-file"];
        arguments.push(ready.to_str().expect("a plain path"));
        arguments.extend(extra);
        let process = Process::start(binary(), arguments, &[], folder.path(), "node");
        let endpoint = eventually("a node that is ready", PATIENCE, || {
            let text = fs::read_to_string(&ready).ok()?;
            let ready: Value = serde_json::from_str(&text).expect("the ready file is JSON");
            ready["client"].as_str().map(str::to_owned)
        });
        Self { folder, process, endpoint }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder of this node.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Starts `conclave` with these arguments.
    pub(crate) fn start_conclave(&self, label: &str, arguments: &[&str]) -> Process {
        let environment = [("CONCLAVE_ENDPOINTS", self.endpoint.as_str())];
        Process::start(binary(), arguments, &environment, self.folder(), label)
    }

    /// Starts `conclave lock` in the folder of this node; what `script` writes goes there.
    pub(crate) fn lock(&self, label: &str, flags: &[&str], name: &str, script: &str) -> Process {
        let script = format!("cd {}; {script}", self.folder().display());
        let mut arguments = vec!["lock"];
        arguments.extend(flags);
        arguments.extend([name, "--", "sh", "-c", &script]);
        self.start_conclave(label, &arguments)
    }

    /// Starts `conclave` with these arguments and a script in the folder of this node as its command.
    pub(crate) fn under(&self, label: &str, arguments: &[&str], script: &str) -> Process {
        let script = format!("cd {}; {script}", self.folder().display());
        self.start_conclave(label, &[arguments, &["--", "sh", "-c", &script]].concat())
    }

    /// Tells all jobs that wait for it to end: those whose script has [`UNTIL_END`] in it.
    pub(crate) fn end(&self) {
        fs::write(self.path("end"), "").expect("a file");
    }

    /// Runs `conclave` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .env("CONCLAVE_ENDPOINTS", &self.endpoint)
            .stdin(Stdio::null())
            .output()
            .expect("conclave runs")
    }

    /// The same, for what must succeed and answer JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
    }

    /// Waits until a file that a job writes is there and has a line.
    pub(crate) fn written(&self, name: &str) -> String {
        eventually(name, PATIENCE, || {
            let text = fs::read_to_string(self.path(name)).ok()?;
            text.ends_with('\n').then(|| text.trim_end().to_owned())
        })
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Waits until somebody holds the lock.
    pub(crate) fn held(&self, name: &str) {
        eventually("a holder", PATIENCE, || {
            let answer = self.json(&["inspect", name]);
            (!answer["holders"].as_array().expect("a list").is_empty()).then_some(())
        });
    }

    /// Waits until nobody does.
    pub(crate) fn free(&self, name: &str) {
        eventually("a free lock", PATIENCE, || {
            let answer = self.json(&["inspect", name]);
            answer["holders"].as_array().expect("a list").is_empty().then_some(())
        });
    }

    /// Waits until that many wait for the lock.
    pub(crate) fn queued(&self, name: &str, count: usize) {
        eventually("a queue", PATIENCE, || {
            let answer = self.json(&["inspect", name]);
            (answer["queue"].as_array().expect("a list").len() == count).then_some(())
        });
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a process runs (or stands still), by its number. A zombie does not.
pub(crate) fn is_alive(pid: &str) -> bool {
    state_of(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The state letter of a process, as ps(1) shows it.
pub(crate) fn state_of(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}
