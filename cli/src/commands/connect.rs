//! From the global options to a client, and from its errors to sentences with what to do next.

use conclave_client::{Client, Error, Holder, Refusal, SessionEnd};

use crate::args::Global;
use crate::failure::{Failure, code};
use crate::identity;
use crate::output::printable;

const START_ONE: &str = "start a node with `conclave dev`, or name the nodes of a cluster with --endpoint or CONCLAVE_ENDPOINTS";

/// Connects to nothing yet.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    let endpoints = global.endpoints.iter().map(|endpoint| endpoint.trim().to_owned());
    let builder = Client::builder().endpoints(endpoints).request_timeout(global.connect_timeout);
    builder.build().map_err(|error| {
        Failure::new(code::USAGE, error.to_string(), "write --endpoint HOST:PORT[,HOST:PORT...]")
    })
}

/// What went wrong, for people.
pub(crate) fn failure(error: &Error) -> Failure {
    let text = printable(&error.to_string());
    match error {
        Error::NotAnswered(_) => Failure::new(code::NO_CLUSTER, text, START_ONE),
        // Ours are only ended from outside while they wait when the cluster is gone for that long.
        Error::SessionEnded(SessionEnd::Expired) => {
            Failure::new(code::NO_CLUSTER, text, "see `conclave status`, then try again")
        }
        Error::Config(_) => Failure::new(code::USAGE, text, ""),
        Error::Refused(refusal) => Failure::new(code::REFUSED, text, advice(refusal)),
        _ => Failure::new(code::REFUSED, text, ""),
    }
}

fn advice(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound { .. } => {
            "see what there is with `conclave list`, `conclave inspect NAME` and `conclave sessions`"
        }
        Refusal::Limit { .. } => "try again later, or see who uses it up with `conclave sessions`",
        Refusal::WrongKind { .. } => "choose another name, or see `conclave inspect NAME`",
        Refusal::Mismatch { .. } => {
            "say the same as all others do, see `conclave inspect NAME`; `conclave resize` changes a semaphore"
        }
        Refusal::Weight { .. } => "ask for fewer, or see `conclave inspect NAME`",
        Refusal::Conflict { .. } => "look at it again with `conclave inspect NAME`",
        Refusal::Busy => "see who uses it with `conclave inspect NAME`",
        Refusal::Guard => "stop: another one may hold the lock by now",
        Refusal::Broken => "a party went away; let all arrive again",
        Refusal::AttemptsExhausted { .. } => {
            "see why it fails; it is run again when nobody waits any more"
        }
        Refusal::BelowZero { .. } => "begin a new round with `conclave latch NAME --reset`",
        _ => "",
    }
}

/// What is shown to others about this client.
pub(crate) fn labels(command: &str) -> Vec<(&'static str, String)> {
    vec![
        ("host", identity::host()),
        ("pid", std::process::id().to_string()),
        ("command", command.chars().take(200).collect()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

/// A client as others should know it: `billing@host-7 pid 4711`.
pub(crate) fn who<'a>(name: &str, session: u64, label: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut text = if name.is_empty() { format!("session {session}") } else { printable(name) };
    if let Some(host) = label("host")
        && !text.contains('@')
    {
        text = format!("{text}@{}", printable(host));
    }
    if let Some(pid) = label("pid") {
        text = format!("{text} pid {}", printable(pid));
    }
    text
}

pub(crate) fn holder(holder: &Holder) -> String {
    who(&holder.session_name, holder.session.get(), |key| {
        holder.labels.get(key).map(String::as_str)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_by_name_host_and_process() {
        let labels = |key: &str| match key {
            "host" => Some("host-7"),
            "pid" => Some("4711"),
            _ => None,
        };
        assert_eq!(who("billing", 1, labels), "billing@host-7 pid 4711");
        assert_eq!(who("ann@host-7", 1, labels), "ann@host-7 pid 4711");
        assert_eq!(who("", 9, |_| None), "session 9");
        assert_eq!(who("a\x1b[2J", 9, |_| None), "a\u{fffd}[2J");
    }
}
