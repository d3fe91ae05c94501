//! Asking for anything that is granted or waited for: the options that all kinds share, and the one way to the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::item::Demand;
use tokio::sync::watch;

use crate::check;
use crate::error::{Error, LockTimeoutError, Refusal, TryLockError};
use crate::grant::Grant;
use crate::progress::Progress;
use crate::session::command::{Answer, Op, WaitPlan};
use crate::session::handle::{Asked, Handle};

/// Longest wait with an end: the cluster's own limit.
const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is asked for, and how.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) handle: Arc<Handle>,
    pub(crate) names: Arc<[Arc<str>]>,
    pub(crate) owner: Option<String>,
    pub(crate) priority: i32,
    pub(crate) max_hold: Duration,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) fail_on_deadlock: bool,
    pub(crate) progress: Option<watch::Sender<Progress>>,
}

/// The builder options that all requests share, for an `impl` whose `self.request` is a [`Request`].
macro_rules! request_options {
    () => {
        /// Who within the session asks: the same owner again is refused [`Refusal::AlreadyHeld`](crate::Refusal::AlreadyHeld)
        /// by a mutex and by the write and upgradable modes of a read-write lock, instead of waiting for itself; and
        /// deadlocks are found among owners. A stranger each time, unless set. 1 to 512 bytes without control characters.
        pub fn owner(mut self, owner: impl Into<String>) -> Self {
            self.request.owner = Some(owner.into());
            self
        }

        /// Higher goes first, arrival decides among equals; zero unless set. Low priorities may starve.
        pub fn priority(mut self, priority: i32) -> Self {
            self.request.priority = priority;
            self
        }

        /// The cluster takes the hold away after this time; never, unless set. Up to 7 days, in whole milliseconds; zero: never.
        pub fn max_hold(mut self, max_hold: std::time::Duration) -> Self {
            self.request.max_hold = max_hold;
            self
        }

        /// Adds something that `inspect` shows with the hold; 4 KiB together.
        pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.request.metadata.insert(key.into(), value.into());
            self
        }

        $crate::request::request_options!(progress);
    };
    (progress) => {
        /// Publishes how far each wait has come. Subscribe before asking.
        pub fn progress(mut self, progress: tokio::sync::watch::Sender<$crate::Progress>) -> Self {
            self.request.progress = Some(progress);
            self
        }
    };
    (deadlocks) => {
        /// Refuses the request with [`Refusal::Deadlock`](crate::Refusal::Deadlock) if it would close a cycle among
        /// [owners](Self::owner) that wait for each other, on mutexes and read-write locks. The cluster looks at 1,000 requests at most.
        pub fn fail_on_deadlock(mut self) -> Self {
            self.request.fail_on_deadlock = true;
            self
        }
    };
}
pub(crate) use request_options;

impl Request {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        Self::of_names(handle, [Arc::from(name)].into())
    }

    pub(crate) const fn of_names(handle: Arc<Handle>, names: Arc<[Arc<str>]>) -> Self {
        Self {
            handle,
            names,
            owner: None,
            priority: 0,
            max_hold: Duration::ZERO,
            metadata: BTreeMap::new(),
            fail_on_deadlock: false,
            progress: None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.names[0]
    }

    /// The end of a wait of so long; no wait when it is zero.
    pub(crate) fn until(&self, time: Duration) -> Result<WaitPlan, Error> {
        if time > WAIT_MAX {
            return Err(Refusal::invalid("wait", "is longer than 7 days").into());
        }
        if time.is_zero() {
            return Ok(WaitPlan::None);
        }
        Ok(WaitPlan::Until(self.handle.shared.clock.now().plus(time)))
    }

    /// Waits until the session ends.
    pub(crate) async fn acquire(&self, demand: Demand) -> Result<Grant, Error> {
        self.granted(self.answer(vec![demand], WaitPlan::Forever).await?)
    }

    pub(crate) async fn try_acquire(&self, demand: Demand) -> Result<Grant, TryLockError> {
        self.tried(self.answer(vec![demand], WaitPlan::None).await?)
    }

    pub(crate) async fn acquire_timeout(
        &self,
        demand: Demand,
        time: Duration,
    ) -> Result<Grant, LockTimeoutError> {
        let wait = self.until(time)?;
        self.timed(self.answer(vec![demand], wait).await?)
    }

    /// One demand for each name.
    pub(crate) async fn answer(
        &self,
        demands: Vec<Demand>,
        wait: WaitPlan,
    ) -> Result<Answer, Error> {
        Ok(self.ask(demands, None, wait)?.answer().await)
    }

    pub(crate) fn ask(
        &self,
        demands: Vec<Demand>,
        campaign: Option<v1::Campaign>,
        wait: WaitPlan,
    ) -> Result<Asked, Error> {
        if let Some(owner) = &self.owner {
            check::text("owner", owner)?;
        }
        check::labels("metadata", &self.metadata)?;
        let mut items = Vec::with_capacity(demands.len());
        for (name, demand) in self.names.iter().zip(demands) {
            check::text("name", name)?;
            items.push(v1::Item { name: name.as_ref().to_owned(), demand: Some(demand) });
        }
        let acquire = v1::AcquireOp {
            items,
            wait: None,
            priority: self.priority,
            max_hold_ms: check::millis("max_hold", self.max_hold)?,
            owner: self.owner.clone(),
            metadata: self.metadata.clone().into_iter().collect(),
            fail_on_deadlock: self.fail_on_deadlock,
            campaign,
        };
        if let Some(progress) = &self.progress {
            progress.send_replace(Progress::Asking);
        }
        let op = Op::Acquire(Box::new(acquire));
        self.handle.ask(op, wait, self.progress.clone()).map_err(Error::SessionEnded)
    }

    pub(crate) fn granted(&self, answer: Answer) -> Result<Grant, Error> {
        match answer {
            Answer::Granted(hold) => Ok(Grant::new(hold, Arc::clone(&self.names))),
            other => Err(other.into_error()),
        }
    }

    pub(crate) fn tried(&self, answer: Answer) -> Result<Grant, TryLockError> {
        match answer {
            Answer::Held(held) => Err(TryLockError::Held(held)),
            other => Ok(self.granted(other)?),
        }
    }

    pub(crate) fn timed(&self, answer: Answer) -> Result<Grant, LockTimeoutError> {
        match answer {
            Answer::TimedOut(held) | Answer::Held(held) => Err(LockTimeoutError::TimedOut(held)),
            other => Ok(self.granted(other)?),
        }
    }

    /// Waits for what leaves nothing to hold. None: the wait ended first.
    pub(crate) async fn pass(
        &self,
        demand: Demand,
        wait: WaitPlan,
    ) -> Result<Option<v1::Passed>, Error> {
        match self.answer(vec![demand], wait).await? {
            Answer::Passed(passed) => Ok(Some(passed)),
            Answer::Held(_) | Answer::TimedOut(_) => Ok(None),
            other => Err(other.into_error()),
        }
    }

    /// The same for what stays open once it is. The cluster remembers how the last waits of a session ended, but not of any number: one
    /// that is forgotten is asked for anew, and finds open what let it pass.
    pub(crate) async fn pass_open(
        &self,
        demand: Demand,
        wait: WaitPlan,
    ) -> Result<Option<v1::Passed>, Error> {
        loop {
            match self.pass(demand, wait).await {
                Err(Error::Refused(Refusal::Gone)) => {}
                answered => return answered,
            }
        }
    }

    /// The same without an end.
    pub(crate) async fn pass_open_forever(&self, demand: Demand) -> Result<v1::Passed, Error> {
        let passed = self.pass_open(demand, WaitPlan::Forever).await?;
        passed.ok_or_else(|| Refusal::unexpected().into())
    }

    /// As [`Self::pass`] without an end.
    pub(crate) async fn pass_forever(&self, demand: Demand) -> Result<v1::Passed, Error> {
        let passed = self.pass(demand, WaitPlan::Forever).await?;
        passed.ok_or_else(|| Refusal::unexpected().into())
    }
}
