//! `docs/OPERATIONS.md` knows every message that an operator can meet: errors that end a node, and what it logs as wrong.

use std::collections::BTreeSet;
use std::fs;

use crate::files::rust_files;
use crate::{report, root};

/// Whose errors end a node or keep it from starting.
const OF_ERRORS: &[&str] = &[
    "server/src/error.rs",
    "server/raft/src/backup.rs",
    "server/raft/src/failure.rs",
    "server/raft/src/rebirth.rs",
    "server/store/src/backup_file.rs",
    "server/store/src/directory.rs",
    "server/store/src/failure.rs",
    "server/store/src/identity.rs",
    "server/store/src/wal_open.rs",
];
/// Of these enums nothing ends a node: they are answers to calls.
const NO_END: &[&str] = &["pub enum StepDownError"];
/// Shorter pieces between two values are no mark of a message.
const PIECE_MIN: usize = 8;

/// The text of the literal that begins at the first quotation mark, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let (_, rest) = text.split_once('"')?;
    let mut said = String::new();
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((said, &rest[at + 1..])),
            // A line that goes on, or a character that is escaped: a space parts pieces well enough.
            '\\' => {
                characters.next();
                said.push(' ');
            }
            other => said.push(other),
        }
    }
    None
}

/// What stands between the values of a message: of the first clause in which it says something, without its advice.
fn pieces(message: &str) -> Vec<String> {
    let sentence = message.split(';').next().unwrap_or_default();
    let mut clauses = sentence.split(": ").map(pieces_of_clause);
    clauses.find(|pieces| !pieces.is_empty()).unwrap_or_default()
}

fn pieces_of_clause(clause: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut inside = false;
    for character in clause.chars() {
        match character {
            '{' => {
                inside = true;
                found.push(String::new());
            }
            '}' => inside = false,
            other if !inside => found.last_mut().expect("never empty").push(other),
            _ => {}
        }
    }
    let words = |piece: &String| piece.split_whitespace().collect::<Vec<_>>().join(" ");
    found.iter().map(words).filter(|piece| piece.len() >= PIECE_MIN).collect()
}

fn errors(text: &str) -> Vec<String> {
    let relevant = NO_END.iter().fold(text, |text, end| text.split(end).next().unwrap_or(text));
    let attributes = relevant.split("#[error(").skip(1);
    attributes
        .filter(|rest| !rest.starts_with("transparent"))
        .filter_map(|rest| literal(rest).map(|(said, _)| said))
        .collect()
}

/// The message of each line at the levels of what is wrong: the last literal before the macro ends.
fn log_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for level in ["tracing::warn!(", "tracing::error!("] {
        for rest in text.split(level).skip(1) {
            let call = rest.split(");").next().unwrap_or_default();
            let call = call.split("),").next().unwrap_or_default();
            found.extend(literal(call).map(|(said, _)| said));
        }
    }
    found
}

#[test]
fn the_operations_page_knows_every_message() {
    let page = fs::read_to_string(root().join("docs/OPERATIONS.md")).expect("the page");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut wanted = BTreeSet::new();
    for (path, text) in rust_files() {
        let path = path.display().to_string();
        let source = path.starts_with("server/") && path.contains("src/");
        if OF_ERRORS.contains(&path.as_str()) {
            wanted.extend(errors(&text));
        }
        if source && !path.contains("tests") {
            wanted.extend(log_lines(&text));
        }
    }
    assert!(wanted.len() > 50, "only {} messages were found", wanted.len());
    let findings: Vec<_> = wanted
        .iter()
        .flat_map(|message| pieces(message))
        .filter(|piece| !page.contains(piece.as_str()))
        .map(|piece| format!("nothing is said about: {piece}"))
        .collect();
    report("every message has its line in docs/OPERATIONS.md", &findings);
}

#[test]
fn messages_are_taken_apart_as_meant() {
    let text = "#[error(\n \"the file {path} is \\\n   gone for good: {why}; restore it\"\n)]\n#[error(transparent)]";
    assert_eq!(pieces(&errors(text)[0]), ["the file", "is gone for good"]);
    let text =
        "tracing::warn!(%error, \"it is late\");\n other => tracing::error!(\"it is over\"),";
    assert_eq!(log_lines(text), ["it is late", "it is over"]);
}
