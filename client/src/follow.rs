//! Following what happens: streams that outlive connections, nodes and leaders, without a gap or a duplicate, or with an explicit
//! resync. Decides nothing and holds nothing.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::observe_response::Message as Told;
use conclave_proto::v1::watch_response::Message as Seen;
use conclave_proto::v1::watch_service_client::WatchServiceClient;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::directory::NodeIndex;
use crate::election::ElectionView;
use crate::error::Error;
use crate::note::{Note, Observed, Watched};
use crate::reason::{self, Verdict};
use crate::rpc::{Rpc, round_delays};
use crate::view::ObjectLine;

/// One node gets this long to begin before the next one is asked.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest pause between rounds (before jitter).
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What happens to one election, as it happens. From [`Client::observe`](crate::Client::observe).
///
/// Reconnects by itself, for as long as the cluster is away. Ends after an error, which is a refusal.
#[must_use = "it follows nothing unless it is polled"]
pub struct Observation {
    items: BoxStream<'static, Result<Observed, Error>>,
}

/// What happens to all objects below a prefix, as it happens. From [`Client::watch`](crate::Client::watch).
///
/// Reconnects by itself, for as long as the cluster is away. Ends after an error, which is a refusal.
#[must_use = "it follows nothing unless it is polled"]
pub struct Watch {
    items: BoxStream<'static, Result<Watched, Error>>,
}

/// What was seen last: everything up to `(revision, n)`; with `n` zero all of the revision.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    revision: u64,
    n: u32,
}

impl Place {
    const fn covers(self, revision: u64, n: u32) -> bool {
        revision < self.revision || (revision == self.revision && (self.n == 0 || n <= self.n))
    }
}

type Opened<M> = BoxFuture<'static, Result<Response<Streaming<M>>, Status>>;

/// One following, over as many streams as it takes.
struct Follower<M> {
    rpc: Arc<Rpc>,
    open: Box<dyn Fn(Channel, Place) -> Opened<M> + Send>,
    place: Place,
    messages: Option<Streaming<M>>,
    /// To be asked in this round.
    round: Vec<NodeIndex>,
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    /// Of a resync, the parts that came.
    parts: Vec<ObjectLine>,
}

impl<M: Send + 'static> Follower<M> {
    fn new(rpc: Arc<Rpc>, open: Box<dyn Fn(Channel, Place) -> Opened<M> + Send>) -> Self {
        let delays = Box::new(round_delays(PAUSE_MAX));
        let (place, parts) = (Place::default(), Vec::new());
        Self { rpc, open, place, messages: None, round: Vec::new(), delays, parts }
    }

    /// The next message, of whichever stream. An error is a refusal.
    async fn message(&mut self) -> Result<M, Error> {
        loop {
            let status = match &mut self.messages {
                None => {
                    self.connect().await?;
                    continue;
                }
                Some(messages) => match messages.message().await {
                    Ok(Some(message)) => {
                        self.delays = Box::new(round_delays(PAUSE_MAX));
                        return Ok(message);
                    }
                    Ok(None) => None,
                    Err(status) => Some(status),
                },
            };
            self.messages = None;
            if let Some(status) = status {
                self.failed(&status)?;
            }
        }
    }

    /// The next node; after a round of all of them a pause.
    async fn connect(&mut self) -> Result<(), Error> {
        let Some(node) = self.round.pop() else {
            self.round = self.rpc.directory.candidates();
            self.round.reverse();
            // The first round begins at once, and so does the one after a stream that was of use.
            let delay = self.delays.next().unwrap_or(PAUSE_MAX);
            sleep(delay).await;
            return Ok(());
        };
        let opening = (self.open)(self.rpc.directory.channel(node), self.place);
        match timeout(ATTEMPT_TIMEOUT, opening).await {
            Ok(Ok(response)) => {
                self.parts.clear();
                self.messages = Some(response.into_inner());
                Ok(())
            }
            Ok(Err(status)) => self.failed(&status),
            Err(_) => {
                self.rpc.directory.discard_channel(node);
                Ok(())
            }
        }
    }

    fn failed(&self, status: &Status) -> Result<(), Error> {
        match reason::of_status(status) {
            Verdict::Refused(refusal) => Err(refusal.into()),
            Verdict::Again(again) => {
                tracing::debug!("followed on another stream: {}", again.message);
                Ok(())
            }
        }
    }

    /// Whether this was not seen before; then it is seen.
    fn is_new(&mut self, revision: u64, n: u32) -> bool {
        let is_new = !self.place.covers(revision, n);
        if is_new {
            self.place = Place { revision, n };
        }
        is_new
    }
}

impl Observation {
    pub(crate) fn new(rpc: Arc<Rpc>, name: &str) -> Self {
        let name = name.to_owned();
        let open = move |channel, place: Place| -> Opened<v1::ObserveResponse> {
            let request = v1::ObserveRequest {
                name: name.clone(),
                after_revision: place.revision,
                after_n: place.n,
                candidates_max: 0,
            };
            Box::pin(async move { WatchServiceClient::new(channel).observe(request).await })
        };
        Self { items: items(Follower::new(rpc, Box::new(open)), observed) }
    }

    /// The next change; `None` after an error.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is missed.
    pub async fn next(&mut self) -> Option<Result<Observed, Error>> {
        self.items.next().await
    }
}

impl Watch {
    pub(crate) fn new(rpc: Arc<Rpc>, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        let open = move |channel, place: Place| -> Opened<v1::WatchResponse> {
            let (after_revision, after_n) = (place.revision, place.n);
            let request = v1::WatchRequest { prefix: prefix.clone(), after_revision, after_n };
            Box::pin(async move { WatchServiceClient::new(channel).watch(request).await })
        };
        Self { items: items(Follower::new(rpc, Box::new(open)), watched) }
    }

    /// The next event; `None` after an error.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is missed.
    pub async fn next(&mut self) -> Option<Result<Watched, Error>> {
        self.items.next().await
    }
}

/// The items that the messages come to; not every message is one.
fn items<M, T>(
    follower: Follower<M>,
    item: fn(&mut Follower<M>, M) -> Option<T>,
) -> BoxStream<'static, Result<T, Error>>
where
    M: Send + 'static,
    T: Send + 'static,
{
    stream::unfold(Some(follower), move |follower| async move {
        let mut follower = follower?;
        loop {
            match follower.message().await {
                Ok(message) => {
                    if let Some(item) = item(&mut follower, message) {
                        return Some((Ok(item), Some(follower)));
                    }
                }
                Err(error) => return Some((Err(error), None)),
            }
        }
    })
    .boxed()
}

fn observed(
    follower: &mut Follower<v1::ObserveResponse>,
    response: v1::ObserveResponse,
) -> Option<Observed> {
    let revision = response.revision;
    let is_new = follower.is_new(revision, response.n);
    match response.message? {
        // A view is the truth, wherever it stands.
        Told::View(view) => {
            follower.place = Place { revision, n: 0 };
            Some(Observed::View(ElectionView::from_wire(view, revision)))
        }
        Told::Resync(view) => {
            follower.place = Place { revision, n: 0 };
            Some(Observed::Resync(ElectionView::from_wire(view, revision)))
        }
        Told::Change(note) if is_new => Observed::from_note(Note::from(note)),
        Told::Change(_) | Told::Progress(_) => None,
    }
}

fn watched(
    follower: &mut Follower<v1::WatchResponse>,
    response: v1::WatchResponse,
) -> Option<Watched> {
    let (revision, n) = (response.revision, response.n);
    match response.message? {
        Seen::Resync(part) => {
            follower.parts.extend(part.objects.into_iter().map(ObjectLine::from));
            if !part.last {
                return None;
            }
            follower.place = Place { revision, n: 0 };
            let objects = std::mem::take(&mut follower.parts);
            Some(Watched::Resync { objects, total: part.total, revision })
        }
        Seen::Event(event) => follower.is_new(revision, n).then(|| Watched::Event {
            name: event.name,
            note: event.note.map_or(Note::Unknown, Note::from),
            revision,
        }),
        Seen::Progress(v1::Progress {}) => {
            follower.is_new(revision, n);
            None
        }
    }
}

impl Stream for Observation {
    type Item = Result<Observed, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_next_unpin(cx)
    }
}

impl Stream for Watch {
    type Item = Result<Watched, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observation(..)")
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch(..)")
    }
}
