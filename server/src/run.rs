//! The daemon: starts a server, says that it is ready, stops it when told to, and never outlives its node.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::ServerConfig;
use crate::error::ServerError;
use crate::ready::Ready;
use crate::server::Server;

/// Why a server ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// SIGTERM.
    Terminated,
    /// SIGINT.
    Interrupted,
}

/// Runs a server until it is told to stop. `on_ready` is called once it listens, after the ready file is written.
///
/// # Errors
/// Whatever keeps it from starting, and [`ServerError::Fatal`] when its node died. The caller then ends the process at once:
/// whatever still runs in it is of no use.
pub async fn run(
    config: ServerConfig,
    on_ready: impl FnOnce(&Ready),
) -> Result<ExitReason, ServerError> {
    raise_descriptor_limit();
    // Before anything listens, so that no signal finds nobody.
    let mut signals = Signals::new().map_err(ServerError::Signals)?;
    let ready_file = config.ready_file.clone();
    let server = tokio::select! {
        started = Server::start(config) => started?,
        reason = signals.next() => return Ok(reason),
    };
    let ready = server.ready();
    if let Some(path) = ready_file {
        ready.write(&path).map_err(|error| ServerError::ReadyFile { path, error })?;
    }
    let listening = format!("listening on {} for clients, {} for peers", ready.client, ready.peer);
    tell_service_manager(&[NotifyState::Ready, NotifyState::Status(&listening)]);
    on_ready(&ready);
    let reason = tokio::select! {
        fatal = server.failed() => {
            tracing::error!(%fatal, "the node died");
            return Err(ServerError::Fatal(fatal));
        }
        reason = signals.next() => reason,
    };
    tell_service_manager(&[NotifyState::Stopping]);
    tokio::select! {
        () = server.shutdown() => {}
        // Told twice: at once. What was acknowledged is on disk.
        _ = signals.next() => tracing::warn!("stopping without waiting"),
    }
    Ok(reason)
}

/// Tells systemd, where it started this process (`Type=notify`). Ready means that it listens, not that a leader is known: the
/// nodes of a cluster that are started one after the other would otherwise wait for each other.
fn tell_service_manager(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager is not told");
    }
}

/// A connection is a descriptor, and the usual soft limit (1,024) is for programs that use `select`.
fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, ?current, "the limit of open files stays as it is");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) -> ExitReason {
        tokio::select! {
            _ = self.terminate.recv() => ExitReason::Terminated,
            _ = self.interrupt.recv() => ExitReason::Interrupted,
        }
    }
}
