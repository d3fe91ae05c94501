//! What `conclave lock` says on standard error while a command depends on it: never blocking, since a terminal that
//! stands still (Ctrl-S, a full pipe) must not hold up a KILL.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::output::Format;

/// Lines not yet written; more are dropped, the newest first, because nobody reads them anyway.
const LINES_MAX: usize = 64;

/// How long the last lines may take at the end.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Something to tell: a sentence for people, the same as an object for programs.
pub(crate) trait Tell: Serialize {
    fn sentence(&self) -> String;
}

#[derive(Debug)]
enum Line {
    /// Stays.
    Whole(String),
    /// Replaces the one before; on a terminal only.
    Passing(String),
    /// Takes the passing one away.
    Clear,
}

/// Writes to standard error from a thread of its own.
#[derive(Debug)]
pub(crate) struct Voice {
    format: Format,
    is_terminal: bool,
    lines: SyncSender<Line>,
    done: Receiver<()>,
}

impl Voice {
    pub(crate) fn new(format: Format) -> Self {
        let (lines, queue) = sync_channel(LINES_MAX);
        let (finished, done) = sync_channel(1);
        thread::spawn(move || {
            write_all(&queue);
            let _nobody_waits = finished.send(());
        });
        Self { format, is_terminal: io::stderr().is_terminal(), lines, done }
    }

    /// Whether passing lines are shown.
    pub(crate) fn shows_progress(&self) -> bool {
        self.is_terminal && self.format == Format::Table
    }

    pub(crate) fn tell(&self, what: &impl Tell) {
        let text = match self.format {
            Format::Table => what.sentence(),
            Format::Json => serde_json::to_string(what).unwrap_or_default(),
        };
        let _full = self.lines.try_send(Line::Whole(text));
    }

    /// One line that the next one replaces.
    pub(crate) fn progress(&self, text: String) {
        if self.shows_progress() {
            let _full = self.lines.try_send(Line::Passing(text));
        }
    }

    /// Takes the passing line away.
    pub(crate) fn clear(&self) {
        let _full = self.lines.try_send(Line::Clear);
    }

    /// Writes what is left, within a bound.
    pub(crate) fn finish(self) {
        let Self { lines, done, .. } = self;
        drop(lines);
        match done.recv_timeout(FAREWELL_MAX) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

fn write_all(queue: &Receiver<Line>) {
    crate::job::never_stopped_by_writing();
    let mut passing = false;
    let mut out = io::stderr();
    // Nothing helps when standard error is gone; the job goes on without it.
    let mut write = |text: String| {
        let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    };
    while let Ok(line) = queue.recv() {
        let clear = if passing { "\r\x1b[K" } else { "" };
        passing = matches!(line, Line::Passing(_));
        match line {
            Line::Whole(text) => write(format!("{clear}{text}\n")),
            Line::Passing(text) => write(format!("{clear}{text}")),
            Line::Clear => write(clear.to_owned()),
        }
    }
    if passing {
        write("\r\x1b[K".to_owned());
    }
}
