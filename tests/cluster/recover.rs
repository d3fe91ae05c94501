//! The day on which the majority is gone for good.

use std::fs;
use std::time::{Duration, Instant};

use conclave_tests::raw::Raw;
use conclave_tests::{Cluster, Seat, alone};

use crate::backup::{check_values, errors, fill, granted, json, run, text};

const QUIET: Duration = Duration::from_secs(11);

#[tokio::test(flavor = "multi_thread")]
async fn the_node_that_is_left_recovers_as_a_cluster_of_one() {
    let _turn = alone();
    let mut old = Cluster::start(3);
    let filler = fill(&old.endpoints()).await;
    let dir = old.data_dir(0);
    let words = ["recover", "--data-dir", text(&dir)];
    let running = run(&[&words[..], &["--yes"]].concat());
    assert!(errors(&running).contains("in use by another process"), "{}", errors(&running));
    let cluster_id =
        json(&["--endpoint", &old.endpoint(0), "status", "-o", "json"])["cluster_id"].clone();
    for node in 0..3 {
        old.kill(node);
    }
    drop(filler);
    let unasked = run(&words);
    assert!(errors(&unasked).contains("give --yes"), "{}", errors(&unasked));
    assert!(errors(&unasked).contains("is lost"), "it says what may be lost: {}", errors(&unasked));

    let recovered = json(&[&words[..], &["--yes", "-o", "json"]].concat());
    assert_ne!(recovered["cluster_id"], cluster_id);
    assert_eq!(recovered["quiet_ms"].as_u64(), Some(QUIET.as_millis() as u64), "{recovered}");
    // The old data is all there, to be gone back to.
    let aside = recovered["aside"].as_str().expect("where it is");
    assert!(fs::read_dir(aside).expect("a folder").count() >= 3, "{aside}");

    let mut alone =
        Cluster::prepare(1, &[], &|_| Seat { data_dir: Some(dir.clone()), ..Seat::default() });
    let started = Instant::now();
    alone.restart(0);
    alone.leader();
    check_values(&alone.endpoints());
    let node = Raw::new(&alone.endpoint(0));
    let key = node.open("stranger", Duration::from_secs(60), Duration::ZERO).await.expect("open");
    let token = granted(&alone, &key, 1, "job").await;
    assert!(started.elapsed() >= QUIET, "{:?}", started.elapsed());
    assert!(token > 1 << 40, "{token}");
}
