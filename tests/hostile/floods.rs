//! More of everything than anybody needs: resets, pings, settings, streams, calls whose answers nobody reads.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use crate::victim::Victim;
use crate::wire::{ACK, PING, RST_STREAM, SETTINGS, Wire, call, frame};

const STREAM: &str = "/conclave.v1.SessionService/Stream";
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();
const REFUSED_STREAM: [u8; 4] = 7_u32.to_be_bytes();

/// What one flood may cost: buffers of its connections, and what the allocator keeps.
const FLOOD_MIB: u64 = 96;

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_their_connection_and_no_other() {
    let victim = Victim::start().await;
    for port in victim.ports() {
        let mut wire = Wire::open(&port).await;
        let mut flood = Vec::new();
        for stream in (1..20_001).step_by(2) {
            flood.extend(call(stream, STREAM));
            flood.extend(frame(RST_STREAM, 0, stream, &CANCEL));
        }
        // It may hang up in the midst of it.
        let _taken = wire.write(&flood, Duration::from_secs(20)).await;
        assert!(wire.is_hung_up_on(Duration::from_secs(20)).await, "{port} bears rapid resets");
    }
    victim.goes_on(FLOOD_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_settings_whose_answers_nobody_reads_take_no_memory() {
    let victim = Victim::start().await;
    let mut stuck = 0;
    for port in victim.ports() {
        for one in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])] {
            let mut wire = Wire::open(&port).await;
            let flood = one.repeat(20_000);
            // Taken until the buffers between the two ends are full of answers; then nothing moves, or it hangs up.
            let mut taken = 0;
            while taken < 200 && wire.write(&flood, Duration::from_secs(2)).await {
                taken += 1;
            }
            assert!(taken < 200, "{port}: four million frames found a place");
            stuck += 1;
        }
    }
    assert_eq!(stuck, 4);
    victim.goes_on(FLOOD_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_streams_of_one_connection_meet_a_limit_and_cost_little() {
    let victim = Victim::start().await;
    let [clients, _] = victim.ports();
    let mut wire = Wire::open(&clients).await;
    let mut flood = Vec::new();
    for number in 0..5_000 {
        flood.extend(call(2 * number + 1, STREAM));
    }
    flood.extend(frame(PING, 0, 0, b"the last"));
    assert!(wire.write(&flood, Duration::from_secs(20)).await, "it takes them");
    let until = Instant::now() + Duration::from_secs(30);
    let mut refused = 0;
    while let Some(frame) = wire.next(until).await {
        match (frame.kind, frame.payload.as_slice()) {
            (RST_STREAM, payload) if payload == REFUSED_STREAM => refused += 1,
            (PING, b"the last") if frame.flags & ACK != 0 => break,
            _ => {}
        }
    }
    // 4,096 are served; whoever asks for more on one connection is told that nothing was done.
    assert!(refused >= 5_000 - 4_096, "only {refused} refused");
    assert!(refused < 2_000, "{refused} refused, which is more than there are too many");
    victim.goes_on(FLOOD_MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_and_never_reads_is_not_listened_to_for_ever() {
    let victim = Victim::start().await;
    let [clients, _] = victim.ports();
    let request = b"GET /metrics HTTP/1.1\r\nHost: nobody\r\n\r\n".repeat(200);
    let mut wires = Vec::new();
    for _ in 0..8 {
        let mut wire = Wire::silent(&clients).await;
        let mut taken = 0;
        while taken < 5_000 && wire.write(&request, Duration::from_millis(500)).await {
            taken += 1;
        }
        assert!(taken < 5_000, "a million questions found a place");
        wires.push(wire);
    }
    // It was served as far as there was room.
    let mut beginning = [0; 12];
    wires[0].tcp.read_exact(&mut beginning).await.expect("an answer");
    assert_eq!(&beginning, b"HTTP/1.1 200");
    drop(wires);
    victim.goes_on(FLOOD_MIB).await;
}
