//! `conclave list`: everything that is held, waited for or kept.

use conclave_client::{ListOptions, ObjectList, Sort};
use serde::Serialize;

use super::connect;
use super::inspect::consistency;
use crate::args::{Global, ListArgs, SortArg};
use crate::failure::{Failure, code};
use crate::output::{self, Show, printable, span};

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown(ObjectList);

impl Show for Shown {
    fn table(&self) -> String {
        if self.0.objects.is_empty() {
            return "nothing is held, waited for or kept\n".to_owned();
        }
        let mut table = output::new_table(&[
            "name",
            "kind",
            "holder",
            "token",
            "held",
            "waiting",
            "longest wait",
        ]);
        output::align_right(&mut table, &[3, 4, 5, 6]);
        for object in &self.0.objects {
            let holder = object.holder.as_ref();
            table.add_row([
                printable(&object.name),
                object.kind.to_string(),
                match (holder, object.holders) {
                    (None, _) => String::new(),
                    (Some(first), 0 | 1) => connect::holder(first),
                    (Some(first), all) => {
                        format!("{} and {} more", connect::holder(first), all - 1)
                    }
                },
                holder.map(|holder| holder.token.to_string()).unwrap_or_default(),
                holder.map(|holder| span(holder.held_ms)).unwrap_or_default(),
                object.queue_len.to_string(),
                if object.queue_len == 0 { String::new() } else { span(object.longest_wait_ms) },
            ]);
        }
        let shown = self.0.objects.len() as u64;
        let mut text = output::draw(&table);
        if self.0.total > shown {
            text += &format!("{shown} of {} (--limit, --after)\n", self.0.total);
        }
        text
    }
}

pub(crate) async fn run(global: &Global, args: &ListArgs) -> Result<u8, Failure> {
    let sort = match args.sort {
        SortArg::Name => Sort::Name,
        SortArg::LongestWait => Sort::LongestWait,
        SortArg::MostWaiters => Sort::MostWaiters,
    };
    if sort != Sort::Name && !args.after.is_empty() {
        return Err(Failure::new(
            code::USAGE,
            "--after works only when sorted by name",
            "leave out --sort or --after",
        ));
    }
    let options = ListOptions {
        prefix: args.prefix.clone(),
        sort,
        limit: args.limit,
        after: args.after.clone(),
        consistency: consistency(args.stale),
    };
    let admin = connect::client(global)?.admin();
    output::print_watched(global.output, args.watch, async || {
        admin.list(&options).await.map(Shown).map_err(|error| connect::failure(&error))
    })
    .await?;
    Ok(0)
}
