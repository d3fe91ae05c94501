//! The examples of the client crate, run as a newcomer would: as processes, against three nodes.

use std::time::Duration;

use conclave_tests::{Cluster, Process, eventually, example, together};

const LONG: Duration = Duration::from_secs(60);

fn start(cluster: &Cluster, name: &str, arguments: &[&str], number: usize) -> Process {
    let endpoints = cluster.endpoints();
    let environment = [("CONCLAVE_ENDPOINTS", endpoints.as_str())];
    let output = format!("{name}-{number}");
    Process::start(example(name), arguments, &environment, cluster.folder(), &output)
}

/// Starts as many processes of it as there are lists of arguments; what each has written when all have ended well.
fn run(cluster: &Cluster, name: &str, arguments: &[&[&str]]) -> Vec<String> {
    let processes: Vec<_> = arguments
        .iter()
        .enumerate()
        .map(|(number, arguments)| start(cluster, name, arguments, number))
        .collect();
    processes
        .into_iter()
        .map(|mut process| {
            let code = process.exit_code(LONG);
            assert_eq!(code, 0, "{name}: {}", process.output());
            process.output()
        })
        .collect()
}

fn lines(outputs: &[String], word: &str) -> usize {
    outputs.iter().flat_map(|output| output.lines()).filter(|line| line.contains(word)).count()
}

#[test]
fn each_example_does_what_it_says() {
    let _turn = together();
    let cluster = Cluster::start(3);

    let cron = run(&cluster, "cron", &[&["7"], &["7"], &["7"]]);
    assert_eq!(lines(&cron, "ran it"), 1, "{cron:?}");
    assert_eq!(lines(&cron, "it was run"), 2, "{cron:?}");

    let cache = run(&cluster, "cache", &[&["answer"]]);
    assert_eq!(lines(&cache, "computed 1 times"), 1, "{cache:?}");

    let batch = run(&cluster, "batch", &[&["10"], &["10"]]);
    assert_eq!(lines(&batch, "10 calls done"), 2, "{batch:?}");

    let water = run(&cluster, "molecules", &[&["h", "2"], &["h", "2"], &["o", "2"]]);
    assert_eq!(lines(&water, "is number"), 6, "{water:?}");

    let migration = run(&cluster, "migration", &[&[]]);
    assert_eq!(lines(&migration, "a late step is refused"), 1, "{migration:?}");
}

#[test]
fn the_standby_of_the_leader_example_works_when_the_leader_is_killed() {
    let _turn = together();
    let cluster = Cluster::start(3);
    let mut first = start(&cluster, "leader", &["0"], 0);
    eventually("the first one works", LONG, || first.output().contains("tick 1").then_some(()));
    let mut standby = start(&cluster, "leader", &["2"], 1);
    eventually("the standby is there", LONG, || {
        standby.output().contains("warming up").then_some(())
    });
    assert!(!standby.output().contains("leading"), "{}", standby.output());
    first.kill();
    assert_eq!(standby.exit_code(LONG), 0, "{}", standby.output());
    assert!(standby.output().contains("tick 2"), "{}", standby.output());
}
