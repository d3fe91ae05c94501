//! The settings of the Raft core, each with its reason.

use std::time::Duration;

use openraft::{Config, ConfigError, SnapshotPolicy};

use crate::config::{Retention, Timing};

pub(crate) fn config(timing: &Timing, retention: &Retention) -> Result<Config, ConfigError> {
    let election_max = millis(timing.election_max);
    let config = Config {
        cluster_name: "conclave".to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: election_max,
        install_snapshot_timeout: millis(timing.install_snapshot),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(retention.snapshot_every_entries),
        max_in_snapshot_log_to_keep: retention.keep_entries,
        replication_lag_threshold: retention.lag_entries_max,
        // Bounded by bytes where they are read.
        max_payload_entries: 1024,
        // A node that comes back must not depose a leader that the others hear.
        enable_pre_vote: Some(true),
        // A leader that restarts has forgotten its clock: it asks for votes like anybody else.
        enable_leader_restore: Some(false),
        // A leader without a majority falls silent, so that the others may elect one that has it (openraft#2080).
        quorum_loss_probe_interval: Some(2 * election_max),
        // A peer that restarts is back within a moment.
        backoff: "20ms 50ms 100ms ...300ms".to_owned(),
        ..Config::default()
    };
    config.validate()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
