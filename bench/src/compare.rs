//! The comparison: every system that is there, one after the other within each repetition, so that the mood of the machine is
//! the same for all; ratios are those of one repetition.

use std::time::Duration;

use serde::Serialize;

use crate::args::{Global, PeerArgs};
use crate::conclave;
use crate::failure::Failure;
use crate::load::Times;
use crate::machine::Circumstances;
use crate::peers::{self, Peer};
use crate::progress;
use crate::rows::{Repetition, Row, align_right, draw, median, new_table, rows_table};
use crate::shape::{Shape, Work};
use crate::stage::Stage;

/// What is compared, unless told otherwise.
pub(crate) const SHAPES: [Shape; 6] = [
    Shape::separate(Work::Own, 1),
    Shape::separate(Work::Own, 16),
    Shape::separate(Work::Own, 64),
    Shape::separate(Work::Own, 256),
    Shape::sharing(Work::Own, 256, 4),
    Shape::separate(Work::One, 16),
];

/// Everything the comparison says.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) machine: Circumstances,
    pub(crate) peers: Vec<PeerVersion>,
    /// Peers that this machine lacks: nothing is known of them.
    pub(crate) skipped: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) ratios: Vec<Ratio>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PeerVersion {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Conclave to a peer: the median of the ratios of all repetitions.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ratio {
    pub(crate) workload: String,
    pub(crate) clients: u32,
    pub(crate) sessions: u32,
    pub(crate) peer: String,
    /// Above 1: Conclave does more cycles a second.
    pub(crate) cycles_per_s: f64,
    /// Below 1: Conclave's median cycle is shorter.
    pub(crate) p50: f64,
    /// The same of the 99th percentile.
    pub(crate) p99: f64,
}

/// Starts what is there and compares.
pub(crate) async fn compare(
    global: &Global,
    args: &PeerArgs,
    shapes: &[Shape],
) -> Result<Comparison, Failure> {
    progress::say("starting three nodes, and the peers that are here");
    let stage = Stage::set(global).await?;
    let (mut peers, skipped) = peers::start_all(global, args).await?;
    let rows = measure_all(global, &stage, &mut peers, shapes).await?;
    progress::over();
    let versions = peers.iter().map(|peer| PeerVersion {
        name: peer.name().to_owned(),
        version: peer.version().to_owned(),
    });
    Ok(Comparison {
        machine: stage.circumstances,
        peers: versions.collect(),
        skipped,
        ratios: ratios(&rows),
        rows,
    })
}

async fn measure_all(
    global: &Global,
    stage: &Stage,
    peers: &mut [Peer],
    shapes: &[Shape],
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for shape in shapes {
        rows.push(Row::of("conclave", *shape));
        rows.extend(peers.iter().map(|peer| {
            let row = Row::of(peer.name(), *shape);
            if peer.shares_connections() { row } else { row.with_a_connection_each() }
        }));
    }
    progress::say("every system is driven once, which does not count");
    warm_up(stage, peers).await?;
    let systems = peers.len() + 1;
    for number in 1..=global.repetitions {
        for (place, shape) in shapes.iter().enumerate() {
            let of = global.repetitions;
            progress::say(&format!("repetition {number} of {of}: {}", shape.words()));
            let own = &mut rows[place * systems..][..systems];
            let servers = stage.processes();
            let load = conclave::measure(&stage.client, &servers, *shape, global.times()).await?;
            own[0].add(load.into());
            for (peer, row) in peers.iter_mut().zip(&mut own[1..]) {
                row.add(peer.measure(*shape, global.times()).await?.into());
            }
        }
    }
    Ok(rows)
}

/// A system that just started is slow for reasons of its own: a Java machine compiles, followers of all kinds catch up.
async fn warm_up(stage: &Stage, peers: &mut [Peer]) -> Result<(), Failure> {
    let shape = Shape::separate(Work::Own, 16);
    let times = Times { warm_up: Duration::ZERO, measured: Duration::from_secs(4) };
    conclave::measure(&stage.client, &[], shape, times).await?;
    for peer in peers {
        peer.measure(shape, times).await?;
    }
    Ok(())
}

fn ratios(rows: &[Row]) -> Vec<Ratio> {
    let alike = |one: &Row, other: &Row| {
        (&one.workload, one.clients, one.sessions)
            == (&other.workload, other.clients, other.sessions)
    };
    let mut found = Vec::new();
    for ours in rows.iter().filter(|row| row.system == "conclave") {
        for theirs in rows.iter().filter(|row| row.system != "conclave" && alike(ours, row)) {
            let ratio = |figure: fn(&Repetition) -> f64| {
                let pairs = ours.repetitions.iter().zip(&theirs.repetitions);
                let of_each = pairs.map(|(ours, theirs)| figure(ours) / figure(theirs));
                // Of a repetition in which one of them did nothing there is none; that row is an error anyhow.
                (median(of_each.filter(|ratio| ratio.is_finite())) * 100.0).round() / 100.0
            };
            found.push(Ratio {
                workload: ours.workload.clone(),
                clients: ours.clients,
                sessions: ours.sessions,
                peer: theirs.system.clone(),
                cycles_per_s: ratio(|each| each.cycles_per_s),
                p50: ratio(|each| micros(each.p50_us)),
                p99: ratio(|each| micros(each.p99_us)),
            });
        }
    }
    found
}

/// For ratios: no figure here comes near the 53 bits that are exact.
#[expect(clippy::cast_precision_loss, reason = "285 years in microseconds are exact")]
fn micros(figure: u64) -> f64 {
    figure as f64
}

impl Comparison {
    pub(crate) fn table(&self) -> String {
        let peers = self.peers.iter().map(|peer| format!("{} {}", peer.name, peer.version));
        let peers = peers.collect::<Vec<_>>().join(", ");
        let mut text = format!("{}\nbeside it: {peers}\n\n", self.machine.line());
        text.push_str(&rows_table(&self.rows));
        text.push_str("\nConclave to each, medians of the ratios within one repetition:\n\n");
        text.push_str(&self.ratio_table());
        for line in &self.skipped {
            text.push_str(&format!("\n{line}\n"));
        }
        text
    }

    fn ratio_table(&self) -> String {
        let columns = ["workload", "clients", "connections", "to", "cycles/s", "median", "p99"];
        let mut table = new_table(&columns);
        align_right(&mut table, &[1, 2, 4, 5, 6]);
        for ratio in &self.ratios {
            table.add_row([
                ratio.workload.clone(),
                ratio.clients.to_string(),
                ratio.sessions.to_string(),
                ratio.peer.clone(),
                format!("{:.2}", ratio.cycles_per_s),
                format!("{:.2}", ratio.p50),
                format!("{:.2}", ratio.p99),
            ]);
        }
        draw(&table)
    }

    /// The ratio of cycles to that peer, if it was measured.
    pub(crate) fn ratio(&self, shape: Shape, peer: &str) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| {
            ratio.peer == peer
                && (ratio.workload.as_str(), ratio.clients, ratio.sessions)
                    == (shape.work.name(), shape.clients, shape.sessions)
        })
    }

    /// Our own row of that shape.
    pub(crate) fn row(&self, shape: Shape) -> Option<&Row> {
        self.rows.iter().find(|row| row.system == "conclave" && row.is(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_one_repetition_and_then_the_median() {
        let shape = Shape::separate(Work::Own, 8);
        let (mut ours, mut theirs) = (Row::of("conclave", shape), Row::of("etcd", shape));
        // A machine that grows slower by the repetition: the ratio stays.
        for (cycles_per_s, p50_us) in [(900.0, 100), (600.0, 150), (300.0, 300)] {
            ours.add(Repetition { cycles_per_s, p50_us, p99_us: 1, ..Repetition::default() });
            let (cycles_per_s, p50_us) = (cycles_per_s / 3.0, p50_us * 2);
            theirs.add(Repetition { cycles_per_s, p50_us, p99_us: 4, ..Repetition::default() });
        }
        let other = Row::of("etcd", Shape::sharing(Work::Own, 8, 2));
        let ratios = ratios(&[ours, theirs, other]);
        assert_eq!(ratios.len(), 1);
        let [cycles, p50, p99] = [ratios[0].cycles_per_s, ratios[0].p50, ratios[0].p99];
        assert_eq!(format!("{cycles:.2} {p50:.2} {p99:.2}"), "3.00 0.50 0.25");
    }
}
