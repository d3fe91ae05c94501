//! Golden scenarios: each `*.txt` beside this file is a script that reads aloud. Blocks of commands, `---`, what the machine
//! says. After every command the whole state is checked and taken through its records and back.
//!
//! `UPDATE=1 cargo test -p conclave-machine --test scripts` writes down what it says now; read the difference.

mod ask;
mod look;
mod render;
mod stage;
mod views;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use stage::Stage;

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = fs::read_dir(folder).expect("the folder of scripts");
    let mut found: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    found.sort();
    found
}

/// The script with everything below each `---` replaced by what is said now.
fn play(script: &str, path: &Path) -> String {
    let mut stage = Stage::new();
    let mut blocks = Vec::new();
    for block in script.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let (asked, _) = block
            .split_once("\n---")
            .unwrap_or_else(|| panic!("{}: no `---` below\n{block}", path.display()));
        let mut said = String::new();
        for line in asked.lines().filter(|line| !line.starts_with('#')) {
            said.push_str(&stage.run(line, &format!("{}: {line}", path.display())));
        }
        blocks.push(format!("{asked}\n---\n{said}"));
    }
    blocks.join("\n")
}

#[test]
fn each_scenario_goes_as_written() {
    let scripts = scripts();
    assert!(scripts.len() >= 10, "only {} scripts found", scripts.len());
    let mut differing = Vec::new();
    for path in scripts {
        let script = fs::read_to_string(&path).expect("a readable script");
        let played = play(&script, &path);
        if played == script {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, played).expect("a writable script");
            continue;
        }
        let line = script.lines().zip(played.lines()).take_while(|(old, new)| old == new).count();
        differing.push(format!(
            "{}:{}\n  written: {}\n  said:    {}",
            path.display(),
            line + 1,
            script.lines().nth(line).unwrap_or("(end)"),
            played.lines().nth(line).unwrap_or("(end)"),
        ));
    }
    assert!(differing.is_empty(), "\n{}\n", differing.join("\n"));
}

/// The runner itself is put to the test: a script that expects something else is found out.
#[test]
fn a_wrong_expectation_is_found_out() {
    let script = "session open s1\nacquire s1 job\n---\nnobody would say this\n";
    let played = play(script, Path::new("a script"));
    assert!(played.contains("granted token=3"), "{played}");
    assert!(!played.contains("nobody would say this"), "{played}");
}
