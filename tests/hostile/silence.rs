//! Connections that hold a place and say nothing, or next to nothing.

use std::time::Duration;

use conclave_tests::eventually;
use conclave_tests::raw::Raw;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::victim::{Victim, descriptors};
use crate::wire::{PREFACE, Wire};

/// The server waits for 24 bytes for 10 s; the rest is for a machine that has other things to do.
const HUNG_UP_MAX: Duration = Duration::from_secs(25);
/// What the server lets in, and a descriptor for each.
const CONNECTIONS_MAX: usize = 16_384;
/// Of each silent connection: the state of a connection that does not know yet which HTTP it will be.
const SILENT_MIB: u64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_dribbles_is_hung_up_on() {
    let victim = Victim::start().await;
    let mut wires = JoinSet::new();
    let [clients, _] = victim.ports();
    for port in victim.ports() {
        // Peers speak HTTP/2 alone: whatever else is hung up on by its first bytes.
        let speakers = if port == clients { 3 } else { 2 };
        for number in 0..60 {
            let mut wire = Wire::silent(&port).await;
            let says: &[u8] = match number % speakers {
                0 => b"",
                1 => PREFACE,
                _ => b"GET / HTTP/1.1\r\nHost: nobody",
            };
            wires.spawn(async move {
                let from = Instant::now();
                // A byte now and then, never as many as the preface has.
                for byte in says.chunks(1).take(20) {
                    if !wire.write(byte, Duration::from_secs(1)).await {
                        return from.elapsed();
                    }
                    sleep(Duration::from_millis(600)).await;
                }
                assert!(wire.is_hung_up_on(HUNG_UP_MAX).await, "{says:?} is still listened to");
                from.elapsed()
            });
        }
    }
    while let Some(held) = wires.join_next().await {
        let held = held.expect("no panic");
        assert!(held < HUNG_UP_MAX, "listened to for {held:?}");
        assert!(
            held > Duration::from_secs(5),
            "hung up on after {held:?}: nobody connects so fast"
        );
    }
    victim.goes_on(64).await;
}

/// Whether this process, and so its children, may have that many descriptors.
fn may_open(descriptors: usize) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let wanted = descriptors as u64;
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        return false;
    }
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("below the maximum");
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_who_take_all_connections_do_not_keep_them() {
    if !may_open(CONNECTIONS_MAX + 1_000) {
        eprintln!("SKIPPED: this process may not have {CONNECTIONS_MAX} descriptors");
        return;
    }
    let mut victim = Victim::start().await;
    let [clients, _] = victim.ports();
    let process = victim.process();
    let before = descriptors(process);
    let (mut dead, mut most) = (Vec::new(), before);
    for number in 0..CONNECTIONS_MAX + 100 {
        dead.push(Wire::silent(&clients).await);
        if number % 128 == 0 {
            most = most.max(descriptors(process));
        }
    }
    most = most.max(descriptors(process));
    // The cap holds: the last ones wait in the kernel. A machine that is too slow to have them all there before the first is hung up
    // on shows less of it.
    println!("at most {most} descriptors at a time, {before} before");
    assert!(most <= before + CONNECTIONS_MAX + 8, "{most} descriptors");
    assert!(most > before + 200, "{most} descriptors: nobody was let in");
    // A newcomer stands behind them, until they are hung up on.
    let newcomer = Raw::new(&clients);
    let from = Instant::now();
    let opened = loop {
        let opening = newcomer.open("newcomer", Duration::from_secs(60), Duration::ZERO);
        match timeout(Duration::from_secs(5), opening).await {
            Ok(Ok(key)) => break key,
            waits => assert!(from.elapsed() < HUNG_UP_MAX * 2, "nobody else comes in: {waits:?}"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    assert!(opened.session > 0);
    drop(dead);
    eventually("their descriptors are given back", Duration::from_secs(60), || {
        (descriptors(process) < before + 100).then_some(())
    });
    victim.goes_on(SILENT_MIB).await;
}
