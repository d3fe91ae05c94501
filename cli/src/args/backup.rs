//! The command line of backups, and of clusters that begin with old state.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Save everything that the cluster keeps to a file, or begin a new cluster with it
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    pub(crate) what: SnapshotCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    Save(SaveArgs),
    Restore(RestoreArgs),
}

/// Save a running cluster to a file, while it goes on
///
/// A consistent cut of everything, taken by the leader. The file is written under another name, checked to the last byte and
/// only then called FILE: there is never half a backup of that name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave snapshot save /backup/conclave-$(date +%F)
  conclave --endpoint 10.0.0.1:7420 snapshot save today.backup -o json")]
pub(crate) struct SaveArgs {
    /// Where it goes
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Replace FILE if it is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// What a new cluster is told.
#[derive(Debug, Args)]
pub(crate) struct NewClusterArgs {
    /// All nodes of the new cluster with their peer addresses, as `conclave server` is given them; without it, one node alone
    #[arg(long, value_name = "NODE=HOST:PORT,...")]
    pub(crate) cluster: Option<String>,
    /// Grant at once, without a quiet time; only where surely nobody of the old cluster still believes that it holds anything
    #[arg(long)]
    pub(crate) now: bool,
}

/// Begin a new cluster with the state of a backup; offline
///
/// Makes the data directory of one node, the first by name of --cluster. Start it and the others, these with empty directories
/// and all with the same --cluster: they form a cluster as ever, with a new id, and the others get the state from the first.
/// Values and limits are kept; sessions, holds and waits are over, tokens go on far above all that were ever given. Nothing is
/// granted before 1.1 of the longest TTL (and its lock-delay) has passed, so that whoever still believes that it holds stops.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave snapshot restore today.backup --data-dir data/a --cluster a=10.0.0.1:7421,b=10.0.0.2:7421,c=10.0.0.3:7421
  conclave snapshot restore today.backup --data-dir data/solo --name solo")]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the node's data goes; must be new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Name of the node that gets the state: the first by name of --cluster, so it need not be said with one
    #[arg(long, value_name = "NODE", required_unless_present = "cluster")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) new: NewClusterArgs,
}

/// Look after backups
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    pub(crate) what: BackupCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Read a backup to the last byte and say what is in it
    Check {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Begin a new cluster with what one node still has, when the majority is lost for good; offline
///
/// For the day on which most nodes of a cluster, or their disks, are gone and never come back. What the lost nodes knew and
/// this one did not is lost, acknowledged or not. If there is any chance that they come back, wait for them instead. The rules
/// are those of `conclave snapshot restore`; the old data is put aside in the same directory, not removed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave recover --data-dir data/b
  conclave recover --data-dir data/b --yes")]
pub(crate) struct RecoverArgs {
    /// The data directory of the node that is left, which must not run
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) new: NewClusterArgs,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}
