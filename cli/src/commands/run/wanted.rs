//! What is asked for, and what is held then: the only place where running a command under a lock differs from running it under
//! permits, as the leader or as the one who does something once.

use std::ops::Deref;
use std::time::Duration;

use conclave_client::{
    AllGuard, Error, Grant, HeldBy, Leadership, LockTimeoutError, MutexGuard, OnceRun, Progress,
    RwLockReadGuard, RwLockWriteGuard, SemaphorePermit, Session, Turn, Value, Want,
};
use tokio::sync::watch;

use crate::args::RunArgs;

/// What a command runs under.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Each of the names, alone.
    Locks,
    Rwlock {
        shared: bool,
    },
    Permits {
        limit: u32,
        weight: u32,
    },
    Leadership {
        value: &'a str,
        preempt_after: Option<Duration>,
    },
    /// To do it once, or its result.
    Once {
        retention: Duration,
        /// Zero: no limit.
        attempts_max: u32,
    },
}

/// What is held: a guard of any kind.
#[derive(Debug)]
pub(crate) enum Held {
    Mutex(MutexGuard),
    All(AllGuard),
    Read(RwLockReadGuard),
    Write(RwLockWriteGuard),
    Permit(SemaphorePermit),
    Leadership(Leadership),
    Once(OnceRun),
}

/// What asking came to.
#[derive(Debug)]
pub(crate) enum Had {
    Held(Held),
    /// It was done once already: what it came to.
    Done(Value),
}

/// Why there is nothing.
#[derive(Debug)]
pub(super) enum NoGrant {
    /// Others have it, or nobody said who.
    Held(Option<HeldBy>),
    Failed(Error),
    /// What this version of the client crate does not name.
    Other(String),
}

impl Wanted<'_> {
    /// What others do with it while we wait.
    pub(super) const fn occupied(self) -> &'static str {
        match self {
            Self::Locks | Self::Rwlock { .. } | Self::Permits { .. } => "held",
            Self::Leadership { .. } => "led",
            Self::Once { .. } => "being run",
        }
    }
}

/// The flags that all requests share.
macro_rules! with_flags {
    ($request:expr, $flags:expr, $progress:expr) => {
        $request
            .priority($flags.priority)
            .max_hold($flags.max_hold.unwrap_or_default())
            .progress($progress)
    };
}

/// Asks, and waits as long as the flags say.
pub(super) async fn ask(
    session: &Session,
    names: &[String],
    wanted: Wanted<'_>,
    flags: &RunArgs,
    progress: watch::Sender<Progress>,
) -> Result<Had, NoGrant> {
    let first = names.first().map(String::as_str).unwrap_or_default();
    // A wait of no time is a try.
    let patience = if flags.wait.nonblock { Some(Duration::ZERO) } else { flags.wait.wait };
    let held = match wanted {
        Wanted::Locks if names.len() > 1 => {
            let all = session.acquire_all(names.iter().map(Want::mutex));
            let all = with_flags!(all, flags, progress);
            let until = async |time| all.acquire_timeout(time).await;
            Held::All(within(patience, all.acquire(), until).await?)
        }
        Wanted::Locks => {
            let mutex = with_flags!(session.mutex(first), flags, progress);
            let until = async |time| mutex.lock_timeout(time).await;
            Held::Mutex(within(patience, mutex.lock(), until).await?)
        }
        Wanted::Rwlock { shared } => {
            let lock = with_flags!(session.rwlock(first), flags, progress);
            if shared {
                let until = async |time| lock.read_timeout(time).await;
                Held::Read(within(patience, lock.read(), until).await?)
            } else {
                let until = async |time| lock.write_timeout(time).await;
                Held::Write(within(patience, lock.write(), until).await?)
            }
        }
        Wanted::Permits { limit, weight } => {
            let semaphore = with_flags!(session.semaphore(first, limit), flags, progress);
            let until = async |time| semaphore.acquire_timeout(weight, time).await;
            Held::Permit(within(patience, semaphore.acquire_many(weight), until).await?)
        }
        Wanted::Leadership { value, preempt_after } => {
            let election = with_flags!(session.election(first), flags, progress).value(value);
            let election = match preempt_after {
                Some(time) => election.preempt_after(time),
                None => election,
            };
            let until = async |time| election.campaign_timeout(time).await;
            Held::Leadership(within(patience, election.campaign(), until).await?)
        }
        Wanted::Once { retention, attempts_max } => {
            let once = with_flags!(session.once(first, retention), flags, progress);
            let once = once.attempts_max(attempts_max);
            let turn = match patience {
                None => once.turn().await.map(Some),
                Some(time) => once.turn_timeout(time).await,
            };
            match turn.map_err(NoGrant::Failed)? {
                Some(Turn::Run(run)) => Held::Once(run),
                Some(Turn::Done(value)) => return Ok(Had::Done(value)),
                None => return Err(NoGrant::Held(None)),
            }
        }
    };
    Ok(Had::Held(held))
}

async fn within<G>(
    patience: Option<Duration>,
    forever: impl Future<Output = Result<G, Error>>,
    until: impl AsyncFnOnce(Duration) -> Result<G, LockTimeoutError>,
) -> Result<G, NoGrant> {
    let Some(time) = patience else {
        return forever.await.map_err(NoGrant::Failed);
    };
    until(time).await.map_err(|error| match error {
        LockTimeoutError::TimedOut(held) => NoGrant::Held(Some(held)),
        LockTimeoutError::Failed(error) => NoGrant::Failed(error),
        other => NoGrant::Other(other.to_string()),
    })
}

impl Held {
    /// Gives it back, or says of a lost one that it is no longer used.
    pub(super) async fn release(self) -> Result<(), Error> {
        match self {
            Self::Mutex(guard) => guard.release().await,
            Self::All(guard) => guard.release().await,
            Self::Read(guard) => guard.release().await,
            Self::Write(guard) => guard.release().await,
            Self::Permit(permit) => permit.release().await,
            Self::Leadership(leadership) => leadership.resign().await,
            Self::Once(run) => run.release().await,
        }
    }
}

impl Deref for Held {
    type Target = Grant;

    fn deref(&self) -> &Grant {
        match self {
            Self::Mutex(guard) => guard,
            Self::All(guard) => guard,
            Self::Read(guard) => guard,
            Self::Write(guard) => guard,
            Self::Permit(permit) => permit,
            Self::Leadership(leadership) => leadership,
            Self::Once(run) => run,
        }
    }
}
