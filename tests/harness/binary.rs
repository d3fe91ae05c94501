//! Where the binaries under test are: built by cargo on the first use, in the profile of the tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, path::Path};

/// In the environment: where `conclave` is, for a process whose parent has built it.
pub const BUILT: &str = "CONCLAVE_TESTS_BINARY";

/// The path of `conclave`, freshly built (at once when nothing changed).
pub fn conclave() -> &'static Path {
    static GIVEN: OnceLock<Option<PathBuf>> = OnceLock::new();
    if let Some(path) = GIVEN.get_or_init(|| env::var_os(BUILT).map(PathBuf::from)) {
        return path;
    }
    static PATHS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let paths = PATHS.get_or_init(|| build(&["-p", "conclave", "--bin", "conclave"]));
    paths.get("conclave").expect("cargo names the executable")
}

/// The path of an example of the client crate.
pub fn example(name: &str) -> &'static Path {
    static PATHS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let paths = PATHS.get_or_init(|| build(&["-p", "conclave-client", "--examples"]));
    paths.get(name).unwrap_or_else(|| panic!("no example {name}"))
}

/// The executables that cargo makes of this, by name.
fn build(what: &[&str]) -> BTreeMap<String, PathBuf> {
    let output = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .arg("build")
        .args(what)
        .args(["--message-format", "json"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{what:?} does not build");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect()
}
