//! The counter of a cluster.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::edited::Edited;
use conclave_proto::v1::object_service_client::ObjectServiceClient;

use crate::edit::{Editor, unexpected};
use crate::error::Error;
use crate::grant::Grant;
use crate::ids::Token;
use crate::rpc::Repeat;
use crate::session::handle::Handle;

/// A number that stays until it is [deleted](crate::Admin::delete); one that is not there is zero.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// let number = session.counter("invoices").add(1).await?;
/// # let _ = number; Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Counter {
    editor: Editor,
}

impl Counter {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        Self { editor: Editor::new(handle, name) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.editor.name
    }

    /// Only while that grant holds: the fence against a holder of yesterday.
    #[must_use]
    pub fn guarded(mut self, grant: &Grant) -> Self {
        self.editor.guard(grant);
        self
    }

    /// The same for a grant that another process has: by any name of it, and its token.
    #[must_use]
    pub fn guarded_by(mut self, name: impl Into<String>, token: Token) -> Self {
        self.editor.guard_by(name.into(), token);
        self
    }

    /// Adds so many, perhaps fewer than none, exactly once: what it is then.
    ///
    /// # Errors
    /// [`Refusal::Overflow`](crate::Refusal::Overflow). [`Refusal::Guard`](crate::Refusal::Guard): the grant does not hold any
    /// more; nothing was added. [`Error::SessionEnded`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws it, unless it was done already.
    pub async fn add(&self, delta: i64) -> Result<i64, Error> {
        match self.editor.edit(Change::AddCounter(v1::AddCounter { delta })).await? {
            Edited::Counter(v1::CounterState { value }) => Ok(value),
            other => unexpected(&other),
        }
    }

    /// What it is now (linearizable).
    ///
    /// # Errors
    /// [`Refusal::WrongKind`](crate::Refusal::WrongKind). [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self) -> Result<i64, Error> {
        let answer = self.editor.handle.rpc.call(Repeat::Freely, |channel| {
            let name = self.editor.name.as_ref().to_owned();
            let request = v1::GetCounterRequest { name, stale: false };
            async move { ObjectServiceClient::new(channel).get_counter(request).await }
        });
        answer.await.map(|answer| answer.into_inner().value)
    }
}
