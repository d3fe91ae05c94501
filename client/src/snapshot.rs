//! The bytes of a backup, as the cluster sends them.

use conclave_proto::v1;
use conclave_proto::v1::snapshot_service_client::SnapshotServiceClient;
use tonic::{Response, Streaming};

use crate::error::{Error, NotAnswered};
use crate::reason::{self, Verdict};
use crate::rpc::{Repeat, Rpc};

/// A backup on its way. From [`Admin::save_snapshot`](crate::Admin::save_snapshot). Dropped, it ends.
#[derive(Debug)]
pub struct SnapshotBytes {
    chunks: Streaming<v1::SaveResponse>,
    begun: tokio::time::Instant,
}

impl SnapshotBytes {
    pub(crate) async fn begin(rpc: &Rpc) -> Result<Self, Error> {
        let answer = rpc.call(Repeat::Freely, |channel| async move {
            SnapshotServiceClient::new(channel).save(v1::SaveRequest {}).await
        });
        let chunks = answer.await.map(Response::into_inner)?;
        Ok(Self { chunks, begun: tokio::time::Instant::now() })
    }

    /// The next bytes of the file; `None`: that was all of it.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] when it broke off: what came so far is no backup, begin anew.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let message = self.chunks.message().await;
        let message = message.map_err(|status| match reason::of_status(&status) {
            Verdict::Refused(refusal) => refusal.into(),
            Verdict::Again(again) => {
                Error::from(NotAnswered { after: self.begun.elapsed(), last: again.message })
            }
        });
        Ok(message?.map(|message| message.chunk))
    }
}
