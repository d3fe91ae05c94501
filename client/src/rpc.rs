//! Unary calls: any node takes them (a follower forwards once), so the next one is asked when one does not answer.

use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder as _;
use conclave_proto::v1;
use conclave_proto::v1::admin_service_client::AdminServiceClient;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic::transport::Channel;

use crate::directory::{Directory, NodeIndex, Resolved};
use crate::error::{Error, NotAnswered};
use crate::overheard::Ear;
use crate::reason::{self, Again, Hint, Verdict};

/// One node gets this long before the next one is asked.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the configured nodes are given to say their names, when a hint names one.
const NAMES_TIMEOUT: Duration = Duration::from_millis(300);

/// Whether a call may be sent again after a failure that leaves open whether it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or the second time changes nothing more.
    Freely,
    /// Only when it surely did not happen.
    IfNotDone,
}

#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    pub(crate) directory: Arc<Directory>,
    /// How long a call is tried before it is [`NotAnswered`].
    pub(crate) request_timeout: Duration,
    /// How long one node may take at least to answer the first message of a stream.
    pub(crate) dial_patience_min: Duration,
    /// None: nobody listens to the streams of sessions.
    pub(crate) ear: Option<Ear>,
}

/// Delays between rounds of attempts: quick at first, since a fail-over is over in a second, with jitter.
pub(crate) fn round_delays(longest: Duration) -> impl Iterator<Item = Duration> + Send + Unpin {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(10))
        .with_factor(1.6)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

impl Rpc {
    /// Makes one call, on whichever node answers.
    pub(crate) async fn call<T, F>(
        &self,
        repeat: Repeat,
        mut call: impl FnMut(Channel) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        let deadline = begun + self.request_timeout;
        let mut delays = round_delays(Duration::from_millis(200));
        let mut hinted: Option<NodeIndex> = None;
        loop {
            let mut pause = Duration::ZERO;
            for node in hinted.take().into_iter().chain(self.directory.candidates()) {
                let again = match self.attempt(node, deadline, &mut call).await {
                    Ok(value) => return Ok(value),
                    Err(Verdict::Refused(refusal)) => return Err(refusal.into()),
                    Err(Verdict::Again(again)) => again,
                };
                let last = format!("{}: {}", self.directory.address(node), again.message);
                let forbidden = repeat == Repeat::IfNotDone && again.may_have_happened;
                if forbidden || Instant::now() >= deadline {
                    return Err(NotAnswered { after: begun.elapsed(), last }.into());
                }
                pause = pause.max(again.not_before.unwrap_or_default());
                if let Some(hint) = again.leader {
                    hinted = self.resolve(&hint).await.filter(|hinted| *hinted != node);
                    if hinted.is_some() {
                        break;
                    }
                }
            }
            let delay = delays.next().unwrap_or_default().max(pause);
            tokio::time::sleep_until((Instant::now() + delay).min(deadline)).await;
        }
    }

    async fn attempt<T, F>(
        &self,
        node: NodeIndex,
        deadline: Instant,
        call: &mut impl FnMut(Channel) -> F,
    ) -> Result<T, Verdict>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = timeout(left.min(ATTEMPT_TIMEOUT), call(self.directory.channel(node))).await;
        let verdict = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(status)) => reason::of_status(&status),
            Err(_) => Verdict::Again(Again {
                may_have_happened: true,
                connection_broken: true,
                message: "no answer in time".to_owned(),
                ..Again::default()
            }),
        };
        if let Verdict::Again(again) = &verdict
            && again.connection_broken
        {
            self.directory.discard_channel(node);
        }
        Err(verdict)
    }

    /// Makes one call on that node only.
    pub(crate) async fn call_node<T, F>(
        &self,
        node: NodeIndex,
        mut call: impl FnMut(Channel) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        self.attempt(node, begun + self.request_timeout, &mut call).await.map_err(|verdict| {
            match verdict {
                Verdict::Refused(refusal) => refusal.into(),
                Verdict::Again(again) => {
                    NotAnswered { after: begun.elapsed(), last: again.message }.into()
                }
            }
        })
    }

    /// Where a hint leads: by name, after asking the configured nodes for theirs if need be, then by address.
    pub(crate) async fn resolve(&self, hint: &Hint) -> Option<NodeIndex> {
        match self.directory.resolve(hint) {
            Resolved::Named(node) => Some(node),
            Resolved::Addressed(node) if hint.name.is_empty() => Some(node),
            resolved => {
                self.learn_names().await;
                match (self.directory.resolve(hint), resolved) {
                    (Resolved::Named(node) | Resolved::Addressed(node), _) => Some(node),
                    (Resolved::Nowhere, _) => None,
                }
            }
        }
    }

    /// Asks every configured node that did not say its name yet, all at once.
    async fn learn_names(&self) {
        let asked = self.directory.unnamed().into_iter().map(async |node| {
            let mut client = AdminServiceClient::new(self.directory.channel(node));
            if let Ok(answer) = client.status(v1::StatusRequest {}).await {
                self.directory.set_name(node, &answer.get_ref().node);
            }
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        // Whoever answered in time has a name now; the others are asked again at the next hint.
        let all = async { while asked.next().await.is_some() {} };
        if timeout(NAMES_TIMEOUT, all).await.is_err() {
            tracing::debug!("not every configured endpoint said its name in time");
        }
    }
}
