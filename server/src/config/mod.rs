//! What a server is told: flags over `CONCLAVE_*` over a TOML file over defaults, and an error that names the culprit.

mod check;
mod layers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave_raft::{Member, Retention, Storage, Timing};
use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde::{Deserialize, Serialize};

use layers::Layer;

/// A session's TTL is at least so many times the largest election timeout, so that a fail-over alone brings no jeopardy.
const TTL_FLOOR_ELECTIONS: u32 = 8;

/// Whoever supervises a node that found no cluster to join starts it again.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);

/// One layer of configuration: what a command line, the environment or a file may say. Times are texts like `300ms` or `5s`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of this node. In the environment: `CONCLAVE_NODE_NAME`, since `conclave lock` tells its child `CONCLAVE_NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `HOST:PORT` for clients; port 0: any that is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// `HOST:PORT` for peers; port 0: any that is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_listen: Option<String>,
    /// Where clients reach this node, when it is not where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// Where peers reach this node, when it is not where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_advertise: Option<String>,
    /// All nodes, `a=HOST:PORT,b=HOST:PORT,...` with the addresses for peers; the same on all of them. None: this one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Peer addresses of a running cluster, `HOST:PORT,...`, that this node is to join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// A word that keeps clusters apart; the same on all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// Keep nothing: a temporary directory, removed at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
    /// Written when the server listens: JSON with `client`, `peer` and `pid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_file: Option<PathBuf>,
    /// Listen beyond loopback without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// `auto` (human on a terminal, else JSON), `human` or `json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    /// How often a leader is heard from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_min: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_max: Option<String>,
    /// The shortest TTL of a session. For tests: below 8 election timeouts a fail-over may cost sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_floor: Option<String>,
}

/// A whole configuration, checked.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub name: String,
    /// `HOST:PORT`.
    pub listen: String,
    pub peer_listen: String,
    /// None: where it listens.
    pub advertise: Option<String>,
    pub peer_advertise: Option<String>,
    /// Empty: this node alone.
    pub cluster: Vec<Member>,
    /// Peer addresses of the cluster to join. Empty: it joins none.
    pub join: Vec<String>,
    /// It gives up when it got no place for so long.
    pub join_patience: Duration,
    /// Empty: none.
    pub cluster_token: String,
    pub storage: Storage,
    pub ready_file: Option<PathBuf>,
    pub insecure: bool,
    pub log_format: LogFormat,
    pub timing: Timing,
    pub retention: Retention,
    /// The shortest TTL of a session.
    pub ttl_floor: Duration,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, else JSON.
    Auto,
    Human,
    Json,
}

/// The configuration cannot work; says where it was said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// What figment found: an unknown key, a wrong type, a file that cannot be read.
    #[error("{0}")]
    Unreadable(String),
    #[error("{field}{origin}: {reason}")]
    Wrong {
        field: &'static str,
        /// ` (in ...)`; empty: a default.
        origin: String,
        reason: String,
    },
}

impl ServerConfig {
    /// Puts the layers together: `flags`, then `CONCLAVE_*` of this process, then the file, then defaults.
    ///
    /// # Errors
    /// Names the value that is wrong and where it was said.
    pub fn load(flags: &Settings, file: Option<&Path>) -> Result<Self, ConfigError> {
        // A variable that is no text cannot be one of ours with a useful value; the others are not ours to judge.
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Self::from_layers(flags, environment, file)
    }

    /// The same with the environment given.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_layers(
        flags: &Settings,
        environment: impl IntoIterator<Item = (String, String)>,
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                let text = format!("there is no configuration file {}", file.display());
                return Err(ConfigError::Unreadable(text));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let figment =
            figment.merge(Layer::environment(environment)?).merge(Layer::command_line(flags)?);
        let settings: Settings =
            figment.extract().map_err(|error| ConfigError::Unreadable(error.to_string()))?;
        check::checked(&settings, &figment)
    }

    /// All the defaults: one node alone on loopback, in `./conclave-data`.
    #[must_use]
    pub fn alone() -> Self {
        let timing = Timing::default();
        Self {
            name: "node".to_owned(),
            listen: "127.0.0.1:7420".to_owned(),
            peer_listen: "127.0.0.1:7421".to_owned(),
            advertise: None,
            peer_advertise: None,
            cluster: Vec::new(),
            join: Vec::new(),
            join_patience: JOIN_PATIENCE,
            cluster_token: String::new(),
            storage: Storage::Directory(PathBuf::from("conclave-data")),
            ready_file: None,
            insecure: false,
            log_format: LogFormat::Auto,
            timing,
            retention: Retention::default(),
            ttl_floor: timing.election_max * TTL_FLOOR_ELECTIONS,
        }
    }
}
