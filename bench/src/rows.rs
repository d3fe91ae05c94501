//! What was measured, as data and as a table. The names in JSON are a contract; tables are not.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::load::Load;
use crate::machine::Circumstances;
use crate::process::NodeUsage;
use crate::shape::Shape;

/// Everything one run says.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    pub(crate) machine: Circumstances,
    pub(crate) rows: Vec<Row>,
}

/// One workload on one system.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) system: String,
    pub(crate) workload: String,
    /// Tasks, each with one outstanding call.
    pub(crate) clients: u32,
    /// Sessions that they share, where the system knows such a thing.
    pub(crate) sessions: u32,
    /// Connections that they share: one for each session, or for each client.
    pub(crate) connections: u32,
    /// Several clients to a connection: not to be compared with rows where each has its own.
    pub(crate) shared_connections: bool,
    /// The median of all repetitions.
    pub(crate) cycles_per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) repetitions: Vec<Repetition>,
}

/// One of usually three.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Repetition {
    pub(crate) cycles_per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    pub(crate) cycles: u64,
    pub(crate) errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) nodes: Vec<NodeUsage>,
    pub(crate) generator_cpu_seconds: f64,
}

impl From<Load> for Repetition {
    fn from(load: Load) -> Self {
        let cycles = load.cycles.len();
        Self {
            cycles_per_s: rate(cycles, load.seconds),
            p50_us: load.cycles.value_at_quantile(0.5),
            p99_us: load.cycles.value_at_quantile(0.99),
            max_us: load.cycles.max(),
            cycles,
            errors: load.errors,
            first_error: load.first_error,
            seconds: load.seconds,
            nodes: load.nodes,
            generator_cpu_seconds: load.generator_cpu_seconds,
        }
    }
}

/// With one decimal.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    (count as f64 / seconds * 10.0).round() / 10.0
}

/// Zero of none.
pub(crate) fn median<T: PartialOrd + Copy + Default>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Row {
    pub(crate) fn of(system: &str, shape: Shape) -> Self {
        let Shape { work, clients, sessions } = shape;
        Self {
            system: system.to_owned(),
            workload: work.name().to_owned(),
            clients,
            sessions,
            connections: sessions,
            shared_connections: sessions < clients,
            cycles_per_s: 0.0,
            p50_us: 0,
            p99_us: 0,
            repetitions: Vec::new(),
        }
    }

    /// Of a system that gives each client a connection, whatever the shape says.
    pub(crate) fn with_a_connection_each(self) -> Self {
        Self { connections: self.clients, shared_connections: false, ..self }
    }

    pub(crate) fn add(&mut self, repetition: Repetition) {
        self.repetitions.push(repetition);
        let all = || self.repetitions.iter();
        self.cycles_per_s = median(all().map(|each| each.cycles_per_s));
        self.p50_us = median(all().map(|each| each.p50_us));
        self.p99_us = median(all().map(|each| each.p99_us));
    }

    pub(crate) fn is(&self, shape: Shape) -> bool {
        (self.workload.as_str(), self.clients, self.sessions)
            == (shape.work.name(), shape.clients, shape.sessions)
    }

    fn cells(&self) -> [String; 10] {
        let spread = |figure: fn(&Repetition) -> f64| {
            let low = self.repetitions.iter().map(figure).fold(f64::INFINITY, f64::min);
            let high = self.repetitions.iter().map(figure).fold(0.0, f64::max);
            format!("{low:.0}-{high:.0}")
        };
        let shared = if self.shared_connections { " (shared)" } else { "" };
        let cpu = median(self.repetitions.iter().map(|each| {
            each.nodes
                .iter()
                .map(|node| node.cpu_seconds / each.seconds * 100.0)
                .fold(0.0, f64::max)
        }));
        let memory = self.repetitions.iter().flat_map(|each| &each.nodes);
        let memory = memory.map(|node| node.memory_kib).max().unwrap_or(0) / 1024;
        [
            self.system.clone(),
            self.workload.clone(),
            self.clients.to_string(),
            format!("{}{shared}", self.connections),
            format!("{:.0}", self.cycles_per_s),
            spread(|each| each.cycles_per_s),
            millis(self.p50_us),
            millis(self.p99_us),
            format!("{cpu:.0} % {memory} MiB"),
            self.repetitions.iter().map(|each| each.errors).sum::<u64>().to_string(),
        ]
    }
}

/// `1.23`: milliseconds.
pub(crate) fn millis(micros: u64) -> String {
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

impl Document {
    pub(crate) fn table(&self) -> String {
        format!("{}\n\n{}", self.machine.line(), rows_table(&self.rows))
    }
}

/// All rows, and below them the first error of each that had some.
pub(crate) fn rows_table(rows: &[Row]) -> String {
    let mut table = new_table(&[
        "system",
        "workload",
        "clients",
        "connections",
        "cycles/s",
        "low-high",
        "median ms",
        "p99 ms",
        "busiest node",
        "errors",
    ]);
    align_right(&mut table, &[2, 3, 4, 5, 6, 7, 8, 9]);
    for row in rows {
        table.add_row(row.cells());
    }
    let mut text = draw(&table);
    for row in rows {
        if let Some(error) = row.repetitions.iter().find_map(|each| each.first_error.as_ref()) {
            text.push_str(&format!(
                "the first error of {} {}: {error}\n",
                row.system, row.workload
            ));
        }
    }
    text
}

/// No lines, two spaces between columns.
pub(crate) fn new_table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.to_uppercase()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Numbers stand under each other.
pub(crate) fn align_right(table: &mut Table, columns: &[usize]) {
    for &index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// As text, without trailing spaces.
pub(crate) fn draw(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Work;

    fn repetition(cycles_per_s: f64, p50_us: u64) -> Repetition {
        Repetition { cycles_per_s, p50_us, p99_us: p50_us * 2, ..Repetition::default() }
    }

    #[test]
    fn a_row_shows_the_median_repetition() {
        let mut row = Row::of("conclave", Shape::sharing(Work::Own, 256, 4));
        for (cycles_per_s, p50_us) in [(10.0, 900), (30.0, 700), (20.0, 800)] {
            row.add(repetition(cycles_per_s, p50_us));
        }
        assert!((row.cycles_per_s - 20.0).abs() < 1e-9);
        assert_eq!((row.p50_us, row.p99_us), (800, 1_600));
        assert!(row.shared_connections);
        assert_eq!(row.cells()[3..7], ["4 (shared)", "20", "10-30", "0.80"]);
    }

    #[test]
    fn micros_are_shown_as_millis() {
        assert_eq!([millis(5), millis(1_234), millis(66_000)], ["0.00", "1.23", "66.00"]);
    }
}
