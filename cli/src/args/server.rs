//! Arguments of `conclave dev` and `conclave server`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::duration;

/// Start one node for development: loopback only, nothing to configure
///
/// Data is kept in ./conclave-data, or nowhere with --ephemeral. Stop it with Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave dev
  conclave dev --ephemeral --listen 127.0.0.1:0 --ready-file ready.json")]
pub(crate) struct DevArgs {
    /// Where clients connect; port 0 takes any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7420")]
    pub(crate) listen: String,
    /// Keep nothing: the data lies in a temporary folder that ends with the node
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) ephemeral: bool,
    /// Where the data lies
    #[arg(long, value_name = "DIR", default_value = "./conclave-data")]
    pub(crate) data_dir: PathBuf,
    /// Written when it serves: JSON {client, peer, pid}
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Shortest session TTL that is taken
    #[arg(long, value_name = "TIME", value_parser = duration, hide = true)]
    pub(crate) ttl_floor: Option<Duration>,
}

/// Start a node of a cluster
///
/// The same --cluster on every node; each is named in it. Every flag can also be given as CONCLAVE_NAME (for example
/// CONCLAVE_DATA_DIR) or in a TOML file; flags win over the environment, that over the file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave server --name a --listen 127.0.0.1:7420 --peer-listen 127.0.0.1:7421 \\
    --cluster a=127.0.0.1:7421,b=127.0.0.1:7431,c=127.0.0.1:7441 --data-dir data/a
  conclave server --config /etc/conclave.toml --name b")]
pub(crate) struct ServerArgs {
    /// TOML file with the same names as the flags (data_dir = \"...\")
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name of this node in --cluster
    #[arg(long, value_name = "NODE")]
    pub(crate) name: Option<String>,
    /// Where clients connect [default: 127.0.0.1:7420]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where the other nodes connect [default: 127.0.0.1:7421]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer_listen: Option<String>,
    /// All nodes of the cluster with their peer addresses, this one included
    #[arg(long, value_name = "NODE=HOST:PORT,...")]
    pub(crate) cluster: Option<String>,
    /// Secret that the nodes of one cluster share, so that no stranger joins by mistake
    #[arg(long, value_name = "TOKEN")]
    pub(crate) cluster_token: Option<String>,
    /// Where the data lies
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Client address that others are told, where it is not --listen
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
    /// Peer address that others are told, where it is not that of --cluster
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer_advertise: Option<String>,
    /// Listen beyond loopback although nothing is encrypted
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Written when it listens: JSON {client, peer, pid}
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Shortest session TTL that is taken
    #[arg(long, value_name = "TIME", value_parser = duration, hide = true)]
    pub(crate) ttl_floor: Option<Duration>,
}
