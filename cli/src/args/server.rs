//! Arguments of `conclave dev` and `conclave server`.

use std::path::PathBuf;

use clap::Args;
use conclave_server::Settings;

/// Where `dev` listens unless told otherwise.
pub(crate) const DEV_LISTEN: &str = "127.0.0.1:7420";

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
    #[arg(long, value_name = "HOST:PORT", default_value = DEV_LISTEN)]
    pub(crate) listen: String,
    /// Keep nothing: the data lies in a temporary folder that ends with the node
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) ephemeral: bool,
    /// Where the data lies
    #[arg(long, value_name = "DIR", default_value = "./conclave-data")]
    pub(crate) data_dir: PathBuf,
    /// Written when it listens: JSON {client, peer, pid}
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// What hardly anybody changes: how patient Raft is, what a log line looks like.
#[derive(Debug, Clone, Args)]
pub(crate) struct Tuning {
    /// Shortest session TTL that is taken
    #[arg(long, value_name = "TIME", hide = true)]
    pub(crate) ttl_floor: Option<String>,
    /// How often a leader is heard from
    #[arg(long, value_name = "TIME", hide = true)]
    pub(crate) heartbeat: Option<String>,
    /// Shortest election timeout
    #[arg(long, value_name = "TIME", hide = true)]
    pub(crate) election_min: Option<String>,
    /// Longest election timeout
    #[arg(long, value_name = "TIME", hide = true)]
    pub(crate) election_max: Option<String>,
    /// auto (for people on a terminal, else json), human or json
    #[arg(long, value_name = "FORMAT", hide = true)]
    pub(crate) log_format: Option<String>,
}

impl Tuning {
    fn into_settings(self) -> Settings {
        Settings {
            ttl_floor: self.ttl_floor,
            heartbeat: self.heartbeat,
            election_min: self.election_min,
            election_max: self.election_max,
            log_format: self.log_format,
            ..Settings::default()
        }
    }
}

impl DevArgs {
    /// One node alone: what the environment says of a cluster does not count here.
    pub(crate) fn into_settings(self) -> Settings {
        // Beside the default there may be others; who asks for another port gets a free one for peers, too.
        let peer_listen = if self.listen == DEV_LISTEN { "127.0.0.1:7421" } else { "127.0.0.1:0" };
        Settings {
            name: Some("dev".to_owned()),
            listen: Some(self.listen),
            peer_listen: Some(peer_listen.to_owned()),
            cluster: Some(String::new()),
            join: Some(String::new()),
            ephemeral: Some(self.ephemeral),
            data_dir: (!self.ephemeral).then_some(self.data_dir),
            ready_file: self.ready_file,
            insecure: Some(false),
            ..self.tuning.into_settings()
        }
    }
}

impl ServerArgs {
    /// What was not given stays open for the environment, the file and the defaults.
    pub(crate) fn into_settings(self) -> Settings {
        Settings {
            name: self.name,
            listen: self.listen,
            peer_listen: self.peer_listen,
            advertise: self.advertise,
            peer_advertise: self.peer_advertise,
            cluster: self.cluster,
            join: self.join,
            cluster_token: self.cluster_token,
            data_dir: self.data_dir,
            ephemeral: self.ephemeral.then_some(true),
            ready_file: self.ready_file,
            insecure: self.insecure.then_some(true),
            ..self.tuning.into_settings()
        }
    }
}

/// Start a node of a cluster
///
/// The same --cluster on every node; each is named in it. A cluster that runs is joined with --join, on an empty directory. Every flag can also be given in the environment
/// (CONCLAVE_DATA_DIR, CONCLAVE_LISTEN, ...; the name as CONCLAVE_NODE_NAME) or in a TOML file (data_dir = "...").
/// Flags win over the environment, that over the file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  conclave server --name a --listen 127.0.0.1:7420 --peer-listen 127.0.0.1:7421 \\
    --cluster a=127.0.0.1:7421,b=127.0.0.1:7431,c=127.0.0.1:7441 --data-dir data/a
  conclave server --name d --listen 127.0.0.1:7450 --peer-listen 127.0.0.1:7451 \\
    --join 127.0.0.1:7421 --cluster-token SECRET --data-dir data/d
  conclave server --config /etc/conclave.toml --name b")]
pub(crate) struct ServerArgs {
    /// TOML file with the same names as the flags, written with _
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
    /// Instead of --cluster: nodes of a running cluster, by their peer addresses, that this one is to join
    #[arg(long, value_name = "HOST:PORT,...")]
    pub(crate) join: Option<String>,
    /// Secret that the nodes of one cluster share, so that no stranger joins by mistake
    #[arg(long, value_name = "TOKEN")]
    pub(crate) cluster_token: Option<String>,
    /// Where the data lies
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep nothing: the data lies in a temporary folder that ends with the node
    #[arg(long, conflicts_with = "data_dir", hide = true)]
    pub(crate) ephemeral: bool,
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
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}
