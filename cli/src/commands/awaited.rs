//! What a latch, a gate or a barrier still lacks, told to whoever waits at it: once, and on a terminal again and again.

use std::time::Instant;

use conclave_client::{Admin, Consistency, Detail, ObjectView, Progress};
use serde::Serialize;
use tokio::sync::watch;

use super::run;
use crate::args::Global;
use crate::output::{printable, span};
use crate::voice::{Tell, Voice};

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "waiting")]
struct Waiting {
    name: String,
    waited_ms: u64,
    #[serde(flatten)]
    lacks: Lacks,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Lacks {
    Latch { remaining: u64 },
    Gate { open: bool },
    Barrier { arrived: u32, parties: u32 },
}

impl Tell for Waiting {
    fn sentence(&self) -> String {
        let name = printable(&self.name);
        let lacks = match self.lacks {
            Lacks::Latch { remaining } => format!("{name} has {remaining} left"),
            Lacks::Gate { open: true } => format!("{name} is open"),
            Lacks::Gate { open: false } => format!("{name} is closed"),
            Lacks::Barrier { arrived, parties } => format!("{arrived} of {parties} are at {name}"),
        };
        format!("waiting: {lacks}, for {}", span(self.waited_ms))
    }
}

/// Waits, and tells meanwhile what is missing. `wait` publishes how far it has come.
pub(super) async fn telling<T>(
    global: &Global,
    admin: &Admin,
    name: &str,
    wait: impl AsyncFnOnce(watch::Sender<Progress>) -> T,
) -> T {
    let voice = Voice::new(global.output);
    let started = Instant::now();
    let (progress, seen) = watch::channel(Progress::Asking);
    let look = async |_position| {
        let object = admin.inspect(name, 1, Consistency::Linearizable).await.ok()??;
        let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(Waiting { name: name.to_owned(), waited_ms, lacks: lacks(&object)? })
    };
    let result = tokio::select! {
        biased;
        result = wait(progress) => result,
        never = run::announce(seen, &voice, look) => match never {},
    };
    voice.clear();
    voice.finish();
    result
}

/// None: it is none of those that are waited at.
fn lacks(object: &ObjectView) -> Option<Lacks> {
    match object.detail.as_ref()? {
        Detail::Latch { remaining, .. } => Some(Lacks::Latch { remaining: *remaining }),
        Detail::Gate { open, .. } => Some(Lacks::Gate { open: *open }),
        Detail::Barrier { parties, .. } => {
            Some(Lacks::Barrier { arrived: object.queue_len, parties: *parties })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(lacks: Lacks) -> Waiting {
        Waiting { name: "it".to_owned(), waited_ms: 4_321, lacks }
    }

    #[test]
    fn the_line_says_what_is_missing() {
        let said = |lacks| waiting(lacks).sentence();
        assert_eq!(said(Lacks::Latch { remaining: 2 }), "waiting: it has 2 left, for 4s");
        assert_eq!(said(Lacks::Gate { open: false }), "waiting: it is closed, for 4s");
        let lacks = Lacks::Barrier { arrived: 1, parties: 3 };
        assert_eq!(said(lacks), "waiting: 1 of 3 are at it, for 4s");
    }

    #[test]
    fn programs_read_what_is_missing() {
        let barrier = waiting(Lacks::Barrier { arrived: 1, parties: 3 });
        assert_eq!(
            serde_json::to_string(&barrier).expect("JSON"),
            r#"{"event":"waiting","name":"it","waited_ms":4321,"barrier":{"arrived":1,"parties":3}}"#
        );
    }
}
