//! What `/metrics` says. Each server has a recorder of its own, so that several can live in one process; never a label per
//! lock name or session.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use conclave_machine::Counts;
use conclave_raft::{ApplyTimes, ClockCounters, ClusterStatus};
use metrics::{Counter, Gauge, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::edge::Edge;

/// A cheap handle; all clones count into the same numbers.
#[derive(Clone)]
pub(crate) struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    leader: Gauge,
    leader_known: Gauge,
    term: Gauge,
    revision: Gauge,
    log_index: Gauge,
    snapshot_index: Gauge,
    sessions: Gauge,
    objects: Gauge,
    holds: Gauge,
    waiters: Gauge,
    value_bytes: Gauge,
    streams: Gauge,
    watches: Gauge,
    connections: Gauge,
    timers: Gauge,
    proposals: Counter,
    /// In the order of `CLOCK_FIGURES`.
    clock: [Counter; CLOCK_FIGURES.len()],
}

/// A counter of the clock: its name, its meaning, where it is counted.
type ClockFigure = (&'static str, &'static str, fn(&ClockCounters) -> u64);

/// What the leader's clock did, since the process began.
const CLOCK_FIGURES: [ClockFigure; 8] = [
    ("conclave_keepalives_acknowledged_total", "Keepalives that a quorum confirmed.", |clock| {
        clock.keepalives_acknowledged.load(Ordering::Relaxed)
    }),
    ("conclave_keepalives_refused_total", "Keepalives of sessions that are gone.", |clock| {
        clock.keepalives_refused.load(Ordering::Relaxed)
    }),
    ("conclave_confirmations_total", "Quorum confirmations for keepalives.", |clock| {
        clock.confirmations.load(Ordering::Relaxed)
    }),
    (
        "conclave_confirmations_failed_total",
        "Quorum confirmations that failed or were given up.",
        |clock| clock.confirmations_failed.load(Ordering::Relaxed),
    ),
    ("conclave_dues_proposed_total", "Timers that were proposed as over.", |clock| {
        clock.dues_proposed.load(Ordering::Relaxed)
    }),
    ("conclave_expiries_proposed_total", "Sessions that were proposed as expired.", |clock| {
        clock.expiries_proposed.load(Ordering::Relaxed)
    }),
    (
        "conclave_extensions_total",
        "Times that every session got a full TTL, since the clock or the quorum was late.",
        |clock| clock.extensions.load(Ordering::Relaxed),
    ),
    ("conclave_orphans_timed_out_total", "Waits ended since nobody was attached.", |clock| {
        clock.orphans_timed_out.load(Ordering::Relaxed)
    }),
];

/// One open session stream, counted until it is dropped.
pub(crate) struct StreamCount {
    metrics: Metrics,
}

/// One open watch or observation, counted until it is dropped.
pub(crate) struct WatchCount {
    metrics: Metrics,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let gauge = |name: &'static str, text: &'static str| {
            metrics::with_local_recorder(&recorder, || {
                metrics::describe_gauge!(name, text);
                metrics::gauge!(name)
            })
        };
        let counter = |name: &'static str, text: &'static str| {
            metrics::with_local_recorder(&recorder, || {
                metrics::describe_counter!(name, Unit::Count, text);
                metrics::counter!(name)
            })
        };
        let proposals =
            counter("conclave_proposals_total", "Commands this node was asked to propose.");
        let clock = CLOCK_FIGURES.map(|(name, text, _)| counter(name, text));
        let shared = Shared {
            handle: recorder.handle(),
            leader: gauge("conclave_leader", "1 when this node leads and serves."),
            leader_known: gauge("conclave_leader_known", "1 when this node hears a leader."),
            term: gauge("conclave_term", "The Raft term this node is in."),
            revision: gauge("conclave_revision", "Commands this node applied."),
            log_index: gauge("conclave_log_last_index", "Index of the last entry of the log."),
            snapshot_index: gauge(
                "conclave_snapshot_last_index",
                "Index of the last entry in the newest snapshot.",
            ),
            sessions: gauge("conclave_sessions", "Live sessions."),
            objects: gauge("conclave_objects", "Objects that exist."),
            holds: gauge("conclave_holds", "Holds that exist, cooling and revoked ones included."),
            waiters: gauge("conclave_waiters", "Acquires that wait in a queue."),
            value_bytes: gauge("conclave_value_bytes", "Bytes of all registers and results."),
            streams: gauge("conclave_streams", "Session streams open at this node."),
            watches: gauge("conclave_watches", "Watchers and observers at this node."),
            connections: gauge("conclave_connections", "Client connections open at this node."),
            timers: gauge("conclave_timers", "Timers that run on the clock of this leader."),
            proposals,
            clock,
            recorder,
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn proposal(&self) {
        self.shared.proposals.increment(1);
    }

    pub(crate) fn stream(&self) -> StreamCount {
        self.shared.streams.increment(1);
        StreamCount { metrics: self.clone() }
    }

    pub(crate) fn watch(&self) -> WatchCount {
        self.shared.watches.increment(1);
        WatchCount { metrics: self.clone() }
    }

    /// The text of `/metrics`.
    pub(crate) fn render(
        &self,
        status: &ClusterStatus,
        leading: bool,
        counts: Counts,
        clock: &ClockCounters,
        connections: usize,
    ) -> String {
        let shared = &self.shared;
        for (gauge, number) in [
            (&shared.leader, u64::from(leading)),
            (&shared.leader_known, u64::from(Edge::hears_leader(status))),
            (&shared.term, status.term.get()),
            (&shared.revision, counts.revision),
            (&shared.log_index, status.last_index),
            (&shared.snapshot_index, status.snapshot_index),
            (&shared.sessions, counts.sessions),
            (&shared.objects, counts.objects),
            (&shared.holds, counts.holds),
            (&shared.waiters, counts.waiters),
            (&shared.value_bytes, counts.value_bytes),
            (&shared.connections, connections as u64),
            (&shared.timers, clock.timers.load(Ordering::Relaxed)),
        ] {
            // Exact up to 2^53; Prometheus knows nothing but floats.
            gauge.set(number as f64);
        }
        for (counter, (_, _, figure)) in shared.clock.iter().zip(CLOCK_FIGURES) {
            counter.absolute(figure(clock));
        }
        shared.handle.render()
    }
}

/// Appends them as the histogram that they are: `raft` counts by itself and knows no recorder.
pub(crate) fn append_apply_times(text: &mut String, times: &ApplyTimes) {
    const NAME: &str = "conclave_apply_seconds";
    let mut lines = format!(
        "# HELP {NAME} How long apply was held up, by an entry or by the cut for a snapshot.\n\
         # TYPE {NAME} histogram\n"
    );
    let mut count = 0;
    for (limit, up_to) in times.cumulative() {
        let limit =
            limit.map_or_else(|| "+Inf".to_owned(), |limit| limit.as_secs_f64().to_string());
        // Writing to a string cannot fail.
        let _never = writeln!(lines, "{NAME}_bucket{{le=\"{limit}\"}} {up_to}");
        count = up_to;
    }
    let sum = times.sum().as_secs_f64();
    let _never = writeln!(lines, "{NAME}_sum {sum}\n{NAME}_count {count}");
    text.push_str(&lines);
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.metrics.shared.streams.decrement(1);
    }
}

impl Drop for WatchCount {
    fn drop(&mut self) {
        self.metrics.shared.watches.decrement(1);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("recorder", &self.shared.recorder).finish_non_exhaustive()
    }
}
