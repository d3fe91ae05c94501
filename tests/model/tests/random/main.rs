//! Random commands put the machine to the test against the model: 100 cases of 10,000 steps in the ordinary run.
//!
//! `CONCLAVE_MODEL_CASES` says how many cases, `CONCLAVE_MODEL_FIRST` the number of the first. A failing case is made
//! smaller and printed with the line that runs it again.

mod case;
mod compare;
mod coverage;
mod promises;
mod quiet;
mod shrink;
mod spoil;
mod watchman;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{env, thread};

use case::{Case, Failure, Tally, Tamper};
use conclave_machine::Event;
use conclave_model::Step;

const CASES: u64 = 100;
const STEPS: usize = 10_000;
/// Steps between two looks at everything: digest, restore, clone, queries.
const PERIOD: usize = 100;

#[test]
fn the_machine_does_what_the_model_does() {
    let cases = number("CONCLAVE_MODEL_CASES", CASES);
    let first = number("CONCLAVE_MODEL_FIRST", 0);
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let (tally, failures) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number - first >= cases {
                return;
            }
            match run(number, honest, &Case::seeds(number, STEPS), PERIOD) {
                Ok(done) => tally.lock().expect("no panic").add(&done),
                Err(failure) => {
                    stop.store(true, Ordering::Relaxed);
                    failures.lock().expect("no panic").push((number, failure));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some((number, failure)) = failures.into_inner().expect("no panic").pop() {
        panic!("{}", shrink::report(number, honest, failure).text);
    }
    let tally = tally.into_inner().expect("no panic");
    println!("{cases} cases of {STEPS} steps: {tally:?}");
    assert_eq!(tally.steps, cases * STEPS as u64);
    // A run in which little happened proves little.
    assert!(tally.grants > cases * 100 && tally.grants_queued > cases * 50, "{tally:?}");
    // Unless a few cases were asked for, one in twelve is a crowd.
    assert!(cases < CASES || tally.queue_len_max > 600, "{tally:?}");
    assert!(tally.losses > cases * 5 && tally.sessions_ended > cases * 10, "{tally:?}");
}

/// Leaves what the machine did as it is.
fn honest(_: &mut Step) {}

#[test]
fn a_planted_fault_is_found_and_told_in_few_steps() {
    let silent: Tamper = |step| step.events.retain(|event| !matches!(event, Event::Lost { .. }));
    let failing = (0..20).find_map(|number| {
        let failure = run(number, silent, &Case::seeds(number, STEPS), PERIOD).err()?;
        Some((number, failure))
    });
    let (number, failure) = failing.expect("a loss that nobody is told of is seen");
    let report = shrink::report(number, silent, failure);
    // Open, acquire, and what takes the hold away; the rest is room for what a step's seed decides together with others.
    assert!(report.steps <= 6, "{}", report.text);
    assert!(report.text.contains("CONCLAVE_MODEL_FIRST="), "{}", report.text);
}

/// Runs a case; a panic of the machine is a failure like any other.
fn run(number: u64, tamper: Tamper, seeds: &[u64], period: usize) -> Result<Tally, Failure> {
    let mut case = Case::new(number, tamper);
    match quiet::catch(|| case.run(seeds, period)) {
        Ok(Ok(())) => Ok(case.tally),
        Ok(Err(what)) | Err(what) => Err(case.failed(what)),
    }
}

fn number(variable: &str, default: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}
