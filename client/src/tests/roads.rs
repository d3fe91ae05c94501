//! The road to the leader: hints by name, then by address, then round; and away from a node that is silent.

use conclave_proto::v1;

use super::fake::Fake;
use super::{Client, Clock, Scene, TTL, seconds, within};
use crate::{Error, SessionState};

#[tokio::test]
async fn a_hint_is_followed_by_name_even_if_its_address_leads_nowhere() {
    let mut one = Fake::start("one").await;
    let mut two = Fake::start("two").await;
    let client = Client::connect([one.address(), two.address()]).expect("fine");
    let (session, _streams) = tokio::join!(client.session().ttl(TTL).open(), async {
        let mut first = one.accept().await;
        first.next().await;
        // An address of the inside of some container; nothing listens on that port of this machine.
        first.moved("two", "127.0.0.1:1");
        let mut second = two.accept().await;
        second.welcome(TTL).await;
        (first, second)
    });
    session.expect("open");
}

#[tokio::test]
async fn a_hint_of_an_unknown_name_is_followed_by_address() {
    let mut one = Fake::start("one").await;
    let mut other = Fake::start("other").await;
    let client = Client::connect([one.address()]).expect("fine");
    let (session, _streams) = tokio::join!(client.session().ttl(TTL).open(), async {
        let mut first = one.accept().await;
        first.next().await;
        first.moved("other", &other.address());
        let mut second = other.accept().await;
        second.welcome(TTL).await;
        (first, second)
    });
    session.expect("open");
}

#[tokio::test]
async fn two_nodes_that_point_at_each_other_are_left_for_the_third() {
    let mut one = Fake::start("one").await;
    let mut two = Fake::start("two").await;
    let mut three = Fake::start("three").await;
    let endpoints = [one.address(), two.address(), three.address()];
    let client = Client::connect(endpoints).expect("fine");
    let mut streams = Vec::new();
    let mut opening = Box::pin(client.session().ttl(TTL).open());
    let third = loop {
        tokio::select! {
            session = &mut opening => panic!("open without a leader: {session:?}"),
            stream = one.accept() => { stream.moved("two", ""); streams.push(stream); }
            stream = two.accept() => { stream.moved("one", ""); streams.push(stream); }
            stream = three.accept() => break stream,
        }
        assert!(streams.len() < 100, "the third was never asked");
    };
    let mut third = third;
    let (session, _) = tokio::join!(opening, third.welcome(TTL));
    session.expect("open");
}

#[tokio::test]
async fn a_leader_that_moves_takes_its_sessions_along() {
    let mut scene = Scene::open().await;
    let mut next = Fake::start("b").await;
    let guard = scene.guard("x", 1, 2).await;
    scene.stream.moved("b", &next.address());
    let mut stream = next.accept().await;
    assert_eq!(stream.attach().await.held, [1]);
    let held = super::fake::standing_hold(1, 1, v1::HoldState::Held);
    stream.attached(3, v1::Standing { holds: vec![held], ..v1::Standing::default() }).await;
    assert!(guard.is_valid());
    // And the old node, which it was configured with, is tried again when the new one is gone.
    drop(next);
    drop(stream);
    let mut stream = scene.fake.accept().await;
    stream.attach().await;
}

#[tokio::test]
async fn a_silent_stream_is_kept_until_another_one_is_attached() {
    let mut scene = Scene::open().await;
    scene.clock.advance(seconds(2.0));
    let first = scene.stream.keep_alive().await;
    // The only node there is may be slow: it is given more time, and what it says meanwhile counts.
    scene.clock.advance(seconds(2.5));
    let second = scene.stream.keep_alive().await;
    scene.clock.advance(seconds(1.0));
    let (mut beside, attach) = scene.fake.attach().await;
    assert_eq!(attach.held, Vec::<u64>::new());
    scene.stream.acknowledge(first.number, Vec::new());
    let session = scene.session.clone();
    super::until("the acknowledgement", || session.last_ack_sent_ago() == seconds(3.5)).await;
    assert_eq!(session.state(), SessionState::Active);
    assert!(second.number > first.number);
    beside.attached(3, v1::Standing::default()).await;
    super::until("the renewal", || session.last_ack_sent_ago() == seconds(0.0)).await;
    assert!(scene.stream.rest().await.is_empty(), "the stream before is ended");
}

#[tokio::test]
async fn a_slow_leader_that_another_node_confirms_keeps_its_stream() {
    let mut scene = Scene::open_among(&["b"]).await;
    let leader = scene.fake.address();
    scene.clock.advance(seconds(2.0));
    let beat = scene.stream.keep_alive().await;
    scene.clock.advance(seconds(2.5));
    let (other, _) = scene.others[0].attach().await;
    other.moved("a", &leader);
    scene.stream.keep_alive().await;
    scene.stream.acknowledge(beat.number, Vec::new());
    let session = scene.session.clone();
    super::until("the acknowledgement", || session.last_ack_sent_ago() == seconds(2.5)).await;
    drop(scene.guard("x", 1, 2).await);
    assert!(!scene.fake.has_stream() && !scene.others[0].has_stream());
}

#[tokio::test]
async fn a_cluster_that_is_away_is_no_session() {
    // Reserved and closed again: nothing listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let client = Client::builder().endpoint(address).request_timeout(seconds(0.3)).build();
    let client = client.expect("fine").with_clock(Clock::Boot);
    match within("an error", client.session().open()).await {
        Err(Error::NotAnswered(not)) => assert!(not.last().contains("refused"), "{not}"),
        other => panic!("{other:?}"),
    }
    match within("an error", client.admin().status()).await {
        Err(Error::NotAnswered(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn unary_calls_go_to_whoever_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let fake = Fake::start("b").await;
    let client = Client::connect([gone, fake.address()]).expect("fine");
    let status = within("the status", client.admin().status()).await.expect("answered");
    assert_eq!(status.node, "b");
    let each = within("each status", client.admin().status_of_each()).await;
    assert!(each[0].status.is_err());
    assert_eq!(each[1].status.as_ref().expect("answered").node, "b");
}
