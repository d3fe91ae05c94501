//! Why a server does not start or cannot go on. One sentence each, with what to do.

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
