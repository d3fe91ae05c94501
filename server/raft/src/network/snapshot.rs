//! A snapshot on its way: read from one store piece by piece, written to the other as it comes. The stream's flow control
//! holds the reader back; at no time more than some pieces lie in memory.

use std::time::Duration;

use conclave_proto::internal::v1 as proto;
use conclave_proto::internal::v1::install_snapshot_request::Part;
use futures::stream::{self, Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::wire;
use crate::disk::Blocking;
use crate::snapshots::{self, Snapshots, StoredSnapshot};
use crate::types::{Snapshot, SnapshotMeta, Vote};

/// Bytes of records sent together.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces read ahead of the network, or received ahead of the disk.
const PIECES_AHEAD: usize = 4;
/// A sender that is silent for so long is gone: longer than its own patience.
const SILENCE_MAX: Duration = Duration::from_secs(60);

type Message = proto::InstallSnapshotRequest;

/// The whole snapshot as messages. A snapshot that cannot be read ends the stream without its end, which the receiver
/// notices.
pub(super) fn parts(vote: Vote, snapshot: Snapshot<StoredSnapshot>) -> impl Stream<Item = Message> {
    match snapshot.snapshot.snapshots.blocking() {
        Blocking::Elsewhere => {
            let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
            let read = move || send(vote, &snapshot, |part| sender.blocking_send(part).is_ok());
            tokio::task::spawn_blocking(read);
            ReceiverStream::new(receiver).left_stream()
        }
        Blocking::Here => {
            let mut all = Vec::new();
            send(vote, &snapshot, |part| {
                all.push(part);
                true
            });
            stream::iter(all).right_stream()
        }
    }
}

/// `to` is false when nobody wants the rest.
fn send(vote: Vote, snapshot: &Snapshot<StoredSnapshot>, mut to: impl FnMut(Message) -> bool) {
    let header = proto::SnapshotHeader {
        ballot: Some(wire::ballot(&vote)),
        id: snapshot.snapshot.id.to_string(),
        meta: snapshots::encode_meta(&snapshot.meta),
    };
    if !to(message(Part::Header(header))) {
        return;
    }
    let reader = match snapshot.snapshot.reader() {
        Ok(reader) => reader,
        Err(error) => return tracing::warn!(%error, "a snapshot cannot be sent"),
    };
    let (mut piece, mut bytes, mut count) = (Vec::new(), 0, 0);
    for record in reader {
        let record = match record {
            Ok(record) => record,
            Err(error) => return tracing::error!(%error, "a snapshot cannot be sent"),
        };
        bytes += record.len();
        count += 1;
        piece.push(record);
        if bytes >= PIECE_BYTES {
            bytes = 0;
            let records = std::mem::take(&mut piece);
            if !to(message(Part::Records(proto::SnapshotRecords { records }))) {
                return;
            }
        }
    }
    let last = [
        Part::Records(proto::SnapshotRecords { records: piece }),
        Part::End(proto::SnapshotEnd { records: count }),
    ];
    for part in last {
        if !to(message(part)) {
            return;
        }
    }
}

fn message(part: Part) -> Message {
    Message { part: Some(part) }
}

/// A snapshot whose header has come: it may still be refused at no cost.
pub(super) struct Incoming {
    pub(super) vote: Vote,
    meta: SnapshotMeta,
    from: Streaming<Message>,
}

/// One snapshot comes in at a time, from its first byte on the disk to its installation.
pub(super) type Turn = OwnedSemaphorePermit;

impl Incoming {
    pub(super) async fn begin(mut from: Streaming<Message>) -> Result<Self, Status> {
        let Some(Part::Header(header)) = next(&mut from).await? else {
            return Err(Status::invalid_argument("a snapshot begins with its header"));
        };
        let id = header.id.clone();
        let (vote, meta) = wire::snapshot_header(header)?;
        tracing::info!(id, last = ?meta.last_log_id, "a snapshot comes in");
        Ok(Self { vote, meta, from })
    }

    /// Takes it in and makes it durable, if it is `welcome` when all of it has come. An error leaves nothing behind.
    pub(super) async fn receive(
        self,
        into: &Snapshots,
        turn: Turn,
        welcome: impl Fn(&Vote) -> Result<(), Status> + Send + 'static,
    ) -> Result<(Snapshot<StoredSnapshot>, Turn), Status> {
        let Self { vote, meta, mut from } = self;
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let welcome = move || welcome(&vote);
        let write = write_in_turn(into.clone(), meta.clone(), receiver, turn, welcome);
        let forwarded = forward(&mut from, sender).await;
        let written = write.await.map_err(|error| Status::internal(error.to_string()))?;
        // What the sender did wrong explains what the writer missed.
        forwarded?;
        let (snapshot, turn) = written?;
        Ok((Snapshot { meta, snapshot }, turn))
    }
}

async fn next(from: &mut Streaming<Message>) -> Result<Option<Part>, Status> {
    let next = tokio::time::timeout(SILENCE_MAX, from.message()).await;
    let next = next.map_err(|_| Status::deadline_exceeded("the snapshot does not go on"))?;
    Ok(next?.and_then(|message| message.part))
}

async fn forward(from: &mut Streaming<Message>, to: mpsc::Sender<Part>) -> Result<(), Status> {
    loop {
        let part = next(from).await?;
        let part = part.ok_or_else(|| Status::invalid_argument("the snapshot has no end"))?;
        let last = matches!(part, Part::End(_));
        // An error: the writer failed and says why.
        if to.send(part).await.is_err() || last {
            return Ok(());
        }
    }
}

/// The turn goes with the writer: when whoever waits for it is gone, the disk is still busy for a moment.
fn write_in_turn(
    store: Snapshots,
    meta: SnapshotMeta,
    mut from: mpsc::Receiver<Part>,
    turn: Turn,
    welcome: impl FnOnce() -> Result<(), Status> + Send + 'static,
) -> JoinHandle<Result<(StoredSnapshot, Turn), Status>> {
    match store.blocking() {
        Blocking::Elsewhere => tokio::task::spawn_blocking(move || {
            let parts = std::iter::from_fn(move || from.blocking_recv());
            Ok((write(&store, &meta, parts, welcome)?, turn))
        }),
        Blocking::Here => tokio::spawn(async move {
            let mut parts = Vec::new();
            while let Some(part) = from.recv().await {
                parts.push(part);
            }
            Ok((write(&store, &meta, parts, welcome)?, turn))
        }),
    }
}

fn write(
    store: &Snapshots,
    meta: &SnapshotMeta,
    from: impl IntoIterator<Item = Part>,
    welcome: impl FnOnce() -> Result<(), Status>,
) -> Result<StoredSnapshot, Status> {
    let failed = |error| Status::internal(format!("the snapshot cannot be stored: {error}"));
    let mut writer = store.begin(meta).map_err(failed)?;
    let mut count = 0;
    for part in from {
        match part {
            Part::Records(records) => {
                for record in records.records {
                    writer.push(&record).map_err(failed)?;
                    count += 1;
                }
            }
            Part::End(end) if end.records == count => {
                welcome()?;
                let info = writer.commit().map_err(failed)?;
                // Given to nobody and nothing is cut off for it before Raft installs it.
                return Ok(StoredSnapshot { snapshots: store.clone(), id: info.id });
            }
            Part::End(_) => return Err(Status::invalid_argument("records are missing")),
            Part::Header(_) => return Err(Status::invalid_argument("a second header")),
        }
    }
    Err(Status::aborted("the snapshot broke off"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use conclave_store::SnapshotStore;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::retention::Retained;

    #[tokio::test]
    async fn the_next_snapshot_waits_for_the_writer_of_one_that_was_given_up() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = SnapshotStore::open(directory.path()).expect("it opens");
        let snapshots = Snapshots::new(store, Retained::everything());
        let turns = Arc::new(Semaphore::new(1));
        let turn = turns.clone().try_acquire_owned().expect("the first");
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let writing = write_in_turn(snapshots, SnapshotMeta::default(), receiver, turn, || Ok(()));
        drop(writing);
        let records = vec![b"one".to_vec().into()];
        sender.send(Part::Records(proto::SnapshotRecords { records })).await.expect("it writes");
        assert!(turns.try_acquire().is_err(), "it still writes");
        drop(sender);
        drop(turns.acquire().await.expect("it is done"));
    }
}
