//! The cyclic barrier of a cluster: so many parties go on together.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::item::Demand;

use crate::error::{Error, Refusal};
use crate::ids::Version;
use crate::request::{Request, request_options};
use crate::session::command::WaitPlan;
use crate::session::handle::Handle;

/// A barrier: whoever arrives waits until so many have, then all go on, and the next generation begins. All who use it say the number
/// of parties that they expect, and must agree.
///
/// A party that goes away (cancelled, timed out, dead) is not counted any more; with [`break_on_loss`](Self::break_on_loss)
/// it breaks its own generation for all. A double barrier is two of them: one to enter, one to leave. The idea is Java's
/// `CyclicBarrier`; ZooKeeper's recipes know the double one.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// let pass = session.barrier("phase", 3).arrive_and_wait().await?;
/// if pass.is_last {
///     println!("generation {} is complete", pass.generation);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before something is asked, as by arrive_and_wait()"]
pub struct Barrier {
    request: Request,
    parties: u32,
    break_on_loss: bool,
}

/// All parties have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierPass {
    /// The same for all who pass together, and for nobody else.
    pub generation: Version,
    /// The how-manieth this one was, from 0.
    pub index: u32,
    /// It made the barrier trip: exactly one of a generation.
    pub is_last: bool,
}

impl Barrier {
    pub(crate) fn new(handle: Arc<Handle>, name: &str, parties: u32) -> Self {
        Self { request: Request::new(handle, name), parties, break_on_loss: false }
    }

    request_options!(progress);

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.request.name()
    }

    /// One that goes away breaks its own generation: all others that wait are refused [`Refusal::Broken`].
    pub const fn break_on_loss(mut self) -> Self {
        self.break_on_loss = true;
        self
    }

    /// Arrives, and waits for the others until the session ends.
    ///
    /// # Errors
    /// [`Refusal::Mismatch`]: others expect another number of parties. [`Refusal::Broken`]. [`Error::SessionEnded`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the arrival, unless all had arrived already.
    pub async fn arrive_and_wait(&self) -> Result<BarrierPass, Error> {
        let passed = self.request.pass_forever(self.demand()?).await?;
        Ok(self.passed(passed))
    }

    /// Arrives, and waits for the others for that time: 0 (pass only as the last one) up to 7 days, in milliseconds. `None`: they
    /// did not come, and this arrival is withdrawn.
    ///
    /// # Errors
    /// As [`arrive_and_wait`](Self::arrive_and_wait), and [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// As [`arrive_and_wait`](Self::arrive_and_wait).
    pub async fn arrive_timeout(&self, time: Duration) -> Result<Option<BarrierPass>, Error> {
        let wait: WaitPlan = self.request.until(time)?;
        let passed = self.request.pass(self.demand()?, wait).await?;
        Ok(passed.map(|passed| self.passed(passed)))
    }

    fn demand(&self) -> Result<Demand, Error> {
        if self.parties == 0 {
            return Err(Refusal::invalid("parties", "must be 1 or more").into());
        }
        let (parties, break_on_loss) = (self.parties, self.break_on_loss);
        Ok(Demand::Arrive(v1::ArriveDemand { parties, break_on_loss }))
    }

    fn passed(&self, passed: v1::Passed) -> BarrierPass {
        let v1::Passed { version, index } = passed;
        let is_last = index + 1 == self.parties;
        BarrierPass { generation: Version::new(version), index, is_last }
    }
}
