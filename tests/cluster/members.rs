//! A cluster that grows and shrinks under load: one node, three, five, three, the leader among those that go.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use conclave_client::Client;
use conclave_tests::{Cluster, Seat, Signal, alone, conclave, eventually, together};
use serde_json::Value;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: [&str; 2] = ["--cluster-token", "word"];

/// `conclave` against these nodes.
fn run(cluster: &Cluster, nodes: &[usize], words: &[&str]) -> Output {
    let endpoints: Vec<_> = nodes.iter().map(|&node| cluster.endpoint(node)).collect();
    Command::new(conclave())
        .args(["--endpoint", &endpoints.join(",")])
        .args(words)
        .output()
        .expect("conclave runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What `conclave member list -o json` says; nothing while nobody answers.
fn members(cluster: &Cluster, nodes: &[usize]) -> Option<Value> {
    let output = run(cluster, nodes, &["member", "list", "-o", "json"]);
    serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())
}

/// Waits until so many vote, all of them reached and none behind for long, and no change is under way.
fn vote(cluster: &Cluster, nodes: &[usize], count: usize) {
    eventually(&format!("{count} voters"), PATIENCE, || {
        let list = members(cluster, nodes)?;
        let members = list["members"].as_array()?;
        let votes = |member: &&Value| member["role"] != "learner" && member["reachable"] == true;
        let fits = members.len() == count && members.iter().filter(votes).count() == count;
        (fits && list["changing"] == false).then_some(())
    });
}

fn leader(cluster: &Cluster, nodes: &[usize]) -> usize {
    eventually("a leader", PATIENCE, || {
        let name = members(cluster, nodes)?["leader"].as_str()?.to_owned();
        nodes.iter().copied().find(|&node| cluster.name(node) == name)
    })
}

/// Takes it out, and its process ends by itself with a code that nobody restarts.
fn remove(cluster: &mut Cluster, nodes: &mut Vec<usize>, node: usize) {
    let name = cluster.name(node);
    let removed = run(cluster, nodes, &["member", "remove", &name]);
    assert!(removed.status.success(), "{}", said(&removed));
    nodes.retain(|&other| other != node);
    let (code, said) = cluster.ended(node, PATIENCE);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("was removed from the cluster"), "{said}");
}

/// Locks of their own and one for all, until told to stop: every call must succeed, and every token must be higher than those
/// that the same lock had.
struct Load {
    stop: Arc<AtomicBool>,
    grants: Arc<Mutex<Vec<(Instant, u64)>>>,
    tasks: JoinSet<()>,
}

impl Load {
    async fn start(client: &Client) -> Self {
        let (stop, grants) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let shared = Arc::new(Mutex::new(0));
        let mut tasks = JoinSet::new();
        for number in 0..8 {
            let session = client.session().name(format!("load-{number}")).open().await.unwrap();
            let name = if number < 4 { "shared".to_owned() } else { format!("own/{number}") };
            let last = if number < 4 { Arc::clone(&shared) } else { Arc::new(Mutex::new(0)) };
            let (stop, grants) = (Arc::clone(&stop), Arc::clone(&grants));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let guard = session.mutex(name.clone()).lock().await.expect("a grant");
                    let token = guard.token().get();
                    {
                        // Whoever holds it is alone here: the tokens rise in the order of the holders.
                        let mut last = last.lock().unwrap();
                        assert!(token > *last, "{name}: {token} after {last}");
                        *last = token;
                    }
                    grants.lock().unwrap().push((Instant::now(), token));
                    guard.release().await.expect("it held");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
        }
        Self { stop, grants, tasks }
    }

    /// When a next grant was seen after this moment.
    async fn flows(&self) {
        let from = Instant::now();
        let patience = tokio::time::timeout(PATIENCE, async {
            while self.grants.lock().unwrap().last().is_none_or(|(at, _)| *at < from) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        patience.await.expect("grants go on");
    }

    async fn end(mut self) -> Vec<(Instant, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no call failed");
        }
        let grants = self.grants.lock().unwrap().clone();
        let mut tokens: Vec<_> = grants.iter().map(|(_, token)| *token).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), grants.len(), "no token was given twice");
        grants
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_becomes_three_then_five_then_three_under_load_and_no_call_fails() {
    let _turn = alone();
    let mut cluster = Cluster::prepare(5, &TOKEN, &|_| Seat::default());
    cluster.begin(0);
    let mut nodes = vec![0];
    vote(&cluster, &nodes, 1);
    let client = Client::connect(cluster.endpoints().split(',')).unwrap();
    let keeper = client.session().name("keeper").open().await.unwrap();
    let held = keeper.mutex("held").lock().await.unwrap();
    let load = Load::start(&client).await;
    load.flows().await;

    for more in [[1, 2], [3, 4]] {
        for node in more {
            cluster.join(node, &nodes);
        }
        nodes.extend(more);
        vote(&cluster, &nodes, nodes.len());
        load.flows().await;
    }
    let leading = leader(&cluster, &nodes);
    let other = *nodes.iter().rev().find(|&&node| node != leading).expect("five");
    remove(&mut cluster, &mut nodes, other);
    load.flows().await;
    remove(&mut cluster, &mut nodes, leading);
    load.flows().await;
    vote(&cluster, &nodes, 3);

    // The three that are left outlive the loss of one, whoever it is.
    let leading = leader(&cluster, &nodes);
    cluster.kill(leading);
    load.flows().await;
    let grants = load.end().await;
    assert!(grants.len() > 100, "only {} grants: there was no load", grants.len());
    assert!(held.check().await.expect("an answer"), "what was held all the time is held");
    let gap = grants.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default();
    println!("{} grants, longest time without one {gap:?}", grants.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_hands_over_first_and_grants_hardly_pause() {
    let _turn = alone();
    let mut cluster = Cluster::start(3);
    let client = Client::connect(cluster.endpoints().split(',')).unwrap();
    let load = Load::start(&client).await;
    load.flows().await;
    let leading = cluster.leader();
    let told = Instant::now();
    cluster.signal(leading, Signal::TERM);
    let (code, said) = cluster.ended(leading, PATIENCE);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("leadership is handed over"), "{said}");
    load.flows().await;
    let grants = load.end().await;
    let from = grants.partition_point(|(at, _)| *at < told).saturating_sub(1);
    let gap = grants[from..].windows(2).map(|pair| pair[1].0 - pair[0].0).max();
    let gap = gap.expect("grants went on");
    println!("longest time without a grant {gap:?}");
    // Without being handed over, the others only begin to look for a leader after 0.9 s.
    assert!(gap < Duration::from_millis(900), "{gap:?}");
}

#[test]
fn members_are_added_promoted_listed_and_removed_from_the_command_line() {
    let _turn = together();
    let mut cluster = Cluster::prepare(2, &[], &|_| Seat::default());
    cluster.begin(0);
    vote(&cluster, &[0], 1);
    // Without a token a node needs a place.
    cluster.join(1, &[0]);
    let (code, words) = cluster.ended(1, PATIENCE);
    assert_eq!(code, 1, "{words}");
    let address = cluster.peer_address(1);
    assert!(words.contains(&format!("conclave member add b {address}")), "{words}");

    let added = run(&cluster, &[0], &["member", "add", "b", &address, "--learner"]);
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("--join"), "{}", said(&added));
    let list = members(&cluster, &[0]).expect("an answer");
    let place = &list["members"][1];
    assert_eq!((&place["role"], &place["state"]), (&"learner".into(), &"expected".into()));
    let id = place["id"].as_u64().expect("an id");
    let again = run(&cluster, &[0], &["member", "add", "b", &address]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("is there already"), "{}", said(&again));
    let early = run(&cluster, &[0], &["member", "promote", "b"]);
    assert_eq!(early.status.code(), Some(1), "{}", said(&early));
    assert!(said(&early).contains("no node has taken the place"), "{}", said(&early));

    cluster.join(1, &[0]);
    eventually("b learns", PATIENCE, || {
        let promoted = run(&cluster, &[0], &["member", "promote", "b"]);
        promoted.status.success().then_some(())
    });
    vote(&cluster, &[0, 1], 2);
    // A follower knows where to ask.
    let list = members(&cluster, &[1]).expect("an answer");
    assert_eq!(list["members"][1]["id"].as_u64(), Some(id));
    let table = run(&cluster, &[1], &["member", "list"]);
    assert!(said(&table).contains("REACHABLE"), "{}", said(&table));

    // The leader too, asked by way of the other.
    remove(&mut cluster, &mut vec![0, 1], 0);
    vote(&cluster, &[1], 1);
    let last = run(&cluster, &[1], &["member", "remove", "b"]);
    assert_eq!(last.status.code(), Some(1), "{}", said(&last));
    assert!(said(&last).contains("the only voter"), "{}", said(&last));
    let unknown = run(&cluster, &[1], &["member", "remove", "x"]);
    assert!(said(&unknown).contains("conclave member list"), "{}", said(&unknown));
    // What was removed does not start again.
    cluster.begin(0);
    let (code, words) = cluster.ended(0, PATIENCE);
    assert_eq!(code, 2, "{words}");
    assert!(words.contains("must not run with the data"), "{words}");
}
