//! The oracle's word on a campaign: the committed log, put together from the directories of all nodes once they have ended, against
//! whatever the clients' sessions said and heard, and what the clients believed.

use std::collections::HashMap;

use conclave_machine::{SessionId, Token};
use conclave_oracle::{
    Answer, Applied, Asked, Belief, Demand, History, Log, Logbook, Micros, Terms, judge,
    second_opinion,
};

use crate::judge;
use crate::stage::{NODES, Stage};
use crate::work::SMALL;

/// Each of these must have looked at something.
const CHECKS: &[&str] = &[
    "answers",
    "order",
    "durable",
    "machine",
    "tokens",
    "holders",
    "fifo",
    "dead sessions",
    "rules",
    "beliefs",
    "drained",
];
/// A healed cluster has a leader that serves within this time.
const FAIL_OVER_US: Micros = 3_000_000;

/// When what happened, in microseconds of the histories' clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) healed_us: Micros,
    pub(crate) ended_us: Micros,
}

/// Ends all nodes, and panics if anything is wrong. `has_deaths`: clients were killed, so that sessions expired.
pub(crate) fn require(stage: &mut Stage, seen: &judge::History, times: Times, has_deaths: bool) {
    let mut history = stage.overheard();
    let log = committed(stage);
    history.applied = applied(&history, &log);
    history.beliefs = beliefs(&history, seen);
    history.terms = Terms {
        all_calls_recorded: true,
        healed_us: Some(times.healed_us),
        ended_us: times.ended_us,
        fail_over_us: FAIL_OVER_US,
        drained: true,
    };
    let verdict = judge(&history, &log);
    println!("chaos: {} entries of the log; {verdict}", log.entries.len());
    let mut checks = CHECKS.to_vec();
    checks.extend(has_deaths.then_some("early expiry"));
    if let Err(report) = verdict.require(&checks) {
        panic!("{report}");
    }
    let second = second_opinion(&small(&history));
    println!("chaos: without the log: {second}");
    if let Err(report) = second.require(&["second opinion"]) {
        panic!("{report}");
    }
}

/// What all nodes have, up to the last entry that any was seen to apply.
fn committed(stage: &mut Stage) -> Log {
    let leader = stage.cluster.leader();
    let nodes = stage.cluster.status(leader).expect("the leader answers").nodes;
    let mut book = Logbook::new();
    for node in 0..NODES {
        stage.cluster.kill(node);
        let name = stage.cluster.name(node);
        let applied = nodes.iter().find(|status| status.name == name).map(|node| node.applied);
        let read = book.read_directory(&name, &stage.data_dir(node), applied);
        read.unwrap_or_else(|error| panic!("node {node}: {error}"));
    }
    book.log().unwrap_or_else(|error| panic!("{error}"))
}

/// Nobody looks at a machine inside a process, but whoever hears of a revision knows that its entry was applied by then.
fn applied(history: &History, log: &Log) -> Vec<Applied> {
    let mut indexes = Vec::new();
    for entry in &log.entries {
        indexes.extend(entry.commands.iter().map(|_| entry.index));
    }
    let heard = history.calls.iter().flat_map(|call| &call.answers);
    let at = heard.filter_map(|heard| {
        let number = usize::try_from(heard.revision.get().checked_sub(1)?).ok()?;
        let index = *indexes.get(number)?;
        let node = "heard of".to_owned();
        Some(Applied { node, index, at_us: heard.at_us, revision: None, digest: None })
    });
    at.collect()
}

/// The beliefs of the clients, as what was asked for.
fn beliefs(history: &History, seen: &judge::History) -> Vec<Belief> {
    let mut asked: HashMap<(Token, &str), (SessionId, Demand)> = HashMap::new();
    for call in &history.calls {
        let Asked::Acquire { items, .. } = &call.asked else { continue };
        for heard in &call.answers {
            let Answer::Granted { token } = heard.answer else { continue };
            let of_items = items.iter().map(|item| (&*item.name, item.demand));
            asked.extend(of_items.map(|(name, demand)| ((token, name), (call.session, demand))));
        }
    }
    let believed = seen.beliefs.iter().map(|belief| {
        let judge::Belief { task, name, token, from, until, .. } = belief;
        let token = Token(*token);
        let (session, demand) = *asked
            .get(&(token, &**name))
            .unwrap_or_else(|| panic!("{task} believes in {name} under {token}, never heard of"));
        let (from_us, to_us) = (from.div_ceil(1_000), until / 1_000);
        let (client, name) = (task.clone(), name.clone());
        Belief { client, session, name, demand, token, from_us, to_us }
    });
    believed.collect()
}

/// The second opinion searches, so it gets names that were in use for a short time only.
fn small(history: &History) -> History {
    let is_small = |asked: &Asked| {
        matches!(asked, Asked::Release { .. })
            || asked.names().first().is_some_and(|name| name.starts_with(SMALL))
    };
    let calls = history.calls.iter().filter(|call| is_small(&call.asked)).cloned().collect();
    History { calls, ..History::default() }
}
