//! `conclave-bench`: measures Conclave, and its peers in the same run. Never part of the product: nothing depends on it.

mod args;
mod cluster;
mod compare;
mod conclave;
mod failure;
mod figures;
mod load;
mod machine;
mod peers;
mod process;
mod progress;
mod report;
mod rows;
mod shape;
mod stage;
mod wire;
mod workloads;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use serde::Serialize;

use crate::args::{Arguments, Command, Format, Global, LoadArgs, Workload};
use crate::compare::Comparison;
use crate::failure::Failure;
use crate::figures::{Figures, Findings};
use crate::machine::Circumstances;
use crate::report::Report;
use crate::rows::{Document, Row};
use crate::shape::{Shape, Work};
use crate::stage::Stage;
use crate::workloads::{failover, idle, queue, sessions, snapshot, start, vacancy};

// Servers are started from the main thread and end with it: see `process`.
#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("conclave-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Own(load) => closed_loop(&global, Work::Own, load).await,
        Command::One(load) => closed_loop(&global, Work::One, load).await,
        Command::Rw(load) => closed_loop(&global, Work::Rw, load).await,
        Command::Sem(load) => closed_loop(&global, Work::Sem, load).await,
        Command::Elect(load) => closed_loop(&global, Work::Elect, load).await,
        Command::Compare(args) => {
            let shapes = if args.row.is_empty() { compare::SHAPES.to_vec() } else { args.row };
            let comparison = compare::compare(&global, &args.peers, &shapes).await?;
            print(global.output, &comparison, Comparison::table)?;
            all_did_something(&comparison.rows)
        }
        Command::Report(args) => {
            let report = report::report(&global, &args).await?;
            progress::over();
            print(global.output, &report, Report::table)?;
            all_did_something(&report.comparison.rows)
        }
        Command::Start => {
            let machine = Circumstances::look(global.commit.as_deref(), None)?;
            let (binary, folder) = (stage::binary(&global)?, global.data_dir.as_deref());
            let figures = start::start(&binary, folder, global.repetitions).await?;
            show(&global, "start", machine, figures)
        }
        Command::Stand(args) => vacancy::stand(&global.endpoint, &args).await,
        Command::Figures(workload) => figures(&global, workload).await,
    }
}

/// The workloads that need a stage and find figures.
async fn figures(global: &Global, workload: Workload) -> Result<(), Failure> {
    let mut stage = Stage::set(global).await?;
    let times = global.times();
    let (name, figures) = match workload {
        Workload::Vacancy(args) => ("vacancy", vacancy::vacancy(&stage, &args).await?),
        Workload::Queue(args) => {
            let (client, lengths) = (&stage.client, &args.waiters);
            ("queue", queue::queue(client, lengths, global.repetitions, times).await?)
        }
        Workload::Failover(args) => {
            ("failover", failover::failover(&mut stage, args.kills, args.clients).await?)
        }
        Workload::Sessions(args) => {
            ("sessions", sessions::sessions(&stage, &args, times.measured).await?)
        }
        Workload::Snapshot(args) => ("snapshot", snapshot::snapshot(&stage, &args).await?),
        Workload::Idle => ("idle", idle::idle(&stage, times.measured).await?),
    };
    show(global, name, stage.circumstances, figures)
}

async fn closed_loop(global: &Global, work: Work, args: LoadArgs) -> Result<(), Failure> {
    let shape = Shape::sharing(work, args.clients, args.sessions.unwrap_or(args.clients));
    let stage = Stage::set(global).await?;
    let mut row = Row::of("conclave", shape);
    for number in 1..=global.repetitions {
        progress::say(&format!("{}: repetition {number} of {}", work.name(), global.repetitions));
        let servers = stage.processes();
        let load = conclave::measure(&stage.client, &servers, shape, global.times()).await?;
        row.add(load.into());
    }
    progress::over();
    let document = Document { machine: stage.circumstances, rows: vec![row] };
    print(global.output, &document, Document::table)?;
    all_did_something(&document.rows)
}

fn show(
    global: &Global,
    workload: &str,
    machine: Circumstances,
    figures: Figures,
) -> Result<(), Failure> {
    progress::over();
    let findings = Findings { machine, workload: workload.to_owned(), figures };
    print(global.output, &findings, Findings::table)
}

/// A row without a cycle is no result.
fn all_did_something(rows: &[Row]) -> Result<(), Failure> {
    match rows.iter().find(|row| row.repetitions.iter().any(|each| each.cycles == 0)) {
        Some(row) => Err(Failure::new(
            format!(
                "{} {}: no cycle was completed in one of the repetitions",
                row.system, row.workload
            ),
            "see the errors in the result",
        )),
        None => Ok(()),
    }
}

fn print<T: Serialize>(
    format: Format,
    what: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = match format {
        Format::Table => table(what),
        Format::Json => {
            serde_json::to_string_pretty(what)
                .map_err(|error| Failure::of("the result is no JSON", error))?
                + "\n"
        }
    };
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|error| Failure::of("standard output", error))
}
