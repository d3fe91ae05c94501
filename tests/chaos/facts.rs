//! What a client process writes down, one JSON line a fact, at once: what a killed process saw is there to the last line. All stamps
//! are of CLOCK_BOOTTIME, which all processes of a machine share.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Nanoseconds of CLOCK_BOOTTIME.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let part = |part: i64| u64::try_from(part).expect("after the boot");
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// How a hold keeps others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Share {
    /// Nobody else beside it.
    Alone,
    /// Others of this kind beside it.
    Shared,
    /// So many of so many permits.
    Permits(u64, u64),
}

/// Numbers of operations count in each task of each process; a fact with one belongs to that operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fact {
    /// Before anything is sent.
    Asked {
        op: u64,
        name: String,
    },
    /// It is known to stand in the queue.
    Queued {
        op: u64,
    },
    Granted {
        op: u64,
        name: String,
        token: u64,
        share: Share,
    },
    /// Several objects under one token.
    GrantedAll {
        op: u64,
        token: u64,
        shares: Vec<(String, Share)>,
    },
    /// The guard was valid at or after the stamp of this line.
    Believed {
        op: u64,
    },
    /// It is about to be given back: nothing is believed from here on.
    Releasing {
        op: u64,
    },
    /// It was given back, surely.
    Released {
        op: u64,
    },
    /// The guard was found lost.
    Lost {
        op: u64,
    },
    /// Surely not done.
    Refused {
        op: u64,
        why: String,
    },
    /// Done or not.
    Unknown {
        op: u64,
        why: String,
    },
    /// An element of the set kept outside was written, under this token.
    Added {
        op: u64,
        set: String,
        element: String,
    },
    /// The storage outside refused the token: a later one was there before.
    Fenced {
        op: u64,
    },
    Wrote {
        op: u64,
        version: u64,
        token: u64,
    },
    Read {
        op: u64,
        version: u64,
        token: u64,
    },
    /// A write with the token of a hold that was given back was refused, as it must be.
    StaleRefused {
        op: u64,
    },
    Counted {
        op: u64,
        value: i64,
    },
    Passed {
        op: u64,
        generation: u64,
        index: u32,
        parties: u32,
    },
    /// The result of a once, which is the token of the run that it came of.
    Done {
        op: u64,
        name: String,
        token: u64,
        ran: bool,
    },
    CountedDown {
        op: u64,
        name: String,
        remaining: u64,
    },
    /// A latch let it pass that was made with this count.
    LetThrough {
        op: u64,
        name: String,
        count: u64,
    },
    /// What can never be, seen by the client itself.
    Wrong {
        what: String,
    },
    /// The process came to its end in good order.
    Over,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) at: u64,
    pub(crate) task: String,
    pub(crate) fact: Fact,
}

/// The file of one process.
pub(crate) struct Log {
    file: Mutex<File>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> Self {
        let file = File::options().create_new(true).append(true).open(path);
        Self {
            file: Mutex::new(file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))),
        }
    }

    pub(crate) fn write(&self, at: u64, task: &str, fact: Fact) {
        let line = Line { at, task: task.to_owned(), fact };
        let mut text = serde_json::to_string(&line).expect("a fact has a text");
        text.push('\n');
        let mut file = self.file.lock().expect("no write panics");
        file.write_all(text.as_bytes()).expect("room for the history");
    }
}

/// What a process wrote; the last line of one that was killed may be torn.
pub(crate) fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).expect("a history");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
}
