//! Once in a cluster: one caller runs it, all others get its result.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::item::Demand;
use conclave_proto::v1::object_service_client::ObjectServiceClient;

use crate::check;
use crate::error::Error;
use crate::grant::{Grant, guard};
use crate::request::{Request, request_options};
use crate::rpc::Repeat;
use crate::session::command::{Answer, Op, WaitPlan};
use crate::session::handle::Handle;
use crate::value::Value;

/// Something that is done once for a key and whose result is kept for a while, for everybody in the cluster. Asks nothing by itself.
///
/// An error is not kept: the next caller that waits runs. So it is when the session of the one that runs dies. The idea is Go's
/// `singleflight`, with a memory, across processes.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::OnceError<std::io::Error>> {
/// use std::time::Duration;
/// let once = session.once("rates/2026-11-24", Duration::from_secs(600));
/// let rates = once.run(async |_run| Ok::<_, std::io::Error>(fetch_rates().await)).await?;
/// println!("{}", rates.value);
/// # Ok(()) }
/// # async fn fetch_rates() -> String { String::new() }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before run()"]
pub struct Once {
    request: Request,
    retention: Duration,
    attempts_max: u32,
}

/// What a once came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceResult {
    /// At most 64 KiB.
    pub value: Value,
    /// Whether it was this caller who ran it.
    pub ran: bool,
}

/// Why a once has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnceError<E> {
    /// This caller ran it, and it failed; another one may run now.
    #[error("the run failed: {0}")]
    Run(E),
    /// It could not be asked or was refused, or the run was lost ([`Error::Lost`], [`Error::SessionEnded`]) and stopped.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Who is to run a once.
#[derive(Debug)]
pub enum Turn {
    /// This caller: nobody else runs it as long as this is held.
    Run(OnceRun),
    /// It was done: this is its result.
    Done(Value),
}

guard!(
    /// The run of a once, this caller's as long as it is [valid](crate::Grant::is_valid). Dropped or released without
    /// [`complete`](Self::complete), it is the next one's turn.
    OnceRun
);

impl Once {
    pub(crate) fn new(handle: Arc<Handle>, key: &str, retention: Duration) -> Self {
        Self { request: Request::new(handle, key), retention, attempts_max: 0 }
    }

    request_options!();

    /// Once so many runs ended without a result, it is refused [`Refusal::AttemptsExhausted`](crate::Refusal::AttemptsExhausted)
    /// instead of run again; no limit unless set.
    pub const fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts;
        self
    }

    /// Runs `run` unless it was done, or waits for the one who runs it. Lost meanwhile, `run` is stopped at its next await.
    ///
    /// # Errors
    /// [`OnceError::Run`]: this caller's run failed. Else as [`turn`](Self::turn) and [`OnceRun::complete`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the run, and the next one runs.
    pub async fn run<T, E, F>(&self, run: F) -> Result<OnceResult, OnceError<E>>
    where
        F: AsyncFnOnce(&OnceRun) -> Result<T, E>,
        T: Into<Value>,
    {
        let turn = match self.turn().await? {
            Turn::Done(value) => return Ok(OnceResult { value, ran: false }),
            Turn::Run(turn) => turn,
        };
        let ran = {
            let lost = turn.lost();
            tokio::select! {
                biased;
                lost = lost => Err(lost),
                ran = run(&turn) => Ok(ran),
            }
        };
        match ran {
            Ok(Ok(value)) => {
                let value = value.into();
                turn.complete(value.clone(), self.retention).await?;
                Ok(OnceResult { value, ran: true })
            }
            Ok(Err(error)) => {
                // Heard or not: it is the next one's turn at the latest when this session ends.
                if let Err(unheard) = turn.release().await {
                    tracing::debug!("a failed run was not given back: {unheard}");
                }
                Err(OnceError::Run(error))
            }
            // The run was dropped above, so it has stopped.
            Err(lost) => {
                drop(turn);
                Err(Error::Lost(lost).into())
            }
        }
    }

    /// Waits for the turn to run it, or for its result.
    ///
    /// # Errors
    /// [`Refusal::AttemptsExhausted`](crate::Refusal::AttemptsExhausted). [`Error::SessionEnded`]. [`Error::Refused`].
    /// [`Error::NotAnswered`]: it was done, but the result could not be fetched.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue; a turn that crosses is given back at once.
    pub async fn turn(&self) -> Result<Turn, Error> {
        loop {
            let turn = self.asked(WaitPlan::Forever).await?;
            if let Some(turn) = turn {
                return Ok(turn);
            }
        }
    }

    /// As [`turn`](Self::turn), if it need not wait for somebody who runs it. `None`: somebody does.
    ///
    /// # Errors
    /// As [`turn`](Self::turn), and [`Error::NotAnswered`] when the cluster was away for the client's request timeout.
    ///
    /// # Cancel safety
    /// As [`turn`](Self::turn).
    pub async fn try_turn(&self) -> Result<Option<Turn>, Error> {
        self.asked(WaitPlan::None).await
    }

    /// As [`turn`](Self::turn), for that time: 0 (a try) up to 7 days, in milliseconds. `None`: somebody still runs it.
    ///
    /// # Errors
    /// As [`try_turn`](Self::try_turn).
    ///
    /// # Cancel safety
    /// As [`turn`](Self::turn).
    pub async fn turn_timeout(&self, time: Duration) -> Result<Option<Turn>, Error> {
        self.asked(self.request.until(time)?).await
    }

    /// None: nobody's turn within the wait, or done and forgotten before its result was fetched.
    async fn asked(&self, wait: WaitPlan) -> Result<Option<Turn>, Error> {
        let demand = Demand::Run(v1::RunDemand { attempts_max: self.attempts_max });
        match self.request.answer(vec![demand], wait).await? {
            Answer::Held(_) | Answer::TimedOut(_) => Ok(None),
            Answer::Passed(passed) => Ok(self.fetch(passed.version).await?.map(Turn::Done)),
            other => {
                let grant: Grant = self.request.granted(other)?;
                Ok(Some(Turn::Run(OnceRun::new(grant))))
            }
        }
    }

    async fn fetch(&self, version: u64) -> Result<Option<Value>, Error> {
        let answer = self.request.handle.rpc.call(Repeat::Freely, |channel| {
            let name = self.request.name().to_owned();
            let request = v1::GetOnceResultRequest { name, version, stale: false };
            async move { ObjectServiceClient::new(channel).get_once_result(request).await }
        });
        let answer = answer.await?.into_inner();
        Ok(answer.exists.then(|| Value::from(answer.value)))
    }
}

impl OnceRun {
    /// Tells the result, at most 64 KiB, kept for that time: up to 7 days, and at least 10 s. Everyone who waits gets it.
    ///
    /// # Errors
    /// [`Error::Lost`]: it was not this caller's to tell any more, and the next one runs. [`Refusal::Limit`](crate::Refusal::Limit)
    /// `VALUES`; [`Refusal::Invalid`](crate::Refusal::Invalid): then the turn is given back. [`Error::SessionEnded`].
    /// [`Error::NotAnswered`]: it is not known whether it was told.
    ///
    /// # Cancel safety
    /// Dropping the future gives the turn back, unless the result was told already.
    pub async fn complete(self, value: impl Into<Value>, retention: Duration) -> Result<(), Error> {
        let value = value.into();
        check::value("value", &value)?;
        let retention_ms = check::millis("retention", retention)?;
        let hold = Arc::clone(self.hold().core());
        let op = Op::Complete { hold, value: value.into(), retention_ms };
        self.grant.change(op).await?;
        self.grant.into_hold().disarm();
        Ok(())
    }
}
