//! Changes of what nobody holds: latches, gates, registers, counters. Each is a mutation of the session, exactly once.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::edited::Edited;

use crate::check;
use crate::error::{Error, Refusal};
use crate::grant::Grant;
use crate::ids::Token;
use crate::session::command::{Answer, Op, WaitPlan};
use crate::session::handle::Handle;

/// One object that is edited, and perhaps the guard without which it is not.
#[derive(Debug, Clone)]
pub(crate) struct Editor {
    pub(crate) handle: Arc<Handle>,
    pub(crate) name: Arc<str>,
    guard: Option<v1::Guard>,
}

impl Editor {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        Self { handle, name: name.into(), guard: None }
    }

    pub(crate) fn guard(&mut self, grant: &Grant) {
        self.guard_by(grant.name().to_owned(), grant.token());
    }

    pub(crate) fn guard_by(&mut self, name: String, token: Token) {
        self.guard = Some(v1::Guard { name, token: token.get() });
    }

    pub(crate) async fn edit(&self, change: Change) -> Result<Edited, Error> {
        check::text("name", &self.name)?;
        let name = self.name.as_ref().to_owned();
        let edit = v1::EditOp { name, guard: self.guard.clone(), change: Some(change) };
        match self.handle.call(Op::Edit(Box::new(edit)), WaitPlan::None, None).await {
            Answer::Edited(edited) => Ok(edited),
            other => Err(other.into_error()),
        }
    }
}

/// What came back belongs to another kind of object.
pub(crate) fn unexpected<T>(_: &Edited) -> Result<T, Error> {
    Err(Refusal::unexpected().into())
}
