//! Limits of a call: each bites by one more than there may be, and says which it is. What the machine limits is tested in the machine
//! (`server/machine/src/full.rs`), what the edge refuses of a value in `server/tests`.

use std::process::{Command, Stdio};
use std::time::Duration;

use conclave_client::Client;
use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use conclave_tests::raw::{Raw, Wait, mutex};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request};

use crate::stream::Stream;
use crate::victim::Victim;
use crate::wire::{Wire, call, frame};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_or_headers_that_are_too_long_are_refused_and_the_connection_goes_on() {
    let victim = Victim::start().await;
    let node = Raw::new(&victim.cluster.endpoint(0));
    let key = node.open("one", LONG, Duration::ZERO).await.expect("a session");
    let mut long = mutex("a", Wait::None(true));
    long.metadata.insert("k".to_owned(), "v".repeat(1024 * 1024));
    let status = node.ask(&key, 1, long).await.expect_err("a MiB and more");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert!(status.message().contains("1048576"), "it names the limit: {status:?}");

    let mut check = Request::new(v1::CheckRequest { name: "a".to_owned(), token: 1 });
    let header = "h".repeat(17 * 1024).parse().expect("a header");
    check.metadata_mut().insert("too-long", header);
    let status = node.lock().check(check).await.expect_err("16 KiB and more");
    assert_ne!(status.code(), Code::Unavailable, "the connection stands: {status:?}");
    node.acquire_now(&key, 2, "a").await;
    victim.goes_on(64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_deadline_is_past_or_at_once_leaves_no_wait_behind() {
    let victim = Victim::start().await;
    let node = Raw::new(&victim.cluster.endpoint(0));
    let key = node.open("holder", LONG, Duration::ZERO).await.expect("a session");
    let token = node.acquire_now(&key, 1, "held").await;
    let hasty = node.open("hasty", LONG, Duration::ZERO).await.expect("a session");
    for seq in 1..=50 {
        let acquire = Some(mutex("held", Wait::Forever(true)));
        let key = Some(hasty.clone());
        let mut request = Request::new(v1::AcquireRequest { key, seq, seen_through: 0, acquire });
        let deadline = ["0n", "1n", "1u", "1m", "0S"][usize::try_from(seq).expect("small") % 5];
        request.metadata_mut().insert("grpc-timeout", deadline.parse().expect("a header"));
        match timeout(Duration::from_secs(10), node.lock().acquire(request)).await {
            Ok(Ok(answer)) => {
                let result = answer.into_inner().result;
                assert!(!matches!(result, Some(v1::acquire_response::Result::Granted(_))));
            }
            Ok(Err(status)) => {
                assert!(
                    matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded),
                    "{status:?}"
                );
            }
            Err(_) => panic!("a call with the deadline {deadline} is not answered"),
        }
    }
    // Whatever of it came to be ends with its session, and the lock is free for the next one.
    node.session().close(v1::CloseRequest { key: Some(hasty) }).await.expect("closed");
    node.release(&key, 2, 1, token).await.expect("released");
    let next = node.open("next", LONG, Duration::ZERO).await.expect("a session");
    node.acquire_now(&next, 1, "held").await;
    victim.goes_on(64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_dropped_at_any_await_leaks_nothing() {
    let victim = Victim::start().await;
    let client = Client::connect([victim.cluster.endpoint(0)]).expect("an address");
    let session = client.session().name("fickle").open().await.expect("a session");
    let mut granted = 0;
    for number in 0..400_u64 {
        // From before the first poll up to some time after the answer.
        let patience = Duration::from_micros(number * 20);
        let (mutex, rwlock) = (session.mutex("fickle/a"), session.rwlock("fickle/b"));
        let (permits, election) = (session.semaphore("fickle/c", 2), session.election("fickle/d"));
        let kept = match number % 4 {
            0 => timeout(patience, mutex.lock()).await.map(|guard| drop(guard.expect("granted"))),
            1 => timeout(patience, rwlock.write()).await.map(|guard| drop(guard.expect("granted"))),
            2 => timeout(patience, permits.acquire_many(2))
                .await
                .map(|it| drop(it.expect("granted"))),
            _ => timeout(patience, election.campaign()).await.map(|it| drop(it.expect("elected"))),
        };
        granted += u32::from(kept.is_ok());
    }
    assert!(granted > 0 && granted < 400, "{granted} of 400 were not dropped in time");
    let node = Raw::new(&victim.cluster.endpoint(0));
    let from = Instant::now();
    for name in ["fickle/a", "fickle/b", "fickle/c", "fickle/d"] {
        while node.inspect(name).await.expect("an answer").exists {
            assert!(from.elapsed() < Duration::from_secs(20), "{name} is held or waited for");
        }
    }
    assert!(session.is_valid());
    session.close().await.expect("closed");
    victim.goes_on(64).await;
}

/// A disk that takes seconds for each sync holds up commits; the majority is there, and the session lives.
#[tokio::test(flavor = "multi_thread")]
async fn keepalives_are_answered_behind_a_window_of_calls_that_no_commit_answers() {
    if !Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|it| it.success())
    {
        eprintln!("SKIPPED: without strace no disk is slow");
        return;
    }
    let mut victim = Victim::start().await;
    let node = Raw::new(&victim.cluster.endpoint(0));
    let mut stream = Stream::open(&node).await;
    let process = victim.process().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &process, "-e", "trace=fdatasync"]);
    strace.args(["-e", "inject=fdatasync:delay_enter=3s"]).stdin(Stdio::null());
    let mut strace = strace.spawn().expect("strace runs");
    // Once a commit takes long, the disk is slow.
    let slow = async {
        for number in 0_u64.. {
            let from = Instant::now();
            let other = node.open(&format!("other-{number}"), LONG, Duration::ZERO).await;
            other.expect("a session");
            if from.elapsed() > Duration::from_secs(2) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), slow).await.expect("the disk becomes slow");
    // A window of calls, and a cancel of each: more than our own client ever has under way.
    for seq in 1..=1_000 {
        let op =
            Some(v1::call_request::Op::Acquire(mutex(&format!("lock {seq}"), Wait::None(true))));
        let call = v1::CallRequest { seq, seen_through: 0, op };
        stream.say(Say::Call(call)).await;
    }
    for seq in 1..=1_000 {
        stream.say(Say::CancelSeq(seq)).await;
    }
    let from = Instant::now();
    let keepalive = v1::StreamKeepAlive { number: 1, losses_seen_through: 0 };
    stream.say(Say::KeepAlive(keepalive)).await;
    let mut answers = 0;
    loop {
        match stream.next().await {
            Said::KeepAlive(ack) => {
                assert_eq!(ack.number, 1);
                break;
            }
            Said::Answer(_) => answers += 1,
            other => panic!("{other:?}"),
        }
    }
    let took = from.elapsed();
    assert!(answers < 2_000, "nothing was unanswered any more: {answers}");
    assert!(
        took < Duration::from_secs(2),
        "the keepalive stood behind {answers} answers for {took:?}"
    );
    let _the_disk_is_fast_again = strace.kill();
    let _reaped = strace.wait();
    drop(stream);
    // The neighbour had a slow disk too: only that the server is well.
    assert!(victim.cluster.node(0).ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_hung_up_on() {
    let victim = Victim::start().await;
    for port in victim.ports() {
        let mut wire = Wire::open(&port).await;
        // The headers of one call, and then continuations that never come to their end.
        let mut opening = call(1, "/conclave.v1.LockService/Check");
        opening[4] = 0;
        const CONTINUATION: u8 = 9;
        let more = frame(CONTINUATION, 0, 1, &[0; 16 * 1024]);
        let _taken =
            wire.write(&[opening, more.repeat(2_000)].concat(), Duration::from_secs(20)).await;
        assert!(wire.is_hung_up_on(Duration::from_secs(20)).await, "{port} bears endless headers");
    }
    victim.goes_on(64).await;
}
