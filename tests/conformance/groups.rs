//! Scenarios of what leaves nothing to hold: once, barrier; and of the register, which a token guards.

use std::time::Duration;

use conclave_client::{Client, Error, Refusal, Turn};
use conclave_tests::{
    Cluster, Process, Proxy, Signal, Weather, Weathers, alone, eventually, together,
};
use tokio::task::{JoinSet, block_in_place};

use crate::support::{client, session, wait_for_queue};

const HOLDER: &str = env!("CARGO_BIN_EXE_holder");

#[tokio::test(flavor = "multi_thread")]
async fn scenario_18_when_the_runner_dies_the_next_one_runs_and_all_others_get_its_result() {
    let _turn = alone();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let mut runner = Process::start(
        HOLDER.as_ref(),
        ["run", &cluster.endpoints(), "migration", "5000"],
        &[],
        cluster.folder(),
        "runner",
    );
    eventually("the runner runs", Duration::from_secs(10), || {
        runner.output().contains("granted").then_some(())
    });
    let mut others = JoinSet::new();
    for number in 0..20 {
        let session = session(&client, &format!("other-{number}")).await;
        others.spawn(async move {
            let once = session.once("migration", Duration::from_secs(60));
            let result = once.run(async |_| Ok::<_, Error>(format!("by {number}"))).await;
            (number, result.expect("somebody runs it"), session)
        });
    }
    wait_for_queue(&client, "migration", 20).await;
    runner.kill();
    let mut results = Vec::new();
    while let Some(ended) = others.join_next().await {
        results.push(ended.unwrap());
    }
    let ran: Vec<_> = results.iter().filter(|(_, result, _)| result.ran).collect();
    assert_eq!(ran.len(), 1, "exactly one of them ran");
    let expected = format!("by {}", ran[0].0);
    assert!(results.iter().all(|(_, result, _)| result.value.as_text() == Some(&expected)));
    // Whoever comes later gets it as well, without running anything.
    let late = session(&client, "late").await;
    match late.once("migration", Duration::from_secs(60)).turn().await.unwrap() {
        Turn::Done(value) => assert_eq!(value.as_text(), Some(&*expected)),
        Turn::Run(run) => panic!("it was done: {run:?}"),
    }
}

/// The news that the barrier tripped is lost with the connection, and the party had confirmed that it was queued.
#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_was_away_when_the_barrier_tripped_is_told_when_it_is_back() {
    let _turn = together();
    let cluster = Cluster::start(1);
    let [first, second] = [7430, 7440].map(|port| format!("{}:{port}", cluster.host(0)));
    let start = |road: &str| block_in_place(|| Proxy::start(road, &cluster.endpoint(0), 1));
    let road = start(&first);
    let away = session(&Client::connect([&*first, &*second]).unwrap(), "away").await;
    let there = client(&cluster);
    let other = session(&there, "other").await;

    let party = away.barrier("round", 2);
    let party = tokio::spawn(async move { party.arrive_and_wait().await });
    wait_for_queue(&there, "round", 1).await;
    // Says with this call that it heard the answer before.
    assert_eq!(away.counter("calls").add(1).await.unwrap(), 1);
    let cut = Weather { cut: true, ..Weather::default() };
    road.set(Weathers { there: cut, back: cut });
    let tripped = other.barrier("round", 2).arrive_and_wait().await.unwrap();
    assert!(tripped.is_last);
    drop(road);
    let _another = start(&second);
    let passed = party.await.unwrap().expect("it arrived, and all have passed");
    assert_eq!((passed.generation, passed.index), (tripped.generation, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_19_a_cancel_at_the_trip_harms_only_its_own_generation() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let sessions =
        [session(&client, "a").await, session(&client, "b").await, session(&client, "c").await];
    let parties = sessions.each_ref().map(|session| session.barrier("round", 3));
    let (mut crossed, mut withdrew) = (0, 0);
    for round in 0..60u64 {
        let mut arrivals = JoinSet::new();
        let first = parties[0].clone();
        arrivals.spawn(async move { first.arrive_and_wait().await });
        wait_for_queue(&client, "round", 1).await;
        // The second one gives up around the moment at which the third one makes it trip.
        let second = parties[1].clone();
        let patience = Duration::from_micros(round * 150);
        let second =
            tokio::spawn(
                async move { tokio::time::timeout(patience, second.arrive_and_wait()).await },
            );
        let third = parties[2].clone();
        arrivals.spawn(async move { third.arrive_and_wait().await });
        let mut passes = Vec::new();
        match second.await.unwrap() {
            Ok(pass) => {
                crossed += 1;
                passes.push(pass.expect("it passed"));
            }
            Err(_) => withdrew += 1,
        }
        // Whether its withdrawal came first, only the cluster knows: then two still wait, and it arrives again. What a session
        // asks is decided in order: with this answer its arrival and its withdrawal are behind it.
        let settled = sessions[1].mutex("settled").try_lock().await.expect("a lock of its own");
        drop(settled);
        if passes.is_empty() && still_waits(&client, &mut arrivals).await {
            passes.push(parties[1].arrive_and_wait().await.expect("the third of three"));
        }
        while let Some(ended) = arrivals.join_next().await {
            passes.push(ended.unwrap().expect("it passed"));
        }
        passes.dedup_by_key(|pass| pass.generation);
        assert_eq!(passes.len(), 1, "round {round}: one generation");
    }
    assert!(crossed > 0 && withdrew > 0, "{crossed} passed, {withdrew} withdrew");
}

/// After a withdrawal that was decided: do the two others still wait? Settled once the barrier is gone or two stand there.
async fn still_waits(
    client: &Client,
    arrivals: &mut JoinSet<Result<conclave_client::BarrierPass, Error>>,
) -> bool {
    use conclave_client::Consistency;
    assert!(arrivals.len() == 2);
    loop {
        let seen = client.admin().inspect("round", 10, Consistency::Linearizable).await.unwrap();
        let waiting: Vec<String> =
            seen.map(|o| o.queue.into_iter().map(|w| w.session_name).collect()).unwrap_or_default();
        match waiting.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => return false,
            ["a", "c"] => return true,
            // The third one or the withdrawal is still on its way.
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scenario_7_a_register_refuses_the_token_of_a_holder_that_was_stopped_for_too_long() {
    let _turn = alone();
    let cluster = Cluster::start(3);
    let client = client(&cluster);
    let mut holder = Process::start(
        HOLDER.as_ref(),
        ["write", &cluster.endpoints(), "job", "5000"],
        &[],
        cluster.folder(),
        "holder",
    );
    eventually("the holder writes", Duration::from_secs(10), || {
        holder.output().contains("wrote").then_some(())
    });
    holder.signal(Signal::STOP);
    let next = session(&client, "next").await;
    let guard = next.mutex("job").lock().await.expect("the holder expires");
    let fenced = next.register("job/state").guarded(&guard);
    fenced.set("mine").await.expect("the new holder writes");
    holder.signal(Signal::CONT);
    // On resume it tries to write with what it believed to hold.
    assert_eq!(holder.exit_code(Duration::from_secs(15)), 0);
    let output = holder.output();
    assert!(output.contains("refused"), "{output}");
    let entry = fenced.get().await.unwrap().expect("it is there");
    assert_eq!(entry.value.as_text(), Some("mine"));
    // Nor does anybody write with the old token through another session.
    let stale = client.admin().check("job", guard.token()).await.unwrap();
    assert!(stale.held);
    let refused = next.register("job/state").guarded(&guard);
    guard.release().await.unwrap();
    let told = refused.set("late").await.expect_err("the guard was released");
    assert!(matches!(told, Error::Refused(Refusal::Guard)), "{told}");
}
