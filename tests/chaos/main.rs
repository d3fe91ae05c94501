//! Real processes, hurt: three nodes and several client processes, a network of their own, and a schedule of faults that a seed decides.
//! Afterwards the histories of all clients are judged: nobody believed what another one held, nothing acknowledged is lost.
//!
//! `CONCLAVE_CHAOS_SECONDS` (default 15) is how long faults are made, all in all, `CONCLAVE_CHAOS_SEED` decides which and when; the seed of
//! each run is printed. What this machine does not let a test do is said loudly and counted as skipped, never as done.

mod campaign;
mod client;
mod facts;
mod judge;
mod nemesis;
mod outside;
mod overheard;
mod planted;
mod rng;
mod stage;
mod verdict;
mod wire;
mod work;

use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, iter};

use conclave_tests::{BUILT, alone, conclave};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::campaign::{Plan, Roads};

/// How long faults are made when nobody says.
const SECONDS: u64 = 15;

fn main() {
    let words: Vec<String> = env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("client") => return client::work(&words[2]),
        Some("campaign") => {
            let plan: Plan = serde_json::from_str(&words[2]).expect("a plan");
            return campaign::run(&plan);
        }
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    // One cluster at a time.
    arguments.test_threads = Some(1);
    // Who says how long it takes also says what runs beside it.
    let _turn = (!arguments.list && env::var_os("CONCLAVE_CHAOS_SECONDS").is_none()).then(alone);
    let trials = vec![
        Trial::test("the_judge_finds_each_violation_that_is_planted", || {
            planted::each_is_found();
            Ok(())
        }),
        Trial::test("what_went_over_the_wire_is_what_the_oracle_judges", || {
            overheard::what_went_over_the_wire_is_what_the_oracle_judges();
            Ok(())
        }),
        Trial::test("whatever_is_done_to_processes_and_cables_no_promise_is_broken", || {
            play(Roads::Direct, 2, 3)
        }),
        Trial::test("slow_lossy_and_stuck_roads_break_no_promise", || play(Roads::Proxied, 1, 3)),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Plays a campaign of that part of the time in a process of its own, alone in its namespaces if that can be.
fn play(roads: Roads, part: u64, of: u64) -> Result<(), Failed> {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>());
    let seconds = number("CONCLAVE_CHAOS_SECONDS").transpose()?.unwrap_or(SECONDS);
    let seed = number("CONCLAVE_CHAOS_SEED").transpose()?.unwrap_or_else(facts::now);
    // Whatever is to be built is built before, and outside.
    let binary = conclave();
    let isolation = isolation();
    if isolation.is_none() {
        println!("SKIPPED: no network namespaces on this machine, so no cable was pulled");
    }
    let seconds = (seconds * part / of).max(1);
    let plan = Plan { roads, seed, isolated: isolation.is_some(), seconds };
    let plan = serde_json::to_string(&plan)?;
    let own = env::current_exe()?.display().to_string();
    let words: Vec<String> =
        isolation.into_iter().flatten().chain([own, "campaign".to_owned(), plan]).collect();
    println!("CONCLAVE_CHAOS_SEED={seed} makes this schedule again");
    let mut campaign = Command::new(&words[0]);
    let status = campaign.args(&words[1..]).env(BUILT, binary).stdin(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{roads:?}: {status}, with CONCLAVE_CHAOS_SEED={seed}").into())
}

/// The command that gives another one a network and processes of its own: all of them end with it.
fn isolation() -> Option<Vec<String>> {
    let own = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let as_root = iter::once("unshare").chain(own).map(str::to_owned).collect::<Vec<_>>();
    let as_user = iter::once("unshare").chain(["--map-root-user"]).chain(own);
    let as_user = as_user.map(str::to_owned).collect();
    [as_root, as_user].into_iter().find(|words| {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["ip", "link", "add", "br0", "type", "bridge"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// So long the sessions of all clients may be silent.
pub(crate) const TTL: Duration = Duration::from_millis(2500);
