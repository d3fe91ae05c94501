//! Histories as files: one JSON object a line, so that many processes write theirs side by side and a killed one leaves all
//! but its last line.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::history::{Applied, Belief, Call, History, Renewal, Terms, Watch};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Call(Call),
    Belief(Belief),
    Renewal(Renewal),
    Watch(Watch),
    Applied(Applied),
    /// At most one of all files.
    Terms(Terms),
}

/// Writes one line, whole.
pub fn write(to: &mut impl Write, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
    text.push('\n');
    to.write_all(text.as_bytes())
}

/// Adds the lines of a file to a history. A last line without its end was being written by a process that was killed: it is
/// left out; any other line that cannot be read is an error that names it.
pub fn read(from: impl BufRead, history: &mut History) -> io::Result<()> {
    let mut from = from;
    let mut text = String::new();
    for number in 1_u64.. {
        text.clear();
        if from.read_line(&mut text)? == 0 || !text.ends_with('\n') {
            return Ok(());
        }
        let line = serde_json::from_str(&text).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {number}: {error}"))
        })?;
        match line {
            Line::Call(call) => history.calls.push(call),
            Line::Belief(belief) => history.beliefs.push(belief),
            Line::Renewal(renewal) => history.renewals.push(renewal),
            Line::Watch(watch) => history.watches.push(watch),
            Line::Applied(applied) => history.applied.push(applied),
            Line::Terms(terms) => history.terms = terms,
        }
    }
    Ok(())
}
