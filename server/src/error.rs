//! Why a server does not start or cannot go on. One sentence each, with what to do.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use conclave_raft::{Fatal, StartError};

use crate::config::ConfigError;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{field}: cannot listen on {address}: {error}")]
    Bind { field: &'static str, address: String, error: io::Error },
    #[error(
        "{field}: {address} can be reached from other machines, and nothing here is encrypted yet: \
         listen on 127.0.0.1, or give --insecure if the network is trusted"
    )]
    Exposed { field: &'static str, address: String },
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot write the ready file {path}: {error}")]
    ReadyFile { path: PathBuf, error: io::Error },
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// The process must end: other nodes go on without it.
    #[error("this node cannot go on: {0}")]
    Fatal(Fatal),
}

impl ServerError {
    /// No restart mends it: whoever supervises the process need not try.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::Start(StartError::Removed { .. })
                | Self::Fatal(Fatal::Removed { .. })
        )
    }

    /// What to do about it, where its sentence does not say so; else empty.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Bind { error, .. } => match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "another process has it: stop that one, or listen on another port"
                }
                io::ErrorKind::AddrNotAvailable => {
                    "this machine does not have that address: name one that it has"
                }
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 are not for everybody: take a higher one"
                }
                _ => "name an address of this machine, HOST:PORT",
            },
            Self::Config(_) => "see `conclave server --help`",
            Self::Start(error) => of_storage(error),
            Self::ReadyFile { error, .. } => of_storage(error),
            Self::Exposed { .. } | Self::Signals(_) | Self::Fatal(_) => "",
        }
    }
}

/// What the disk said, however deep below it is.
fn of_storage(error: &(dyn Error + 'static)) -> &'static str {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    match causes.find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind) {
        Some(io::ErrorKind::PermissionDenied) => "it must belong to the user that conclave runs as",
        Some(io::ErrorKind::ReadOnlyFilesystem) => {
            "mount it so that it can be written, or name another directory"
        }
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            "free space, then start this node again; nothing that was acknowledged is lost"
        }
        Some(io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) => {
            "name a directory, or a place where one can be made"
        }
        Some(_) | None => "",
    }
}
