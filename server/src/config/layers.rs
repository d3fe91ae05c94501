//! The layers that are no file: each knows its name, so that an error can tell it.

use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

use crate::config::{ConfigError, Settings};

const PREFIX: &str = "CONCLAVE_";
/// Keys that hold a yes or no.
const FLAGS: &[&str] = &["ephemeral", "insecure"];

/// What one source says, by key.
pub(super) struct Layer {
    source: &'static str,
    said: Dict,
}

impl Layer {
    pub(super) fn command_line(flags: &Settings) -> Result<Self, ConfigError> {
        let said = Value::serialize(flags)
            .map_err(|error| ConfigError::Unreadable(error.to_string()))?
            .into_dict()
            .unwrap_or_default();
        Ok(Self { source: "the command line", said })
    }

    /// Those `CONCLAVE_*` variables that are settings; further ones belong to other commands.
    pub(super) fn environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut said = Dict::new();
        for (variable, text) in variables {
            let Some(key) = variable.strip_prefix(PREFIX).and_then(key) else { continue };
            let value = if FLAGS.contains(&key) {
                Value::from(parse_flag(&variable, &text)?)
            } else {
                Value::from(text)
            };
            said.insert(key.to_owned(), value);
        }
        Ok(Self { source: "a CONCLAVE_* environment variable", said })
    }
}

/// The setting that a variable without its prefix stands for.
fn key(variable: &str) -> Option<&'static str> {
    Some(match variable {
        "NODE_NAME" => "name",
        "LISTEN" => "listen",
        "PEER_LISTEN" => "peer_listen",
        "ADVERTISE" => "advertise",
        "PEER_ADVERTISE" => "peer_advertise",
        "CLUSTER" => "cluster",
        "CLUSTER_TOKEN" => "cluster_token",
        "JOIN" => "join",
        "DATA_DIR" => "data_dir",
        "EPHEMERAL" => "ephemeral",
        "READY_FILE" => "ready_file",
        "INSECURE" => "insecure",
        "LOG_FORMAT" => "log_format",
        "HEARTBEAT" => "heartbeat",
        "ELECTION_MIN" => "election_min",
        "ELECTION_MAX" => "election_max",
        "TTL_FLOOR" => "ttl_floor",
        _ => return None,
    })
}

fn parse_flag(variable: &str, text: &str) -> Result<bool, ConfigError> {
    match text {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "" => Ok(false),
        other => {
            let text = format!("{variable}: {other:?} is neither true nor false");
            Err(ConfigError::Unreadable(text))
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.said.clone()))
    }
}
