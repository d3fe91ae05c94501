//! A snapshot on its way: read from one store piece by piece, written to the other as it comes. The stream's flow control
//! holds the reader back; at no time more than some pieces lie in memory.

use conclave_proto::internal::v1 as proto;
use conclave_proto::internal::v1::install_snapshot_request::Part;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::wire;
use crate::snapshots::{self, Snapshots, StoredSnapshot};
use crate::types::{Snapshot, SnapshotMeta, Vote};

/// Bytes of records sent together.
const PIECE_BYTES: usize = 256 << 10;
/// Pieces read ahead of the network, or received ahead of the disk.
const PIECES_AHEAD: usize = 4;

type Message = proto::InstallSnapshotRequest;

/// The whole snapshot as messages. A snapshot that cannot be read ends the stream without its end, which the receiver
/// notices.
pub(super) fn parts(vote: Vote, snapshot: Snapshot<StoredSnapshot>) -> impl Stream<Item = Message> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || send(vote, &snapshot, &sender));
    ReceiverStream::new(receiver)
}

fn send(vote: Vote, snapshot: &Snapshot<StoredSnapshot>, to: &mpsc::Sender<Message>) {
    let header = proto::SnapshotHeader {
        ballot: Some(wire::ballot(&vote)),
        id: snapshot.snapshot.id.to_string(),
        meta: snapshots::encode_meta(&snapshot.meta),
    };
    if to.blocking_send(message(Part::Header(header))).is_err() {
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
            if to.blocking_send(message(Part::Records(proto::SnapshotRecords { records }))).is_err()
            {
                return;
            }
        }
    }
    let last = [
        Part::Records(proto::SnapshotRecords { records: piece }),
        Part::End(proto::SnapshotEnd { records: count }),
    ];
    for part in last {
        if to.blocking_send(message(part)).is_err() {
            return;
        }
    }
}

fn message(part: Part) -> Message {
    Message { part: Some(part) }
}

/// Takes a snapshot in and makes it durable. An error leaves nothing behind.
pub(super) async fn receive(
    mut from: Streaming<Message>,
    into: &Snapshots,
) -> Result<(Vote, Snapshot<StoredSnapshot>), Status> {
    let Some(Part::Header(header)) = next(&mut from).await? else {
        return Err(Status::invalid_argument("a snapshot begins with its header"));
    };
    let vote = wire::vote(header.ballot)?;
    let meta = snapshots::meta_from(&header.meta)
        .map_err(|error| Status::invalid_argument(format!("the snapshot's header: {error}")))?;
    tracing::info!(id = header.id, last = ?meta.last_log_id, "a snapshot comes in");

    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let (store, of) = (into.clone(), meta.clone());
    let write = tokio::task::spawn_blocking(move || write(&store, &of, receiver));
    let forwarded = forward(&mut from, sender).await;
    let written = write.await.map_err(|error| Status::internal(error.to_string()))?;
    // What the sender did wrong explains what the writer missed.
    forwarded?;
    let snapshot = written?;
    Ok((vote, Snapshot { meta, snapshot }))
}

async fn next(from: &mut Streaming<Message>) -> Result<Option<Part>, Status> {
    Ok(from.message().await?.and_then(|message| message.part))
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

fn write(
    store: &Snapshots,
    meta: &SnapshotMeta,
    mut from: mpsc::Receiver<Part>,
) -> Result<StoredSnapshot, Status> {
    let failed = |error| Status::internal(format!("the snapshot cannot be stored: {error}"));
    let mut writer = store.begin(meta).map_err(failed)?;
    let mut count = 0;
    while let Some(part) = from.blocking_recv() {
        match part {
            Part::Records(records) => {
                for record in records.records {
                    writer.push(&record).map_err(failed)?;
                    count += 1;
                }
            }
            Part::End(end) if end.records == count => {
                let info = writer.commit().map_err(failed)?;
                store.adopt(meta, info.id);
                return Ok(StoredSnapshot { snapshots: store.clone(), id: info.id });
            }
            Part::End(_) => return Err(Status::invalid_argument("records are missing")),
            Part::Header(_) => return Err(Status::invalid_argument("a second header")),
        }
    }
    Err(Status::aborted("the snapshot broke off"))
}
