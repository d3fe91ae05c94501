//! Random commands put the machine to the test against the model: 100 cases of 10,000 steps in the ordinary run.
//!
//! `CONCLAVE_MODEL_CASES` says how many cases, `CONCLAVE_MODEL_FIRST` the number of the first. A failing case is made
//! smaller and printed with the line that runs it again.

mod case;
mod circumstances;
mod compare;
mod coverage;
mod kinds;
mod promises;
mod quiet;
mod rebirth;
mod shrink;
mod spoil;
mod watchman;
mod watchman_kinds;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{env, thread};

use case::{Case, Failure, Tally, Tamper};
use conclave_machine::{Edited, Event, Note, Outcome, Refusal, Timer, WaitEnd};
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
    for (what, fault) in FAULTS {
        let failing = (0..20).find_map(|number| {
            let failure = run(number, *fault, &Case::seeds(number, STEPS), PERIOD).err()?;
            Some((number, failure))
        });
        let (number, failure) = failing.unwrap_or_else(|| panic!("not seen: {what}"));
        let report = shrink::report(number, *fault, failure);
        // What leads there is a handful of steps; the rest is room for what a step's seed decides together with others.
        assert!(report.steps <= 14, "{what}: {}", report.text);
        assert!(report.text.contains("CONCLAVE_MODEL_FIRST="), "{}", report.text);
    }
}

/// What the machine might do wrong.
const FAULTS: &[(&str, Tamper)] = &[
    ("nobody is told of a loss", |step| {
        step.events.retain(|event| !matches!(event, Event::Lost { .. }));
    }),
    ("a leader's time does not run", |step| {
        let runs = |event: &Event| matches!(event, Event::TimerSet(set) if matches!(set.timer, Timer::Preempt(..)));
        step.events.retain(|event| !runs(event));
    }),
    ("a downgrade is not noted", |step| {
        let noted =
            |event: &Event| matches!(event, Event::Noted { note: Note::Changed { .. }, .. });
        step.events.retain(|event| !noted(event));
    }),
    ("a barrier is not broken", |step| {
        let broken = |event: &Event| {
            matches!(event, Event::WaitEnded { end: WaitEnd::Refused(Refusal::Broken), .. })
        };
        step.events.retain(|event| !broken(event));
    }),
    ("a guard is no matter", |step| {
        if step.outcome == Outcome::Refused(Refusal::Guard) {
            step.outcome = Outcome::Edited(Edited::RegisterDeleted);
        }
    }),
];

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
