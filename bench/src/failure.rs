//! How a measurement fails: one sentence, and what to do next. A figure that could not be taken is never a figure.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What is wrong, lowercase, without a full stop.
    sentence: String,
    /// What to do next; empty when there is nothing to do.
    advice: String,
}

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), advice: advice.into() }
    }

    /// Of something that is not expected to fail.
    pub(crate) fn of(what: &str, error: impl fmt::Display) -> Self {
        Self::new(format!("{what}: {error}"), "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "; {}", self.advice) }
    }
}

impl std::error::Error for Failure {}
