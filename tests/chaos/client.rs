//! One client process: so many tasks, each with a session of its own, that work through the real client until they are told to stop.
//! Everything that they saw is in the history.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conclave_client::{Client, Error, Grant, Session};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::facts::{Fact, Log, Share, now};
use crate::overheard;
use crate::rng::Rng;
use crate::work::{self, Work};

/// What a client process is told, as JSON in its only argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) endpoints: Vec<String>,
    /// Unique among all that ever run.
    pub(crate) name: String,
    pub(crate) ttl_ms: u64,
    pub(crate) seed: u64,
    pub(crate) history: PathBuf,
    /// Where the sets kept outside are.
    pub(crate) folder: PathBuf,
    pub(crate) works: Vec<Work>,
}

/// One task.
pub(crate) struct Task {
    pub(crate) client: Client,
    pub(crate) orders: Arc<Orders>,
    pub(crate) name: String,
    pub(crate) rng: Rng,
    log: Arc<Log>,
    stopping: Arc<AtomicBool>,
    op: u64,
    last: String,
    session: Option<Session>,
}

#[tokio::main]
pub(crate) async fn work(orders: &str) {
    let orders: Arc<Orders> = Arc::new(serde_json::from_str(orders).expect("orders"));
    let ear = overheard::ear(&overheard::words(&orders.history));
    let log = Arc::new(Log::create(&orders.history));
    let stopping = Arc::new(AtomicBool::new(false));
    let client = Client::builder().endpoints(orders.endpoints.clone()).overheard(ear).build();
    let client = client.expect("valid endpoints");
    let mut tasks = JoinSet::new();
    for (number, work) in orders.works.iter().enumerate() {
        let task = Task {
            client: client.clone(),
            orders: Arc::clone(&orders),
            name: format!("{}/{work:?}-{number}", orders.name),
            rng: Rng::new(orders.seed.wrapping_add(number as u64)),
            log: Arc::clone(&log),
            stopping: Arc::clone(&stopping),
            op: 0,
            last: String::new(),
            session: None,
        };
        tasks.spawn(work::run(*work, task));
    }
    let mut terminate = signal(SignalKind::terminate()).expect("a signal");
    terminate.recv().await;
    stopping.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task panics");
    }
    log.write(now(), &orders.name, Fact::Over);
}

impl Task {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn next_op(&mut self) -> u64 {
        self.op += 1;
        self.op
    }

    /// Whether it did nothing with this name before: names of a series follow each other.
    pub(crate) fn is_first_of(&mut self, name: &str) -> bool {
        let is_first = self.last != name;
        name.clone_into(&mut self.last);
        is_first
    }

    pub(crate) fn tell(&self, fact: Fact) {
        self.log.write(now(), &self.name, fact);
    }

    /// With the stamp of a moment before.
    pub(crate) fn tell_at(&self, at: u64, fact: Fact) {
        self.log.write(at, &self.name, fact);
    }

    /// The session, another one when the last is over; none: there is no cluster to be found, or it is time to stop.
    pub(crate) async fn session(&mut self) -> Option<Session> {
        if self.session.as_ref().is_none_or(|session| !session.is_valid()) {
            let ttl = Duration::from_millis(self.orders.ttl_ms);
            self.session = self.client.session().name(&self.name).ttl(ttl).open().await.ok();
        }
        self.session.clone()
    }

    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            // Over already, or not heard: then it expires.
            let _ = session.close().await;
        }
    }

    /// The grant came; the belief begins with a stamp at which the guard was valid.
    pub(crate) fn granted(&self, op: u64, grant: &Grant, share: Share) {
        let at = now();
        if grant.is_valid() {
            let (name, token) = (grant.name().to_owned(), grant.token().get());
            self.tell_at(at, Fact::Granted { op, name, token, share });
        }
    }

    /// The same of several under one token.
    pub(crate) fn granted_all(&self, op: u64, grant: &Grant, shares: Vec<(String, Share)>) {
        let at = now();
        if grant.is_valid() {
            self.tell_at(at, Fact::GrantedAll { op, token: grant.token().get(), shares });
        }
    }

    /// Whether it is believed now; written down if so.
    pub(crate) fn believes(&self, op: u64, grant: &Grant) -> bool {
        let at = now();
        let valid = grant.is_valid();
        if valid {
            self.tell_at(at, Fact::Believed { op });
        }
        valid
    }

    /// Holds it for about so long and looks at it meanwhile.
    pub(crate) async fn hold(&self, op: u64, grant: &Grant, milliseconds: u64) {
        let until = now() + milliseconds * 1_000_000;
        while now() < until && self.believes(op, grant) {
            tokio::time::sleep(Duration::from_millis(milliseconds.clamp(1, 10))).await;
        }
    }

    /// Asks the cluster whether it agrees that this is held.
    pub(crate) async fn checks(&self, grant: &Grant) {
        if matches!(grant.check().await, Ok(false)) && grant.is_valid() {
            let what = format!("{} is believed and not held", grant.token());
            self.tell(Fact::Wrong { what });
        }
    }

    /// How an operation without a result ended.
    pub(crate) fn failed(&self, op: u64, error: &Error) {
        let why = error.to_string();
        self.tell(match error {
            Error::NotAnswered(_) => Fact::Unknown { op, why },
            // A call that was under way when the session ended may have been done before.
            Error::SessionEnded(_) => Fact::Unknown { op, why },
            Error::Refused(_) | Error::Lost(_) => Fact::Refused { op, why },
            _ => Fact::Wrong { what: why },
        });
    }

    /// How giving it back ended.
    pub(crate) fn released(&self, op: u64, answer: &Result<(), Error>) {
        match answer {
            Ok(()) => self.tell(Fact::Released { op }),
            Err(Error::Lost(_)) => self.tell(Fact::Lost { op }),
            Err(error) => self.failed(op, error),
        }
    }
}
