//! The tests, tested: with each fault of [`faults`] planted, the tests that are to notice it must fail; without any they pass.
//!
//! Not among the tests of the workspace, since it builds the crates once more, with the feature `planted`: `just mutants`.

mod faults;
mod simulated;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

use faults::{FAULTS, Witness};
use simulated::{IN_SIMULATION, SIMULATION};

/// A fault may well make a test wait for ever; that is noticed too.
const PATIENCE: Duration = Duration::from_secs(120);

/// What looks at the faults. The whole workspace is named, and then some targets of it, so that the libraries of others are built
/// with the same features as in every other run, and not once more.
const TARGETS: [&str; 12] = [
    "--workspace",
    "--lib",
    "--test",
    "scripts",
    "--test",
    "large",
    "--test",
    "store",
    "--test",
    "raft",
    "--test",
    "sim",
];

/// Test binaries by package and target, with the directory that cargo runs them in.
type Binaries = BTreeMap<(String, String), (PathBuf, PathBuf)>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait for processes, and some of these measure time.
    arguments.test_threads.get_or_insert(2);
    let binaries = match arguments.list {
        true => Binaries::new(),
        false => build(),
    };
    let binaries = Arc::new(binaries);
    let witnesses = FAULTS.iter().map(|fault| &fault.witness).chain([&SIMULATION]);
    let sound: BTreeSet<_> = witnesses.map(key).collect();
    let mut trials = Vec::new();
    for (package, target, filter) in sound {
        let binaries = binaries.clone();
        let name = format!("{package} {target} {filter} without a fault");
        let run = move || passes(&binaries, &Witness { package, target, filter });
        trials.push(Trial::test(name.replace("  ", " "), run));
    }
    for fault in FAULTS {
        let binaries = binaries.clone();
        let run = move || is_noticed(&binaries, fault.name, &fault.witness);
        trials.push(Trial::test(fault.name, run));
    }
    for fault in IN_SIMULATION {
        let binaries = binaries.clone();
        let run = move || is_noticed(&binaries, fault, &SIMULATION);
        trials.push(Trial::test(format!("{fault}, in the simulation"), run));
    }
    println!("{} faults planted, one at a time", FAULTS.len());
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn key(witness: &Witness) -> (&'static str, &'static str, &'static str) {
    (witness.package, witness.target, witness.filter)
}

/// Builds the tests with the faults in them.
fn build() -> Binaries {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["test", "--no-run", "--locked", "--message-format=json"]);
    cargo.args(TARGETS);
    cargo.args(["--features", "conclave-raft/planted,conclave-client/planted"]);
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "the tests do not build with the feature `planted`");
    let lines = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    lines.lines().filter_map(test_binary).collect()
}

fn test_binary(line: &str) -> Option<((String, String), (PathBuf, PathBuf))> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let executable = PathBuf::from(message["executable"].as_str()?);
    let manifest = PathBuf::from(message["manifest_path"].as_str()?);
    let target = message["target"]["name"].as_str()?.to_owned();
    let directory = manifest.parent()?.to_path_buf();
    let text = std::fs::read_to_string(&manifest).ok()?;
    let package = text.parse::<toml::Table>().ok()?["package"]["name"].as_str()?.to_owned();
    Some(((package, target), (executable, directory)))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above its members")
}

/// How the tests ended, and what they said last.
enum Ending {
    Passed { tests: usize },
    Failed(String),
    Late,
}

fn passes(binaries: &Binaries, witness: &Witness) -> Result<(), Failed> {
    match run(binaries, witness, None)? {
        Ending::Passed { tests: 0 } => Err("no test has such a name".into()),
        Ending::Passed { .. } => Ok(()),
        Ending::Failed(said) => Err(format!("fails without a fault:\n{said}").into()),
        Ending::Late => Err(format!("not done after {PATIENCE:?} without a fault").into()),
    }
}

fn is_noticed(binaries: &Binaries, fault: &str, witness: &Witness) -> Result<(), Failed> {
    match run(binaries, witness, Some(fault))? {
        Ending::Passed { tests } => Err(format!("survived {tests} tests").into()),
        Ending::Failed(_) | Ending::Late => Ok(()),
    }
}

fn run(binaries: &Binaries, witness: &Witness, fault: Option<&str>) -> Result<Ending, Failed> {
    let place = (witness.package.to_owned(), witness.target.to_owned());
    let (executable, directory) =
        binaries.get(&place).ok_or_else(|| format!("no test binary {place:?} was built"))?;
    let output = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(executable);
    command.current_dir(directory).env("CARGO_MANIFEST_DIR", directory);
    command.env_remove("CONCLAVE_PLANTED").envs(fault.map(|name| ("CONCLAVE_PLANTED", name)));
    command.args((!witness.filter.is_empty()).then_some(witness.filter));
    let mut child =
        command.stdin(Stdio::null()).stdout(output.reopen()?).stderr(output.reopen()?).spawn()?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if began.elapsed() > PATIENCE => {
                child.kill()?;
                child.wait()?;
                return Ok(Ending::Late);
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let said = String::from_utf8_lossy(&std::fs::read(output.path())?).into_owned();
    if status.success() {
        return Ok(Ending::Passed { tests: passed(&said) });
    }
    let last = said.lines().rev().take(30).collect::<Vec<_>>();
    Ok(Ending::Failed(last.into_iter().rev().collect::<Vec<_>>().join("\n")))
}

/// From `test result: ok. 12 passed; ...`.
fn passed(said: &str) -> usize {
    let after = said.rsplit_once("test result: ok. ").map(|(_, after)| after);
    let number = after.and_then(|after| after.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
