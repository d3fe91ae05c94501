//! Opening a session, and taking over one of an earlier process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::check;
use crate::clock::{Clock, Moment};
use crate::error::{Error, NotAnswered, Refusal};
use crate::ids::{SessionId, SessionSecret, Token};
use crate::link::{DialError, Link};
use crate::rpc::Rpc;
use crate::session::Session;
use crate::session::actor::Actor;
use crate::session::core::Core;
use crate::session::handle::Handle;
use crate::session::route::Route;
use crate::session::shared::{Identity, Shared};

/// The default TTL.
const TTL: Duration = Duration::from_secs(10);

/// Opens a session. From [`Client::session`](crate::Client::session).
#[derive(Debug, Clone)]
#[must_use = "nothing happens before open()"]
pub struct SessionBuilder {
    rpc: Arc<Rpc>,
    clock: Clock,
    ttl: Duration,
    lock_delay: Duration,
    name: String,
    labels: BTreeMap<String, String>,
}

impl SessionBuilder {
    pub(crate) fn new(rpc: Arc<Rpc>, clock: Clock) -> Self {
        let name = "unnamed".to_owned();
        Self { rpc, clock, ttl: TTL, lock_delay: Duration::ZERO, name, labels: BTreeMap::new() }
    }

    /// How long the cluster waits for a sign of life; 10 s unless set. From 4.8 s (unless the server says otherwise) up to 10 min, in whole
    /// milliseconds. The client gives up at 0.9, the cluster at 1.1 times this.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long a hold of this session stays occupied after the session expired, for users that stop late; zero unless set, up to 10 min.
    pub const fn lock_delay(mut self, lock_delay: Duration) -> Self {
        self.lock_delay = lock_delay;
        self
    }

    /// Under which name others see it: 1 to 512 bytes without control characters. Need not be unique.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds one label that others see: `host`, `pid`, `version`, `zone`, ...; 4 KiB of them at most.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Adds labels.
    pub fn labels<K: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.labels.extend(labels.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Opens it. Must be called within a tokio runtime, which then runs the session's task.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::Limit`]; [`Error::NotAnswered`] when no leader was found within the client's request
    /// timeout.
    ///
    /// # Cancel safety
    /// Dropping the future leaves at most a session that holds nothing and expires.
    pub async fn open(self) -> Result<Session, Error> {
        check::text("name", &self.name)?;
        check::labels("labels", &self.labels)?;
        let ttl_ms = check::millis("ttl", self.ttl)?;
        let lock_delay_ms = check::millis("lock_delay", self.lock_delay)?;
        let mut dialled = Dialler::new(&self.rpc, &self.clock, self.ttl);
        let mut secret = SessionSecret::draw();
        loop {
            let first = Request::Open(v1::OpenRequest {
                secret: secret.to_bytes().to_vec(),
                ttl_ms,
                lock_delay_ms,
                name: self.name.clone(),
                labels: self.labels.clone().into_iter().collect(),
            });
            match dialled.attempt(first).await? {
                Some((link, Message::Opened(opened))) => {
                    let identity = Identity {
                        id: SessionId::new(opened.session),
                        secret,
                        epoch: opened.epoch,
                        next_seq: 1,
                        ttl: Duration::from_millis(opened.ttl_ms),
                    };
                    let sent = dialled.first_sent;
                    let shared = Arc::new(Shared::new(identity, self.clock.clone(), sent));
                    if shared.is_alive() {
                        return Ok(start(&self.rpc, shared, link, None).0);
                    }
                }
                Some(_) => return Err(unexpected()),
                None => {}
            }
            // A repeated open renews nothing: an old first attempt leaves too little to live on, so another session is opened.
            if self.clock.now().since(dialled.first_sent) > self.ttl / 2 {
                secret = SessionSecret::draw();
                dialled.first_sent = self.clock.now();
            }
        }
    }
}

/// Takes a session over. From [`Client::resume`](crate::Client::resume).
#[derive(Debug, Clone)]
#[must_use = "nothing happens before open()"]
pub struct ResumeBuilder {
    rpc: Arc<Rpc>,
    clock: Clock,
    session: SessionId,
    secret: SessionSecret,
    expected_epoch: u64,
}

impl ResumeBuilder {
    pub(crate) const fn new(
        rpc: Arc<Rpc>,
        clock: Clock,
        session: SessionId,
        secret: SessionSecret,
    ) -> Self {
        Self { rpc, clock, session, secret, expected_epoch: 0 }
    }

    /// Takes it over only while its epoch is this one, so that of two successors one wins; whatever it is, unless set.
    pub const fn expected_epoch(mut self, epoch: u64) -> Self {
        self.expected_epoch = epoch;
        self
    }

    /// Takes it over: the process that had it is fenced out, its waits are cancelled, its holds wait one TTL for
    /// [`Session::adopt`]. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Refusal::SessionExpired`] when it ended or the secret is wrong (never silently a new session);
    /// [`Refusal::SessionFenced`] when another successor was faster; [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the session either as it was or taken over by nobody; resume it again.
    pub async fn open(self) -> Result<Resumed, Error> {
        let mut nonce: [u8; 16] = rand::random();
        let mut expected_epoch = self.expected_epoch;
        // The TTL is known only from the answer; the default sets the pace of the attempts.
        let mut dialled = Dialler::new(&self.rpc, &self.clock, TTL);
        loop {
            let first = Request::Resume(v1::ResumeRequest {
                session: self.session.get(),
                secret: self.secret.to_bytes().to_vec(),
                expected_epoch,
                nonce: nonce.to_vec(),
            });
            let (link, resumed) = match dialled.attempt(first).await? {
                Some((link, Message::Resumed(resumed))) => (link, resumed),
                Some(_) => return Err(unexpected()),
                None => continue,
            };
            let identity = Identity {
                id: self.session,
                secret: self.secret,
                epoch: resumed.epoch,
                next_seq: resumed.next_seq.max(1),
                ttl: Duration::from_millis(resumed.ttl_ms),
            };
            // An old first attempt leaves too little to live on: once more, in an epoch of its own.
            if self.clock.now().since(dialled.first_sent) > identity.ttl / 2 {
                nonce = rand::random();
                expected_epoch = resumed.epoch;
                dialled.first_sent = self.clock.now();
                continue;
            }
            let shared = Arc::new(Shared::new(identity, self.clock.clone(), dialled.first_sent));
            let standing = resumed.standing.unwrap_or_default();
            let (session, unadopted) = start(&self.rpc, shared, link, Some(standing));
            return Ok(Resumed { session, unadopted });
        }
    }
}

/// A session that was taken over, and what it held.
#[derive(Debug)]
pub struct Resumed {
    /// The session.
    pub session: Session,
    /// The holds to be adopted within one TTL.
    pub unadopted: Vec<UnadoptedHold>,
}

/// A hold of the process that had the session before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnadoptedHold {
    /// Of the object.
    pub name: String,
    /// Its token; [`Session::adopt`] gives a new one.
    pub token: Token,
}

/// The attempts of one open or resume.
struct Dialler<'a> {
    rpc: &'a Rpc,
    clock: &'a Clock,
    route: Route,
    begun: Instant,
    /// When the first attempt was made that the cluster may remember.
    first_sent: Moment,
}

impl<'a> Dialler<'a> {
    fn new(rpc: &'a Arc<Rpc>, clock: &'a Clock, ttl: Duration) -> Self {
        let route = Route::new(Arc::clone(rpc), ttl);
        Self { rpc, clock, route, begun: Instant::now(), first_sent: clock.now() }
    }

    /// One attempt. None: nothing was learned, try again.
    async fn attempt(&mut self, first: Request) -> Result<Option<(Link, Message)>, Error> {
        let deadline = self.begun + self.rpc.request_timeout;
        let attempt = self
            .route
            .plan(deadline.saturating_duration_since(Instant::now()))
            .map(|plan| timeout_at(deadline, self.route.attempt(plan, first)));
        let attempted = match attempt {
            Some(attempt) => attempt.await.ok(),
            None => None,
        };
        let Some(attempted) = attempted else {
            let last = self.route.last().to_owned();
            return Err(NotAnswered { after: self.begun.elapsed(), last }.into());
        };
        self.route.learn(&attempted);
        match attempted.result {
            Ok((link, response)) => match response.message {
                Some(message) => Ok(Some((link, message))),
                None => Err(unexpected()),
            },
            Err(DialError::Refused(refusal)) => Err(refusal.into()),
            Err(DialError::Moved(_) | DialError::Failed(_) | DialError::Spared) => {
                tracing::debug!("no session yet at {:?}: {}", self.clock.now(), self.route.last());
                Ok(None)
            }
        }
    }
}

/// Starts the session's task.
fn start(
    rpc: &Arc<Rpc>,
    shared: Arc<Shared>,
    link: Link,
    standing: Option<v1::Standing>,
) -> (Session, Vec<UnadoptedHold>) {
    let (commands, received) = mpsc::unbounded_channel();
    let handle = Arc::new(Handle { shared: Arc::clone(&shared), commands, rpc: Arc::clone(rpc) });
    let mut core = Core::new(Arc::clone(&shared), &handle);
    let now = core.now();
    let mut unadopted = Vec::new();
    if let Some(standing) = standing {
        let named =
            standing.holds.iter().filter(|hold| hold.unadopted && is_held(hold)).map(|hold| {
                UnadoptedHold { name: hold.name.clone(), token: Token::new(hold.token) }
            });
        unadopted = named.collect();
        core.on_resumed(standing, now);
    }
    core.on_opened(now);
    let ttl = shared.identity.ttl;
    let tick = shared.clock.tick(ttl);
    tracing::info!(session = %shared.identity.id, "session open");
    let actor = Actor::new(core, Arc::clone(rpc), ttl, received, link, tick);
    tokio::spawn(actor.run());
    (Session::new(handle), unadopted)
}

fn is_held(hold: &v1::StandingHold) -> bool {
    v1::HoldState::try_from(hold.state) == Ok(v1::HoldState::Held)
}

fn unexpected() -> Error {
    Error::Refused(Refusal::unexpected())
}
