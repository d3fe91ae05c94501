//! The signals that whoever runs a command or waits hears. What its starter had ignored stays ignored, for it and for the command.

use std::future::pending;
use std::io;

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

use crate::job::{self, Tty, is_ignored};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// TERM, INT or HUP.
    Asked(Signal),
    /// A child ended or was stopped.
    Child,
    Suspend,
    Continued,
}

#[derive(Debug)]
pub(crate) struct Signals {
    term: Option<unix::Signal>,
    interrupt: Option<unix::Signal>,
    hang_up: Option<unix::Signal>,
    child: Option<unix::Signal>,
    suspend: Option<unix::Signal>,
    continued: Option<unix::Signal>,
}

impl Signals {
    /// From now on a request to end is answered by us. Ctrl-Z still stops us at once: nothing runs yet.
    pub(crate) fn to_end() -> io::Result<Self> {
        Ok(Self {
            term: listen(Signal::SIGTERM)?,
            interrupt: listen(Signal::SIGINT)?,
            hang_up: listen(Signal::SIGHUP)?,
            child: None,
            suspend: None,
            continued: None,
        })
    }

    /// Also what concerns a command. Before it is started, so that nothing is missed. Once is enough for several commands.
    pub(super) fn of_a_command(&mut self) -> io::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        self.child = Some(signal(SignalKind::child())?);
        self.suspend = listen(Signal::SIGTSTP)?;
        self.continued = Some(signal(SignalKind::from_raw(Signal::SIGCONT as i32))?);
        Ok(())
    }

    /// The next request to end. Cancel safe.
    pub(crate) async fn asked(&mut self) -> Signal {
        loop {
            match self.next().await {
                Arrived::Asked(signal) => return signal,
                // Between two commands there is nobody to be stopped before us.
                Arrived::Suspend if job::is_continuable(Tty::open().as_ref()) => {
                    job::stop_self(false);
                }
                Arrived::Child | Arrived::Suspend | Arrived::Continued => {}
            }
        }
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Arrived {
        tokio::select! {
            biased;
            // A continue that came before a stop must not be taken for the one after it.
            () = heard(&mut self.continued) => Arrived::Continued,
            () = heard(&mut self.child) => Arrived::Child,
            () = heard(&mut self.term) => Arrived::Asked(Signal::SIGTERM),
            () = heard(&mut self.interrupt) => Arrived::Asked(Signal::SIGINT),
            () = heard(&mut self.hang_up) => Arrived::Asked(Signal::SIGHUP),
            () = heard(&mut self.suspend) => Arrived::Suspend,
        }
    }
}

fn listen(which: Signal) -> io::Result<Option<unix::Signal>> {
    if is_ignored(which) {
        return Ok(None);
    }
    signal(SignalKind::from_raw(which as i32)).map(Some)
}

async fn heard(stream: &mut Option<unix::Signal>) {
    match stream {
        Some(stream) => {
            if stream.recv().await.is_none() {
                pending::<()>().await;
            }
        }
        None => pending().await,
    }
}
