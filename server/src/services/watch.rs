//! `WatchService`: what happens, told from this node's memory, up to what this node has applied. Whoever leads does not matter.

use std::collections::VecDeque;
use std::pin::Pin;

use conclave_machine::{Kind, Machine, Name, ObjectSummary, Page, Revision, Sort};
use conclave_proto::v1;
use conclave_proto::v1::observe_response::Message as Observed;
use conclave_proto::v1::watch_response::Message as Watched;
use conclave_proto::v1::watch_service_server::WatchService;
use conclave_raft::{Consistency, Interest, NotedEvent};
use futures::{Stream, stream};
use tonic::{Request, Response, Status};

use crate::convert::answer::DisplayClock;
use crate::convert::{request, view};
use crate::edge::Edge;
use crate::follow::{Follower, Step};
use crate::limits::{RESYNC_OBJECTS_MAX, RESYNC_PART_OBJECTS};
use crate::metrics::WatchCount;
use crate::services::expect_kind;
use crate::status::Failure;

#[derive(Clone)]
pub(crate) struct Watches {
    edge: Edge,
}

type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

impl Watches {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }

    fn watch_here(&self, request: v1::WatchRequest) -> Result<Watching, Failure> {
        let (prefix, after) = request::watch(request)?;
        let interest = Interest::Prefix(prefix.clone());
        Ok(Watching {
            edge: self.edge.clone(),
            prefix,
            follower: Follower::new(self.edge.clone(), interest, after),
            out: VecDeque::new(),
            _counted: self.edge.metrics().watch(),
        })
    }

    fn observe_here(&self, request: v1::ObserveRequest) -> Result<Observing, Failure> {
        let (name, after) = request::observe(&request)?;
        let interest = Interest::Name(name.clone());
        Ok(Observing {
            edge: self.edge.clone(),
            name,
            candidates_max: request::candidates_max(request.candidates_max)?,
            follower: Follower::new(self.edge.clone(), interest, after),
            out: VecDeque::new(),
            _counted: self.edge.metrics().watch(),
        })
    }
}

#[tonic::async_trait]
impl WatchService for Watches {
    type WatchStream = Messages<v1::WatchResponse>;
    type ObserveStream = Messages<v1::ObserveResponse>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watching = self.watch_here(request.into_inner()).map_err(|failure| failure.status())?;
        let messages = stream::unfold(Some(watching), |watching| async move {
            let mut watching = watching?;
            Some(match watching.next().await {
                Ok(message) => (Ok(message), Some(watching)),
                Err(failure) => (Err(failure.status()), None),
            })
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn observe(
        &self,
        request: Request<v1::ObserveRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let observing =
            self.observe_here(request.into_inner()).map_err(|failure| failure.status())?;
        let messages = stream::unfold(Some(observing), |observing| async move {
            let mut observing = observing?;
            Some(match observing.next().await {
                Ok(message) => (Ok(message), Some(observing)),
                Err(failure) => (Err(failure.status()), None),
            })
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

/// Everything below a prefix.
struct Watching {
    edge: Edge,
    prefix: Box<str>,
    follower: Follower,
    out: VecDeque<v1::WatchResponse>,
    _counted: WatchCount,
}

impl Watching {
    async fn next(&mut self) -> Result<v1::WatchResponse, Failure> {
        loop {
            if let Some(message) = self.out.pop_front() {
                return Ok(message);
            }
            match self.follower.next().await? {
                Step::Events(events) => self.out.extend(events.iter().map(watched_event)),
                Step::Progress(revision) => {
                    let message = Watched::Progress(v1::Progress {});
                    self.out.push_back(watched(revision, message));
                }
                // Every watcher that lost its place is told so, and one that begins has none yet.
                Step::Restart { is_beginning: _ } => {
                    let prefix = self.prefix.clone();
                    let query = move |machine: &Machine| {
                        machine.list(&prefix, Sort::Name, None, RESYNC_OBJECTS_MAX)
                    };
                    let page = self.edge.read_at_length(Consistency::Stale, query).await?;
                    self.follower.restart(page.revision);
                    self.out.extend(resync(&page));
                }
            }
        }
    }
}

fn watched(revision: Revision, message: Watched) -> v1::WatchResponse {
    v1::WatchResponse { revision: revision.get(), n: 0, message: Some(message) }
}

fn watched_event(event: &NotedEvent) -> v1::WatchResponse {
    let name = event.name.as_str().to_owned();
    let message = Watched::Event(v1::ObjectEvent { name, note: Some(view::note(&event.note)) });
    v1::WatchResponse { revision: event.at.revision.get(), n: event.at.n, message: Some(message) }
}

/// In parts; one that is empty when there is nothing.
fn resync(page: &Page<ObjectSummary>) -> Vec<v1::WatchResponse> {
    let clock = DisplayClock::now();
    let mut objects = page.items.iter().map(|of| view::summary(of, clock)).peekable();
    let mut parts = Vec::new();
    loop {
        let objects_here = objects.by_ref().take(RESYNC_PART_OBJECTS).collect();
        let last = objects.peek().is_none();
        let part = v1::Resync { objects: objects_here, last, total: page.total };
        parts.push(watched(page.revision, Watched::Resync(part)));
        if last {
            return parts;
        }
    }
}

/// One election.
struct Observing {
    edge: Edge,
    name: Name,
    candidates_max: usize,
    follower: Follower,
    out: VecDeque<v1::ObserveResponse>,
    _counted: WatchCount,
}

impl Observing {
    async fn next(&mut self) -> Result<v1::ObserveResponse, Failure> {
        loop {
            if let Some(message) = self.out.pop_front() {
                return Ok(message);
            }
            match self.follower.next().await? {
                Step::Events(events) => self.out.extend(events.iter().map(observed_event)),
                Step::Progress(revision) => {
                    let message = Observed::Progress(v1::Progress {});
                    self.out.push_back(observed(revision, message));
                }
                Step::Restart { is_beginning } => {
                    let (view, revision) = self.view().await?;
                    self.follower.restart(revision);
                    let message =
                        if is_beginning { Observed::View(view) } else { Observed::Resync(view) };
                    self.out.push_back(observed(revision, message));
                }
            }
        }
    }

    async fn view(&self) -> Result<(v1::ElectionView, Revision), Failure> {
        let (name, candidates_max) = (self.name.clone(), self.candidates_max);
        let query = move |machine: &Machine| {
            expect_kind(machine, &name, Kind::Election)?;
            Ok::<_, Failure>(machine.election(&name, candidates_max))
        };
        let answer = self.edge.read(Consistency::Stale, query).await?;
        Ok((view::election(answer.value?.as_ref(), DisplayClock::now()), answer.revision))
    }
}

fn observed(revision: Revision, message: Observed) -> v1::ObserveResponse {
    v1::ObserveResponse { revision: revision.get(), n: 0, message: Some(message) }
}

fn observed_event(event: &NotedEvent) -> v1::ObserveResponse {
    let message = Observed::Change(view::note(&event.note));
    v1::ObserveResponse { revision: event.at.revision.get(), n: event.at.n, message: Some(message) }
}
