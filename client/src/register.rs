//! The register of a cluster: a small value that is compared and set, guarded by a lock or bound to a session.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::edited::Edited;
use conclave_proto::v1::expect::Expect as Expected;
use conclave_proto::v1::object_service_client::ObjectServiceClient;

use crate::check;
use crate::edit::{Editor, unexpected};
use crate::error::{Error, Refusal};
use crate::grant::Grant;
use crate::ids::{SessionId, Token, Version};
use crate::rpc::Repeat;
use crate::session::handle::Handle;
use crate::value::Value;

/// A value of at most 64 KiB. It stays until it is deleted; [bound](Self::bound) to the session, it vanishes with it, which makes a
/// list of names under a prefix the membership of a group.
///
/// Every write gives it a larger version than anything had before. Guarded by a lock's guard, a write is refused unless that grant
/// still holds: the fence that a lock alone cannot be (Kleppmann 2016).
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// let guard = session.mutex("billing").lock().await?;
/// let cursor = session.register("billing/cursor").guarded(&guard);
/// match cursor.get().await? {
///     None => cursor.create("0").await?,
///     Some(entry) => cursor.compare_and_set(entry.version, "1").await?,
/// };
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Register {
    editor: Editor,
    bound: bool,
}

/// What a register has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterEntry {
    /// Of the last write.
    pub version: Version,
    /// At most 64 KiB.
    pub value: Value,
    /// The session with which it vanishes; `None`: it stays.
    pub bound_to: Option<SessionId>,
}

impl Register {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        Self { editor: Editor::new(handle, name), bound: false }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.editor.name
    }

    /// Writes only while that grant holds.
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

    /// Each write binds it to this session, with which it vanishes. Written without, it stays.
    #[must_use]
    pub const fn bound(mut self) -> Self {
        self.bound = true;
        self
    }

    /// What it has now (linearizable); `None`: there is none.
    ///
    /// # Errors
    /// [`Refusal::WrongKind`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn get(&self) -> Result<Option<RegisterEntry>, Error> {
        let answer = self.editor.handle.rpc.call(Repeat::Freely, |channel| {
            let name = self.editor.name.as_ref().to_owned();
            let request = v1::GetRegisterRequest { name, stale: false };
            async move { ObjectServiceClient::new(channel).get_register(request).await }
        });
        let answer = answer.await?.into_inner();
        Ok(answer.exists.then(|| RegisterEntry {
            version: Version::new(answer.version),
            value: Value::from(answer.value),
            bound_to: answer.bound_to.map(SessionId::new),
        }))
    }

    /// Writes it, whatever it has: the version that this gives it.
    ///
    /// # Errors
    /// [`Refusal::Guard`]: the grant does not hold any more; nothing was written. [`Refusal::Limit`] `VALUES`.
    /// [`Refusal::Invalid`]: over 64 KiB. [`Error::SessionEnded`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws the write, unless it was done already.
    pub async fn set(&self, value: impl Into<Value>) -> Result<Version, Error> {
        self.write(value.into(), None).await
    }

    /// Writes it if there is none yet.
    ///
    /// # Errors
    /// [`Refusal::Conflict`]: there is one, of that version. Else as [`set`](Self::set).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn create(&self, value: impl Into<Value>) -> Result<Version, Error> {
        self.write(value.into(), Some(Expected::Absent(true))).await
    }

    /// Writes it if it still has that version.
    ///
    /// # Errors
    /// [`Refusal::Conflict`]: it has another one, or is gone. Else as [`set`](Self::set).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn compare_and_set(
        &self,
        version: Version,
        value: impl Into<Value>,
    ) -> Result<Version, Error> {
        self.write(value.into(), Some(Expected::Version(version.get()))).await
    }

    /// Deletes it, whatever it has.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]: there is none. [`Refusal::Guard`]. [`Error::SessionEnded`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn delete(&self) -> Result<(), Error> {
        self.remove(None).await
    }

    /// Deletes it if it still has that version.
    ///
    /// # Errors
    /// [`Refusal::Conflict`]. Else as [`delete`](Self::delete).
    ///
    /// # Cancel safety
    /// As [`set`](Self::set).
    pub async fn compare_and_delete(&self, version: Version) -> Result<(), Error> {
        self.remove(Some(Expected::Version(version.get()))).await
    }

    async fn write(&self, value: Value, expect: Option<Expected>) -> Result<Version, Error> {
        check::value("value", &value)?;
        let expect = expect.map(|expect| v1::Expect { expect: Some(expect) });
        let set = v1::SetRegister { value: value.into(), expect, bound: self.bound };
        match self.editor.edit(Change::SetRegister(set)).await? {
            Edited::Register(v1::RegisterState { version }) => Ok(Version::new(version)),
            Edited::Conflict(conflict) => Err(conflicted(conflict)),
            other => unexpected(&other),
        }
    }

    async fn remove(&self, expect: Option<Expected>) -> Result<(), Error> {
        let expect = expect.map(|expect| v1::Expect { expect: Some(expect) });
        match self.editor.edit(Change::DeleteRegister(v1::DeleteRegister { expect })).await? {
            Edited::RegisterDeleted(v1::RegisterDeleted {}) => Ok(()),
            Edited::Conflict(conflict) => Err(conflicted(conflict)),
            other => unexpected(&other),
        }
    }
}

fn conflicted(conflict: v1::Conflict) -> Error {
    Refusal::Conflict { version: conflict.version.map(Version::new) }.into()
}
