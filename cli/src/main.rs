//! The binary `conclave`: daemon and command line. This file reads the command line, builds the runtime by hand (so that
//! commands under a lock are started from the main thread) and turns results into exit codes.

mod args;
mod commands;
mod failure;
mod identity;
mod job;
mod output;
mod supervisor;
mod voice;

use std::process::ExitCode;

use args::{Arguments, BenchCommand, Command};
use clap::{CommandFactory as _, Parser as _};
use failure::{Failure, code};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: Arguments) -> Result<u8, Failure> {
    let global = arguments.global;
    match arguments.command {
        Command::Dev(args) => commands::serve::dev(args),
        Command::Server(args) => commands::serve::server(*args),
        Command::Completions(args) => Ok(commands::completions::run(&args)),
        Command::Health(args) => commands::health::run(&global, &args),
        Command::Lock(args) => one_thread()?.block_on(commands::locks::lock(&global, &args)),
        Command::Rwlock(args) => one_thread()?.block_on(commands::locks::rwlock(&global, &args)),
        Command::Sem(args) => one_thread()?.block_on(commands::locks::sem(&global, &args)),
        Command::Elect(args) => one_thread()?.block_on(commands::elect::run(&global, &args)),
        Command::Once(args) => one_thread()?.block_on(commands::once::run(&global, &args)),
        Command::Latch(args) => one_thread()?.block_on(commands::objects::latch(&global, &args)),
        Command::Gate(args) => one_thread()?.block_on(commands::objects::gate(&global, &args)),
        Command::Barrier(args) => {
            one_thread()?.block_on(commands::objects::barrier(&global, &args))
        }
        Command::Register(args) => {
            one_thread()?.block_on(commands::objects::register(&global, &args))
        }
        Command::Counter(args) => {
            one_thread()?.block_on(commands::objects::counter(&global, &args))
        }
        Command::Status(args) => one_thread()?.block_on(commands::status::run(&global, &args)),
        Command::Inspect(args) => one_thread()?.block_on(commands::inspect::run(&global, &args)),
        Command::List(args) => one_thread()?.block_on(commands::list::run(&global, &args)),
        Command::Watch(args) => one_thread()?.block_on(commands::watch::run(&global, &args)),
        Command::Sessions(args) => one_thread()?.block_on(commands::sessions::run(&global, &args)),
        Command::ForceRelease(args) => {
            one_thread()?.block_on(commands::operator::force_release(&global, &args))
        }
        Command::Resize(args) => one_thread()?.block_on(commands::operator::resize(&global, &args)),
        Command::Transfer(args) => {
            one_thread()?.block_on(commands::operator::transfer(&global, &args))
        }
        Command::Delete(args) => one_thread()?.block_on(commands::operator::delete(&global, &args)),
        Command::StepDown(args) => {
            one_thread()?.block_on(commands::operator::step_down(&global, &args))
        }
        Command::Member(args) => one_thread()?.block_on(commands::member::run(&global, &args)),
        Command::Bench(args) => {
            let BenchCommand::Lock(args) = args.what;
            many_threads()?.block_on(commands::bench::lock(&global, &args))
        }
    }
}

/// Everything that looks or asks: one thread is enough and starts fastest.
fn one_thread() -> Result<Runtime, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(code::INTERNAL, format!("no runtime: {error}"), ""))
}

/// For a load that one thread could not make.
fn many_threads() -> Result<Runtime, Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(code::INTERNAL, format!("no runtime: {error}"), ""))
}

/// What runs a command and passes its exit code on.
const RUNNING: [&str; 5] = ["lock", "rwlock", "sem", "elect", "once"];

/// Help goes to standard output with 0; wrong usage is 2, of what runs a command 125 as with timeout(1), since 2 may be
/// the command's own.
fn usage(error: &clap::Error) -> ExitCode {
    let _closed = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let words: Vec<_> = words.collect();
    let before = words.iter().take_while(|word| *word != "--");
    let command = Arguments::command();
    let is_command = |word: &&String| command.find_subcommand(word).is_some();
    let named = before.clone().find(is_command).map(String::as_str).unwrap_or_default();
    if !RUNNING.contains(&named) {
        return ExitCode::from(code::USAGE);
    }
    // The most frequent mistake, which the parser takes for a missing command or for names too many.
    if before.count() == words.len() {
        eprintln!("write -- before the command, as in: conclave {named} NAME -- COMMAND");
    }
    ExitCode::from(code::INTERNAL)
}
