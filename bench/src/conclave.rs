//! Conclave as a system under load: sessions of the client crate, each with a connection of its own, and what one client
//! does with them in a cycle.

use std::time::Duration;

use conclave_client::{Client, Election, Error, Mutex, RwLock, Semaphore, Session};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::load::{Load, Times, Worker, run};
use crate::process::Process;
use crate::shape::{Shape, Work};

/// Sessions opened at a time: thousands of connections at once would measure the listen queue.
const OPENING_MAX: usize = 64;
/// Of ten cycles on a read-write lock one writes.
const WRITE_EVERY: u64 = 10;
/// Clients to one permit of the semaphore.
const CLIENTS_A_PERMIT: u32 = 4;

/// One client.
pub(crate) enum ConclaveWorker {
    Mutex(Mutex),
    ReadWrite { lock: RwLock, cycles: u64 },
    Permit(Semaphore),
    Leadership(Election),
}

impl Worker for ConclaveWorker {
    async fn cycle(&mut self) -> Result<(), String> {
        self.attempt().await.map_err(|error| error.to_string())
    }
}

impl ConclaveWorker {
    async fn attempt(&mut self) -> Result<(), Error> {
        match self {
            Self::Mutex(mutex) => mutex.lock().await?.release().await,
            Self::ReadWrite { lock, cycles } => {
                *cycles += 1;
                if cycles.is_multiple_of(WRITE_EVERY) {
                    lock.write().await?.release().await
                } else {
                    lock.read().await?.release().await
                }
            }
            Self::Permit(semaphore) => semaphore.acquire().await?.release().await,
            Self::Leadership(election) => election.campaign().await?.resign().await,
        }
    }
}

/// One repetition, with sessions of its own.
pub(crate) async fn measure(
    client: &Client,
    servers: &[&Process],
    shape: Shape,
    times: Times,
) -> Result<Load, Failure> {
    let sessions = open_sessions(client, shape.sessions, Duration::from_secs(10)).await?;
    // What an earlier repetition left behind is in nobody's way.
    let run_name = format!("bench/{:016x}", sessions[0].id().get());
    let workers = (0..shape.clients).map(|number| {
        let session = &sessions[number as usize % sessions.len()];
        match shape.work {
            Work::Own => ConclaveWorker::Mutex(session.mutex(format!("{run_name}/{number}"))),
            Work::One => ConclaveWorker::Mutex(session.mutex(&run_name)),
            // They begin at different places of the ten, so that the writers come one by one.
            Work::Rw => ConclaveWorker::ReadWrite {
                lock: session.rwlock(&run_name),
                cycles: u64::from(number) * 3,
            },
            Work::Sem => {
                let limit = (shape.clients / CLIENTS_A_PERMIT).max(1);
                ConclaveWorker::Permit(session.semaphore(&run_name, limit))
            }
            Work::Elect => ConclaveWorker::Leadership(session.election(&run_name)),
        }
    });
    let load = run(workers.collect(), times, servers).await;
    close_all(sessions).await;
    Ok(load)
}

pub(crate) async fn open_sessions(
    client: &Client,
    count: u32,
    ttl: Duration,
) -> Result<Vec<Session>, Failure> {
    let mut opening = JoinSet::new();
    let mut sessions = Vec::new();
    for number in 0..count {
        if opening.len() >= OPENING_MAX {
            sessions.extend(opened(&mut opening).await?);
        }
        let builder = client.session().ttl(ttl).name(format!("bench-{number}"));
        opening.spawn(builder.open());
    }
    while !opening.is_empty() {
        sessions.extend(opened(&mut opening).await?);
    }
    Ok(sessions)
}

async fn opened(opening: &mut JoinSet<Result<Session, Error>>) -> Result<Option<Session>, Failure> {
    let opened = opening.join_next().await.transpose();
    let opened = opened.map_err(|error| Failure::of("a client", error))?;
    opened.transpose().map_err(|error| {
        Failure::new(
            format!("no session: {error}"),
            "check --endpoint, and that each session may have a connection (`ulimit -n`)",
        )
    })
}

/// Whatever they still hold or wait for ends with them.
pub(crate) async fn close_all(sessions: Vec<Session>) {
    let mut closing = JoinSet::new();
    for session in sessions {
        closing.spawn(async move { session.close().await });
    }
    // One that cannot be closed expires; the next repetition does not depend on it.
    while closing.join_next().await.is_some() {}
}
