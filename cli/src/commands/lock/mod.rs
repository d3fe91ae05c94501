//! `conclave lock`: waits for a grant, runs a command under it, and lets go of it only when the command is gone.

mod acquire;
mod driver;
mod signals;
mod waiting;

use std::ffi::OsString;
use std::pin::pin;
use std::time::Duration;

use conclave_client::{HoldWatch, LostReason, MutexGuard, Session, SessionEnd};
use nix::sys::signal::Signal;
use serde::Serialize;

use self::acquire::Acquired;
use self::driver::Driver;
use self::signals::Signals;
use super::connect;
use crate::args::{Global, LockArgs};
use crate::failure::{Failure, code};
use crate::identity;
use crate::job::{self, Job, StartError, Tty};
use crate::supervisor::{Boot, EXIT_LOST, Ending, Rules, Standing, Supervisor, View};
use crate::voice::{Tell, Voice};

/// How long the cluster may take to hear that the lock is free; after that the session's end tells it.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// The same when the cluster was not heard anyway, or somebody wants us to end.
const HURRIED_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    NotReleased { name: &'a str },
}

impl Tell for Told<'_> {
    fn sentence(&self) -> String {
        match self {
            Self::NotReleased { name } => format!(
                "conclave: the cluster did not hear that {name} is free; it becomes free when the session expires"
            ),
        }
    }
}

pub(crate) async fn run(global: &Global, args: &LockArgs) -> Result<u8, Failure> {
    args.check()?;
    let voice = Voice::new(global.output);
    let result = run_with(global, args, &voice).await;
    voice.finish();
    result
}

async fn run_with(global: &Global, args: &LockArgs, voice: &Voice) -> Result<u8, Failure> {
    let mut signals = Signals::to_end().map_err(|error| internal("cannot hear signals", &error))?;
    let client = connect::client(global)?;
    let session = tokio::select! {
        biased;
        arrived = signals.next() => return Ok(arrived.code()),
        session = acquire::open(&client, args) => session?,
    };
    match acquire::acquire(&client, &session, args, &mut signals, voice).await {
        Ok(Acquired::Guard(guard)) => {
            under_the_grant(args, &session, guard, &mut signals, voice).await
        }
        Ok(Acquired::Interrupted(arrived)) => {
            let _expires_otherwise = tokio::time::timeout(HURRIED_MAX, session.close()).await;
            Ok(arrived.code())
        }
        Err(failure) => {
            let _expires_otherwise = tokio::time::timeout(HURRIED_MAX, session.close()).await;
            Err(failure)
        }
    }
}

async fn under_the_grant(
    args: &LockArgs,
    session: &Session,
    guard: MutexGuard,
    signals: &mut Signals,
    voice: &Voice,
) -> Result<u8, Failure> {
    let environment = environment(args, session, &guard);
    let tty = Tty::open();
    let rules = Rules {
        ttl: session.ttl(),
        kill_after: args.kill_after,
        continuable: job::is_continuable(tty.as_ref()),
    };
    signals.of_a_command().map_err(|error| internal("cannot hear signals", &error))?;
    let watch = guard.watch();
    let mut supervisor = Supervisor::new(rules, view(session, &watch).sent);
    let started = supervisor
        .may_start(Boot::now(), &view(session, &watch))
        .map_err(|_| StartError::TooLate)
        .and_then(|()| Job::start(&args.command, &environment, supervisor.start_by()));
    let job = match started {
        Ok(job) => job,
        Err(error) => {
            let_go(args, session, guard, RELEASE_MAX, voice).await;
            return Err(cannot_start(args, &error));
        }
    };
    let driver = Driver { job, tty, supervisor, voice, on_lost: args.on_lost.clone(), environment };
    let lost = pin!(async {
        watch.lost().await;
    });
    let Ending { code, vanished } = driver.run(signals, lost, || view(session, &watch)).await;
    if vanished {
        let limit = if code == EXIT_LOST { HURRIED_MAX } else { RELEASE_MAX };
        let_go(args, session, guard, limit, voice).await;
    } else {
        // Something still runs: nobody may hear that it stopped. The session expires by itself, the cluster waits as
        // long as it must.
        std::mem::forget(guard);
    }
    Ok(code)
}

/// Frees the lock, or says of a lost one that it is no longer used; then ends the session.
async fn let_go(
    args: &LockArgs,
    session: &Session,
    guard: MutexGuard,
    limit: Duration,
    voice: &Voice,
) {
    let was_valid = guard.is_valid();
    let released = tokio::time::timeout(limit, async {
        let released = guard.release().await;
        let _over_already = session.close().await;
        released
    });
    if !matches!(released.await, Ok(Ok(()))) && was_valid {
        voice.tell(&Told::NotReleased { name: &args.name });
    }
}

/// How the session stands now.
fn view(session: &Session, watch: &HoldWatch) -> View {
    // The clock is read first: a delay between the two lines makes the send look earlier, which is the safe side.
    let now = Boot::now();
    let sent = now.minus(session.last_ack_sent_ago());
    let standing = match watch.lost_now() {
        None => Standing::Holding,
        Some(lost) => {
            let why = crate::output::printable(&lost.to_string());
            match lost.reason() {
                // Its holds are kept until we say that we stopped.
                LostReason::SessionEnded(SessionEnd::Killed { .. }) => Standing::Revoked(why),
                LostReason::SessionEnded(_) => Standing::Ended(why),
                _ => Standing::Revoked(why),
            }
        }
    };
    View { sent, standing }
}

fn environment(
    args: &LockArgs,
    session: &Session,
    guard: &MutexGuard,
) -> Vec<(&'static str, OsString)> {
    let token = guard.token().to_string();
    vec![
        ("CONCLAVE_NAME", args.name.clone().into()),
        ("CONCLAVE_TOKEN", token.clone().into()),
        ("CONCLAVE_SESSION", session.id().to_string().into()),
        // The term of an election is the token of its winner; so that an outer one never shines through, it is set here too.
        ("CONCLAVE_TERM", token.into()),
    ]
}

fn cannot_start(args: &LockArgs, error: &StartError) -> Failure {
    let error = match error {
        StartError::TooLate => {
            return Failure::new(
                EXIT_LOST,
                "the lock was lost before the command could be started",
                "run it again, with a longer --ttl if this machine sleeps or is very busy",
            );
        }
        StartError::Failed(error) => error,
    };
    let program = args.command.first().map(|program| program.to_string_lossy().into_owned());
    let program = crate::output::printable(&program.unwrap_or_default());
    Failure::new(
        job::code_of_start_error(error),
        format!("cannot run {program}: {error}"),
        "give its full path, or sh -c '...' for a shell command",
    )
}

fn internal(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(code::INTERNAL, format!("{what}: {error}"), "")
}

/// What is shown to others about this client.
fn labels(args: &LockArgs) -> Vec<(&'static str, String)> {
    // Only the program: arguments may be secrets, and everybody can look.
    let program = args.command.first().map(|program| program.to_string_lossy().into_owned());
    let program = program.unwrap_or_default();
    vec![
        ("host", identity::host()),
        ("pid", std::process::id().to_string()),
        ("command", program.chars().take(200).collect()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
}

impl signals::Arrived {
    /// The exit code of a client that this ended while it waited.
    fn code(self) -> u8 {
        match self {
            Self::Asked(signal) => job::code_of_signal(signal),
            Self::Child | Self::Suspend | Self::Continued => job::code_of_signal(Signal::SIGTERM),
        }
    }
}
