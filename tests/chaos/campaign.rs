//! One cluster hurt again and again for a time, then healed, drained and judged.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use conclave_client::Client;
use conclave_tests::eventually;
use serde::{Deserialize, Serialize};

use crate::TTL;
use crate::facts;
use crate::judge::History;
use crate::nemesis::{Killed, Kind, kinds};
use crate::outside::all_elements;
use crate::rng::Rng;
use crate::stage::{NODES, Stage};
use crate::verdict::{self, Times};

/// How nodes and clients reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Roads {
    /// By cables that can be pulled.
    Direct,
    /// By proxies that delay, lose and hold up.
    Proxied,
}

/// What a campaign process is told, as JSON in its only argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) roads: Roads,
    pub(crate) seed: u64,
    /// It has a network of its own to change.
    pub(crate) isolated: bool,
    /// No new fault is made after this time.
    pub(crate) seconds: u64,
}

/// From this time on each kind has had its turn, or the run proves too little.
const SECONDS_FOR_ALL: u64 = 180;
/// Done by all clients together, for each second of the run: a small part of what a machine with two busy cores does.
const OPERATIONS_MIN_PER_SECOND: u64 = 5;
/// Findings shown; the rest is counted.
const FINDINGS_SHOWN: usize = 20;

pub(crate) fn run(plan: &Plan) {
    println!("chaos: {plan:?}");
    let mut stage = Stage::build(plan);
    stage.recovers();
    let mut rng = Rng::new(plan.seed);
    let mut killed = Vec::new();
    let offered = kinds(&stage);
    let from = Instant::now();
    let done = rounds(&mut stage, plan, &offered, &mut rng, &mut killed);
    let elapsed = from.elapsed().as_secs().max(1);
    let healed_us = facts::now() / 1_000;
    stage.stop_clients();
    drained(&stage);
    let ended_us = facts::now() / 1_000;
    let history = judge(&stage, &killed, elapsed);
    let times = Times { healed_us, ended_us };
    verdict::require(&mut stage, &history, times, !killed.is_empty());
    for kind in offered {
        let times = done.get(&kind).copied().unwrap_or(0);
        println!("chaos: {kind:?} {times} times");
        assert!(times > 0 || plan.seconds < SECONDS_FOR_ALL, "{kind:?} was never done");
    }
}

fn rounds(
    stage: &mut Stage,
    plan: &Plan,
    offered: &[Kind],
    rng: &mut Rng,
    killed: &mut Vec<Killed>,
) -> BTreeMap<Kind, u32> {
    let from = Instant::now();
    let mut done = BTreeMap::new();
    let mut bag = Vec::new();
    let mut round = 0;
    while from.elapsed() < Duration::from_secs(plan.seconds) {
        if bag.is_empty() {
            bag = offered.to_vec();
            rng.shuffle(&mut bag);
        }
        let kind = bag.pop().expect("filled above");
        // A schedule that depends only on the seed, not on how fast the machine is.
        let mut own = Rng::new(rng.next());
        sleep(Duration::from_millis(own.between(100, 800)));
        round += 1;
        let at = from.elapsed();
        let whom = stage.hurt(kind, &mut own, killed);
        let undone = from.elapsed();
        stage.agrees();
        let agreed = from.elapsed();
        stage.recovers();
        println!(
            "chaos: round {round} at {at:.1?}: {kind:?} ({whom}) for {:.1?}, a leader after {:.1?}, everybody served after {:.1?}",
            undone - at,
            agreed - undone,
            from.elapsed() - undone
        );
        *done.entry(kind).or_insert(0) += 1;
    }
    assert!(round > 0, "nothing was done at all");
    done
}

/// All clients are gone, and so is what they had, on every node.
fn drained(stage: &Stage) {
    let limit = TTL * 2 + Duration::from_secs(10);
    for node in 0..NODES {
        eventually("nobody has or waits for anything any more", limit, || {
            (stage.counts(node)? == [0, 0, 0]).then_some(())
        });
    }
}

fn judge(stage: &Stage, killed: &[Killed], seconds: u64) -> History {
    let mut history = History::default();
    for path in &stage.histories {
        history.take(&facts::read(path));
    }
    let sets = ["fenced", "open"].map(|name| (name, all_elements(stage.folder(), name)));
    let mut found = history.judge(&BTreeMap::from(sets), counter(stage));
    let mut orphans = 0;
    for Killed { client, at, by } in killed {
        let (held, late) = history.late(client, *at, *by);
        orphans += held;
        found.extend(late);
    }
    let History { beliefs, done, unknown, fenced, stale_refused, .. } = &history;
    println!(
        "chaos: {} holds, {done} operations done in {seconds} s, {unknown} unknown, {fenced} fenced outside, {stale_refused} \
         stale writes refused, {orphans} locks of killed clients served in time",
        beliefs.len()
    );
    if !found.is_empty() {
        for finding in found.iter().take(FINDINGS_SHOWN) {
            eprintln!("VIOLATION: {finding}");
        }
        panic!("{} violations", found.len());
    }
    let least = OPERATIONS_MIN_PER_SECOND * seconds;
    assert!(*done >= least, "only {done} operations in {seconds} s, {least} are the least");
    history
}

/// What the counter stands at in the end.
fn counter(stage: &Stage) -> i64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect((0..NODES).map(|node| stage.cluster.client_road(node)));
        let session = client.expect("valid endpoints").session().name("judge").open().await;
        let session = session.expect("a session");
        let value = session.counter("counter").get().await.expect("the counter");
        session.close().await.expect("closed");
        value
    })
}
