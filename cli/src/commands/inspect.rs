//! `conclave inspect`: who holds a name, who waits for it, since when.

use conclave_client::{Consistency, Kind, ObjectView, Waiter};
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
    Nothing { name: String, kind: Option<Kind>, holders: [(); 0], queue: [(); 0], queue_len: u32 },
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
    if !object.holders.is_empty() {
        let mut table = output::new_table(&["holder", "session", "token", "state", "held"]);
        output::align_right(&mut table, &[1, 2, 4]);
        for holder in &object.holders {
            table.add_row([
                connect::holder(holder),
                holder.session.to_string(),
                holder.token.to_string(),
                holder.state.to_string(),
                span(holder.held_ms),
            ]);
        }
        text += &format!("\n{}", output::draw(&table));
    }
    if !object.queue.is_empty() {
        let mut table = output::new_table(&["position", "waiter", "session", "priority", "waited"]);
        output::align_right(&mut table, &[0, 2, 3, 4]);
        for waiter in &object.queue {
            table.add_row([
                waiter.position.to_string(),
                waiter_name(waiter),
                waiter.session.to_string(),
                waiter.priority.to_string(),
                span(waiter.waited_ms),
            ]);
        }
        text += &format!("\n{}", output::draw(&table));
        let hidden = u64::from(object.queue_len).saturating_sub(object.queue.len() as u64);
        if hidden > 0 {
            text += &format!("and {hidden} more (--queue-max)\n");
        }
    }
    text
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
            }),
        }
    })
    .await?;
    Ok(0)
}

pub(super) const fn consistency(stale: bool) -> Consistency {
    if stale { Consistency::Stale } else { Consistency::Linearizable }
}
