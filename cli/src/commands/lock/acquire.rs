//! Getting the grant: open a session, ask, wait, or learn why not.

use std::pin::pin;

use conclave_client::{
    Client, Error, HeldBy, LockTimeoutError, Mutex, MutexGuard, Progress, Refusal, Session,
    SessionEnd, TryLockError,
};
use tokio::sync::watch;

use super::signals::{Arrived, Signals};
use super::waiting::Announcer;
use crate::args::LockArgs;
use crate::commands::connect;
use crate::failure::{Failure, code};
use crate::output::{printable, span};
use crate::voice::Voice;

pub(super) enum Acquired {
    Guard(MutexGuard),
    /// Somebody wanted us to end while we waited.
    Interrupted(Arrived),
}

/// Why there is no grant.
enum NoGrant {
    Held(HeldBy),
    Failed(Error),
    /// What this version of the client crate does not name.
    Other(String),
}

pub(super) async fn open(client: &Client, args: &LockArgs) -> Result<Session, Failure> {
    let builder = client
        .session()
        .name(args.session_name.clone())
        .ttl(args.ttl)
        .lock_delay(args.lock_delay)
        .labels(super::labels(args));
    builder.open().await.map_err(|error| failure(&error, args))
}

pub(super) async fn acquire(
    client: &Client,
    session: &Session,
    args: &LockArgs,
    signals: &mut Signals,
    voice: &Voice,
) -> Result<Acquired, Failure> {
    let (progress, seen) = watch::channel(Progress::Asking);
    let mut mutex = session.mutex(args.name.clone()).priority(args.priority).progress(progress);
    if let Some(max_hold) = args.max_hold {
        mutex = mutex.max_hold(max_hold);
    }
    let announcer = Announcer { admin: client.admin(), session: session.id(), name: &args.name };
    let mut announcing = pin!(announcer.run(seen, voice));
    let mut asking = pin!(ask(&mutex, args));
    let result = tokio::select! {
        biased;
        arrived = signals.next() => return Ok(Acquired::Interrupted(arrived)),
        result = &mut asking => result,
        never = &mut announcing => match never {},
    };
    match result {
        Ok(guard) => {
            voice.clear();
            Ok(Acquired::Guard(guard))
        }
        Err(NoGrant::Held(held)) => Err(not_acquired(&held, args)),
        Err(NoGrant::Failed(error)) => Err(failure(&error, args)),
        Err(NoGrant::Other(text)) => Err(Failure::new(code::INTERNAL, printable(&text), "")),
    }
}

async fn ask(mutex: &Mutex, args: &LockArgs) -> Result<MutexGuard, NoGrant> {
    if args.nonblock {
        return mutex.try_lock().await.map_err(|error| match error {
            TryLockError::Held(held) => NoGrant::Held(held),
            TryLockError::Failed(error) => NoGrant::Failed(error),
            other => NoGrant::Other(other.to_string()),
        });
    }
    let Some(wait) = args.wait else {
        return mutex.lock().await.map_err(NoGrant::Failed);
    };
    mutex.lock_timeout(wait).await.map_err(|error| match error {
        LockTimeoutError::TimedOut(held) => NoGrant::Held(held),
        LockTimeoutError::Failed(error) => NoGrant::Failed(error),
        other => NoGrant::Other(other.to_string()),
    })
}

fn not_acquired(held: &HeldBy, args: &LockArgs) -> Failure {
    let name = printable(&args.name);
    let mut text = match held.holders.first() {
        Some(first) => {
            format!("{name} is held by {}, held {}", connect::holder(first), span(first.held_ms))
        }
        None if held.queue_len > 0 => format!("{name} is about to be granted to another"),
        None => format!("{name} was not granted in time"),
    };
    if held.holders_total > 1 {
        text += &format!(" and {} more", held.holders_total - 1);
    }
    if held.queue_len > 0 {
        text += &format!(", {} waiting", held.queue_len);
    }
    let advice = if args.nonblock {
        "leave out -n to wait for it".to_owned()
    } else {
        format!("wait longer with -w, or see `conclave inspect {name}`")
    };
    Failure::new(args.conflict_exit_code, text, advice)
}

/// An error of the client, with the codes that `lock` promises.
fn failure(error: &Error, args: &LockArgs) -> Failure {
    let mut failure = connect::failure(error);
    failure.code = match error {
        Error::NotAnswered(_) => code::NO_CLUSTER,
        // Ours are only ended from outside while they wait when the cluster is gone for that long.
        Error::SessionEnded(SessionEnd::Expired) => {
            "see `conclave status`, then try again".clone_into(&mut failure.advice);
            code::NO_CLUSTER
        }
        Error::SessionEnded(_) | Error::Lost(_) | Error::Refused(Refusal::Limit { .. }) => {
            args.conflict_exit_code
        }
        _ => code::INTERNAL,
    };
    failure
}
