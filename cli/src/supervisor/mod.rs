//! What happens to a command that runs under a grant, decided without a clock, a process or a socket: facts go in,
//! orders come out, and a driver carries them out. It must never let the command run past the moment at which
//! somebody else may be granted.
//!
//! Every step looks at the deadlines first: whatever woke the driver up (a key press, a child, the end of a suspended
//! night), an overdue KILL comes before it.

mod lease;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use lease::{Boot, Lease, grace_max};
use nix::sys::signal::Signal;

/// Exit code of a command whose lock was lost or in danger.
pub(crate) const EXIT_LOST: u8 = 76;

/// How long what was killed may take to vanish once the command itself is reaped. Beyond it something hangs in the
/// kernel; nobody is then told that it stopped.
const VANISH_MAX: Duration = Duration::from_secs(5);

/// What the session says at the moment of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// When the last acknowledged keepalive was sent.
    pub(crate) sent: Boot,
    pub(crate) standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Holding,
    /// Taken away while the session lives; the server waits for this client to stop.
    Revoked(String),
    /// The session is over: expired here or there, killed, or taken over by another process.
    Ended(String),
}

/// Who reads from the terminal now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// There is none.
    None,
    /// The process group of `conclave`.
    Ours,
    /// The process group of the command.
    Command,
    /// Another job: we run in the background.
    Others,
}

/// A fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Time passed, or the session's view changed.
    Tick,
    /// The command itself ended; its code as a shell would give it.
    Exited(u8),
    /// The command was stopped by this signal.
    Stopped(Signal, Terminal),
    /// No process of the group is left. Asked for only after `Exited`.
    Vanished,
    /// TERM, INT or HUP to `conclave`.
    Asked(Signal),
    /// Ctrl-Z reached `conclave`.
    Suspend,
    /// `conclave` was continued.
    Continued,
}

/// An order. Orders of one step are carried out in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// To the whole group.
    Signal(Signal),
    /// Hand the terminal to the group, if it is ours to give.
    GiveTerminal,
    /// Take it back, if the group has it.
    TakeTerminal,
    /// Stop `conclave` itself; with `Job` also what shares its process group, as the terminal would have done.
    StopSelf(Reach),
    /// Once: the lock is lost or in danger.
    RunOnLost(Loss),
    /// The command goes on only once the cluster confirmed that the lock is still held.
    SayThawing,
    Say(Loss),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Process,
    Job,
}

/// Why the command may not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// No acknowledgement for 2/3 of the TTL.
    Jeopardy,
    Revoked(String),
    Ended(String),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: u8,
    /// False: something of the group may still run, so nobody may be told that it stopped.
    pub(crate) vanished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Running,
    /// The group is stopped and so are we, or will be in a moment.
    Frozen,
    /// We were continued; the group waits for a confirmation that the lock is held.
    Thawing,
}

/// A stop that was ordered and is never taken back.
#[derive(Debug, Clone, Copy)]
struct Stop {
    kill_at: Boot,
    killed_at: Option<Boot>,
}

/// What is settled before the command starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) ttl: Duration,
    /// What the user asked for, at most [`grace_max`] of the TTL. None: as long as fits.
    pub(crate) kill_after: Option<Duration>,
    /// Whether anybody above could continue us if we stopped: not so for the first process of a container or of a
    /// terminal session.
    pub(crate) continuable: bool,
}

#[derive(Debug)]
pub(crate) struct Supervisor {
    lease: Lease,
    /// Between TERM and KILL.
    grace: Duration,
    /// `-k` was given: a forwarded signal, too, is followed by KILL.
    insistent: bool,
    continuable: bool,
    loss: Option<Loss>,
    stop: Option<Stop>,
    flow: Flow,
    code: Option<u8>,
    vanished: bool,
    abandoned: bool,
}

impl Supervisor {
    pub(crate) fn new(rules: Rules, sent: Boot) -> Self {
        let grace_max = grace_max(rules.ttl);
        Self {
            lease: Lease::new(rules.ttl, sent),
            grace: rules.kill_after.unwrap_or(grace_max).min(grace_max),
            insistent: rules.kill_after.is_some(),
            continuable: rules.continuable,
            loss: None,
            stop: None,
            flow: Flow::Running,
            code: None,
            vanished: false,
            abandoned: false,
        }
    }

    /// Takes one fact in. The order is: what the session says, what the clock says, then the fact.
    #[must_use]
    pub(crate) fn step(&mut self, now: Boot, view: &View, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.observe(now, view, &mut actions);
        self.look_at_the_clock(now, &mut actions);
        match input {
            Input::Tick => {}
            Input::Exited(code) => self.exited(now, code, &mut actions),
            Input::Stopped(signal, terminal) => self.stopped(signal, terminal, &mut actions),
            Input::Vanished => self.vanished = self.code.is_some(),
            Input::Asked(signal) => self.asked(now, signal, &mut actions),
            Input::Suspend => self.suspend(Reach::Process, &mut actions),
            Input::Continued => self.continued(now, &mut actions),
        }
        actions
    }

    /// Whether the command may be started at all; else why not. A grant may come late, and a machine may sleep right after it.
    pub(crate) fn may_start(&mut self, now: Boot, view: &View) -> Result<(), Loss> {
        match &view.standing {
            Standing::Holding => self.lease.renew(view.sent),
            Standing::Revoked(why) => return Err(Loss::Revoked(why.clone())),
            Standing::Ended(why) => return Err(Loss::Ended(why.clone())),
        }
        if now >= self.start_by() { Err(Loss::Jeopardy) } else { Ok(()) }
    }

    /// From this instant on the command would have to be dead, so it must not begin either.
    pub(crate) fn start_by(&self) -> Boot {
        self.lease.kill_at()
    }

    /// The instant at which a step is due even if nothing happens. It may lie in the past for as long as the kernel does not
    /// give back what was killed.
    pub(crate) fn next_at(&self) -> Boot {
        let mut next = self.lease.kill_at();
        if self.loss.is_none() && self.flow == Flow::Running {
            next = next.min(self.lease.jeopardy_at());
        }
        match self.stop {
            Some(Stop { killed_at: Some(at), .. }) => at.plus(VANISH_MAX),
            Some(Stop { kill_at, killed_at: None }) => next.min(kill_at),
            None => next,
        }
    }

    pub(crate) fn exited_already(&self) -> bool {
        self.code.is_some()
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        let code = self.code?;
        (self.vanished || self.abandoned).then_some(Ending { code, vanished: self.vanished })
    }

    fn observe(&mut self, now: Boot, view: &View, actions: &mut Vec<Action>) {
        match &view.standing {
            // Only an acknowledgement that came without a loss renews: what carries the loss moves no deadline.
            Standing::Holding => self.lease.renew(view.sent),
            Standing::Revoked(why) => {
                if matches!(self.loss, None | Some(Loss::Jeopardy)) {
                    self.lose(now, Loss::Revoked(why.clone()), actions);
                }
            }
            Standing::Ended(why) => {
                if !matches!(self.loss, Some(Loss::Ended(_))) {
                    self.lose(now, Loss::Ended(why.clone()), actions);
                }
                // Nothing protects the command any more: the next may be granted at any moment.
                self.kill(now, actions);
            }
        }
    }

    fn look_at_the_clock(&mut self, now: Boot, actions: &mut Vec<Action>) {
        if now >= self.lease.kill_at() {
            if self.loss.is_none() {
                self.lose(now, Loss::Jeopardy, actions);
            }
            self.kill(now, actions);
        } else if now >= self.lease.jeopardy_at() {
            // While frozen it does nothing that a TERM could end; it is judged when it is continued.
            if self.loss.is_none() && self.flow == Flow::Running {
                self.lose(now, Loss::Jeopardy, actions);
            }
        } else if self.flow == Flow::Thawing {
            self.thaw(actions);
        }
        if let Some(Stop { kill_at, killed_at: None }) = self.stop
            && now >= kill_at
        {
            self.kill(now, actions);
        }
        if let Some(Stop { killed_at: Some(at), .. }) = self.stop {
            self.abandoned |= self.code.is_some() && now >= at.plus(VANISH_MAX);
        }
    }

    /// TERM now, KILL after the grace but never behind the lease's own kill.
    fn lose(&mut self, now: Boot, loss: Loss, actions: &mut Vec<Action>) {
        if self.code.is_some() {
            // The command itself ended in time; only what it left behind is still stopped.
            self.loss = Some(loss);
            return;
        }
        actions.push(Action::Say(loss.clone()));
        if self.loss.is_none() {
            actions.push(Action::RunOnLost(loss.clone()));
        }
        self.loss = Some(loss);
        self.order_stop(now, self.grace, Signal::SIGTERM, actions);
    }

    /// A stop only ever comes nearer.
    fn order_stop(
        &mut self,
        now: Boot,
        grace: Duration,
        signal: Signal,
        actions: &mut Vec<Action>,
    ) {
        let kill_at = now.plus(grace).min(self.lease.kill_at());
        let stop = self.stop.get_or_insert(Stop { kill_at, killed_at: None });
        stop.kill_at = stop.kill_at.min(kill_at);
        actions.push(Action::Signal(signal));
        // A stopped process hears a TERM only once it is continued, as timeout(1) knows.
        self.flow = Flow::Running;
        actions.push(Action::Signal(Signal::SIGCONT));
    }

    fn kill(&mut self, now: Boot, actions: &mut Vec<Action>) {
        let stop = self.stop.get_or_insert(Stop { kill_at: now, killed_at: None });
        if stop.killed_at.is_none() {
            stop.killed_at = Some(now);
            self.flow = Flow::Running;
            // TERM and CONT of the same step would only wake up what dies now.
            actions.retain(|action| !matches!(action, Action::Signal(_)));
            actions.push(Action::Signal(Signal::SIGKILL));
        }
    }

    fn exited(&mut self, now: Boot, code: u8, actions: &mut Vec<Action>) {
        if self.code.is_some() {
            return;
        }
        self.code = Some(if self.loss.is_some() { EXIT_LOST } else { code });
        self.flow = Flow::Running;
        // What the command left in its group would run on without the lock.
        let was_killed = self.stop.is_some_and(|stop| stop.killed_at.is_some());
        self.order_stop(now, self.grace, Signal::SIGTERM, actions);
        if was_killed {
            self.stop = None;
            self.kill(now, actions);
        }
    }

    fn asked(&mut self, now: Boot, signal: Signal, actions: &mut Vec<Action>) {
        if self.stop.is_some_and(|stop| stop.killed_at.is_some()) {
            return;
        }
        if self.insistent {
            self.order_stop(now, self.grace, signal, actions);
        } else {
            // Not an order to stop: the command may well live on, and then so does its lock.
            actions.push(Action::Signal(signal));
            if self.flow == Flow::Running {
                actions.push(Action::Signal(Signal::SIGCONT));
            }
        }
    }

    fn stopped(&mut self, signal: Signal, terminal: Terminal, actions: &mut Vec<Action>) {
        if self.flow != Flow::Running || self.code.is_some() {
            return;
        }
        if let Some(stop) = self.stop {
            if stop.killed_at.is_none() {
                actions.push(Action::Signal(Signal::SIGCONT));
            }
            return;
        }
        let wants_terminal = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        match terminal {
            // It asked for the terminal, and we have it to give; or it has it by now.
            Terminal::Ours | Terminal::Command if wants_terminal => {
                actions.extend([Action::GiveTerminal, Action::Signal(Signal::SIGCONT)]);
            }
            Terminal::Ours | Terminal::Command if signal == Signal::SIGTSTP => {
                if self.continuable {
                    self.suspend(Reach::Job, actions);
                } else {
                    // Nobody could continue us, and the kernel does not stop such a job either.
                    actions.push(Action::Signal(Signal::SIGCONT));
                }
            }
            // A job in the background that wants to read waits to be fetched by `fg`, and we with it.
            Terminal::Others if wants_terminal || signal == Signal::SIGTSTP => {
                self.suspend(Reach::Job, actions);
            }
            // Somebody wants the command to stand still; the lock is kept for it.
            Terminal::None | Terminal::Ours | Terminal::Command | Terminal::Others => {}
        }
    }

    fn suspend(&mut self, reach: Reach, actions: &mut Vec<Action>) {
        let refused = !self.continuable || self.stop.is_some() || self.code.is_some();
        if refused || self.flow == Flow::Frozen {
            return;
        }
        self.flow = Flow::Frozen;
        actions.extend([
            Action::Signal(Signal::SIGSTOP),
            Action::TakeTerminal,
            Action::StopSelf(reach),
        ]);
    }

    fn continued(&mut self, now: Boot, actions: &mut Vec<Action>) {
        if self.stop.is_some() {
            return;
        }
        match self.flow {
            Flow::Frozen if now >= self.lease.jeopardy_at() => {
                self.flow = Flow::Thawing;
                actions.push(Action::SayThawing);
            }
            Flow::Frozen | Flow::Running => self.thaw(actions),
            Flow::Thawing => {}
        }
    }

    fn thaw(&mut self, actions: &mut Vec<Action>) {
        self.flow = Flow::Running;
        actions.extend([Action::GiveTerminal, Action::Signal(Signal::SIGCONT)]);
    }
}
