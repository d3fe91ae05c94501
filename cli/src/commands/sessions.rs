//! `conclave sessions`: who is connected, what one of them holds and waits for, and ending one.

use conclave_client::{Refusal, SessionDetails, SessionId, SessionList};
use serde::Serialize;

use super::connect;
use super::inspect::consistency;
use crate::args::{Global, SessionsArgs, SessionsCommand};
use crate::failure::{Failure, code};
use crate::output::{self, Show, printable, span};

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Listed(SessionList);

impl Show for Listed {
    fn table(&self) -> String {
        if self.0.sessions.is_empty() {
            return "no sessions\n".to_owned();
        }
        let mut table = output::new_table(&[
            "session", "name", "pid", "command", "ttl", "age", "holds", "waits", "state",
        ]);
        output::align_right(&mut table, &[0, 4, 5, 6, 7]);
        for session in &self.0.sessions {
            let label = |key: &str| session.labels.get(key).map(|text| printable(text));
            table.add_row([
                session.session.to_string(),
                printable(&session.name),
                label("pid").unwrap_or_default(),
                label("command").unwrap_or_default(),
                span(session.ttl_ms),
                span(session.age_ms),
                session.holds.to_string(),
                session.waits.to_string(),
                if session.ended { "ended" } else { "live" }.to_owned(),
            ]);
        }
        let shown = self.0.sessions.len() as u64;
        let mut text = output::draw(&table);
        if self.0.total > shown {
            text += &format!("{shown} of {} (--limit, --after)\n", self.0.total);
        }
        text
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Described(SessionDetails);

impl Show for Described {
    fn table(&self) -> String {
        let SessionDetails { line, held, waiting, blocked_by, .. } = &self.0;
        let mut text = format!(
            "session   {}{}\nname      {}\nttl       {}, lock-delay {}\nage       {}, epoch {}\n",
            line.session,
            if line.ended { " (ended)" } else { "" },
            printable(&line.name),
            span(line.ttl_ms),
            span(self.0.lock_delay_ms),
            span(line.age_ms),
            self.0.epoch
        );
        for (key, value) in &line.labels {
            text += &format!("label     {} = {}\n", printable(key), printable(value));
        }
        if !held.is_empty() {
            let mut table = output::new_table(&["holds", "kind", "token", "state", "held"]);
            output::align_right(&mut table, &[2, 4]);
            for hold in held {
                table.add_row([
                    with_others(&hold.name, hold.others),
                    hold.kind.to_string(),
                    hold.token.to_string(),
                    hold.state.to_string(),
                    span(hold.held_ms),
                ]);
            }
            text += &format!("\n{}", output::draw(&table));
        }
        if !waiting.is_empty() {
            let mut table =
                output::new_table(&["waits for", "kind", "position", "priority", "waited"]);
            output::align_right(&mut table, &[2, 3, 4]);
            for wait in waiting {
                table.add_row([
                    with_others(&wait.name, wait.others),
                    wait.kind.to_string(),
                    wait.position.to_string(),
                    wait.priority.to_string(),
                    span(wait.waited_ms),
                ]);
            }
            text += &format!("\n{}", output::draw(&table));
        }
        if !blocked_by.is_empty() {
            let mut table =
                output::new_table(&["session", "waits for", "held by", "its name", "token"]);
            output::align_right(&mut table, &[0, 2, 4]);
            for blocker in blocked_by {
                table.add_row([
                    blocker.waiter.to_string(),
                    printable(&blocker.name),
                    blocker.holder.to_string(),
                    printable(&blocker.holder_name),
                    blocker.token.to_string(),
                ]);
            }
            text += &format!("\n{}", output::draw(&table));
        }
        text
    }
}

/// Of what is held or waited for together, the first and how many more.
fn with_others(name: &str, others: u32) -> String {
    match others {
        0 => printable(name),
        others => format!("{} and {others} more", printable(name)),
    }
}

#[derive(Debug, Serialize)]
struct Killed {
    session: u64,
    revision: u64,
}

impl Show for Killed {
    fn table(&self) -> String {
        format!(
            "session {} is ended; its holds are freed as soon as it surely stopped\n",
            self.session
        )
    }
}

pub(crate) async fn run(global: &Global, args: &SessionsArgs) -> Result<u8, Failure> {
    let admin = connect::client(global)?.admin();
    match &args.action {
        None => {
            let after = (args.after > 0).then(|| SessionId::new(args.after));
            let found =
                admin.sessions(&args.prefix, after, args.limit, consistency(args.stale)).await;
            let found = found.map_err(|error| connect::failure(&error))?;
            output::print(global.output, &Listed(found))?;
        }
        Some(SessionsCommand::Show { id, stale }) => {
            let found = admin.session(SessionId::new(*id), consistency(*stale)).await;
            let found = found.map_err(|error| unknown_session(*id, &error))?;
            output::print(global.output, &Described(found))?;
        }
        Some(SessionsCommand::Kill { id, reason, by }) => {
            let killed = admin.kill(SessionId::new(*id), by, reason).await;
            let revision = killed.map_err(|error| unknown_session(*id, &error))?;
            output::print(global.output, &Killed { session: *id, revision })?;
        }
    }
    Ok(0)
}

fn unknown_session(id: u64, error: &conclave_client::Error) -> Failure {
    match error {
        conclave_client::Error::Refused(Refusal::NotFound { .. }) => Failure::new(
            code::REFUSED,
            format!("there is no session {id}, or it ended before"),
            "see `conclave sessions`",
        ),
        _ => connect::failure(error),
    }
}
