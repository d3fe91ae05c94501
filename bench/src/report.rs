//! Everything that the table of targets in docs/PERFORMANCE.md needs, in one run, with the target and the verdict beside each.

use std::time::Duration;

use serde::Serialize;

use crate::args::{Global, KeptAlive, ReportArgs, SessionsArgs, SnapshotArgs};
use crate::compare::{Comparison, compare};
use crate::failure::Failure;
use crate::figures::{Figures, Findings};
use crate::load::Times;
use crate::machine::Circumstances;
use crate::rows::{align_right, draw, new_table};
use crate::shape::{Shape, Work};
use crate::stage::{Stage, binary};
use crate::workloads::{failover, idle, queue, sessions, snapshot, start};

const TASKS: Shape = Shape::sharing(Work::Own, 256, 4);
const SEPARATE: Shape = Shape::separate(Work::Own, 256);
const LONE: Shape = Shape::separate(Work::Own, 1);
const HANDED_OVER: Shape = Shape::separate(Work::One, 16);
const MIDDLING: Shape = Shape::separate(Work::Own, 64);
/// Waiters on one name, compared with each other: the sixteen of the target, the ten and the ten thousand.
const QUEUES: [u32; 3] = [10, 16, 10_000];
/// Kills of the leader.
const KILLS: u32 = 20;
const STARTS: u32 = 5;
/// An idle cluster is looked at for this long, and idle sessions.
const IDLE: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) comparison: Comparison,
    pub(crate) findings: Vec<Findings>,
}

/// One line of the table of targets.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    what: String,
    found: String,
    target: String,
    /// None: it could not be measured here, so it is neither.
    met: Option<bool>,
}

/// About ten minutes on a quiet machine.
pub(crate) async fn report(global: &Global, args: &ReportArgs) -> Result<Report, Failure> {
    let shapes = [TASKS, SEPARATE, LONE, HANDED_OVER, MIDDLING];
    let comparison = compare(global, &args.peers, &shapes).await?;
    let mut findings = Vec::new();
    let mut keep = |workload: &str, machine: Circumstances, figures: Figures| {
        findings.push(Findings { machine, workload: workload.to_owned(), figures });
    };
    let stage = Stage::set(global).await?;
    keep("idle", stage.circumstances.clone(), idle::idle(&stage, IDLE).await?);
    let times = Times { warm_up: Duration::from_secs(2), ..global.times() };
    let queued = queue::queue(&stage.client, &QUEUES, global.repetitions, times).await?;
    keep("queue", stage.circumstances, queued);
    drop(stage.cluster);

    let mut stage = Stage::set(global).await?;
    let failed_over = failover::failover(&mut stage, KILLS, 4).await?;
    keep("failover", stage.circumstances, failed_over);
    drop(stage.cluster);

    for (count, by) in [(10_000, KeptAlive::Stream), (100_000, KeptAlive::Unary)] {
        let stage = Stage::set(global).await?;
        let idle = SessionsArgs { count, by, ttl: Duration::from_secs(10), every: None };
        let found = sessions::sessions(&stage, &idle, IDLE).await?;
        keep(&format!("sessions_{count}"), stage.circumstances, found);
    }

    let stage = Stage::set(global).await?;
    let full = SnapshotArgs { sessions: 100_000, locks: 10 };
    keep("snapshot", stage.circumstances.clone(), snapshot::snapshot(&stage, &full).await?);
    drop(stage.cluster);

    let started = start::start(&binary(global)?, global.data_dir.as_deref(), STARTS).await?;
    keep("start", stage.circumstances, started);
    let verdicts = verdicts(&comparison, &findings);
    Ok(Report { verdicts, comparison, findings })
}

fn verdicts(comparison: &Comparison, findings: &[Findings]) -> Vec<Verdict> {
    let mut verdicts = of_cycles(comparison);
    let figure = |workload: &str, name: &str| {
        findings.iter().find(|each| each.workload == workload)?.figures.get(name)
    };
    let mut judge = |what: &str, value: Option<f64>, unit: &str, limit: Limit| {
        verdicts.push(Verdict::of(what, value, unit, limit));
    };
    let long = figure("queue", "hand_overs_10000_to_10");
    let to_sixteen = figure("queue", "hand_overs_with_10000_waiters")
        .zip(figure("queue", "hand_overs_with_16_waiters"))
        .map(|(many, few)| many / few);
    judge("hand-overs, 10,000 queued to 16 queued", to_sixteen, "x", Limit::AtLeast(1.0));
    judge("hand-overs, 10,000 queued to 10 queued", long, "x", Limit::AtLeast(1.0));
    let release = figure("queue", "release_p50_10000_to_10");
    judge("one release, 10,000 queued to 10 queued", release, "x", Limit::AtMost(1.0));
    judge("fail-over, median", figure("failover", "gap_median"), "s", Limit::AtMost(1.5));
    judge("fail-over, longest", figure("failover", "gap_longest"), "s", Limit::AtMost(4.0));
    for (count, workload, memory, bound) in [
        ("10,000 sessions, a stream each", "sessions_10000", "leader", 16.0),
        ("100,000 sessions", "sessions_100000", "follower", 1.0),
    ] {
        let all = findings.iter().filter(|each| each.workload == workload);
        let all: Vec<&Findings> = all.collect();
        let largest = |what: &str, role: &str| {
            let nodes = ["a", "b", "c"].iter();
            let of = |node: &&str| all.first()?.figures.get(&format!("{what}_{node}_{role}"));
            nodes.filter_map(of).reduce(f64::max)
        };
        let ended = figure(workload, "ended").zip(figure(workload, "missing_at_the_end"));
        let lost = ended.map(|(ended, missing)| ended + missing);
        judge(&format!("{count}: lost"), lost, "", Limit::AtMost(0.0));
        let cpu = largest("cpu", "leader");
        judge(&format!("{count}: CPU of the leader"), cpu, "cores", Limit::AtMost(0.5));
        let kib = largest("memory_of_a_session", memory);
        judge(&format!("{count}: memory each on a {memory}"), kib, "KiB", Limit::AtMost(bound));
    }
    let cpu = figure("idle", "cpu_of_the_busiest_node");
    judge("idle cluster, CPU", cpu, "% of a core", Limit::AtMost(1.0));
    let memory = figure("idle", "memory_of_the_largest_node");
    judge("idle cluster, memory of a node", memory, "MiB", Limit::AtMost(40.0));
    let granted = figure("start", "start_to_grant_median");
    judge("start of one node to first grant", granted, "ms", Limit::AtMost(300.0));
    judge("release binary", figure("start", "binary"), "MiB", Limit::AtMost(25.0));
    let pauses = figure("snapshot", "pauses_over_20_ms");
    judge("snapshot of 1,000,000 held locks: pauses over 20 ms", pauses, "", Limit::AtMost(0.0));
    verdicts
}

/// What the closed loops found, beside the peers of the same run.
fn of_cycles(comparison: &Comparison) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let (tasks, separate, handed_over) =
        ("256 tasks on 4 sessions, own locks", "256 sessions, own locks", "16 sessions, one lock");
    for (what, shape, bound) in [(tasks, TASKS, 30_000.0), (handed_over, HANDED_OVER, 1_300.0)] {
        let found = comparison.row(shape).map(|row| row.cycles_per_s);
        verdicts.push(Verdict::of(what, found, "cycles/s", Limit::AtLeast(bound)));
    }
    for (what, shape, peer, bound) in [
        (tasks, TASKS, "etcd", 5.0),
        (tasks, TASKS, "redis", 1.0),
        (separate, SEPARATE, "etcd", 4.0),
        (separate, SEPARATE, "redis", 0.4),
        (handed_over, HANDED_OVER, "zookeeper", 3.0),
        (handed_over, HANDED_OVER, "etcd", 8.0),
    ] {
        let ratio = comparison.ratio(shape, peer).map(|ratio| ratio.cycles_per_s);
        let what = format!("{what}, to {peer}");
        verdicts.push(Verdict::of(&what, ratio, "x", Limit::AtLeast(bound)));
    }
    let micros = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1e3;
    let median = comparison.row(LONE).map(|row| micros(row.p50_us));
    verdicts.push(Verdict::of("one client, median cycle", median, "ms", Limit::AtMost(1.3)));
    let ratio = comparison.ratio(LONE, "etcd").map(|ratio| ratio.p50);
    verdicts.push(Verdict::of("one client, median to etcd", ratio, "x", Limit::AtMost(0.65)));
    let p99 = comparison.row(MIDDLING).map(|row| micros(row.p99_us));
    verdicts.push(Verdict::of("64 sessions, own locks, p99", p99, "ms", Limit::AtMost(10.0)));
    verdicts
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Verdict {
    fn of(what: &str, value: Option<f64>, unit: &str, limit: Limit) -> Self {
        let shown = |value: f64| {
            let digits = if value.abs() >= 100.0 || value == 0.0 { 0 } else { 2 };
            format!("{value:.digits$} {unit}").trim_end().to_owned()
        };
        let (target, met) = match limit {
            Limit::AtLeast(bound) => (format!(">= {bound}"), value.map(|value| value >= bound)),
            Limit::AtMost(bound) => (format!("<= {bound}"), value.map(|value| value <= bound)),
        };
        let found = value.map_or_else(|| "SKIPPED".to_owned(), shown);
        Self { what: what.to_owned(), found, target, met }
    }
}

impl Report {
    pub(crate) fn table(&self) -> String {
        let mut table = new_table(&["what", "found", "target", "verdict"]);
        align_right(&mut table, &[1, 2]);
        for Verdict { what, found, target, met } in &self.verdicts {
            let verdict = match met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "not measured",
            };
            table.add_row([what, found, target, verdict]);
        }
        let mut text = format!("{}\n{}", draw(&table), self.comparison.table());
        for Findings { machine, workload, figures } in &self.findings {
            let load = machine.load_average();
            text.push_str(&format!("\n{workload} (load {load:.1} before)\n{}", figures.table()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let met = |value, limit| Verdict::of("", value, "", limit).met;
        assert_eq!(met(Some(2.0), Limit::AtLeast(2.0)), Some(true));
        assert_eq!(met(Some(1.9), Limit::AtLeast(2.0)), Some(false));
        assert_eq!(met(Some(2.1), Limit::AtMost(2.0)), Some(false));
        assert_eq!(met(None, Limit::AtMost(2.0)), None);
        assert_eq!(Verdict::of("", None, "ms", Limit::AtMost(2.0)).found, "SKIPPED");
    }
}
