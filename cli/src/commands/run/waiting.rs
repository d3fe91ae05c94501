//! Tells whom a waiting client waits for: once, and on a terminal again and again.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use conclave_client::{Admin, Consistency, HoldState, ObjectView, Progress, SessionId};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::commands::connect;
use crate::output::span;
use crate::voice::{Tell, Voice};

/// A shorter wait is not worth a line.
const SILENCE: Duration = Duration::from_millis(100);

/// Between two looks at the queue, on a terminal.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Of a longer queue the place is not looked up again.
const QUEUE_SHOWN_MAX: u32 = 1_000;

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "waiting")]
struct Waiting {
    position: u32,
    /// Absent when it is just changing hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<Behind>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Behind {
    holder: String,
    session: u64,
    token: u64,
    state: HoldState,
    held_ms: u64,
}

impl Tell for Waiting {
    fn sentence(&self) -> String {
        let position = self.position;
        match &self.behind {
            None => format!("waiting: position {position}"),
            Some(Behind { holder, held_ms, state, .. }) => {
                let state = match state {
                    HoldState::Held => String::new(),
                    other => format!(" ({other})"),
                };
                format!(
                    "waiting: position {position}, behind {holder}{state}, held {}",
                    span(*held_ms)
                )
            }
        }
    }
}

/// Tells what `look` sees, given the position that the queue itself said; once it is queued, until it is dropped.
pub(crate) async fn announce<T: Tell>(
    mut progress: watch::Receiver<Progress>,
    voice: &Voice,
    look: impl AsyncFn(u32) -> Option<T>,
) -> Infallible {
    let queued = |progress: &Progress| matches!(progress, Progress::Queued { .. });
    if progress.wait_for(queued).await.is_err() {
        return pending().await;
    }
    sleep(SILENCE).await;
    // A script gets its line also when the node that shows it is slow.
    let mut shown = false;
    loop {
        let position = match *progress.borrow() {
            Progress::Queued { position } => position,
            _ => 0,
        };
        if let Some(waiting) = look(position).await {
            if voice.shows_progress() {
                voice.progress(waiting.sentence());
            } else {
                voice.tell(&waiting);
            }
            shown = true;
        }
        if shown && !voice.shows_progress() {
            return pending().await;
        }
        sleep(LOOK_EVERY).await;
    }
}

pub(super) struct Announcer<'a> {
    pub(super) admin: Admin,
    pub(super) session: SessionId,
    pub(super) names: &'a [String],
}

impl Announcer<'_> {
    /// Runs beside the wait until it is dropped.
    pub(super) async fn run(
        self,
        progress: watch::Receiver<Progress>,
        voice: &Voice,
    ) -> Infallible {
        let queue_max = if voice.shows_progress() { QUEUE_SHOWN_MAX } else { 1 };
        announce(progress, voice, async |position| {
            Some(self.read(&self.look(queue_max).await?, position))
        })
        .await
    }

    /// The object that is in the way: of several, the first that somebody has.
    async fn look(&self, queue_max: u32) -> Option<ObjectView> {
        let mut first = None;
        for name in self.names {
            let looked = self.admin.inspect(name, queue_max, Consistency::Linearizable).await;
            let Some(object) = looked.ok()? else { continue };
            if !object.holders.is_empty() {
                return Some(object);
            }
            first.get_or_insert(object);
        }
        first
    }

    fn read(&self, object: &ObjectView, asked: u32) -> Waiting {
        let own = object.queue.iter().find(|waiter| waiter.session == self.session);
        let behind = object.holders.first().map(|holder| Behind {
            holder: connect::holder(holder),
            session: holder.session.get(),
            token: holder.token.get(),
            state: holder.state,
            held_ms: holder.held_ms,
        });
        Waiting { position: own.map_or(asked, |waiter| waiter.position), behind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(state: HoldState) -> Option<Behind> {
        let holder = "billing@host-7 pid 4711".to_owned();
        Some(Behind { holder, session: 3, token: 8, state, held_ms: 12_345 })
    }

    #[test]
    fn the_line_says_behind_whom() {
        let waiting = Waiting { position: 2, behind: behind(HoldState::Held) };
        assert_eq!(
            waiting.sentence(),
            "waiting: position 2, behind billing@host-7 pid 4711, held 12s"
        );
        let waiting = Waiting { position: 1, behind: behind(HoldState::Revoked) };
        assert_eq!(
            waiting.sentence(),
            "waiting: position 1, behind billing@host-7 pid 4711 (revoked), held 12s"
        );
        assert_eq!(Waiting { position: 1, behind: None }.sentence(), "waiting: position 1");
    }

    #[test]
    fn programs_read_the_same() {
        let waiting = Waiting { position: 1, behind: behind(HoldState::Held) };
        assert_eq!(
            serde_json::to_string(&waiting).expect("JSON"),
            "{\"event\":\"waiting\",\"position\":1,\"behind\":{\"holder\":\"billing@host-7 pid 4711\",\
             \"session\":3,\"token\":8,\"state\":\"held\",\"held_ms\":12345}}"
        );
    }
}
