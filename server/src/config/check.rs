//! From texts to values that work together.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use conclave_machine::{check_text, limits};
use conclave_raft::{Member, Storage, Timing};
use figment::Figment;

use crate::config::{ConfigError, LogFormat, ServerConfig, Settings, TTL_FLOOR_ELECTIONS};

/// Longest name of a node, in bytes: it stands in tables and log lines.
const NODE_NAME_BYTES_MAX: usize = 64;

struct Check<'a> {
    figment: &'a Figment,
}

pub(super) fn checked(settings: &Settings, figment: &Figment) -> Result<ServerConfig, ConfigError> {
    let check = Check { figment };
    let defaults = ServerConfig::alone();
    let cluster = check.cluster(settings.cluster.as_deref())?;
    let join = check.join(settings.join.as_deref(), &cluster)?;
    let name = check.name(settings.name.clone(), &cluster, &join)?;
    let timing = check.timing(settings, defaults.timing)?;
    let ttl_floor = check
        .duration("ttl_floor", settings.ttl_floor.as_deref())?
        .unwrap_or(timing.election_max * TTL_FLOOR_ELECTIONS);
    if ttl_floor > Duration::from_millis(limits::TTL_MS_MAX) {
        return Err(check.wrong("ttl_floor", "is above the longest TTL"));
    }
    let listen = settings.listen.clone().unwrap_or(defaults.listen);
    check.address("listen", &listen)?;
    let peer_listen = settings.peer_listen.clone().unwrap_or(defaults.peer_listen);
    check.address("peer_listen", &peer_listen)?;
    for (field, address) in
        [("advertise", &settings.advertise), ("peer_advertise", &settings.peer_advertise)]
    {
        if let Some(address) = address {
            check.address(field, address)?;
        }
    }
    check.is_dialable(settings, &join, &peer_listen)?;
    Ok(ServerConfig {
        name,
        listen,
        peer_listen,
        advertise: settings.advertise.clone(),
        peer_advertise: settings.peer_advertise.clone(),
        cluster,
        join,
        join_patience: defaults.join_patience,
        cluster_token: settings.cluster_token.clone().unwrap_or_default(),
        storage: storage(settings, defaults.storage),
        ready_file: settings.ready_file.clone(),
        insecure: settings.insecure.unwrap_or_default(),
        log_format: check.log_format(settings.log_format.as_deref())?,
        timing,
        retention: defaults.retention,
        ttl_floor,
    })
}

/// A directory that was named is used, unless nothing shall be kept.
fn storage(settings: &Settings, default: Storage) -> Storage {
    match (settings.ephemeral, &settings.data_dir) {
        (Some(true), _) => Storage::Ephemeral,
        (_, Some(folder)) => Storage::Directory(PathBuf::from(folder)),
        (_, None) => default,
    }
}

impl Check<'_> {
    fn wrong(&self, field: &'static str, reason: impl Into<String>) -> ConfigError {
        let origin = self.figment.find_metadata(field).map(|metadata| match &metadata.source {
            Some(source) => format!(" (in {source})"),
            None => format!(" (in {})", metadata.name),
        });
        ConfigError::Wrong { field, origin: origin.unwrap_or_default(), reason: reason.into() }
    }

    fn name(
        &self,
        name: Option<String>,
        cluster: &[Member],
        join: &[String],
    ) -> Result<String, ConfigError> {
        let name = match name {
            Some(name) => name,
            None if cluster.is_empty() && join.is_empty() => ServerConfig::alone().name,
            None => return Err(self.wrong("name", "is needed with a cluster: which one is this?")),
        };
        check_text(&name, NODE_NAME_BYTES_MAX)
            .map_err(|error| self.wrong("name", error.to_string()))?;
        if !cluster.is_empty() && !cluster.iter().any(|member| member.name == name) {
            return Err(self.wrong("name", format!("{name:?} is not in the list of the cluster")));
        }
        Ok(name)
    }

    fn cluster(&self, text: Option<&str>) -> Result<Vec<Member>, ConfigError> {
        let mut members = Vec::new();
        let mut names = BTreeSet::new();
        for item in text.unwrap_or_default().split(',').map(str::trim) {
            if item.is_empty() {
                continue;
            }
            let Some((name, address)) = item.split_once('=') else {
                return Err(self.wrong("cluster", format!("{item:?} is not NAME=HOST:PORT")));
            };
            check_text(name, NODE_NAME_BYTES_MAX)
                .map_err(|error| self.wrong("cluster", format!("the name {name:?} {error}")))?;
            self.address("cluster", address)?;
            if !names.insert(name) {
                return Err(self.wrong("cluster", format!("{name:?} is there twice")));
            }
            members.push(Member { name: name.to_owned(), peer_address: address.to_owned() });
        }
        Ok(members)
    }

    /// Whom to ask for a place.
    fn join(&self, text: Option<&str>, cluster: &[Member]) -> Result<Vec<String>, ConfigError> {
        let items = text.unwrap_or_default().split(',').map(str::trim);
        let addresses: Vec<_> = items.filter(|item| !item.is_empty()).map(str::to_owned).collect();
        for address in &addresses {
            self.address("join", address)?;
        }
        if !addresses.is_empty() && !cluster.is_empty() {
            let reason = "a node joins a running cluster, or is in the list of one that forms: \
                          give join or cluster, not both";
            return Err(self.wrong("join", reason));
        }
        Ok(addresses)
    }

    /// Who joins is told to others by its peer address, and nobody can dial "all addresses".
    fn is_dialable(
        &self,
        settings: &Settings,
        join: &[String],
        peer_listen: &str,
    ) -> Result<(), ConfigError> {
        let host = peer_listen.rsplit_once(':').map_or(peer_listen, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let all = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        if all && !join.is_empty() && settings.peer_advertise.is_none() {
            let reason = "is needed to join: the others cannot dial all addresses of a machine";
            return Err(self.wrong("peer_advertise", reason));
        }
        Ok(())
    }

    /// `HOST:PORT`, where an IPv6 address stands in brackets.
    fn address(&self, field: &'static str, text: &str) -> Result<(), ConfigError> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let host_is_whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || !host_is_whole || port.parse::<u16>().is_err() {
            return Err(self.wrong(field, format!("{text:?} is not HOST:PORT")));
        }
        Ok(())
    }

    fn timing(&self, settings: &Settings, defaults: Timing) -> Result<Timing, ConfigError> {
        let heartbeat = self
            .duration("heartbeat", settings.heartbeat.as_deref())?
            .unwrap_or(defaults.heartbeat);
        let election_min = self
            .duration("election_min", settings.election_min.as_deref())?
            .unwrap_or(defaults.election_min);
        let election_max = self
            .duration("election_max", settings.election_max.as_deref())?
            .unwrap_or(defaults.election_max);
        if heartbeat >= election_min {
            return Err(self.wrong("heartbeat", "must be shorter than election_min"));
        }
        if election_min >= election_max {
            return Err(self.wrong("election_min", "must be shorter than election_max"));
        }
        Ok(Timing { heartbeat, election_min, election_max, ..defaults })
    }

    fn duration(
        &self,
        field: &'static str,
        text: Option<&str>,
    ) -> Result<Option<Duration>, ConfigError> {
        let Some(text) = text else { return Ok(None) };
        match humantime::parse_duration(text) {
            Ok(duration) if duration >= Duration::from_millis(1) => Ok(Some(duration)),
            Ok(_) => Err(self.wrong(field, "must be at least 1ms")),
            Err(error) => Err(self.wrong(field, format!("{text:?} is no time: {error}"))),
        }
    }

    fn log_format(&self, text: Option<&str>) -> Result<LogFormat, ConfigError> {
        match text {
            None | Some("auto") => Ok(LogFormat::Auto),
            Some("human") => Ok(LogFormat::Human),
            Some("json") => Ok(LogFormat::Json),
            Some(other) => {
                Err(self.wrong("log_format", format!("{other:?} is not auto, human or json")))
            }
        }
    }
}
