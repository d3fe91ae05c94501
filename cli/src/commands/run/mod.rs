//! Runs a command under a grant: waits for it, runs the command, and lets go only when the command is gone. What is granted
//! differs from primitive to primitive and is said in `wanted`; the running is the same for all of them.

mod acquire;
mod driver;
mod signals;
mod tee;
mod waiting;
mod wanted;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use conclave_client::{Client, Grant, HoldWatch, LostReason, Session, SessionEnd};
use serde::Serialize;

use self::driver::Driver;
pub(crate) use self::driver::Ran;
pub(crate) use self::signals::Signals;
pub(crate) use self::tee::{Kept, Tee};
pub(crate) use self::waiting::announce;
pub(crate) use self::wanted::{Had, Held, Wanted};
use super::connect;
use crate::args::{Global, RunArgs};
use crate::failure::{Failure, code};
use crate::job::{self, Job, Output, StartError, Tty};
use crate::output::printable;
use crate::supervisor::{Boot, EXIT_LOST, Rules, Standing, Supervisor, View};
use crate::voice::{Tell, Voice};

/// How long the cluster may take to hear that the lock is free; after that the session's end tells it.
pub(crate) const RELEASE_MAX: Duration = Duration::from_secs(5);

/// The same when the cluster was not heard anyway, or somebody wants us to end.
const HURRIED_MAX: Duration = Duration::from_secs(2);

/// What is to be run, and under what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    /// At least one.
    pub(crate) names: &'a [String],
    pub(crate) wanted: Wanted<'a>,
    pub(crate) flags: &'a RunArgs,
    pub(crate) command: &'a [OsString],
}

/// What an order is carried out with.
pub(crate) struct Runner<'a> {
    pub(crate) order: Order<'a>,
    pub(crate) client: Client,
    pub(crate) signals: Signals,
    pub(crate) voice: &'a Voice,
}

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

impl Order<'_> {
    /// The names, for people.
    pub(crate) fn title(&self) -> String {
        let names: Vec<_> = self.names.iter().map(|name| printable(name)).collect();
        names.join(", ")
    }

    fn check(&self) -> Result<(), Failure> {
        self.flags.check()?;
        let twice =
            self.names.iter().enumerate().find(|(at, name)| self.names[..*at].contains(name));
        match twice {
            Some((_, name)) => Err(Failure::new(
                code::INTERNAL,
                format!("{} is named twice", printable(name)),
                "name each lock once",
            )),
            None => Ok(()),
        }
    }
}

/// Carries an order out once.
pub(crate) async fn run(global: &Global, order: Order<'_>) -> Result<u8, Failure> {
    with(global, order, async |runner| Ok(runner.once().await?.code)).await
}

/// Lends a runner to `act`, and lets its last words be written.
pub(crate) async fn with(
    global: &Global,
    order: Order<'_>,
    act: impl AsyncFnOnce(&mut Runner<'_>) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    order.check()?;
    let voice = Voice::new(global.output);
    let result = async {
        let signals = Signals::to_end().map_err(|error| internal("cannot hear signals", &error))?;
        let client = connect::client(global)?;
        act(&mut Runner { order, client, signals, voice: &voice }).await
    };
    let result = result.await;
    voice.finish();
    result
}

impl Runner<'_> {
    /// From a session of its own to its end.
    pub(crate) async fn once(&mut self) -> Result<Ran, Failure> {
        let session = match self.open().await? {
            ControlFlow::Continue(session) => session,
            ControlFlow::Break(signal) => return Ok(Ran::interrupted(signal)),
        };
        let held = match self.acquire(&session).await? {
            ControlFlow::Continue(Had::Held(held)) => held,
            ControlFlow::Continue(Had::Done(_)) => {
                close(&session).await;
                return Err(Failure::new(
                    code::INTERNAL,
                    "the cluster answered another question",
                    "",
                ));
            }
            ControlFlow::Break(signal) => return Ok(Ran::interrupted(signal)),
        };
        let ran = match self.supervise(&session, &held, Output::Inherited).await {
            Ok((ran, _)) => ran,
            Err(failure) => {
                self.let_go(&session, held, RELEASE_MAX).await;
                return Err(failure);
            }
        };
        self.end(&session, held, ran).await;
        Ok(ran)
    }

    /// Runs the command until it and its group are gone, or not at all.
    pub(crate) async fn supervise(
        &mut self,
        session: &Session,
        held: &Grant,
        output: Output,
    ) -> Result<(Ran, Option<Tee>), Failure> {
        let environment = environment(session, held);
        let tty = Tty::open();
        let rules = Rules {
            ttl: session.ttl(),
            kill_after: self.order.flags.kill_after,
            continuable: job::is_continuable(tty.as_ref()),
        };
        self.signals.of_a_command().map_err(|error| internal("cannot hear signals", &error))?;
        let watch = held.watch();
        let mut supervisor = Supervisor::new(rules, view(session, &watch).sent);
        let started = supervisor
            .may_start(Boot::now(), &view(session, &watch))
            .map_err(|_| StartError::TooLate)
            .and_then(|()| {
                Job::start(self.order.command, &environment, supervisor.start_by(), output)
            });
        let mut job = started.map_err(|error| cannot_start(self.order.command, &error))?;
        let tee = job.take_pipes().map(Tee::start);
        let on_lost = self.order.flags.on_lost.clone();
        let driver = Driver { job, tty, supervisor, voice: self.voice, on_lost, environment };
        let lost = pin!(async {
            watch.lost().await;
        });
        let ran = driver.run(&mut self.signals, lost, || view(session, &watch)).await;
        Ok((ran, tee))
    }

    /// After the command: gives back what it ran under, if nothing of it is left.
    pub(crate) async fn end(&self, session: &Session, held: Held, ran: Ran) {
        if ran.vanished {
            let limit = if ran.code == EXIT_LOST { HURRIED_MAX } else { RELEASE_MAX };
            self.let_go(session, held, limit).await;
        } else {
            // Something still runs: nobody may hear that it stopped. The session expires by itself, the cluster waits as
            // long as it must.
            std::mem::forget(held);
        }
    }

    /// Frees it, or says of what was lost that it is no longer used; then ends the session.
    pub(crate) async fn let_go(&self, session: &Session, held: Held, limit: Duration) {
        let was_valid = held.is_valid();
        let released = tokio::time::timeout(limit, async {
            let released = held.release().await;
            let _over_already = session.close().await;
            released
        });
        if !matches!(released.await, Ok(Ok(()))) && was_valid {
            self.voice.tell(&Told::NotReleased { name: &self.order.title() });
        }
    }
}

/// Ends a session that holds nothing, as far as that is quick.
pub(crate) async fn close(session: &Session) {
    let _expires_otherwise = tokio::time::timeout(HURRIED_MAX, session.close()).await;
}

/// How the session stands now.
fn view(session: &Session, watch: &HoldWatch) -> View {
    // The clock is read first: a delay between the two lines makes the send look earlier, which is the safe side.
    let now = Boot::now();
    let sent = now.minus(session.last_ack_sent_ago());
    let standing = match watch.lost_now() {
        None => Standing::Holding,
        Some(lost) => {
            let why = printable(&lost.to_string());
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

fn environment(session: &Session, held: &Grant) -> Vec<(&'static str, OsString)> {
    let token = held.token().to_string();
    // No name has a line break in it.
    let names: Vec<_> = held.names().collect();
    vec![
        ("CONCLAVE_NAME", names.join("\n").into()),
        ("CONCLAVE_TOKEN", token.clone().into()),
        ("CONCLAVE_SESSION", session.id().to_string().into()),
        // The term of an election is the token of its winner; so that an outer one never shines through, it is always set.
        ("CONCLAVE_TERM", token.into()),
    ]
}

fn cannot_start(command: &[OsString], error: &StartError) -> Failure {
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
    let program = command.first().map(|program| program.to_string_lossy().into_owned());
    let program = printable(&program.unwrap_or_default());
    Failure::new(
        job::code_of_start_error(error),
        format!("cannot run {program}: {error}"),
        "give its full path, or sh -c '...' for a shell command",
    )
}

fn internal(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(code::INTERNAL, format!("{what}: {error}"), "")
}
