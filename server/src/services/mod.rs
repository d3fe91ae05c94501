//! The unary services: each call is parsed once, decided below, answered once. The stream takes the same road.

mod admin;
mod call;
mod election;
mod lock;
mod membership;
mod object;
mod session;
mod watch;

use conclave_machine::{Kind, Machine, Name, Refusal};
use tonic::{Response, Status};

pub(crate) use admin::Admin;
pub(crate) use election::Elections;
pub(crate) use lock::Locks;
pub(crate) use membership::Members;
pub(crate) use object::Objects;
pub(crate) use session::{Sessions, compare_and_raise, is_known, ttl_ms};
pub(crate) use watch::Watches;

use crate::status::Failure;

/// Answered from this node's own state, whoever leads.
async fn here<A>(answer: impl Future<Output = Result<A, Failure>>) -> Result<Response<A>, Status> {
    answer.await.map(Response::new).map_err(|failure| failure.status())
}

/// What is there under this name, if anything, is of this kind.
fn expect_kind(machine: &Machine, name: &Name, expected: Kind) -> Result<(), Failure> {
    match machine.kind(name) {
        Some(kind) if kind != expected => Err(Refusal::WrongKind { kind }.into()),
        Some(_) | None => Ok(()),
    }
}
