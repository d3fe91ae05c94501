//! What a machine can check of how this house is built: the import law, the manifests, the shape of files, the licences.

mod files;
mod guarantees;
mod licences;
mod manifests;
mod operations;
mod planted;

use std::path::{Path, PathBuf};

/// The root of the repository: where the workspace manifest lies.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_path_buf()
}

/// Fails with every finding at once, so that one run shows the whole work.
fn report(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
