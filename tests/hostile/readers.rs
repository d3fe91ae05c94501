//! Who asks for much and does not read it: what waits for a reader is bounded, and it is told that it was too slow.

use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use conclave_proto::v1::watch_response::Message as Watched;
use conclave_proto::v1::watch_service_client::WatchServiceClient;
use conclave_tests::raw::{Demand, Raw, Wait, mutex};
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::stream::Stream;
use crate::victim::Victim;

/// Waits that come and go in front of a holder who does not hear of them: more than its connection and its feed have room for.
const WAITS: u64 = 40_000;
/// So many objects are taken and given back at once, so many times, and of each three things are noted: the ring keeps 65,536.
const ITEMS: u64 = 64;
const CYCLES: u64 = 800;
/// Calls under way of the one who makes all this happen.
const AHEAD: u64 = 400;
const WATCHERS: usize = 40;
/// Of them read in the end.
const READERS: usize = 3;
/// What a reader has room for that does not read.
const WINDOW_BYTES: u32 = 64 * 1024;
/// On a machine that has other things to do.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection with little room.
fn narrow(victim: &Victim) -> Channel {
    let endpoint = format!("http://{}", victim.cluster.endpoint(0));
    let endpoint = Endpoint::from_shared(endpoint).expect("an address");
    let endpoint = endpoint.initial_stream_window_size(WINDOW_BYTES);
    endpoint.initial_connection_window_size(WINDOW_BYTES).connect_lazy()
}

fn call(seq: u64, seen_through: u64, op: Op) -> v1::StreamRequest {
    let call = v1::CallRequest { seq, seen_through, op: Some(op) };
    v1::StreamRequest { message: Some(Say::Call(call)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_its_session_is_told_so_and_its_session_goes_on() {
    let victim = Victim::start().await;
    let mut slow = Stream::open(&Raw::over(narrow(&victim))).await;
    slow.call(1, 0, Op::Acquire(mutex("busy", Wait::None(true)))).await;
    let (_, Outcome::Granted(granted)) = slow.answer().await else { panic!("not granted") };

    let node = Raw::new(&victim.cluster.endpoint(0));
    let mut busy = Stream::open(&node).await;
    let mouth = busy.mouth();
    for from in (1..=WAITS).step_by(AHEAD as usize) {
        let seqs = from..from + AHEAD;
        for seq in seqs.clone() {
            let wait = Op::Acquire(mutex("busy", Wait::Forever(true)));
            mouth.send(call(seq, from - 1, wait)).await.expect("it stands");
            let cancel = v1::StreamRequest { message: Some(Say::CancelSeq(seq)) };
            mouth.send(cancel).await.expect("it stands");
        }
        let mut cancelled = 0;
        while cancelled < seqs.clone().count() {
            cancelled += usize::from(matches!(busy.answer().await.1, Outcome::Cancelled(_)));
        }
    }

    // Now it reads: what had found room, and then that it was too slow.
    let mut told = 0;
    let status = loop {
        match slow.hear().await {
            Ok(Some(Said::Contended(_))) => told += 1,
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => panic!("the stream ended without a word, {told} events in"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(told > 1_000 && told < 2 * WAITS, "it was told {told} things");
    let (key, held) = (Some(slow.key.clone()), vec![granted.token]);
    let attach = v1::AttachRequest { key, held, waiting: Vec::new(), next_seq: 2, number: 1 };
    let (mut again, said) = Stream::begin(&node, Say::Attach(attach)).await;
    let Said::Attached(attached) = said else { panic!("{said:?}") };
    let holds = attached.standing.expect("a standing").holds;
    assert_eq!(holds.first().map(|hold| hold.token), Some(granted.token), "{holds:?}");
    assert!(again.is_kept_alive(1).await);
    victim.goes_on(64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_its_watch_is_told_that_it_missed_something() {
    let victim = Victim::start().await;
    let mut watchers = Vec::new();
    // One connection has room for all of them together, and those on it never read: the last ones have one each.
    let shared = narrow(&victim);
    for number in 0..WATCHERS {
        let own = number + READERS >= WATCHERS;
        let channel = if own { narrow(&victim) } else { shared.clone() };
        let request = v1::WatchRequest { prefix: "noisy".to_owned(), ..Default::default() };
        let watch = timeout(ANSWER_MAX, WatchServiceClient::new(channel).watch(request)).await;
        watchers.push(watch.expect("in time").expect("a watch").into_inner());
    }

    let mut busy = Stream::open(&Raw::new(&victim.cluster.endpoint(0))).await;
    let items = (0..ITEMS).map(|number| v1::Item {
        name: format!("noisy/{number}"),
        demand: Some(Demand::Mutex(v1::MutexDemand {})),
    });
    let all = v1::AcquireOp { items: items.collect(), ..mutex("", Wait::None(true)) };
    for cycle in 0..CYCLES {
        let seq = 2 * cycle + 1;
        busy.call(seq, seq - 1, Op::Acquire(all.clone())).await;
        let (_, Outcome::Granted(granted)) = busy.answer().await else { panic!("not granted") };
        let release = v1::ReleaseOp { token: granted.token, permits: 0 };
        busy.call(seq + 1, seq, Op::Release(release)).await;
        assert!(matches!(busy.answer().await.1, Outcome::Released(_)));
    }

    // Whoever reads now reads on from where it was, then hears that something is missing, and what there is now.
    for watcher in watchers.iter_mut().rev().take(READERS) {
        let (mut resyncs, mut events) = (0, 0);
        let from = Instant::now();
        while resyncs < 2 {
            assert!(from.elapsed() < ANSWER_MAX, "it hears of nothing missing in {events} events");
            let next = timeout(ANSWER_MAX, watcher.message()).await;
            let next = next.expect("in time").expect("no status").expect("no end");
            match next.message.expect("a message") {
                Watched::Resync(part) => resyncs += u32::from(part.last),
                Watched::Event(_) => events += 1,
                Watched::Progress(_) => {}
            }
        }
        assert!(events < 3 * ITEMS * CYCLES, "it missed nothing: {events} events");
    }
    victim.goes_on(96).await;
}
