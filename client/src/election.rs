//! The election of a cluster's users: one of the candidates leads, for a term that is its token.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::election_service_client::ElectionServiceClient;
use conclave_proto::v1::item::Demand;
use serde::{Deserialize, Serialize};

use crate::check;
use crate::error::{Error, LockTimeoutError, TryLockError};
use crate::follow::Observation;
use crate::grant::guard;
use crate::heldby::Holder;
use crate::ids::{SessionId, Token};
use crate::request::{Request, request_options};
use crate::rpc::{Repeat, Rpc};
use crate::session::command::{Op, WaitPlan};
use crate::session::handle::{Asked, Handle};
use crate::value::Value;

/// One election, and how to stand in it. Cheap to clone; asks nothing by itself.
///
/// The winner is the candidate with the highest priority, then the one that arrived first. The *term* is the token of the winning
/// grant: hand it to whatever the leader changes. A candidate that is not eligible stands aside; a warm standby becomes eligible
/// when it is ready. The ideas are those of etcd's `concurrency.Election` and of Kubernetes' leader election.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// let election = session.election("scheduler").value("host-7:8080").priority(1);
/// let leadership = election.campaign().await?;
/// println!("leading in term {}", leadership.term());
/// leadership.proclaim("host-7:9090").await?;
/// leadership.resign().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Election {
    request: Request,
    value: Value,
    eligible: bool,
    preempt_after: Option<Duration>,
}

guard!(
    /// The leadership, for one term, as long as this is [valid](crate::Grant::is_valid).
    Leadership
);

/// A candidate that waits. Dropped, it withdraws; a leadership that crosses is given back at once.
#[derive(Debug)]
#[must_use = "dropping it withdraws"]
pub struct Candidacy {
    request: Request,
    asked: Asked,
}

/// An election at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectionView {
    /// `None`: vacant.
    pub leader: Option<Holder>,
    /// The eligible ones by rank, then those that stand aside; perhaps not all.
    pub candidates: Vec<Candidate>,
    /// How many eligible ones wait.
    pub queue_len: u32,
    /// Seen at.
    pub revision: u64,
}

/// One candidate that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Whose it is.
    pub session: SessionId,
    /// That session's name.
    pub session_name: String,
    /// That session's labels.
    pub labels: BTreeMap<String, String>,
    /// Higher goes first.
    pub priority: i32,
    /// Counts from 1; zero: it stands aside.
    pub rank: u32,
    /// What it would proclaim.
    pub value: Value,
    /// For how long, in milliseconds, by the answering node's wall clock.
    pub waited_ms: u64,
}

const DEMAND: Demand = Demand::Lead(v1::LeadDemand {});

impl Election {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        let request = Request::new(handle, name);
        Self { request, value: Value::default(), eligible: true, preempt_after: None }
    }

    request_options!();

    /// What observers are told when it wins; at most 4 KiB.
    #[must_use]
    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.value = value.into();
        self
    }

    /// Whether it may win from the beginning; it may, unless set. Else it stands aside until it is
    /// [made eligible](Candidacy::set_eligible).
    #[must_use]
    pub const fn eligible(mut self, eligible: bool) -> Self {
        self.eligible = eligible;
        self
    }

    /// Once a higher priority waits, the leadership is taken away after this time, up to one hour; never, unless set.
    #[must_use]
    pub const fn preempt_after(mut self, time: Duration) -> Self {
        self.preempt_after = Some(time);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.request.name()
    }

    fn ask(&self, wait: WaitPlan) -> Result<Asked, Error> {
        check::proposal("value", &self.value)?;
        let preempt_after = self.preempt_after.map(|time| check::millis("preempt_after", time));
        let campaign = v1::Campaign {
            value: self.value.as_bytes().to_vec(),
            eligible: Some(self.eligible),
            preempt_after_ms: preempt_after.transpose()?,
        };
        self.request.ask(vec![DEMAND], Some(campaign), wait)
    }

    /// Stands as a candidate, without waiting for the result.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]. [`Error::Refused`]: a value that is never taken.
    pub fn stand(&self) -> Result<Candidacy, Error> {
        let asked = self.ask(WaitPlan::Forever)?;
        Ok(Candidacy { request: self.request.clone(), asked })
    }

    /// Waits for the leadership until the session ends.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]: it was not and will not be won, which is said at once. [`Error::Refused`]. [`Error::Lost`]: won and
    /// taken away while the connection was gone.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the candidate; a leadership that crosses is given back at once.
    pub async fn campaign(&self) -> Result<Leadership, Error> {
        self.stand()?.won().await
    }

    /// Leads if it is vacant and nobody waits.
    ///
    /// # Errors
    /// [`TryLockError::Held`] says who leads. Else as [`campaign`](Self::campaign), and [`Error::NotAnswered`] when the cluster was
    /// away for the client's request timeout.
    ///
    /// # Cancel safety
    /// As [`campaign`](Self::campaign).
    pub async fn try_campaign(&self) -> Result<Leadership, TryLockError> {
        let answer = self.ask(WaitPlan::None)?.answer().await;
        self.request.tried(answer).map(Leadership::new)
    }

    /// Waits for the leadership for that time: 0 (a try) up to 7 days, in milliseconds, counted by the cluster.
    ///
    /// # Errors
    /// [`LockTimeoutError::TimedOut`] says who leads. Else as [`try_campaign`](Self::try_campaign).
    ///
    /// # Cancel safety
    /// As [`campaign`](Self::campaign).
    pub async fn campaign_timeout(&self, time: Duration) -> Result<Leadership, LockTimeoutError> {
        let wait = self.request.until(time)?;
        let answer = self.ask(wait)?.answer().await;
        self.request.timed(answer).map(Leadership::new)
    }

    /// Who leads and who stands, now (linearizable).
    ///
    /// # Errors
    /// [`Refusal::WrongKind`](crate::Refusal::WrongKind). [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn view(&self) -> Result<ElectionView, Error> {
        view(&self.request.handle.rpc, self.name()).await
    }

    /// Who leads now (linearizable); `None`: it is vacant.
    ///
    /// # Errors
    /// As [`view`](Self::view).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn leader(&self) -> Result<Option<Holder>, Error> {
        Ok(self.view().await?.leader)
    }

    /// Follows it; as [`Client::observe`](crate::Client::observe), and independent of the session's life.
    pub fn observe(&self) -> Observation {
        Observation::new(Arc::clone(&self.request.handle.rpc), self.name())
    }
}

impl Candidacy {
    /// Whether it may win. One that is made eligible takes the place of its priority and arrival.
    ///
    /// # Errors
    /// [`Refusal::NotFound`](crate::Refusal::NotFound): it does not wait any more, perhaps since it won. [`Error::SessionEnded`].
    /// [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the change, unless it was made already.
    pub async fn set_eligible(&self, eligible: bool) -> Result<(), Error> {
        let op = Op::SetEligible { campaign_seq: self.asked.seq, eligible };
        self.request.handle.call(op, WaitPlan::None, None).await.into_done()
    }

    /// Waits for the leadership until the session ends. Once it was answered, it is answered no more.
    ///
    /// # Errors
    /// As [`Election::campaign`].
    ///
    /// # Cancel safety
    /// Cancel safe: the candidate withdraws only when it is dropped itself.
    pub async fn won(&mut self) -> Result<Leadership, Error> {
        let answer = self.asked.answer().await;
        self.request.granted(answer).map(Leadership::new)
    }
}

impl Leadership {
    /// The term, which is its token.
    #[must_use]
    pub fn term(&self) -> Token {
        self.token()
    }

    /// Changes what observers are told; at most 4 KiB.
    ///
    /// # Errors
    /// [`Error::Lost`]: the term is over. [`Error::SessionEnded`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws it, unless it was told already.
    pub async fn proclaim(&self, value: impl Into<Value>) -> Result<(), Error> {
        let value = value.into();
        check::proposal("value", &value)?;
        let hold = Arc::clone(self.hold().core());
        self.grant.change(Op::Proclaim { hold, value: value.into() }).await
    }

    /// Gives the leadership up: the same as [`release`](Self::release).
    ///
    /// # Errors
    /// As [`release`](Self::release).
    ///
    /// # Cancel safety
    /// As [`release`](Self::release).
    pub async fn resign(self) -> Result<(), Error> {
        self.release().await
    }
}

pub(crate) async fn view(rpc: &Rpc, name: &str) -> Result<ElectionView, Error> {
    let answer = rpc.call(Repeat::Freely, |channel| {
        let name = name.to_owned();
        let request = v1::GetElectionRequest { name, candidates_max: 0, stale: false };
        async move { ElectionServiceClient::new(channel).get_election(request).await }
    });
    let answer = answer.await?.into_inner();
    Ok(ElectionView::from_wire(answer.election.unwrap_or_default(), answer.revision))
}

impl ElectionView {
    pub(crate) fn from_wire(view: v1::ElectionView, revision: u64) -> Self {
        Self {
            leader: view.leader.map(Holder::from),
            candidates: view.candidates.into_iter().map(Candidate::from).collect(),
            queue_len: view.queue_len,
            revision,
        }
    }
}

impl From<v1::Candidate> for Candidate {
    fn from(candidate: v1::Candidate) -> Self {
        Self {
            session: SessionId::new(candidate.session),
            session_name: candidate.session_name,
            labels: candidate.labels.into_iter().collect(),
            priority: candidate.priority,
            rank: candidate.rank,
            value: Value::from(candidate.value),
            waited_ms: candidate.waited_ms,
        }
    }
}
