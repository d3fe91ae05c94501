//! `conclave inspect`: what a name is, who holds it, who waits for it, since when.

use conclave_client::{Consistency, Demand, Detail, Holder, Kind, ObjectView, Waiter};
use serde::Serialize;

use super::connect;
use crate::args::{Global, InspectArgs};
use crate::failure::Failure;
use crate::output::{self, Show, printable, span};

/// The same keys whether there is anything or not, so that a script needs no case for it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Shown {
    Object(Box<ObjectView>),
    Nothing {
        name: String,
        kind: Option<Kind>,
        holders: [(); 0],
        queue: [(); 0],
        queue_len: u32,
        aside: [(); 0],
        detail: Option<Detail>,
        deadlock: [(); 0],
    },
}

impl Show for Shown {
    fn table(&self) -> String {
        match self {
            Self::Object(object) => object_table(object),
            Self::Nothing { name, .. } => {
                format!("{}: nobody holds it or waits for it\n", printable(name))
            }
        }
    }
}

fn waiter_name(waiter: &Waiter) -> String {
    connect::who(&waiter.session_name, waiter.session.get(), |key| {
        waiter.labels.get(key).map(String::as_str)
    })
}

fn object_table(object: &ObjectView) -> String {
    let statistics = &object.statistics;
    let mut text = format!(
        "{}: {}, {} waiting; {} grants in {}, longest queue {}\n",
        printable(&object.name),
        object.kind,
        object.queue_len,
        statistics.grants,
        span(statistics.age_ms),
        statistics.queue_len_max
    );
    if let Some(detail) = &object.detail {
        text += &format!("{}\n", detail_line(detail));
    }
    if !object.holders.is_empty() {
        text += &format!("\n{}", holders_table(&object.holders));
    }
    if !object.queue.is_empty() {
        text += &format!("\n{}", waiters_table(&object.queue));
        let hidden = u64::from(object.queue_len).saturating_sub(object.queue.len() as u64);
        if hidden > 0 {
            text += &format!("and {hidden} more (--queue-max)\n");
        }
    }
    if !object.aside.is_empty() {
        text += &format!("\nstanding aside:\n{}", waiters_table(&object.aside));
    }
    if !object.deadlock.is_empty() {
        text += "\na deadlock, each waits for the next and the last for the first:\n";
        for step in &object.deadlock {
            let who = connect::who(&step.session_name, step.session.get(), |_| None);
            let (owner, name) = (printable(&step.owner), printable(&step.name));
            text += &format!("  {owner} of {who} (session {}) waits for {name}\n", step.session);
        }
    }
    text
}

/// What an object is besides, in a line.
fn detail_line(detail: &Detail) -> String {
    match detail {
        Detail::Semaphore { declared, limit, in_use, version, resized } => {
            let of = match limit {
                0 => "paused".to_owned(),
                limit => format!("limit {limit}"),
            };
            let declared =
                if *resized { format!(" (made with {declared})") } else { String::new() };
            format!("{of}{declared}, {in_use} in use, version {version}")
        }
        Detail::Election { successor: Some(session) } => format!("session {session} comes next"),
        Detail::Election { successor: None } => "by priority, then arrival".to_owned(),
        Detail::Once { attempts, done: Some(version) } => {
            format!("done, version {version}; {attempts} runs without a result")
        }
        Detail::Once { attempts, done: None } => {
            format!("not done; {attempts} runs without a result")
        }
        Detail::Latch { count, remaining, round } => {
            format!("{remaining} of {count} left, round {round}")
        }
        Detail::Gate { open: true, version } => format!("open, version {version}"),
        Detail::Gate { open: false, version } => format!("closed, version {version}"),
        Detail::Barrier { parties, break_on_loss: true } => {
            format!("{parties} parties, broken by one that goes away")
        }
        Detail::Barrier { parties, break_on_loss: false } => format!("{parties} parties"),
        Detail::Register { version, bytes, bound_to: Some(session) } => {
            format!("{bytes} bytes, version {version}, vanishes with session {session}")
        }
        Detail::Register { version, bytes, bound_to: None } => {
            format!("{bytes} bytes, version {version}")
        }
        Detail::Counter { value } => format!("value {value}"),
        other => format!("{other:?}"),
    }
}

/// Of a mutex everybody wants the same; no column says so.
fn holders_table(holders: &[Holder]) -> String {
    let has_demands = holders.iter().any(|holder| holder.demand != Demand::Mutex);
    let has_values = holders.iter().any(|holder| holder.value.is_some());
    let mut columns = vec!["holder", "session", "token", "state", "held"];
    columns.extend(has_demands.then_some("holds"));
    columns.extend(has_values.then_some("proclaims"));
    let mut table = output::new_table(&columns);
    output::align_right(&mut table, &[1, 2, 4]);
    for holder in holders {
        let mut row = vec![
            connect::holder(holder),
            holder.session.to_string(),
            holder.token.to_string(),
            holder.state.to_string(),
            span(holder.held_ms),
        ];
        row.extend(has_demands.then(|| holder.demand.to_string()));
        row.extend(has_values.then(|| {
            holder.value.as_ref().map(|value| printable(&value.to_string())).unwrap_or_default()
        }));
        table.add_row(row);
    }
    output::draw(&table)
}

fn waiters_table(waiters: &[Waiter]) -> String {
    let has_demands = waiters.iter().any(|waiter| waiter.demand != Demand::Mutex);
    let mut columns = vec!["position", "waiter", "session", "priority", "waited"];
    columns.extend(has_demands.then_some("wants"));
    let mut table = output::new_table(&columns);
    output::align_right(&mut table, &[0, 2, 3, 4]);
    for waiter in waiters {
        let mut row = vec![
            waiter.position.to_string(),
            waiter_name(waiter),
            waiter.session.to_string(),
            waiter.priority.to_string(),
            span(waiter.waited_ms),
        ];
        row.extend(has_demands.then(|| waiter.demand.to_string()));
        table.add_row(row);
    }
    output::draw(&table)
}

pub(crate) async fn run(global: &Global, args: &InspectArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    output::print_watched(global.output, args.watch, async || {
        let found = admin.inspect(&args.name, args.queue_max, consistency(args.stale)).await;
        match found.map_err(|error| connect::failure(&error))? {
            Some(object) => Ok(Shown::Object(Box::new(object))),
            None => Ok(Shown::Nothing {
                name: args.name.clone(),
                kind: None,
                holders: [],
                queue: [],
                queue_len: 0,
                aside: [],
                detail: None,
                deadlock: [],
            }),
        }
    })
    .await?;
    Ok(0)
}

pub(super) const fn consistency(stale: bool) -> Consistency {
    if stale { Consistency::Stale } else { Consistency::Linearizable }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use conclave_client::{DeadlockStep, HoldState, SessionId, Statistics, Token, Version};

    use super::*;

    fn semaphore() -> ObjectView {
        let holder = Holder {
            session: SessionId::new(3),
            session_name: "billing@host-7".to_owned(),
            labels: BTreeMap::new(),
            token: Token::new(8),
            state: HoldState::Held,
            demand: Demand::Permits { weight: 2, limit: 3 },
            value: None,
            owner: None,
            metadata: BTreeMap::new(),
            held_ms: 12_000,
        };
        let (declared, limit, in_use) = (3, 2, 2);
        let detail =
            Detail::Semaphore { declared, limit, in_use, version: Version::new(9), resized: true };
        ObjectView {
            name: "gpu".to_owned(),
            kind: Kind::Semaphore,
            holders: vec![holder],
            queue: vec![],
            queue_len: 0,
            aside: vec![],
            detail: Some(detail),
            deadlock: vec![],
            statistics: Statistics::default(),
            revision: 1,
        }
    }

    #[test]
    fn a_semaphore_shows_limit_and_weights() {
        assert_eq!(
            object_table(&semaphore()),
            "gpu: semaphore, 0 waiting; 0 grants in 0ms, longest queue 0\n\
             limit 2 (made with 3), 2 in use, version 9\n\n\
             HOLDER          SESSION  TOKEN  STATE  HELD  HOLDS\n\
             billing@host-7        3      8  held    12s  2 of 3\n"
        );
    }

    #[test]
    fn a_deadlock_is_told_step_by_step() {
        let step = |session, owner: &str, name: &str| DeadlockStep {
            session: SessionId::new(session),
            session_name: "billing".to_owned(),
            owner: owner.to_owned(),
            name: name.to_owned(),
        };
        let mut object = semaphore();
        object.deadlock = vec![step(1, "ann", "a"), step(2, "bob", "b")];
        let text = object_table(&object);
        assert!(text.contains("  ann of billing (session 1) waits for a\n"), "{text}");
        assert!(text.ends_with("  bob of billing (session 2) waits for b\n"), "{text}");
    }
}
