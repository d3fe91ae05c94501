//! Getting the grant: open a session, ask, wait, or learn why not.

use std::ops::ControlFlow;
use std::pin::pin;

use conclave_client::{Consistency, Error, HeldBy, Holder, Progress, Refusal, Session, SessionEnd};
use nix::sys::signal::Signal;
use tokio::sync::watch;

use super::waiting::Announcer;
use super::wanted::{Had, NoGrant, ask};
use super::{Order, Runner};
use crate::commands::connect;
use crate::failure::{Failure, code};
use crate::output::{printable, span};

impl Runner<'_> {
    /// Opens a session, unless somebody wants us to end meanwhile.
    pub(crate) async fn open(&mut self) -> Result<ControlFlow<Signal, Session>, Failure> {
        let flags = self.order.flags;
        let program = self.order.command.first();
        // Only the program: arguments may be secrets, and everybody can look.
        let program = program.map(|program| program.to_string_lossy().into_owned());
        let builder = self
            .client
            .session()
            .name(flags.session_name.clone())
            .ttl(flags.ttl)
            .lock_delay(flags.lock_delay)
            .labels(connect::labels(&program.unwrap_or_default()));
        let opened = tokio::select! {
            biased;
            signal = self.signals.asked() => return Ok(ControlFlow::Break(signal)),
            opened = builder.open() => opened,
        };
        opened.map(ControlFlow::Continue).map_err(|error| failure(&error, &self.order))
    }

    /// Waits for the grant. Without one the session is closed.
    pub(crate) async fn acquire(
        &mut self,
        session: &Session,
    ) -> Result<ControlFlow<Signal, Had>, Failure> {
        let Order { names, wanted, flags, .. } = self.order;
        let (progress, seen) = watch::channel(Progress::Asking);
        let announcer = Announcer { admin: self.client.admin(), session: session.id(), names };
        let result = {
            let mut announcing = pin!(announcer.run(seen, self.voice));
            let mut asking = pin!(ask(session, names, wanted, flags, progress));
            tokio::select! {
                biased;
                signal = self.signals.asked() => Err(signal),
                result = &mut asking => Ok(result),
                never = &mut announcing => match never {},
            }
        };
        let failure = match result {
            Ok(Ok(had)) => {
                self.voice.clear();
                return Ok(ControlFlow::Continue(had));
            }
            Ok(Err(NoGrant::Held(Some(held)))) => not_acquired(&held, &self.order),
            Ok(Err(NoGrant::Held(None))) => not_acquired(&self.look().await, &self.order),
            Ok(Err(NoGrant::Failed(error))) => failure(&error, &self.order),
            Ok(Err(NoGrant::Other(text))) => Failure::new(code::INTERNAL, printable(&text), ""),
            Err(signal) => {
                super::close(session).await;
                return Ok(ControlFlow::Break(signal));
            }
        };
        super::close(session).await;
        Err(failure)
    }

    /// Who is in the way, where the answer did not say so; nobody if that cannot be learned now.
    async fn look(&self) -> HeldBy {
        let name = self.order.names.first().map(String::as_str).unwrap_or_default();
        let looked = self.client.admin().inspect(name, 1, Consistency::Stale).await;
        let Ok(Some(object)) = looked else { return HeldBy::default() };
        let holders_total = u32::try_from(object.holders.len()).unwrap_or(u32::MAX);
        let (name, queue_len) = (object.name, object.queue_len);
        HeldBy { holders: object.holders, holders_total, queue_len, name }
    }
}

fn not_acquired(held: &HeldBy, order: &Order<'_>) -> Failure {
    let name = if held.name.is_empty() { order.title() } else { printable(&held.name) };
    let occupied = order.wanted.occupied();
    let mut text = match held.holders.first() {
        Some(first) => format!("{name} is {occupied} by {}", holding(first)),
        None if held.queue_len > 0 => format!("{name} is about to be granted to another"),
        None => format!("{name} was not granted in time"),
    };
    if held.holders_total > 1 {
        text += &format!(" and {} more", held.holders_total - 1);
    }
    if held.queue_len > 0 {
        text += &format!(", {} waiting", held.queue_len);
    }
    let advice = if order.flags.wait.nonblock {
        "leave out -n to wait for it".to_owned()
    } else {
        format!("wait longer with -w, or see `conclave inspect {name}`")
    };
    Failure::new(order.flags.wait.conflict_exit_code, text, advice)
}

fn holding(holder: &Holder) -> String {
    format!("{}, held {}", connect::holder(holder), span(holder.held_ms))
}

/// An error of the client, with the codes that running a command promises.
pub(super) fn failure(error: &Error, order: &Order<'_>) -> Failure {
    let mut failure = connect::failure(error);
    failure.code = match error {
        Error::NotAnswered(_) | Error::SessionEnded(SessionEnd::Expired) => code::NO_CLUSTER,
        Error::SessionEnded(_) | Error::Lost(_) | Error::Refused(Refusal::Limit { .. }) => {
            order.flags.wait.conflict_exit_code
        }
        _ => code::INTERNAL,
    };
    if let Error::Refused(_) = error {
        failure.sentence = format!("{}: {}", order.title(), failure.sentence);
    }
    failure
}
