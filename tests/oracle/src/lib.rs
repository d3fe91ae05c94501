//! The oracle: judges a run by what clients and nodes saw of it.
//!
//! It believes the committed log ([`Logbook`]) and the reference model, and nothing else. The log is replayed through the
//! model; every answer that a client heard is compared at its revision, every read likewise; then the order in real time,
//! the beliefs, the expiries, the digests and the watches. What was never answered is unknown: it may have happened or not.
//! [`second_opinion`] believes not even the log.
//!
//! A test fills a [`History`] (or reads one from files, [`lines`]), and asks [`judge`].

mod answer;
mod asked;
mod checks;
mod history;
pub mod lines;
mod logbook;
mod note;
mod plain;
mod replay;
mod second;
mod story;
mod verdict;

pub use answer::{Answer, Found, Holding};
pub use asked::{Asked, Change, Demand, Expect, Guard, Reading, Wanted};
pub use history::{
    Applied, Belief, Call, Heard, History, Micros, Renewal, Terms, Told, Watch, Witnessed,
};
pub use logbook::{Entry, Log, Logbook, LogbookError};
pub use note::note_text;
pub use replay::{Replay, Step};
pub use second::second_opinion;
pub use verdict::{Finding, Verdict};

/// Judges a run. What to do with the verdict: [`Verdict::require`].
#[must_use]
pub fn judge(history: &History, log: &Log) -> Verdict {
    let mut verdict = Verdict::default();
    let mut passing = checks::Passing::of(history);
    let replay = Replay::run(log, &mut passing, &mut verdict);
    passing.conclude(&replay, &mut verdict);
    checks::all(history, &replay, &mut verdict);
    verdict.conclude(&replay.steps)
}
