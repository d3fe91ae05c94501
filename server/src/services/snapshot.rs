//! `SnapshotService`: the whole state as one stream, as fast as its reader takes it, while everything else goes on.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::snapshot_service_client::SnapshotServiceClient;
use conclave_proto::v1::snapshot_service_server::SnapshotService;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tonic::{Request, Response, Status};

use crate::edge::Edge;
use crate::limits::{SAVE_CHUNKS_AHEAD, SAVES_MAX};
use crate::status::Failure;

#[derive(Clone)]
pub(crate) struct Snapshots {
    edge: Edge,
    /// Each keeps what was changed since it began in memory a second time.
    turns: Arc<Semaphore>,
}

type Chunks = BoxStream<'static, Result<v1::SaveResponse, Status>>;

impl Snapshots {
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge, turns: Arc::new(Semaphore::new(SAVES_MAX)) }
    }

    async fn save_here(&self) -> Result<Chunks, Failure> {
        let turn = self.turns.clone().try_acquire_owned().map_err(|_| Failure::Overloaded)?;
        let backup = self.edge.node().backup().await?;
        let info = backup.info();
        tracing::info!(revision = info.revision, objects = info.objects, "a backup is being taken");
        let (sender, receiver) = mpsc::channel(SAVE_CHUNKS_AHEAD);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            // An error: whoever asked for it went away.
            let _ = backup.write(|chunk| sender.blocking_send(chunk));
        });
        let state = Some((self.edge.clone(), receiver));
        let chunks = stream::unfold(state, |state| async move {
            let (edge, mut receiver) = state?;
            let chunk = tokio::select! {
                biased;
                () = edge.stopping() => return Some((Err(Failure::ShuttingDown.status()), None)),
                chunk = receiver.recv() => chunk?,
            };
            let message = v1::SaveResponse { chunk: chunk.into() };
            Some((Ok(message), Some((edge, receiver))))
        });
        Ok(chunks.boxed())
    }
}

#[tonic::async_trait]
impl SnapshotService for Snapshots {
    type SaveStream = Chunks;

    async fn save(
        &self,
        request: Request<v1::SaveRequest>,
    ) -> Result<Response<Self::SaveStream>, Status> {
        self.edge
            .serve(
                request,
                |_, _| self.save_here(),
                |channel, request| async move {
                    let answer = SnapshotServiceClient::new(channel).save(request).await?;
                    Ok(answer.map(StreamExt::boxed))
                },
            )
            .await
    }
}
