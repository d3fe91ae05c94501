//! How a run ended: what began it, how each part took it, and what was given up.

use std::process::ExitCode;
use std::{fmt, io};

use tokio::signal::unix::SignalKind;

use super::Name;
use crate::TaskError;
use crate::panic::Panic;

/// How an actor or a clean-up ended. [`TaskError::Cancelled`] is an abort, [`TaskError::Skipped`] a clean-up that did not start.
pub type Outcome<E> = Result<(), TaskError<E>>;

/// What ended the run.
#[derive(Debug)]
pub enum Exit<E> {
    /// This actor returned first.
    Actor {
        /// Which.
        name: Name,
        /// What it returned.
        result: Result<(), E>,
    },
    /// This actor panicked first.
    Panicked {
        /// Which.
        name: Name,
        /// With what.
        panic: Panic,
    },
    /// This signal came.
    Signal(SignalKind),
    /// The external token was cancelled.
    Token,
    /// There were no actors.
    NothingToRun,
    /// Signals could not be caught; no actor was started.
    NoSignals(io::Error),
}

/// What the exit code says after a clean stop by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignalExit {
    /// 0: stopping is what was asked for.
    #[default]
    Zero,
    /// 128 and the number of the signal, as shells say it.
    Number,
}

/// How a run ended.
#[derive(Debug)]
pub struct Report<E> {
    /// The first exit. Nothing that happens later replaces it.
    pub cause: Exit<E>,
    /// How all the others ended: actors as they ended, then clean-ups as they ran.
    pub outcomes: Vec<(Name, Outcome<E>)>,
    /// What was aborted or did not start, because the grace was over or a second signal came.
    pub unfinished: Vec<Name>,
    /// The second signal, if it cut the run short.
    pub insisted: Option<SignalKind>,
    pub(super) signal_exit: SignalExit,
}

/// A run that was not a success.
#[derive(Debug)]
pub enum RunError<E> {
    /// The first exit was this failure of an actor.
    Actor {
        /// Which.
        name: Name,
        /// How.
        error: TaskError<E>,
    },
    /// The run stopped for a good reason, and then these failed, in this order.
    AfterStop(Vec<(Name, TaskError<E>)>),
    /// These did not end within the grace.
    GraceExceeded {
        /// Which.
        unfinished: Vec<Name>,
        /// What had ended the run.
        cause: Exit<E>,
    },
    /// These had not ended when a second signal came.
    Aborted {
        /// Which signal.
        signal: SignalKind,
        /// Which.
        unfinished: Vec<Name>,
        /// What had ended the run.
        cause: Exit<E>,
    },
    /// Signals could not be caught; no actor was started.
    NoSignals(io::Error),
}

impl<E> Report<E> {
    /// Success, or the weightiest reason why not: unfinished parts, then the failure that ended the run, then failures after that.
    ///
    /// # Errors
    /// See [`RunError`]. A stop by a signal, by the token, or by an actor that returned `Ok` is none.
    pub fn into_result(self) -> Result<(), RunError<E>> {
        let Self { cause, outcomes, unfinished, insisted, .. } = self;
        match (unfinished.is_empty(), insisted) {
            (true, _) => {}
            (false, None) => return Err(RunError::GraceExceeded { unfinished, cause }),
            (false, Some(signal)) => return Err(RunError::Aborted { signal, unfinished, cause }),
        }
        match cause {
            Exit::Actor { name, result: Err(error) } => {
                Err(RunError::Actor { name, error: TaskError::Failed(error) })
            }
            Exit::Panicked { name, panic } => {
                Err(RunError::Actor { name, error: TaskError::Panicked(panic) })
            }
            Exit::NoSignals(error) => Err(RunError::NoSignals(error)),
            Exit::Actor { result: Ok(()), .. }
            | Exit::Signal(_)
            | Exit::Token
            | Exit::NothingToRun => {
                let late = |(name, outcome): (Name, Outcome<E>)| Some((name, outcome.err()?));
                let late: Vec<_> = outcomes.into_iter().filter_map(late).collect();
                if late.is_empty() { Ok(()) } else { Err(RunError::AfterStop(late)) }
            }
        }
    }

    /// For `main`: 0 for a success (after a signal as [`RunGroup::signal_exit`](super::RunGroup::signal_exit) says), 128 and the
    /// number of a second signal that cut the run short, 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        if let Some(signal) = self.insisted
            && !self.unfinished.is_empty()
        {
            return by_number(signal);
        }
        let failed_late = self.outcomes.iter().any(|(_, outcome)| outcome.is_err());
        match &self.cause {
            Exit::Actor { result: Err(_), .. } | Exit::Panicked { .. } | Exit::NoSignals(_) => {
                ExitCode::FAILURE
            }
            _ if failed_late => ExitCode::FAILURE,
            Exit::Signal(signal) => match self.signal_exit {
                SignalExit::Zero => ExitCode::SUCCESS,
                SignalExit::Number => by_number(*signal),
            },
            Exit::Actor { result: Ok(()), .. } | Exit::Token | Exit::NothingToRun => {
                ExitCode::SUCCESS
            }
        }
    }
}

fn by_number(signal: SignalKind) -> ExitCode {
    let code = u8::try_from(128 + signal.as_raw_value());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

impl<E: fmt::Display> fmt::Display for Exit<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor { name, result: Ok(()) } => write!(f, "{name} ended"),
            Self::Actor { name, result: Err(error) } => write!(f, "{name} failed: {error}"),
            Self::Panicked { name, panic } => write!(f, "{name} panicked: {panic}"),
            Self::Signal(signal) => write!(f, "signal {}", signal.as_raw_value()),
            Self::Token => f.write_str("asked to stop"),
            Self::NothingToRun => f.write_str("nothing to run"),
            Self::NoSignals(error) => write!(f, "signals cannot be caught: {error}"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor { name, error } => write!(f, "{name}: {error}"),
            Self::AfterStop(failures) => {
                f.write_str("after the stop:")?;
                for (at, (name, error)) in failures.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ";" };
                    write!(f, "{comma} {name}: {error}")?;
                }
                Ok(())
            }
            Self::GraceExceeded { unfinished, cause } => {
                write!(f, "not done within the grace: {} (after: {cause})", unfinished.join(", "))
            }
            Self::Aborted { signal, unfinished, cause } => {
                let (signal, names) = (signal.as_raw_value(), unfinished.join(", "));
                write!(f, "aborted by signal {signal}, not done: {names} (after: {cause})")
            }
            Self::NoSignals(error) => write!(f, "signals cannot be caught: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RunError<E> {}
