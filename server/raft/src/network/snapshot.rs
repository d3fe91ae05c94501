//! A snapshot on its way: read from one store piece by piece, written to the other as it comes. The stream's flow control
//! holds the reader back; at no time more than some pieces lie in memory.

use std::time::Duration;

use conclave_proto::internal::v1 as proto;
use conclave_proto::internal::v1::install_snapshot_request::Part;
use conclave_store::{Checksum, SnapshotError};
use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::wire;
use crate::counters::count;
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
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || send(vote, &snapshot, &sender));
    ReceiverStream::new(receiver)
}

fn send(vote: Vote, snapshot: &Snapshot<StoredSnapshot>, to: &mpsc::Sender<Message>) {
    let meta = snapshots::encode_meta(&snapshot.meta);
    let mut checksum = Checksum::default();
    checksum.update(&meta);
    let header = proto::SnapshotHeader {
        ballot: Some(wire::ballot(&vote)),
        id: snapshot.snapshot.id.to_string(),
        meta,
    };
    if to.blocking_send(message(Part::Header(header))).is_err() {
        return;
    }
    let reader = match snapshot.snapshot.reader() {
        Ok(reader) => reader,
        Err(error) => return tracing::warn!(%error, "a snapshot cannot be sent"),
    };
    let (mut piece, mut bytes, mut records_sent) = (Vec::new(), 0, 0);
    for record in reader {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                // The store has taken note, and the keeper sees to another one.
                count(&snapshot.snapshot.snapshots.counters().damaged, 1);
                return tracing::error!(%error, "a snapshot cannot be sent");
            }
        };
        checksum.update_record(&record);
        bytes += record.len();
        records_sent += 1;
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
        Part::End(proto::SnapshotEnd { records: records_sent, checksum: checksum.value() }),
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

/// A snapshot whose header has come: it may still be refused at no cost.
pub(super) struct Incoming {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    /// Of the header, as it came.
    checksum: Checksum,
    from: Streaming<Message>,
}

/// Why a snapshot was not taken. Nothing of it is left.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// It is not what it should be, broke off, or is not welcome any more.
    Refused(Status),
    /// This node cannot store it: it must not go on with such a disk.
    Disk(String),
}

/// One snapshot comes in at a time, from its first byte on the disk to its installation.
pub(super) type Turn = OwnedSemaphorePermit;

impl Incoming {
    pub(super) async fn begin(mut from: Streaming<Message>) -> Result<Self, Status> {
        let Some(Part::Header(header)) = next(&mut from).await? else {
            return Err(Status::invalid_argument("a snapshot begins with its header"));
        };
        let id = header.id.clone();
        let mut checksum = Checksum::default();
        checksum.update(&header.meta);
        let (vote, meta) = wire::snapshot_header(header)?;
        tracing::info!(id, last = ?meta.last_log_id, "a snapshot comes in");
        Ok(Self { vote, meta, checksum, from })
    }

    /// Takes it in and makes it durable, if it is `welcome` when all of it has come. An error leaves nothing behind.
    pub(super) async fn receive(
        self,
        into: &Snapshots,
        turn: Turn,
        welcome: impl Fn(&Vote) -> Result<(), Status> + Send + 'static,
    ) -> Result<(Snapshot<StoredSnapshot>, Turn), NotTaken> {
        let Self { vote, meta, checksum, mut from } = self;
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let welcome = move || welcome(&vote);
        let header = (meta.clone(), checksum);
        let write = write_in_turn(into.clone(), header, receiver, turn, welcome);
        let forwarded = forward(&mut from, sender).await;
        let written = write.await.map_err(|error| NotTaken::Disk(error.to_string()))?;
        match (written, forwarded) {
            (Ok((snapshot, turn)), Ok(())) => Ok((Snapshot { meta, snapshot }, turn)),
            (Err(NotTaken::Disk(reason)), _) => Err(NotTaken::Disk(reason)),
            // What the sender did wrong explains what the writer missed.
            (_, Err(status)) | (Err(NotTaken::Refused(status)), Ok(())) => {
                Err(NotTaken::Refused(status))
            }
        }
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
    header: (SnapshotMeta, Checksum),
    from: mpsc::Receiver<Part>,
    turn: Turn,
    welcome: impl FnOnce() -> Result<(), Status> + Send + 'static,
) -> JoinHandle<Result<(StoredSnapshot, Turn), NotTaken>> {
    tokio::task::spawn_blocking(move || {
        let snapshot = write(&store, header, from, welcome)?;
        Ok((snapshot, turn))
    })
}

fn write(
    store: &Snapshots,
    (meta, mut checksum): (SnapshotMeta, Checksum),
    mut from: mpsc::Receiver<Part>,
    welcome: impl FnOnce() -> Result<(), Status>,
) -> Result<StoredSnapshot, NotTaken> {
    let refused = |why: &str| NotTaken::Refused(Status::invalid_argument(why));
    let mut writer = store.begin(&meta).map_err(not_stored)?;
    let mut count = 0;
    while let Some(part) = from.blocking_recv() {
        match part {
            Part::Records(records) => {
                for record in records.records {
                    checksum.update_record(&record);
                    writer.push(&record).map_err(not_stored)?;
                    count += 1;
                }
            }
            Part::End(end) if end.records == count => {
                if end.checksum != checksum.value() {
                    let altered = "the snapshot was altered on its way: its checksum is another";
                    return Err(NotTaken::Refused(Status::data_loss(altered)));
                }
                welcome().map_err(NotTaken::Refused)?;
                let info = writer.commit().map_err(not_stored)?;
                // Given to nobody and nothing is cut off for it before Raft installs it.
                return Ok(StoredSnapshot { snapshots: store.clone(), id: info.id });
            }
            Part::End(_) => return Err(refused("records are missing")),
            Part::Header(_) => return Err(refused("a second header")),
        }
    }
    Err(NotTaken::Refused(Status::aborted("the snapshot broke off")))
}

fn not_stored(error: SnapshotError) -> NotTaken {
    match error {
        SnapshotError::RecordTooLarge { .. }
        | SnapshotError::MetaTooLarge { .. }
        | SnapshotError::Superseded { .. } => {
            NotTaken::Refused(Status::failed_precondition(error.to_string()))
        }
        SnapshotError::NotFound { .. } | SnapshotError::Damaged { .. } | SnapshotError::Io(_) => {
            NotTaken::Disk(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use conclave_machine::{Command, Context, Labels, Machine, Name, Open, Secret, Term};
    use conclave_store::{LogPosition, SnapshotStore};
    use futures::StreamExt as _;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::retention::Retained;
    use crate::types::log_id_of;

    #[tokio::test]
    async fn the_next_snapshot_waits_for_the_writer_of_one_that_was_given_up() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = SnapshotStore::open(directory.path()).expect("it opens");
        let snapshots = Snapshots::new(store, Retained::everything());
        let turns = Arc::new(Semaphore::new(1));
        let turn = turns.clone().try_acquire_owned().expect("the first");
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let header = (SnapshotMeta::default(), Checksum::default());
        let writing = write_in_turn(snapshots, header, receiver, turn, || Ok(()));
        drop(writing);
        let records = vec![b"one".to_vec().into()];
        sender.send(Part::Records(proto::SnapshotRecords { records })).await.expect("it writes");
        assert!(turns.try_acquire().is_err(), "it still writes");
        drop(sender);
        drop(turns.acquire().await.expect("it is done"));
    }

    fn machine(sessions: u64) -> Machine {
        let mut machine = Machine::default();
        let context = Context { term: Term(1), stamp_ms: 0 };
        for number in 0..sessions {
            let name = Name::new(&format!("a session to be found: {number}")).expect("a name");
            let open = Open {
                secret: Secret(u128::from(number) + 1),
                ttl_ms: 600_000,
                lock_delay_ms: 0,
                name,
                labels: Labels::default(),
            };
            machine.apply(&context, Command::Open(open), &mut Vec::new());
        }
        machine
    }

    fn meta(index: u64) -> SnapshotMeta {
        let last_log_id = Some(log_id_of(LogPosition { term: 1, index }));
        SnapshotMeta { last_log_id, ..SnapshotMeta::default() }
    }

    /// Whether all of it can be sent.
    async fn is_sent(snapshots: &Snapshots) -> bool {
        let (meta, snapshot) = snapshots.current().expect("there is one");
        let parts = parts(Vote::new_committed(1, 1), Snapshot { meta, snapshot });
        let last = parts.collect::<Vec<_>>().await.pop().and_then(|message| message.part);
        matches!(last, Some(Part::End(_)))
    }

    #[tokio::test]
    async fn a_damaged_snapshot_is_not_sent_as_if_it_were_whole_and_asks_for_another() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open = || SnapshotStore::open(directory.path()).expect("it opens");
        let snapshots = Snapshots::new(open(), Retained::everything());
        snapshots.write(&machine(20_000), &meta(10)).expect("written");
        assert!(is_sent(&snapshots).await && !snapshots.is_spoiled());
        drop(snapshots);

        // Under the eyes of an open store, which has not read it yet; and not where it begins: what came before was right.
        let store = open();
        let file = directory.path().join("db");
        let mut bytes = std::fs::read(&file).expect("its file");
        let mark = b"to be found: 10000";
        let found = bytes.windows(mark.len()).enumerate().filter(|(_, window)| window == mark);
        let found: Vec<_> = found.map(|(at, _)| at).collect();
        assert!(!found.is_empty(), "the mark is not there");
        found.iter().for_each(|at| bytes[*at] ^= 1);
        std::fs::write(&file, bytes).expect("written");

        let id = store.latest().expect("it is committed").id;
        let snapshots = Snapshots::new(store, Retained::everything());
        snapshots.adopt(&meta(10), id);
        assert!(!snapshots.is_spoiled(), "nobody has read it yet");
        assert!(!is_sent(&snapshots).await);
        assert!(snapshots.is_spoiled());
        assert_eq!(snapshots.counters().damaged.load(Ordering::Relaxed), 1);
        // The keeper asks for one; it may end at the same entry.
        snapshots.write(&machine(20_000), &meta(10)).expect("written");
        assert!(!snapshots.is_spoiled() && is_sent(&snapshots).await);
    }
}
