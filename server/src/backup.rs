//! Backups and new clusters from old state, for the command line: what is done with files, while no node runs.

pub use conclave_raft::{
    BACKUP_FORMAT, BackupError, BackupInfo, Begun, CheckedBackup, Finished, NewCluster,
    RebirthError, Survivor, finish_recovery, restore,
};

use conclave_raft::Member;

use crate::config::{ConfigError, parse_cluster};

/// The list of nodes as `--cluster` takes it; empty: none.
///
/// # Errors
/// Says what is wrong with it.
pub fn cluster(text: &str) -> Result<Vec<Member>, ConfigError> {
    parse_cluster(text)
}
