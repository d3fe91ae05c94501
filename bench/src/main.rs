//! `conclave-bench`: measures Conclave, and its peers in the same run. Never part of the product: nothing depends on it.

mod args;
mod cluster;
mod compare;
mod conclave;
mod failure;
mod load;
mod machine;
mod peers;
mod process;
mod progress;
mod rows;
mod shape;
mod stage;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use serde::Serialize;

use crate::args::{Arguments, Command, Format, Global, LoadArgs};
use crate::compare::Comparison;
use crate::failure::Failure;
use crate::rows::{Document, Row};
use crate::shape::{Shape, Work};
use crate::stage::Stage;

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
        Command::Compare(args) => {
            let shapes = if args.row.is_empty() { compare::SHAPES.to_vec() } else { args.row };
            let comparison = compare::compare(&global, &args.peers, &shapes).await?;
            print(global.output, &comparison, Comparison::table)?;
            all_did_something(&comparison.rows)
        }
    }
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
