//! The gate of a cluster: open or closed, as long as somebody says otherwise.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::edited::Edited;
use conclave_proto::v1::item::Demand;

use crate::edit::{Editor, unexpected};
use crate::error::Error;
use crate::ids::Version;
use crate::request::{Request, request_options};
use crate::session::handle::Handle;

const DEMAND: Demand = Demand::Gate(v1::GateDemand {});

/// A gate: whoever waits passes while it is open. A gate that is not there is closed. It stays until it is
/// [deleted](crate::Admin::delete). The idea is the manual-reset event, which a whole cluster looks at.
///
/// ```no_run
/// # async fn example(session: conclave_client::Session) -> Result<(), conclave_client::Error> {
/// let maintenance_over = session.gate("maintenance-over");
/// maintenance_over.wait().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before something is asked, as by wait()"]
pub struct Gate {
    request: Request,
    editor: Editor,
}

impl Gate {
    pub(crate) fn new(handle: Arc<Handle>, name: &str) -> Self {
        let request = Request::new(Arc::clone(&handle), name);
        Self { request, editor: Editor::new(handle, name) }
    }

    request_options!(progress);

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.request.name()
    }

    /// Opens it: whoever waits passes.
    ///
    /// # Errors
    /// [`Refusal::WrongKind`](crate::Refusal::WrongKind). [`Error::SessionEnded`]. [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future withdraws it, unless it was done already.
    pub async fn open(&self) -> Result<(), Error> {
        self.set(true).await
    }

    /// Closes it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Cancel safety
    /// As [`open`](Self::open).
    pub async fn close(&self) -> Result<(), Error> {
        self.set(false).await
    }

    /// Waits until it is open: the version that this opening has.
    ///
    /// # Errors
    /// [`Error::SessionEnded`]. [`Error::Refused`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&self) -> Result<Version, Error> {
        let passed = self.request.pass_open_forever(DEMAND).await?;
        Ok(Version::new(passed.version))
    }

    /// Waits for that time: 0 (only look) up to 7 days, in milliseconds. `None`: it is closed.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`Error::NotAnswered`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_timeout(&self, time: Duration) -> Result<Option<Version>, Error> {
        let passed = self.request.pass_open(DEMAND, self.request.until(time)?).await?;
        Ok(passed.map(|passed| Version::new(passed.version)))
    }

    async fn set(&self, open: bool) -> Result<(), Error> {
        match self.editor.edit(Change::SetGate(v1::SetGate { open })).await? {
            Edited::Gate(_) => Ok(()),
            other => unexpected(&other),
        }
    }
}
