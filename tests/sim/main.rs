//! Runs seeds, each in a process of its own, so that nothing of one seed is seen by another. See docs/TESTING.md.

mod seeds;
mod sources;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(seed) = seeds::asked_of_this_process() {
        return seeds::run_here(seed);
    }
    let trials = vec![
        Trial::test("every_promise_is_kept_whatever_the_seed_breaks", || {
            seeds::every_promise_is_kept_whatever_the_seed_breaks()
        }),
        Trial::test("a_seed_runs_the_same_twice", seeds::a_seed_runs_the_same_twice),
    ];
    let mut arguments = Arguments::from_args();
    // They use all cores by themselves.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}
