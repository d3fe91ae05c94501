//! Log lines: human on a terminal, JSON otherwise; on standard error. One line per change of the cluster, none per request
//! at the usual level.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Says what is logged, in the syntax of `RUST_LOG`.
pub const FILTER_VARIABLE: &str = "CONCLAVE_LOG";

/// Ours says what changed; the libraries below tell every step of theirs at the same level.
const FILTER: &str = "info,openraft=warn,raft_log=warn,chunked_wal=warn,sled=warn";

/// Installs the subscriber of this process. Does nothing when there is one already.
pub fn install(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(FILTER));
    let is_terminal = stderr().is_terminal();
    let human = match format {
        LogFormat::Auto => is_terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    // An error: somebody installed one before.
    let _ = if human {
        lines.with_ansi(is_terminal).with_target(false).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
}
