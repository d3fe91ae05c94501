//! What the oracle says of a run: of beliefs, states and the log, and of the counters as they look from outside.

use std::collections::{BTreeMap, BTreeSet};

use conclave_machine::Name;
use conclave_oracle::{
    Answer, Asked, Change, History, Log, Reading, Terms, Verdict, judge, second_opinion,
};

use crate::world::World;

/// Checks that have something to look at in every run that came to rest.
const MUST: &[&str] = &["machine", "tokens", "beliefs", "replicas", "drained"];

/// What each check looked at; what is wrong is a failure of the run.
pub fn of(world: &World) -> BTreeMap<String, u64> {
    let log = match world.truth.book().log() {
        Ok(log) => log,
        Err(error) => {
            world.diary.fail(&error.to_string());
            return BTreeMap::new();
        }
    };
    let at_rest = world.diary.pages().failures.is_empty();
    let (inside, outside) = (of_the_log(world, &log, at_rest), of_counters(world, at_rest));
    if let Err(report) = inside.require(if at_rest { MUST } else { &[] }) {
        world.diary.fail(&report);
    }
    if let Err(report) = outside.require(&[]) {
        world.diary.fail(&report);
    }
    let judged = inside.judged.into_iter().chain(outside.judged);
    judged.map(|(check, count)| (check.to_owned(), count)).collect()
}

fn of_the_log(world: &World, log: &Log, drained: bool) -> Verdict {
    let mut pages = world.diary.pages();
    let terms = Terms { drained, ended_us: pages.now_us(), ..Terms::default() };
    let history = History { terms, ..std::mem::take(&mut pages.history) };
    drop(pages);
    judge(&history, log)
}

/// In the end somebody reads each of them once more.
fn of_counters(world: &World, at_rest: bool) -> Verdict {
    let calls = world.diary.pages().outside.clone();
    let mut names = BTreeSet::new();
    for call in &calls {
        if let Asked::Edit { name, change: Change::AddCounter { .. }, .. } = &call.asked {
            names.insert(name.clone());
        }
    }
    for name in names.into_iter().filter(|_| at_rest) {
        let value =
            Name::new(&name).ok().and_then(|name| world.truth.machine().counter_value(&name));
        let asking = world.diary.ask("the end", Asked::Read(Reading::Counter { name }));
        asking.answered(Answer::Counter { value });
    }
    let calls = std::mem::take(&mut world.diary.pages().outside);
    second_opinion(&History { calls, ..History::default() })
}
