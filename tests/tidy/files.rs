//! Rules about single source files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{report, root};

/// Beyond this a file holds more than one noun.
const LINES_MAX: usize = 500;

/// Marks of unfinished or silenced work. Split, so that this file does not find itself.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "an ignored test is a hidden gap"),
    (concat!("todo", "!("), "no stubs"),
    (concat!("unimplemented", "!("), "no stubs"),
    (concat!("#[", "allow("), "use #[expect(.., reason = \"..\")]"),
    (concat!("#![", "allow("), "use #[expect(.., reason = \"..\")]"),
    (concat!("thread::", "sleep(Duration::from_secs"), "wait for the fact, not for the time"),
];

/// All Rust files of the repository, relative to its root.
pub(crate) fn rust_files() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(
        found.len() > 20,
        "the walk found only {} files: it looks in the wrong place",
        found.len()
    );
    found
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                walk(&path, found);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            let relative = path.strip_prefix(root()).expect("below the root").to_path_buf();
            found.push((relative, text));
        }
    }
}

#[test]
fn each_file_says_first_what_it_is_for() {
    let findings: Vec<_> = rust_files()
        .into_iter()
        .filter(|(_, text)| !text.lines().next().is_some_and(|line| line.starts_with("//! ")))
        .map(|(path, _)| format!("{} does not start with `//! `", path.display()))
        .collect();
    report("each file starts with a sentence about itself", &findings);
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let findings: Vec<_> = rust_files()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(path, text)| format!("{} has {} lines", path.display(), text.lines().count()))
        .collect();
    report("one noun a file", &findings);
}

#[test]
fn nothing_is_ignored_stubbed_or_silenced() {
    let findings: Vec<_> = rust_files()
        .into_iter()
        .flat_map(|(path, text)| {
            text.lines()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .flat_map(|(number, line)| {
                    FORBIDDEN
                        .iter()
                        .filter(|(mark, _)| line.contains(mark))
                        .map(move |(mark, why)| (number + 1, *mark, *why))
                })
                .map(|(number, mark, why)| format!("{}:{number}: {mark}: {why}", path.display()))
                .collect::<Vec<_>>()
        })
        .collect();
    report("no hidden gaps", &findings);
}

#[test]
fn the_machine_is_no_std() {
    let text = fs::read_to_string(root().join("server/machine/src/lib.rs")).expect("the machine");
    assert!(text.contains("#![no_std]"), "the machine must not see the standard library");
    // A planted fault asks the environment, in test builds only.
    let planted = "#[cfg(feature = \"planted\")]\nextern crate std;";
    let findings: Vec<_> = rust_files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("server/machine/src"))
        .map(|(path, text)| (path, text.replace(planted, "")))
        .filter(|(_, text)| text.contains("extern crate std") || text.contains("f64"))
        .map(|(path, _)| format!("{} names std or a float", path.display()))
        .collect();
    report("the machine is a function", &findings);
}
