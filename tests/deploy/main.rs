//! What `deploy/` ships, for real: the image started by compose and hurt in every way that an operator meets, with a client
//! outside that keeps its guarantees; the systemd unit, the Kubernetes objects and the Debian package judged by their own
//! tools. What a machine cannot try is said loudly and counted as ignored, never as passed.
//!
//! `cargo test -p conclave-tests --test deploy`. Not part of `cargo test --workspace`, since it builds the static release.

mod containers;
mod engine;
mod files;
mod outside;
mod stage;
mod tools;

use std::path::{Path, PathBuf};
use std::time::Instant;

use conclave_tests::alone;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::containers::Scenario;
use crate::engine::Engine;
use crate::stage::Stages;

/// Why something was not tried.
pub(crate) struct Skipped(pub(crate) String);

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root")
}

/// A file below `deploy/`.
pub(crate) fn deploy(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

fn main() {
    let mut arguments = Arguments::from_args();
    // One cluster, hurt in one way at a time.
    arguments.test_threads = Some(1);
    let _turn = (!arguments.list).then(alone);
    let stages = Stages::default();
    let mut trials = vec![
        of_files("the_unit_is_valid_and_hardened", files::unit),
        of_files("the_kubernetes_objects_fit_the_schema", files::kubernetes),
        of_files("the_debian_package_holds_what_it_names", files::debian),
        of_files("the_files_of_docker_agree", files::docker),
    ];
    for (name, scenario) in containers::SCENARIOS {
        trials.push(of_containers(name, *scenario, &stages));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Also after a failure: nothing is left behind.
    stages.clear();
    conclusion.exit();
}

fn of_files(name: &str, check: fn() -> Result<(), Skipped>) -> Trial {
    Trial::ignorable_test(name, move || Ok(completion(check())))
}

fn of_containers(name: &str, scenario: Scenario, stages: &Stages) -> Trial {
    let stages = stages.clone();
    Trial::ignorable_test(name, move || match Engine::find() {
        Ok(engine) => {
            let from = Instant::now();
            let played = stages.on_stage(&engine, scenario);
            println!("{:.1?} ", from.elapsed());
            played.map(|()| Completion::Completed).map_err(Failed::from)
        }
        Err(skipped) => Ok(completion(Err(skipped))),
    })
}

fn completion(result: Result<(), Skipped>) -> Completion {
    match result {
        Ok(()) => Completion::Completed,
        Err(Skipped(reason)) => {
            eprintln!("SKIPPED: {reason}");
            Completion::ignored_with(reason)
        }
    }
}
