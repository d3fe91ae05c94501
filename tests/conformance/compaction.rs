//! Observers and watchers across a killed leader, a reconnect and a compaction: what a node does not know, because it was brought
//! back by a snapshot, it says; where another node still knows it, nobody notices anything.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conclave_client::{Client, Note, Observed, Session, Token, Watched};
use conclave_tests::{Cluster, alone};

use crate::support::{client, session};

const PATIENCE: Duration = Duration::from_secs(60);

/// So small that the node that was away needs a snapshot, and so large that one that was restarted does not.
const SMALL: [&str; 6] =
    ["--snapshot-entries", "100", "--keep-entries", "50", "--lag-entries", "200"];

/// What somebody was told so far.
type Told<T> = Arc<Mutex<Vec<T>>>;

fn watch(client: &Client) -> Told<Watched> {
    let (told, mut watch) = (Told::default(), client.watch("seen/"));
    let sink = Arc::clone(&told);
    tokio::spawn(async move {
        while let Some(next) = watch.next().await {
            sink.lock().unwrap().push(next.expect("no refusal"));
        }
    });
    told
}

fn observe(client: &Client) -> Told<Observed> {
    let (told, mut observation) = (Told::default(), client.observe("seen/election"));
    let sink = Arc::clone(&told);
    tokio::spawn(async move {
        while let Some(next) = observation.next().await {
            sink.lock().unwrap().push(next.expect("no refusal"));
        }
    });
    told
}

/// The tokens that began and those that ended, in the order in which somebody was told of them, since it was shown the whole:
/// at the beginning, and again when it had missed something.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stretch {
    begun: Vec<Token>,
    ended: Vec<Token>,
}

fn ended(stretches: &[Stretch]) -> Vec<Token> {
    stretches.iter().flat_map(|stretch| stretch.ended.iter().copied()).collect()
}

fn watched(told: &Told<Watched>) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut last = 0;
    for told in told.lock().unwrap().iter() {
        let (Watched::Resync { revision, .. } | Watched::Event { revision, .. }) = told else {
            panic!("{told:?}");
        };
        assert!(*revision >= last, "it goes back in time: {revision} after {last}");
        last = *revision;
        let Watched::Event { note, .. } = told else {
            stretches.push(Stretch::default());
            continue;
        };
        let stretch = stretches.last_mut().expect("it begins with a view of the whole");
        match note {
            Note::Granted { token, .. } => stretch.begun.push(*token),
            Note::Ended { token, .. } => stretch.ended.push(*token),
            _ => {}
        }
    }
    stretches
}

fn observed(told: &Told<Observed>) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for told in told.lock().unwrap().iter() {
        if let Observed::View(_) | Observed::Resync(_) = told {
            stretches.push(Stretch::default());
        }
        let stretch = stretches.last_mut().expect("it begins with a view of the whole");
        match told {
            Observed::Elected { term, .. } => stretch.begun.push(*term),
            Observed::Vacant { term, .. } => stretch.ended.push(*term),
            _ => {}
        }
    }
    stretches
}

/// One term, and nobody leads when this returns.
async fn one_term(session: &Session) -> Token {
    let election = session.election("seen/election").value("here");
    let leadership = election.campaign().await.expect("nobody else stands");
    let term = leadership.term();
    leadership.resign().await.expect("it led");
    term
}

async fn terms(session: &Session, count: usize) -> Vec<Token> {
    let mut terms = Vec::new();
    for _ in 0..count {
        terms.push(one_term(session).await);
    }
    terms
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All of it, once and in order, and nothing but the beginning of it is a view of the whole.
fn has_all(stretches: &[Stretch], all: &[Token]) {
    let [stretch] = stretches else { panic!("nothing was missed, yet it was said: {stretches:?}") };
    assert_eq!((stretch.begun.as_slice(), stretch.ended.as_slice()), (all, all));
}

/// All up to some place and all from a later one on, once and in order; what lies between was said to be missed.
fn says_what_it_missed(stretches: &[Stretch], before: &[Token], all: &[Token], after: &[Token]) {
    let [first, second] = stretches else { panic!("not one resync: {stretches:?}") };
    for (first, second) in [(&first.begun, &second.begun), (&first.ended, &second.ended)] {
        assert!(first.starts_with(before) && all.starts_with(first), "{first:?} of {all:?}");
        assert!(second.ends_with(after) && all.ends_with(second), "{second:?} of {all:?}");
        assert!(first.len() + second.len() < all.len(), "nothing was compacted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_across_a_killed_leader_and_a_compaction_have_no_gap_or_hear_of_it() {
    let _turn = alone();
    let mut cluster = Cluster::start_with(3, &SMALL);
    let everywhere = client(&cluster);
    let campaigner = session(&everywhere, "campaigner").await;
    let leader = cluster.leader();
    let away = (leader + 1) % 3;
    let only_there = Client::connect([cluster.endpoint(away)]).expect("an endpoint");
    let watches = [watch(&everywhere), watch(&only_there)];
    let observations = [observe(&everywhere), observe(&only_there)];
    let heard = |count: usize| {
        watches.iter().all(|told| ended(&watched(told)).len() == count)
            && observations.iter().all(|told| ended(&observed(told)).len() == count)
    };
    until("everybody has begun", || {
        watches.iter().all(|told| watched(told).len() == 1)
            && observations.iter().all(|told| observed(told).len() == 1)
    })
    .await;

    // A leader that dies, and comes back: nobody notices.
    let mut before = terms(&campaigner, 3).await;
    cluster.kill(leader);
    cluster.leader();
    before.extend(terms(&campaigner, 3).await);
    cluster.restart(leader);
    cluster.leader();
    before.extend(terms(&campaigner, 3).await);
    until("everybody has heard all", || heard(before.len())).await;

    // A node that dies, and of whose absence the logs of the others say nothing any more.
    let next = cluster.leader();
    if next == away {
        let names = ["a", "b", "c"];
        let moved = std::process::Command::new(conclave_tests::conclave())
            .args(["--endpoint", &cluster.endpoint(next), "step-down", "--to", names[leader]])
            .status();
        assert!(moved.expect("conclave runs").success());
    }
    let next = cluster.leader();
    assert_ne!(next, away);
    let had = cluster.status(away).expect("it answers").nodes[away].applied;
    cluster.kill(away);
    let mut missed = Vec::new();
    let purged = |cluster: &Cluster| cluster.metric(next, "conclave_log_purged_index");
    while purged(&cluster).is_none_or(|purged| purged <= (had + 200) as f64) {
        missed.extend(terms(&campaigner, 20).await);
        assert!(missed.len() < 10_000, "the log is never cut off");
    }
    cluster.restart(away);
    until("a snapshot brought it back", || {
        cluster.metric(away, "conclave_snapshots_installed_total") >= Some(1.0)
    })
    .await;
    until("those who know only that node hear so", || {
        watched(&watches[1]).len() == 2 && observed(&observations[1]).len() == 2
    })
    .await;
    let after = terms(&campaigner, 3).await;
    let last = after.last().copied();
    until("everybody has heard the last", || {
        watches.iter().all(|told| ended(&watched(told)).last().copied() == last)
            && observations.iter().all(|told| ended(&observed(told)).last().copied() == last)
    })
    .await;

    let all = [&before[..], &missed, &after].concat();
    has_all(&watched(&watches[0]), &all);
    has_all(&observed(&observations[0]), &all);
    says_what_it_missed(&watched(&watches[1]), &before, &all, &after);
    says_what_it_missed(&observed(&observations[1]), &before, &all, &after);
}
