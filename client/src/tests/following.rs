//! Observing and watching: no gap, no duplicate, or an explicit resync, whatever breaks.

use conclave_proto::v1;
use conclave_proto::v1::note::Note as Wire;
use conclave_proto::v1::observe_response::Message as Told;
use conclave_proto::v1::watch_response::Message as Seen;
use tonic::{Code, Status};

use super::fake::{Fake, FakeObservation, FakeWatch};
use super::within;
use crate::{Client, Error, Note, Observed, Watch, Watched};

fn tell(stream: &FakeObservation, revision: u64, n: u32, message: Told) {
    stream.say(v1::ObserveResponse { revision, n, message: Some(message) });
}

fn elected(term: u64) -> Told {
    let granted = v1::note::Granted {
        session: 4,
        session_name: "host".to_owned(),
        token: term,
        demand: None,
        value: Some(b"here".to_vec()),
    };
    Told::Change(v1::Note { note: Some(Wire::Granted(granted)) })
}

fn vacant(term: u64) -> Told {
    let ended = v1::note::Ended { session: 4, token: term, lost: true };
    Told::Change(v1::Note { note: Some(Wire::Ended(ended)) })
}

fn event(name: &str, queue_len: u32) -> Seen {
    let note = Some(v1::Note { note: Some(Wire::Waiting(v1::note::Waiting { queue_len })) });
    Seen::Event(v1::ObjectEvent { name: name.to_owned(), note })
}

fn see(stream: &FakeWatch, revision: u64, n: u32, message: Seen) {
    stream.say(v1::WatchResponse { revision, n, message: Some(message) });
}

fn part(name: &str, last: bool) -> Seen {
    let objects = vec![v1::ObjectSummary { name: name.to_owned(), ..Default::default() }];
    Seen::Resync(v1::Resync { objects, last, total: 2 })
}

async fn next(watch: &mut Watch) -> Watched {
    within("an event", watch.next()).await.expect("goes on").expect("no refusal")
}

#[tokio::test]
async fn an_observation_shows_vacancy_and_goes_on_where_it_was() {
    let mut fake = Fake::start("a").await;
    let client = Client::connect([fake.address()]).expect("fine");
    let mut changes = client.observe("e");
    let mut seen = Vec::new();
    let (_, last) = tokio::join!(
        async {
            for _ in 0..5 {
                let change = within("a change", changes.next()).await;
                seen.push(change.expect("goes on").expect("no refusal"));
            }
        },
        async {
            let mut first = fake.observation().await;
            let v1::ObserveRequest { name, after_revision, after_n, .. } = first.request.clone();
            assert_eq!((name.as_str(), after_revision, after_n), ("e", 0, 0));
            tell(&first, 5, 0, Told::View(v1::ElectionView::default()));
            tell(&first, 6, 1, elected(7));
            first.cut();
            let mut second = fake.observation().await;
            assert_eq!((second.request.after_revision, second.request.after_n), (6, 1));
            // Told twice, seen once.
            tell(&second, 6, 1, elected(7));
            tell(&second, 6, 2, vacant(7));
            tell(&second, 9, 0, Told::Progress(v1::Progress {}));
            second.cut();
            let third = fake.observation().await;
            assert_eq!((third.request.after_revision, third.request.after_n), (9, 0));
            tell(&third, 20, 0, Told::Resync(v1::ElectionView::default()));
            tell(&third, 20, 3, elected(8));
            tell(&third, 21, 1, elected(9));
            third
        }
    );
    assert!(
        matches!(&seen[0], Observed::View(view) if view.leader.is_none() && view.revision == 5)
    );
    assert!(
        matches!(&seen[1], Observed::Elected { term, value, .. } if term.get() == 7 && value.as_text() == Some("here"))
    );
    assert!(matches!(&seen[2], Observed::Vacant { term, lost: true } if term.get() == 7));
    assert!(matches!(&seen[3], Observed::Resync(view) if view.revision == 20));
    assert!(matches!(&seen[4], Observed::Elected { term, .. } if term.get() == 9), "{:?}", seen[4]);
    drop(last);
}

#[tokio::test]
async fn a_watch_puts_a_resync_together_and_begins_it_anew_when_it_breaks() {
    let mut fake = Fake::start("a").await;
    let client = Client::connect([fake.address()]).expect("fine");
    let mut watch = client.watch("p/");
    let (events, _last) = tokio::join!(
        async { [next(&mut watch).await, next(&mut watch).await, next(&mut watch).await] },
        async {
            let mut first = fake.watch().await;
            assert_eq!(first.request.prefix, "p/");
            see(&first, 5, 0, part("p/a", false));
            first.cut();
            let mut second = fake.watch().await;
            assert_eq!(second.request.after_revision, 0, "half a resync is none");
            see(&second, 8, 0, part("p/a", false));
            see(&second, 8, 0, part("p/b", true));
            see(&second, 9, 1, event("p/a", 3));
            second.cut();
            let third = fake.watch().await;
            assert_eq!((third.request.after_revision, third.request.after_n), (9, 1));
            see(&third, 9, 2, event("p/b", 4));
            third
        }
    );
    let [resync, first, second] = events;
    let Watched::Resync { objects, total: 2, revision: 8 } = resync else { panic!("{resync:?}") };
    let names: Vec<_> = objects.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["p/a", "p/b"]);
    let note = Note::Waiting { queue_len: 3 };
    assert_eq!(first, Watched::Event { name: "p/a".to_owned(), note, revision: 9 });
    let note = Note::Waiting { queue_len: 4 };
    assert_eq!(second, Watched::Event { name: "p/b".to_owned(), note, revision: 9 });
}

#[tokio::test]
async fn a_node_that_cannot_go_on_is_left_for_another() {
    let mut one = Fake::start("one").await;
    let mut two = Fake::start("two").await;
    let client = Client::connect([one.address(), two.address()]).expect("fine");
    let mut watch = client.watch("");
    let (event, _streams) = tokio::join!(next(&mut watch), async {
        let first = one.watch().await;
        first.refuse(Status::unavailable("behind"));
        let second = two.watch().await;
        see(&second, 5, 0, part("a", true));
        (first, second)
    });
    assert!(matches!(event, Watched::Resync { revision: 5, .. }));
}

#[tokio::test]
async fn a_refusal_is_the_end() {
    let mut fake = Fake::start("a").await;
    let client = Client::connect([fake.address()]).expect("fine");
    let mut changes = client.observe("mutex");
    let (error, _stream) = tokio::join!(changes.next(), async {
        let stream = fake.observation().await;
        stream.refuse(Status::new(Code::InvalidArgument, "no such thing"));
        stream
    });
    assert!(matches!(error, Some(Err(Error::Refused(_)))), "{error:?}");
    assert!(within("the end", changes.next()).await.is_none());
}
