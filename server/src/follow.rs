//! One watcher's way through what happens: where it begins, what it is told next, when it must begin anew. There is no task and
//! no queue of its own: it reads the ring from where it is, when its connection has room. One that is not read for too long
//! finds its place gone, and begins anew with a view of the whole that says so.

use conclave_machine::Revision;
use conclave_raft::{Interest, Missed, NotedEvent, Position, Watcher};
use tokio::time::{Instant, sleep_until, timeout};

use crate::edge::Edge;
use crate::limits::{CATCH_UP_MAX, PROGRESS_EVERY};
use crate::status::Failure;

pub(crate) struct Follower {
    edge: Edge,
    watcher: Watcher,
    start: Start,
    /// Everything of this revision and all before was told.
    told: Revision,
    progress_at: Instant,
}

enum Start {
    /// With a view of the whole.
    Anew,
    /// Behind what the reader has; it was told so elsewhere, perhaps by a node that is ahead of this one.
    Behind(Position),
    Over,
}

/// What the reader is told next.
#[derive(Debug)]
pub(crate) enum Step {
    Events(Vec<NotedEvent>),
    /// Nothing else happened up to here.
    Progress(Revision),
    /// It needs a view of the whole, and [`Follower::restart`] behind it. Unless it begins, it has missed something.
    Restart {
        is_beginning: bool,
    },
}

impl Follower {
    pub(crate) fn new(edge: Edge, interest: Interest, after: Option<Position>) -> Self {
        let start = after.map_or(Start::Anew, Start::Behind);
        let position = after.unwrap_or(Position::whole(Revision(0)));
        let watcher = edge.hub().watch(interest, position);
        let told = watcher.told_through();
        Self { edge, watcher, start, told, progress_at: Instant::now() + PROGRESS_EVERY }
    }

    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Step, Failure> {
        match self.start {
            Start::Anew => return Ok(Step::Restart { is_beginning: true }),
            Start::Behind(position) => {
                tokio::select! {
                    biased;
                    () = self.edge.stopping() => return Err(Failure::ShuttingDown),
                    caught_up = timeout(CATCH_UP_MAX, self.watcher.caught_up()) => {
                        caught_up.map_err(|_| Failure::Behind { applied: self.watcher.applied() })?;
                    }
                }
                if !self.watcher.is_covered() {
                    return Ok(Step::Restart { is_beginning: false });
                }
                self.start = Start::Over;
                // At once, so that the reader knows that there is no gap.
                return Ok(Step::Progress(position.revision));
            }
            Start::Over => {}
        }
        loop {
            tokio::select! {
                biased;
                () = self.edge.stopping() => return Err(Failure::ShuttingDown),
                () = sleep_until(self.progress_at) => {
                    self.progress_at = Instant::now() + PROGRESS_EVERY;
                    let through = self.watcher.told_through();
                    if through > self.told {
                        self.told = through;
                        return Ok(Step::Progress(through));
                    }
                }
                events = self.watcher.next() => return Ok(match events {
                    Ok(events) => Step::Events(events),
                    Err(Missed) => Step::Restart { is_beginning: false },
                }),
            }
        }
    }

    /// Goes on behind a view of the whole at this revision.
    pub(crate) fn restart(&mut self, revision: Revision) {
        self.start = Start::Over;
        self.told = revision;
        self.watcher.restart(revision);
    }
}
