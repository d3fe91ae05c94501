//! Observing an election: every change, vacancy included, on any node, over a change of the cluster's leader.

use conclave_proto::v1;
use conclave_proto::v1::note::Note;
use conclave_proto::v1::observe_response::Message;
use tonic::Streaming;

use crate::cluster::start_three;
use crate::primitives::{Client, failed, lead};
use crate::support::{Api, forever, leads, reason, soon, start, wanted};
use crate::watch::Watcher;

struct Observer {
    from: Streaming<v1::ObserveResponse>,
    place: (u64, u32),
}

impl Observer {
    async fn of(api: &mut Api, name: &str, after: (u64, u32)) -> Self {
        let request = v1::ObserveRequest {
            name: name.to_owned(),
            after_revision: after.0,
            after_n: after.1,
            candidates_max: 0,
        };
        let from = soon("an observation", api.watches.observe(request)).await.expect("a stream");
        Self { from: from.into_inner(), place: after }
    }

    async fn next(&mut self) -> Message {
        let message = soon("a message", self.from.message()).await.expect("no error");
        let v1::ObserveResponse { revision, n, message } = message.expect("not the end");
        let message = message.expect("a message in it");
        match &message {
            Message::Change(_) => assert!((revision, n) > self.place, "{message:?}"),
            Message::View(_) | Message::Resync(_) | Message::Progress(_) => {
                assert!(revision >= self.place.0, "{message:?}");
            }
        }
        self.place = (revision, n);
        message
    }

    async fn change(&mut self) -> Note {
        loop {
            match self.next().await {
                Message::Change(note) => return note.note.expect("something"),
                Message::Progress(_) => {}
                other => panic!("no change: {other:?}"),
            }
        }
    }
}

fn campaign(value: &[u8]) -> v1::AcquireOp {
    let campaign = Some(v1::Campaign { value: value.to_vec(), ..Default::default() });
    v1::AcquireOp { campaign, ..wanted("leader", lead()) }
}

#[tokio::test]
async fn an_observer_is_told_the_leader_its_words_the_candidates_and_the_vacancy() {
    let server = start().await;
    let mut ann = Client::of(&server, "ann").await;
    let mut observer = Observer::of(&mut ann.api, "leader", (0, 0)).await;
    let Message::View(vacant) = observer.next().await else { panic!("no view") };
    assert_eq!(vacant, v1::ElectionView::default());

    let term = ann.granted(campaign(b"one")).await;
    let Note::Granted(elected) = observer.change().await else { panic!("nobody") };
    assert_eq!((elected.token, elected.value.as_deref()), (term, Some(&b"one"[..])));
    ann.proclaim(term, b"two").await.expect("proclaimed");
    let proclaimed = v1::note::Proclaimed { term, value: b"two".to_vec() };
    assert_eq!(observer.change().await, Note::Proclaimed(proclaimed));
    let (key, seq) = ann.next();
    let acquire = Some(v1::AcquireOp { wait: forever(), ..campaign(b"next") });
    let mut api = ann.api.clone();
    let waiting = tokio::spawn(async move {
        let request = v1::AcquireRequest { key, seq, seen_through: 0, acquire };
        api.locks.acquire(request).await
    });
    assert_eq!(observer.change().await, Note::Waiting(v1::note::Waiting { queue_len: 1 }));
    let mut second = Observer::of(&mut ann.api, "leader", (0, 0)).await;
    let Message::View(view) = second.next().await else { panic!("no view") };
    assert_eq!(view.leader.expect("ann").value.as_deref(), Some(&b"two"[..]));
    assert_eq!((view.candidates[0].rank, &view.candidates[0].value[..]), (1, &b"next"[..]));

    let session = ann.key.session;
    ann.release(term, 0).await.expect("resigned");
    let ended = v1::note::Ended { session, token: term, lost: false };
    assert_eq!(observer.change().await, Note::Ended(ended));
    let Note::Granted(elected) = observer.change().await else { panic!("nobody") };
    soon("the answer", waiting).await.expect("no panic").expect("granted");
    assert_eq!(observer.change().await, Note::Waiting(v1::note::Waiting { queue_len: 0 }));
    ann.release(elected.token, 0).await.expect("resigned");
    // And nobody after it: vacant.
    let ended = v1::note::Ended { session, token: elected.token, lost: false };
    assert_eq!(observer.change().await, Note::Ended(ended));
    let view = Observer::of(&mut ann.api, "leader", (0, 0)).await.next().await;
    assert!(matches!(view, Message::View(v1::ElectionView { leader: None, .. })), "{view:?}");

    ann.granted(wanted("lock", v1::item::Demand::Mutex(v1::MutexDemand {}))).await;
    let mut wrong = Observer::of(&mut ann.api, "lock", (0, 0)).await;
    let status = soon("the end", wrong.from.message()).await.expect_err("a mutex");
    assert_eq!(reason(&status), failed("WRONG_KIND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_tells_the_same_and_an_observer_outlives_the_leader_without_a_gap() {
    let mut servers = start_three().await;
    let mut ann = Client::of(&servers[0], "ann").await;
    let mut at_leader = Observer::of(&mut Api::of(&servers[0]).await, "leader", (0, 0)).await;
    let mut at_follower = Api::of(&servers[1]).await;
    let mut observer = Observer::of(&mut at_follower, "leader", (0, 0)).await;
    let mut watcher = Watcher::of(&mut at_follower, "lead", (0, 0)).await;
    assert!(matches!(at_leader.next().await, Message::View(_)));
    assert!(matches!(observer.next().await, Message::View(_)));
    watcher.resync().await;
    let term = ann.granted(campaign(b"one")).await;
    let told = at_leader.change().await;
    assert_eq!(observer.change().await, told);
    assert_eq!(
        (watcher.event().await, watcher.place),
        (("leader".to_owned(), told), observer.place)
    );
    assert_eq!(at_leader.place, observer.place);

    // The observer of the leader that goes away comes back elsewhere, from where it was.
    let place = at_leader.place;
    servers.remove(0).shutdown().await;
    let mut elsewhere = tokio::select! {
        () = leads(&servers[0]) => Api::of(&servers[0]).await,
        () = leads(&servers[1]) => Api::of(&servers[1]).await,
    };
    ann.api = elsewhere.clone();
    ann.proclaim(term, b"two").await.expect("the session lives on");
    let mut again = Observer::of(&mut elsewhere, "leader", place).await;
    assert!(matches!(again.next().await, Message::Progress(_)), "no resync: memory reaches back");
    let proclaimed = Note::Proclaimed(v1::note::Proclaimed { term, value: b"two".to_vec() });
    assert_eq!(again.change().await, proclaimed);
    assert_eq!(observer.change().await, proclaimed, "the same stream, over the change of leaders");
    assert_eq!(again.place, observer.place);
}
