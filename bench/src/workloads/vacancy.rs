//! The process of an elected leader is killed: how long until the next candidate leads. Its session must run out first, so the
//! TTL is most of it. Handing the leadership over in good order is the closed loop `elect`.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::args::{StandArgs, VacancyArgs};
use crate::conclave::open_sessions;
use crate::failure::Failure;
use crate::figures::Figures;
use crate::progress;
use crate::rows::median;
use crate::stage::{Stage, client_of};

/// What the child says once it leads.
const LEADING: &str = "leading";
/// A killed leader's session runs out long before.
const WON_MAX: Duration = Duration::from_secs(60);

pub(crate) async fn vacancy(stage: &Stage, args: &VacancyArgs) -> Result<Figures, Failure> {
    let mut gaps = Vec::new();
    for number in 1..=args.kills {
        progress::say(&format!("killed leader {number} of {}", args.kills));
        gaps.push(once(stage, args.ttl).await?.as_secs_f64());
    }
    let mut figures = Figures::default();
    figures.add("ttl", args.ttl.as_secs_f64(), "s");
    figures.add("kills", f64::from(args.kills), "");
    figures.add("vacant_median", median(gaps.iter().copied()), "s");
    figures.add("vacant_longest", gaps.iter().copied().fold(0.0, f64::max), "s");
    Ok(figures)
}

async fn once(stage: &Stage, ttl: Duration) -> Result<Duration, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::of("the election", error);
    let sessions = open_sessions(&stage.client, 1, ttl).await?;
    let name = format!("bench/elect/{}", sessions[0].id());
    let mut leader = leader_process(stage, &name, ttl).await?;
    let mut candidacy = sessions[0].election(&name).stand().map_err(|error| failed(&error))?;
    leader.kill().await.map_err(|error| failed(&error))?;
    let killed = Instant::now();
    let won = timeout(WON_MAX, candidacy.won()).await;
    let won = won.map_err(|_| failed(&"nobody leads after the leader was killed"))?;
    let leadership = won.map_err(|error| failed(&error))?;
    let took = killed.elapsed();
    leadership.resign().await.map_err(|error| failed(&error))?;
    Ok(took)
}

/// This program once more, as a candidate that leads by now.
async fn leader_process(stage: &Stage, name: &str, ttl: Duration) -> Result<Child, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::of("the process of the leader", error);
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut command = Command::new(program);
    command.args(["stand", name, "--ttl", &humantime::format_duration(ttl).to_string()]);
    command.args(["--endpoint", &stage.endpoints.join(",")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let Some(output) = child.stdout.take() else { return Err(failed(&"it has no output")) };
    let mut lines = BufReader::new(output).lines();
    match timeout(WON_MAX, lines.next_line()).await {
        Ok(Ok(Some(line))) if line == LEADING => Ok(child),
        Ok(Ok(line)) => Err(failed(&format!("it said {line:?}"))),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&"it does not lead")),
    }
}

/// What that process does: stand, say that it leads, and stay until it is killed.
pub(crate) async fn stand(endpoints: &[String], args: &StandArgs) -> Result<(), Failure> {
    let client = client_of(endpoints)?;
    let sessions = open_sessions(&client, 1, args.ttl).await?;
    let leadership = sessions[0].election(&args.name).campaign().await;
    let _leadership = leadership.map_err(|error| Failure::of("the election", error))?;
    println!("{LEADING}");
    sessions[0].ended().await;
    Ok(())
}
