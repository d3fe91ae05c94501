//! The first write error of a log, kept so that every later write can be refused with the same words.
//!
//! It must never be cleared: after a failed fsync the kernel may have dropped the dirty pages, so a second fsync
//! that succeeds proves nothing.

use std::io;

/// Why a log stopped taking writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log failed and takes no more writes: {message}")]
pub struct LogFailure {
    pub kind: io::ErrorKind,
    pub message: String,
}

impl LogFailure {
    pub(crate) fn of(error: &io::Error) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }

    pub(crate) fn to_io(&self) -> io::Error {
        io::Error::new(self.kind, self.clone())
    }
}
