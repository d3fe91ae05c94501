//! The stages of a run: signals, actors, the first exit, the winding down, the clean-ups. Each stage hands its facts on; only the
//! stage of the first exit writes the cause, and it does so before anybody is told to stop: who reacts to the stop cannot
//! become its reason.

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::report::{Exit, Outcome, Report};
use super::signals::Signals;
use super::{Actor, Cleanup, Name, RunGroup, SignalKind};
use crate::TaskError;
use crate::tasks::Tasks;

/// Why nothing more is waited for.
#[derive(Debug, Clone, Copy)]
enum Cut {
    GraceOver,
    Insisted(SignalKind),
}

/// What is known so far of how the parts ended.
struct Record<E> {
    outcomes: Vec<(Name, Outcome<E>)>,
    unfinished: Vec<Name>,
}

pub(super) async fn run<E: Send + 'static>(group: RunGroup<E>) -> Report<E> {
    let RunGroup { grace, signals, signal_exit, token, actors, cleanups } = group;
    let mut record = Record { outcomes: Vec::new(), unfinished: Vec::new() };
    let mut signals = match Signals::install(&signals) {
        Ok(signals) => signals,
        Err(error) => {
            return record.report(Exit::NoSignals(error), signal_exit, None);
        }
    };
    let stop = CancellationToken::new();
    // Who watches the token outside the actors learns of it, too, when this future is dropped.
    let _told = stop.clone().drop_guard();
    let mut running = start(actors, &stop);
    let cause = first_exit(&mut running, &mut signals, token.as_ref()).await;
    // A grace too long for the clock is none.
    let deadline = grace.and_then(|grace| Instant::now().checked_add(grace));
    stop.cancel();
    let mut cut = wind_down(running, &mut signals, deadline, &mut record).await;
    for (name, cleanup) in cleanups.into_iter().rev() {
        cut = match cut {
            Some(_) => {
                record.give_up(name, TaskError::Skipped);
                cut
            }
            None => clean_up(name, cleanup, &mut signals, deadline, &mut record).await,
        };
    }
    record.report(cause, signal_exit, cut)
}

fn start<E: Send + 'static>(
    actors: Vec<(Name, Actor<E>)>,
    stop: &CancellationToken,
) -> Tasks<Name, E> {
    let mut running = Tasks::new();
    for (name, actor) in actors {
        let stop = stop.clone();
        running.spawn(name, async move { actor(stop).await });
    }
    running
}

async fn first_exit<E: Send + 'static>(
    running: &mut Tasks<Name, E>,
    signals: &mut Signals,
    token: Option<&CancellationToken>,
) -> Exit<E> {
    let told_to_stop = async {
        match token {
            Some(token) => token.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        signal = signals.next() => Exit::Signal(signal),
        () = told_to_stop => Exit::Token,
        end = running.next() => match end {
            None => Exit::NothingToRun,
            Some((name, Ok(()))) => Exit::Actor { name, result: Ok(()) },
            Some((name, Err(TaskError::Failed(error)))) => Exit::Actor { name, result: Err(error) },
            Some((name, Err(TaskError::Panicked(panic)))) => Exit::Panicked { name, panic },
            Some((name, Err(TaskError::Cancelled | TaskError::Skipped))) => {
                unreachable!("nobody aborted {name}")
            }
        },
    }
}

/// Waits for the actors until the deadline or a second signal.
async fn wind_down<E: Send + 'static>(
    mut running: Tasks<Name, E>,
    signals: &mut Signals,
    deadline: Option<Instant>,
    record: &mut Record<E>,
) -> Option<Cut> {
    let cut = {
        let mut cut = std::pin::pin!(cut(signals, deadline));
        loop {
            tokio::select! {
                biased;
                cut = &mut cut => break cut,
                end = running.next() => match end {
                    Some(end) => record.outcomes.push(end),
                    None => return None,
                },
            }
        }
    };
    for name in running.abandon() {
        record.give_up(name, TaskError::Cancelled);
    }
    Some(cut)
}

async fn clean_up<E: Send + 'static>(
    name: Name,
    cleanup: Cleanup<E>,
    signals: &mut Signals,
    deadline: Option<Instant>,
    record: &mut Record<E>,
) -> Option<Cut> {
    let mut running = Tasks::new();
    running.spawn(name, async move { cleanup().await });
    wind_down(running, signals, deadline, record).await
}

async fn cut(signals: &mut Signals, deadline: Option<Instant>) -> Cut {
    let grace_over = async {
        match deadline {
            // A timer rounds up to the next tick; no grace means none.
            Some(deadline) if deadline <= Instant::now() => {}
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        signal = signals.insisting() => Cut::Insisted(signal),
        () = grace_over => Cut::GraceOver,
    }
}

impl<E> Record<E> {
    fn give_up(&mut self, name: Name, how: TaskError<E>) {
        self.unfinished.push(Name::clone(&name));
        self.outcomes.push((name, Err(how)));
    }

    fn report(self, cause: Exit<E>, signal_exit: super::SignalExit, cut: Option<Cut>) -> Report<E> {
        let insisted = match cut {
            Some(Cut::Insisted(signal)) => Some(signal),
            Some(Cut::GraceOver) | None => None,
        };
        let Self { outcomes, unfinished } = self;
        Report { cause, outcomes, unfinished, insisted, signal_exit }
    }
}
