//! One seed from the beginning to the end: a cluster forms, works while everything fails, is healed, and must come to rest.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::diary::Verdict;
use crate::host::RATE_TRUE_PPM;
use crate::nemesis::Nemesis;
use crate::verdict;
use crate::world::{Effects, World};

const FORM_MS: u64 = 30_000;
const REST_MS: u64 = 60_000;

/// What a run was like.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    pub seed: u64,
    pub nodes: u64,
    pub simulated_ms: u64,
    pub commands: u64,
    /// What each check of the oracle looked at, and how long all of them took.
    pub judged: BTreeMap<String, u64>,
    pub judging_ms: u64,
    /// Attempts by kind and verdict.
    pub attempts: BTreeMap<String, u64>,
    pub done: u64,
    pub unknown: u64,
    pub faults: BTreeMap<String, u64>,
    pub effects: Effects,
    pub pieces_held: u64,
    pub failures: Vec<String>,
}

static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// What the first panic said, in whatever task it was: a task that is gone may be missed by nobody.
#[must_use]
pub fn panicked() -> Option<String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn watch_for_panics() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        show(panic);
        PANIC.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic.to_string());
    }));
}

/// Runs it in `root`, a folder of its own. The trace is line by line the same for the same seed.
#[must_use]
pub fn run(seed: u64, root: &Path) -> (Report, Vec<String>) {
    watch_for_panics();
    let mut chance = Chance::new(seed);
    let nodes = if chance.one_in(3) { 5 } else { 3 };
    let mut world = World::new(root, nodes, 4, &mut chance);
    let mut nemesis = Nemesis::default();
    until(&mut world, FORM_MS, |world| world.leader().is_some());
    let storm_ends = world.now_ms + chance.between(12_000, 22_000);
    while world.now_ms < storm_ends && world.diary.pages().failures.is_empty() {
        nemesis.turn(&mut world, &mut chance);
        world.turn();
    }
    nemesis.heal(&mut world);
    for member in &mut world.members {
        member.host.rate_ppm = RATE_TRUE_PPM;
    }
    world.diary.pages().draining = true;
    if world.diary.pages().failures.is_empty() {
        rest(&mut world);
    }
    let began = Instant::now();
    let judged = verdict::of(&world);
    let judging_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let report = Report { judged, judging_ms, ..report(seed, nodes as u64, &world, &nemesis) };
    let trace = std::mem::take(&mut world.diary.pages().lines);
    (report, trace)
}

/// Turns until it holds; a failure when it does not in that time.
fn until(world: &mut World, within_ms: u64, holds: impl Fn(&World) -> bool) -> bool {
    let end = world.now_ms + within_ms;
    while world.now_ms < end && world.diary.pages().failures.is_empty() {
        if holds(world) {
            return true;
        }
        world.turn();
    }
    false
}

fn rest(world: &mut World) {
    let all_done = |world: &World| world.diary.pages().finished.values().all(|done| *done);
    if !until(world, REST_MS, all_done) {
        let waiting: Vec<_> = world.diary.pages().finished.clone().into_iter().collect();
        return world.diary.fail(&format!("not every client came to its end: {waiting:?}"));
    }
    let drained = |world: &World| {
        let counts = world.truth.machine().counts();
        counts.sessions == 0 && counts.holds == 0 && counts.waiters == 0
    };
    if !until(world, REST_MS, drained) {
        let counts = world.truth.machine().counts();
        return world.diary.fail(&format!("the cluster did not drain: {counts:?}"));
    }
    let equal = |world: &World| {
        let revision = world.truth.machine().revision();
        world
            .members
            .iter()
            .all(|member| member.node().is_some_and(|node| node.status().revision == revision))
    };
    if !until(world, REST_MS, equal) {
        return world.diary.fail("the nodes did not come together");
    }
    let before = world.effects.comparisons;
    world.compare();
    if world.effects.comparisons - before != world.members.len() as u64 {
        world.diary.fail("not every node could be compared in the end");
    }
    if let Err(broken) = world.truth.machine().check_invariants() {
        world.diary.fail(&broken);
    }
}

fn report(seed: u64, nodes: u64, world: &World, nemesis: &Nemesis) -> Report {
    let pages = world.diary.pages();
    let sum = |wanted: Verdict| {
        pages.attempts.iter().filter(|((_, verdict), _)| *verdict == wanted).map(|(_, n)| n).sum()
    };
    let attempts = pages.attempts.iter();
    let attempts = attempts.map(|((kind, verdict), n)| (format!("{kind} {verdict:?}"), *n));
    let snapshots = world.members.iter().map(|member| member.snapshots.commit_count()).sum();
    Report {
        seed,
        nodes,
        simulated_ms: world.now_ms,
        commands: world.truth.commands,
        judged: BTreeMap::new(),
        judging_ms: 0,
        attempts: attempts.collect(),
        done: sum(Verdict::Done),
        unknown: sum(Verdict::Unknown),
        faults: nemesis.done.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect(),
        effects: Effects { snapshots, ..world.effects },
        pieces_held: world.network.figures().held,
        failures: pages.failures.clone(),
    }
}
