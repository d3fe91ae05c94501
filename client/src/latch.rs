//! The latch of a cluster: it opens for good when it was counted down to zero.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::edited::Edited;
use conclave_proto::v1::item::Demand;

use crate::check;
use crate::edit::{Editor, unexpected};
use crate::error::Error;
use crate::ids::Version;
use crate::request::{Request, request_options};
use crate::session::command::WaitPlan;
use crate::session::handle::Handle;

const DEMAND: Demand = Demand::Latch(v1::LatchDemand {});

/// A latch: whoever waits passes when it has been counted down to zero. It stays until it is [deleted](crate::Admin::delete).
///
/// The idea is Java's `CountDownLatch`; that a count is idempotent by its key, so that a worker that is started anew counts once,
/// and that it can be reset, is what a cluster adds.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// let shards = session.latch("import/shards");
/// shards.create(16).await?;
/// shards.count_down_once("shard-7").await?;
/// shards.wait().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before something is asked, as by wait()"]
pub struct Latch {
    request: Request,
    editor: Editor,
}

/// How far a latch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatchState {
    /// A new one with each reset.
    pub round: Version,
    /// How many are left; zero: it is open.
    pub remaining: u64,
}

impl Latch {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        let request = Request::new(Arc::clone(&handle), name);
        Self { request, editor: Editor::new(handle, name) }
    }

    request_options!(progress);

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.request.name()
    }

    /// Creates it with that count (1 and more), or finds one that was made with the same.
    ///
    /// # Errors
    /// [`Refusal::Mismatch`](crate::Refusal::Mismatch): it was made with another count.
    /// [`Refusal::WrongKind`](crate::Refusal::WrongKind). [`Error::SessionEnded`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws it, unless it was done already.
    pub async fn create(&self, count: u64) -> Result<LatchState, Error> {
        self.edit(Change::CreateLatch(v1::CreateLatch { count })).await
    }

    /// Counts down by so many (1 and more), each time it is called.
    ///
    /// # Errors
    /// [`Refusal::BelowZero`](crate::Refusal::BelowZero): fewer are left; nothing was counted.
    /// [`Refusal::NotFound`](crate::Refusal::NotFound): there is no such latch. [`Error::SessionEnded`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws it, unless it was done already.
    pub async fn count_down(&self, by: u64) -> Result<LatchState, Error> {
        self.edit(Change::CountDown(v1::CountDown { by, key: None })).await
    }

    /// Counts down by one, but only once in a round for that key (1 to 512 bytes without control characters), whoever says it.
    ///
    /// # Errors
    /// As [`count_down`](Self::count_down); [`Refusal::Limit`](crate::Refusal::Limit) `COUNT_KEYS` at 10,000 keys in a round.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws it, unless it was done already; counting again with the same key is safe.
    pub async fn count_down_once(&self, key: &str) -> Result<LatchState, Error> {
        check::text("key", key)?;
        let key = Some(key.to_owned());
        self.edit(Change::CountDown(v1::CountDown { by: 1, key })).await
    }

    /// Begins a new round with the first count, whatever is left of this one. Who waits goes on waiting, for the new round.
    ///
    /// # Errors
    /// [`Refusal::NotFound`](crate::Refusal::NotFound). [`Error::SessionEnded`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws it, unless it was done already.
    pub async fn reset(&self) -> Result<LatchState, Error> {
        self.edit(Change::ResetLatch(v1::ResetLatch {})).await
    }

    /// Waits until it is at zero: the round that it was.
    ///
    /// # Errors
    /// [`Refusal::NotFound`](crate::Refusal::NotFound): there is no such latch. [`Error::SessionEnded`]. [`Error::Refused`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&self) -> Result<Version, Error> {
        let passed = self.request.pass_open_forever(DEMAND).await?;
        Ok(Version::new(passed.version))
    }

    /// Waits for that time: 0 (only look) up to 7 days, in milliseconds. `None`: it is not at zero.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_timeout(&self, time: Duration) -> Result<Option<Version>, Error> {
        let wait: WaitPlan = self.request.until(time)?;
        let passed = self.request.pass_open(DEMAND, wait).await?;
        Ok(passed.map(|passed| Version::new(passed.version)))
    }

    async fn edit(&self, change: Change) -> Result<LatchState, Error> {
        match self.editor.edit(change).await? {
            Edited::Latch(v1::LatchState { round, remaining }) => {
                Ok(LatchState { round: Version::new(round), remaining })
            }
            other => unexpected(&other),
        }
    }
}
