//! `conclave elect`: a command that runs while leading, and who leads.

use std::time::Duration;

use conclave_client::{Candidate, ElectionView, Observed, Value};
use nix::sys::signal::Signal;
use serde::Serialize;

use super::connect;
use super::run::{self, Order, Ran, Runner, Wanted};
use super::stream::{self, Told};
use crate::args::{ElectArgs, Global};
use crate::failure::{Failure, code};
use crate::output::{printable, span};
use crate::supervisor::EXIT_LOST;
use crate::voice::Tell;

/// Before it stands again: others have their turn, and a command that fails at once is not started in a hurry.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Said {
    StandingAgain { code: u8 },
    Failed { error: String },
}

impl Tell for Said {
    fn sentence(&self) -> String {
        match self {
            Self::StandingAgain { code } => {
                format!("conclave: the command ended with {code}; standing again")
            }
            Self::Failed { error } => format!("conclave: {error}; trying again"),
        }
    }
}

pub(crate) async fn run(global: &Global, args: &ElectArgs) -> Result<u8, Failure> {
    if args.observe {
        return observe(global, &args.name).await;
    }
    let ElectArgs { name, value, preempt_after, run: flags, command, .. } = args;
    let wanted = Wanted::Leadership { value, preempt_after: *preempt_after };
    let order = Order { names: std::slice::from_ref(name), wanted, flags, command };
    if args.forever {
        run::with(global, order, async |runner| again_and_again(runner).await).await
    } else {
        run::run(global, order).await
    }
}

/// Stands and leads, until somebody wants us to end or it makes no sense to go on.
async fn again_and_again(runner: &mut Runner<'_>) -> Result<u8, Failure> {
    loop {
        match runner.once().await {
            Ok(ran) if is_over(ran) => return Ok(ran.code),
            Ok(ran) => runner.voice.tell(&Said::StandingAgain { code: ran.code }),
            // The cluster may come back, and with it the leadership.
            Err(failure) if matches!(failure.code, code::NO_CLUSTER | EXIT_LOST) => {
                runner.voice.tell(&Said::Failed { error: failure.sentence });
            }
            Err(failure) => return Err(failure),
        }
        tokio::select! {
            biased;
            signal = runner.signals.asked() => return Ok(crate::job::code_of_signal(signal)),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Whether this was the last run. A command that took a HUP for an order to read its configuration anew leads on, and
/// stands again when it lost.
fn is_over(ran: Ran) -> bool {
    let was_asked = match ran.asked {
        None => false,
        Some(Signal::SIGHUP) => ran.code != EXIT_LOST,
        Some(_) => true,
    };
    was_asked || !ran.vanished
}

async fn observe(global: &Global, name: &str) -> Result<u8, Failure> {
    let client = connect::client(global)?;
    // Whoever follows waits for a cluster as long as it takes; that there is one is known now.
    client.admin().election(name).await.map_err(|error| connect::failure(&error))?;
    let mut changes = client.observe(name);
    stream::show(global.output, async || Some(changes.next().await?.map(Change))).await
}

/// One thing that is told of an election.
#[derive(Debug)]
struct Change(Observed);

impl Told for Change {
    fn json(&self) -> Result<serde_json::Value, serde_json::Error> {
        stream::flat(&self.0)
    }

    fn line(&self) -> String {
        match &self.0 {
            Observed::View(view) => view_line(view),
            Observed::Resync(view) => format!("changes were missed; {}", view_line(view)),
            Observed::Elected { session, session_name, term, value } => {
                let who = connect::who(session_name, session.get(), |_| None);
                format!("term {term}: {who} leads{}", proclaiming(value))
            }
            Observed::Proclaimed { term, value } => {
                format!("term {term}: the leader proclaims {}", printable(&value.to_string()))
            }
            Observed::Revoked { term } => {
                format!("term {term}: taken away; nobody leads until the old leader has stopped")
            }
            Observed::Cooling { term } => {
                format!("term {term}: the leader's session expired; nobody leads yet")
            }
            Observed::Vacant { term, lost: false } => format!("term {term}: resigned; vacant"),
            Observed::Vacant { term, lost: true } => format!("term {term}: over; vacant"),
            Observed::Waiting { queue_len } => format!("{queue_len} waiting"),
            other => format!("{other:?}"),
        }
    }
}

fn view_line(view: &ElectionView) -> String {
    let mut text = match &view.leader {
        Some(leader) => format!(
            "term {}: {} leads since {}{}",
            leader.token,
            connect::holder(leader),
            span(leader.held_ms),
            leader.value.as_ref().map(proclaiming).unwrap_or_default()
        ),
        None => "vacant".to_owned(),
    };
    if view.queue_len > 0 {
        text += &format!(", {} waiting", view.queue_len);
    }
    for candidate in &view.candidates {
        text += &format!("\n  {}", candidate_line(candidate));
    }
    text
}

fn candidate_line(candidate: &Candidate) -> String {
    let who = connect::who(&candidate.session_name, candidate.session.get(), |key| {
        candidate.labels.get(key).map(String::as_str)
    });
    let rank = match candidate.rank {
        0 => "stands aside".to_owned(),
        rank => format!("rank {rank}"),
    };
    format!("{rank}: {who} (session {}, priority {})", candidate.session, candidate.priority)
}

fn proclaiming(value: &Value) -> String {
    if value.as_bytes().is_empty() {
        String::new()
    } else {
        format!(", proclaims {}", printable(&value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use conclave_client::{SessionId, Token};

    use super::*;

    fn elected() -> Change {
        let (session, term) = (SessionId::new(3), Token::new(8));
        let (session_name, value) = ("host-7".to_owned(), Value::from("host-7:80"));
        Change(Observed::Elected { session, session_name, term, value })
    }

    #[test]
    fn it_stands_again_until_it_was_asked_to_end() {
        let ran = |code, asked| Ran { code, vanished: true, asked, by_signal: false };
        assert!(!is_over(ran(0, None)));
        assert!(!is_over(ran(EXIT_LOST, None)));
        assert!(is_over(ran(0, Some(Signal::SIGTERM))));
        assert!(is_over(ran(EXIT_LOST, Some(Signal::SIGINT))));
        assert!(is_over(ran(129, Some(Signal::SIGHUP))));
        assert!(
            !is_over(ran(EXIT_LOST, Some(Signal::SIGHUP))),
            "it had only read its configuration"
        );
        assert!(is_over(Ran { vanished: false, ..ran(EXIT_LOST, None) }), "two could run then");
    }

    #[test]
    fn changes_are_told_to_people() {
        assert_eq!(elected().line(), "term 8: host-7 leads, proclaims host-7:80");
        let vacant = Change(Observed::Vacant { term: Token::new(8), lost: true });
        assert_eq!(vacant.line(), "term 8: over; vacant");
        assert_eq!(Change(Observed::View(ElectionView::default())).line(), "vacant");
    }

    #[test]
    fn and_to_programs_on_one_line() {
        assert_eq!(
            elected().json().expect("JSON").to_string(),
            r#"{"event":"elected","session":3,"session_name":"host-7","term":8,"value":"host-7:80"}"#
        );
        let view = Change(Observed::View(ElectionView::default())).json().expect("JSON");
        assert_eq!(
            view.to_string(),
            r#"{"candidates":[],"event":"view","leader":null,"queue_len":0,"revision":0}"#
        );
    }
}
