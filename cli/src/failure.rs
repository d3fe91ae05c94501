//! How a command of `conclave` fails: one sentence, what to do next, an exit code that scripts can rely on.

use std::fmt;
use std::io::IsTerminal as _;

/// The same everywhere, so that a script needs one table.
pub(crate) mod code {
    /// Refused by the cluster, or not found.
    pub(crate) const REFUSED: u8 = 1;
    /// The command line does not make sense; of what runs a command it is [`INTERNAL`], as with timeout(1).
    pub(crate) const USAGE: u8 = 2;
    /// No cluster answered (`EX_UNAVAILABLE`).
    pub(crate) const NO_CLUSTER: u8 = 69;
    /// It could not be had in time (`EX_TEMPFAIL`).
    pub(crate) const NOT_ACQUIRED: u8 = 75;
    /// What runs a command failed itself, as timeout(1) says it.
    pub(crate) const INTERNAL: u8 = 125;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// What is wrong, lowercase, without a full stop.
    pub(crate) sentence: String,
    /// What to do next; empty when there is nothing to do.
    pub(crate) advice: String,
}

impl Failure {
    pub(crate) fn new(code: u8, sentence: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), advice: advice.into() }
    }

    /// Writes it to standard error, in colour on a terminal.
    pub(crate) fn report(&self) {
        let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        if coloured {
            eprintln!("\x1b[1;31mconclave:\x1b[0m {self}");
        } else {
            eprintln!("conclave: {self}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}
