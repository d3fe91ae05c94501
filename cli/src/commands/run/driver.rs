//! Carries out what the supervisor decides: waits for facts, asks the clock, sends signals. It decides nothing itself,
//! and while a command runs it never waits for anything but facts.

use std::ffi::OsString;
use std::pin::Pin;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Serialize;

use super::signals::{Arrived, Signals};
use crate::job::{self, Job, News, Tty};
use crate::supervisor::{Action, Boot, Ending, Input, Loss, Reach, Supervisor, Terminal, View};
use crate::voice::{Tell, Voice};

/// The longest time between two looks at the clock: timers stand still while the machine sleeps.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The same while the last members of a group vanish.
const LOOK_EVERY_AT_THE_END: Duration = Duration::from_millis(5);

/// What a running command and its lock tell on standard error.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    Lost { why: &'static str, detail: &'a str },
    Confirming,
    Unreachable,
    Stuck,
}

impl Tell for Told<'_> {
    fn sentence(&self) -> String {
        match self {
            Self::Lost { why: "jeopardy", .. } => "conclave: the cluster does not answer; \
                stopping the command before its lock may go to another"
                .to_owned(),
            Self::Lost { detail, .. } => {
                format!("conclave: the lock was lost: {detail}; stopping the command")
            }
            Self::Confirming => "conclave: the command goes on when the cluster confirms that \
                its lock is still held"
                .to_owned(),
            Self::Unreachable => "conclave: the command belongs to another user and cannot be \
                killed; run conclave as that user"
                .to_owned(),
            Self::Stuck => "conclave: something of the command cannot be killed; its lock ends \
                with the session, not now"
                .to_owned(),
        }
    }
}

/// How long to sleep when a step is due in `left`. Overdue is only what the kernel keeps, whatever we do: never spin on it.
fn nap(left: Duration, longest: Duration) -> Duration {
    if left.is_zero() { LOOK_EVERY_AT_THE_END } else { left.min(longest) }
}

/// A loss in a word, for programs.
fn word(loss: &Loss) -> &'static str {
    match loss {
        Loss::Jeopardy => "jeopardy",
        Loss::Revoked(_) => "revoked",
        Loss::Ended(_) => "session_ended",
    }
}

fn detail(loss: &Loss) -> &str {
    match loss {
        Loss::Jeopardy => "",
        Loss::Revoked(why) | Loss::Ended(why) => why,
    }
}

/// How the run of a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: u8,
    /// False: something of the group may still run, so nobody may be told that it stopped.
    pub(crate) vanished: bool,
    /// The last signal by which somebody wanted us to end while it ran, or before.
    pub(crate) asked: Option<Signal>,
    /// A signal ended the command.
    pub(crate) by_signal: bool,
}

impl Ran {
    /// Ended before the command was started.
    pub(crate) fn interrupted(signal: Signal) -> Self {
        let code = job::code_of_signal(signal);
        Self { code, vanished: true, asked: Some(signal), by_signal: false }
    }
}

pub(super) struct Driver<'a> {
    pub(super) job: Job,
    pub(super) tty: Option<Tty>,
    pub(super) supervisor: Supervisor,
    pub(super) voice: &'a Voice,
    pub(super) on_lost: Option<OsString>,
    /// What the command sees, for `--on-lost` too.
    pub(super) environment: Vec<(&'static str, OsString)>,
}

impl Driver<'_> {
    /// Runs until the command and its group are gone. `lost` resolves once when the hold or its session is lost; `view`
    /// tells how the session stands now.
    pub(super) async fn run(
        mut self,
        signals: &mut Signals,
        mut lost: Pin<&mut impl Future<Output = ()>>,
        view: impl Fn() -> View,
    ) -> Ran {
        let mut told_lost = false;
        let (mut asked, mut by_signal) = (None, false);
        if Tty::is_for_the_command() {
            self.carry_out(&[Action::GiveTerminal]);
        }
        loop {
            self.take(&view, Input::Tick);
            for news in self.job.reap() {
                let input = match news {
                    News::Exited(code) => Input::Exited(code),
                    News::Killed(signal) => {
                        by_signal = true;
                        Input::Exited(job::code_of_signal(signal))
                    }
                    News::Stopped(signal) => Input::Stopped(signal, self.terminal()),
                };
                self.take(&view, input);
            }
            if self.supervisor.exited_already() && self.job.is_gone() {
                self.take(&view, Input::Vanished);
            }
            if let Some(ending) = self.supervisor.ending() {
                let Ending { code, vanished } = self.finish(ending);
                return Ran { code, vanished, asked, by_signal };
            }
            let nap = self.nap();
            let arrived = tokio::select! {
                biased;
                arrived = signals.next() => Some(arrived),
                () = &mut lost, if !told_lost => {
                    told_lost = true;
                    None
                }
                () = tokio::time::sleep(nap) => None,
            };
            match arrived {
                Some(Arrived::Child) | None => {}
                Some(Arrived::Asked(signal)) => {
                    asked = Some(signal);
                    self.take(&view, Input::Asked(signal));
                }
                Some(Arrived::Suspend) => self.take(&view, Input::Suspend),
                Some(Arrived::Continued) => self.take(&view, Input::Continued),
            }
        }
    }

    fn take(&mut self, view: &impl Fn() -> View, input: Input) {
        let actions = self.supervisor.step(Boot::now(), &view(), input);
        self.carry_out(&actions);
    }

    fn nap(&self) -> Duration {
        let longest =
            if self.supervisor.exited_already() { LOOK_EVERY_AT_THE_END } else { LOOK_EVERY };
        nap(self.supervisor.next_at().since(Boot::now()), longest)
    }

    fn terminal(&self) -> Terminal {
        self.tty.as_ref().map_or(Terminal::None, |tty| tty.owner(&self.job))
    }

    fn carry_out(&self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Signal(signal) => {
                    // A group that is gone already needs no signal; one that became somebody else's cannot be reached.
                    let reached = self.job.signal(*signal) || self.job.is_gone();
                    if !reached && *signal == Signal::SIGKILL {
                        self.voice.tell(&Told::Unreachable);
                    }
                }
                Action::GiveTerminal => {
                    if let Some(tty) = &self.tty {
                        tty.give_to(&self.job);
                    }
                }
                Action::TakeTerminal => {
                    if let Some(tty) = &self.tty {
                        tty.take_from(&self.job);
                    }
                }
                Action::StopSelf(reach) => job::stop_self(*reach == Reach::Job),
                Action::RunOnLost(loss) => self.run_on_lost(loss),
                Action::SayThawing => self.voice.tell(&Told::Confirming),
                Action::Say(loss) => {
                    self.voice.tell(&Told::Lost { why: word(loss), detail: detail(loss) });
                }
            }
        }
    }

    fn run_on_lost(&self, loss: &Loss) {
        if let Some(program) = &self.on_lost {
            let mut environment = self.environment.clone();
            environment.push(("CONCLAVE_LOST", word(loss).into()));
            job::run_aside(program, environment);
        }
    }

    fn finish(&self, ending: Ending) -> Ending {
        if let Some(tty) = &self.tty {
            tty.take_from(&self.job);
            if ending.code == crate::supervisor::EXIT_LOST
                || ending.code == job::code_of_signal(Signal::SIGKILL)
            {
                tty.restore_modes(&self.job);
            }
        }
        if !ending.vanished {
            self.voice.tell(&Told::Stuck);
        }
        ending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdue_step_never_makes_it_spin() {
        let millis = Duration::from_millis;
        assert_eq!(nap(Duration::ZERO, LOOK_EVERY), millis(5));
        assert_eq!(nap(millis(2), LOOK_EVERY), millis(2), "a deadline is met as it is");
        assert_eq!(nap(millis(500), LOOK_EVERY), LOOK_EVERY);
    }
}
