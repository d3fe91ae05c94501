//! Watching: what is told, in which order, from where it goes on, and when it says that something was missed.

use conclave_proto::v1;
use conclave_proto::v1::edit_op::Change;
use conclave_proto::v1::item::Demand;
use conclave_proto::v1::note::Note;
use conclave_proto::v1::watch_response::Message;
use conclave_raft::RING_EVENTS_MAX;
use conclave_server::Server;
use tonic::transport::Endpoint;
use tonic::{Code, Streaming};

use crate::primitives::{Client, write};
use crate::support::{Api, reason, soon, start, wanted};

/// A watcher that checks that places only rise.
pub(crate) struct Watcher {
    from: Streaming<v1::WatchResponse>,
    /// The place of the newest message, as the next request says it.
    pub(crate) place: (u64, u32),
}

impl Watcher {
    pub(crate) async fn of(api: &mut Api, prefix: &str, after: (u64, u32)) -> Self {
        let (after_revision, after_n) = after;
        let request = v1::WatchRequest { prefix: prefix.to_owned(), after_revision, after_n };
        let from = soon("a watch", api.watches.watch(request)).await.expect("a stream");
        Self { from: from.into_inner(), place: (0, 0) }
    }

    pub(crate) async fn next(&mut self) -> Message {
        let message = soon("a message", self.from.message()).await.expect("no error");
        let v1::WatchResponse { revision, n, message } = message.expect("not the end");
        let message = message.expect("a message in it");
        let place = (revision, n);
        let rises = match &message {
            // Parts of one resync share a place; of progress the revision counts.
            Message::Resync(_) | Message::Progress(_) => revision >= self.place.0,
            Message::Event(_) => place > self.place,
        };
        assert!(rises, "{place:?} after {:?}: {message:?}", self.place);
        self.place = place;
        message
    }

    /// The next event, whatever progress is told in between.
    pub(crate) async fn event(&mut self) -> (String, Note) {
        loop {
            match self.next().await {
                Message::Event(v1::ObjectEvent { name, note }) => {
                    return (name, note.expect("a note").note.expect("something"));
                }
                Message::Progress(_) => {}
                Message::Resync(resync) => panic!("a resync: {resync:?}"),
            }
        }
    }

    pub(crate) async fn resync(&mut self) -> Vec<v1::ObjectSummary> {
        let mut objects = Vec::new();
        loop {
            let Message::Resync(part) = self.next().await else { panic!("no resync") };
            objects.extend(part.objects);
            if part.last {
                assert_eq!(part.total, objects.len() as u64);
                return objects;
            }
        }
    }

    pub(crate) async fn progress(&mut self) -> u64 {
        let Message::Progress(_) = self.next().await else { panic!("no progress") };
        self.place.0
    }
}

/// A client that lets no more than 64 KiB come before it reads.
async fn narrow(server: &Server) -> Api {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.client_addr));
    let endpoint = endpoint.expect("an address").initial_stream_window_size(64 * 1024);
    Api::over(endpoint.connect().await.expect("it listens"))
}

fn mutex(name: &str) -> v1::AcquireOp {
    wanted(name, Demand::Mutex(v1::MutexDemand {}))
}

#[tokio::test]
async fn a_watcher_begins_with_a_view_and_is_told_every_change_below_its_prefix() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let before = ann.granted(mutex("jobs/a")).await;
    ann.granted(mutex("other")).await;
    let mut watcher = Watcher::of(&mut ann.api, "jobs/", (0, 0)).await;
    let seen = watcher.resync().await;
    assert_eq!((seen.len(), seen[0].name.as_str(), seen[0].holders), (1, "jobs/a", 1));
    assert_eq!(seen[0].holder.as_ref().expect("ann").token, before);

    ann.release(before, 0).await.expect("released");
    ann.granted(mutex("elsewhere")).await;
    let token = ann.granted(mutex("jobs/b")).await;
    ann.edit("jobs/config", write(b"one", None)).await.expect("written");
    let ended = v1::note::Ended { session: ann.key.session, token: before, lost: false };
    assert_eq!(watcher.event().await, ("jobs/a".to_owned(), Note::Ended(ended)));
    let (name, note) = watcher.event().await;
    let Note::Granted(granted) = note else { panic!("{note:?}") };
    assert_eq!((name.as_str(), granted.token), ("jobs/b", token));
    assert_eq!((granted.session_name.as_str(), granted.value), ("ann", None));
    let (name, note) = watcher.event().await;
    let Note::Edited(edited) = note else { panic!("{note:?}") };
    assert!(matches!(edited.edited, Some(v1::edited::Edited::Register(_))));
    assert_eq!(name, "jobs/config");
}

#[tokio::test]
async fn a_watcher_that_comes_back_goes_on_where_it_was() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let mut watcher = Watcher::of(&mut ann.api, "", (0, 0)).await;
    assert_eq!(watcher.resync().await, []);
    let began = watcher.place;
    // Two events of one revision.
    let items = vec![
        crate::support::item("a", Demand::Mutex(v1::MutexDemand {})),
        crate::support::item("b", Demand::Mutex(v1::MutexDemand {})),
    ];
    let token = ann.granted(v1::AcquireOp { items, ..Default::default() }).await;
    assert_eq!(watcher.event().await.0, "a");
    let between = watcher.place;
    drop(watcher);
    ann.release(token, 0).await.expect("released");

    let mut again = Watcher::of(&mut ann.api, "", between).await;
    assert!(matches!(again.next().await, Message::Progress(_)), "it says at once that it goes on");
    let mut told = Vec::new();
    for _ in 0..3 {
        let (name, note) = again.event().await;
        told.push((name, matches!(note, Note::Granted(_))));
    }
    let told: Vec<_> = told.iter().map(|(name, granted)| (name.as_str(), *granted)).collect();
    assert_eq!(told, [("b", true), ("a", false), ("b", false)]);
    let mut whole = Watcher::of(&mut ann.api, "", began).await;
    assert!(matches!(whole.next().await, Message::Progress(_)));
    assert_eq!(whole.event().await.0, "a");
    assert_eq!(whole.place, between);
}

#[tokio::test]
async fn progress_is_told_while_others_are_busy() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let mut watcher = Watcher::of(&mut ann.api, "quiet/", (0, 0)).await;
    watcher.resync().await;
    let began = watcher.place.0;
    let token = ann.granted(mutex("busy")).await;
    ann.release(token, 0).await.expect("released");
    assert!(watcher.progress().await >= began + 2);
}

#[tokio::test]
async fn a_place_that_memory_does_not_reach_is_a_resync_and_one_ahead_is_another_nodes() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let mut watcher = Watcher::of(&mut narrow(&server).await, "", (0, 0)).await;
    watcher.resync().await;
    let began = watcher.place;
    let create = Change::CreateLatch(v1::CreateLatch { count: 1 });
    ann.edit("kept", create).await.expect("made");
    let (stream, _) = crate::support::Stream::open(&server, "busy").await;
    let add = |seq| {
        let change = Some(Change::AddCounter(v1::AddCounter { delta: 1 }));
        let op = v1::EditOp { name: "hits".to_owned(), guard: None, change };
        let op = Some(v1::call_request::Op::Edit(op));
        let call = v1::CallRequest { seq, seen_through: seq - 1, op };
        v1::StreamRequest { message: Some(v1::stream_request::Message::Call(call)) }
    };
    let crate::support::Stream { to, mut from, .. } = stream;
    // More than memory keeps and the connection of a reader that does not read takes.
    let asked = RING_EVENTS_MAX as u64 + 8 * 1024;
    let asking = tokio::spawn(async move {
        for seq in 1..=asked {
            to.send(add(seq)).await.expect("a stream");
        }
        to
    });
    let mut last = 0;
    while last < asked {
        let response = soon("an answer", from.message()).await.expect("no error").expect("more");
        let Some(v1::stream_response::Message::Answer(answer)) = response.message else {
            panic!("{response:?}")
        };
        assert!(matches!(answer.result, Some(v1::call_answer::Result::Edited(_))), "{answer:?}");
        last = answer.seq;
    }
    let _to = asking.await.expect("no panic");

    // The open watcher was not read meanwhile; what was sent before has no gap, then it says that it missed something.
    let mut events = 0;
    let seen = loop {
        match watcher.next().await {
            Message::Event(_) => events += 1,
            Message::Progress(_) => {}
            Message::Resync(part) => break part,
        }
    };
    assert!(events < asked, "everything was kept for a reader that does not read");
    assert_eq!(seen.objects.len(), 2);
    let mut late = Watcher::of(&mut ann.api, "kept", began).await;
    let seen = late.resync().await;
    assert_eq!((seen.len(), seen[0].name.as_str()), (1, "kept"));

    let request = v1::WatchRequest { after_revision: late.place.0 + 1_000, ..Default::default() };
    let mut ahead = ann.api.watches.watch(request).await.expect("a stream").into_inner();
    let status = soon("the end", ahead.message()).await.expect_err("it is not that far");
    assert_eq!(reason(&status), (Code::Unavailable, "NODE_BEHIND".to_owned()));
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watchers() {
    let server = start().await;
    let mut api = Api::of(&server).await;
    let mut watcher = Watcher::of(&mut api, "", (0, 0)).await;
    watcher.resync().await;
    let stopping = tokio::spawn(server.shutdown());
    let status = loop {
        match soon("the end", watcher.from.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&status), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
    soon("the stop", stopping).await.expect("no panic");
}
