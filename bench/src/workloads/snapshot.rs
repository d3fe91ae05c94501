//! A snapshot of very much, while clients lock and unlock: whether apply ever pauses.

use std::sync::Arc;
use std::time::Duration;

use conclave_client::{Error, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::args::SnapshotArgs;
use crate::conclave::{close_all, open_sessions};
use crate::failure::Failure;
use crate::figures::Figures;
use crate::load::{histogram, record};
use crate::progress;
use crate::rows::rate;
use crate::stage::Stage;
use crate::wire::v1::session_service_client::SessionServiceClient;
use crate::wire::v1::stream_request::Message as Request;
use crate::wire::v1::stream_response::Message;
use crate::wire::{connections, open_request, v1};

/// The longest that there is: nobody keeps these sessions alive, and the run is over before it.
const TTL: Duration = Duration::from_secs(600);
/// Sessions that take their locks at a time.
const FILLING_MAX: usize = 128;
/// Writers of the bytes that make every node take a snapshot.
const WRITERS: u32 = 4;
const VALUE_BYTES: usize = 60 * 1024;
/// Clients that lock and unlock meanwhile.
const CLIENTS: u32 = 16;
/// For every node to have taken one.
const SNAPSHOT_MAX: Duration = Duration::from_secs(240);
/// The bound that is asked for; a bound of the metric, too.
const PAUSE_MAX: &str = "0.02";

pub(crate) async fn snapshot(stage: &Stage, args: &SnapshotArgs) -> Result<Figures, Failure> {
    let started = Instant::now();
    fill(stage, args).await?;
    let filled_in = started.elapsed();
    let before = metrics_of_all(stage).await?;
    let busy = open_sessions(&stage.client, CLIENTS + WRITERS, Duration::from_secs(30)).await?;
    let mut tasks = JoinSet::new();
    let (times, mut cycles) = mpsc::unbounded_channel();
    for (number, session) in busy.iter().enumerate() {
        let (session, times) = (session.clone(), times.clone());
        if number < CLIENTS as usize {
            tasks.spawn(async move { lock_again_and_again(&session, &times).await });
        } else {
            tasks.spawn(async move { write_again_and_again(&session).await });
        }
    }
    progress::say("every node takes a snapshot");
    let from = Instant::now();
    let after = loop {
        sleep(Duration::from_millis(500)).await;
        let now = metrics_of_all(stage).await?;
        let reach = |text: &String| number(text, "conclave_snapshot_last_index");
        if now.iter().zip(&before).all(|(now, before)| reach(now) > reach(before)) {
            break now;
        }
        if let Some(Ok(error)) = tasks.try_join_next() {
            return Err(Failure::of("a client", error));
        }
        if from.elapsed() > SNAPSHOT_MAX {
            return Err(Failure::new("not every node took a snapshot", ""));
        }
    };
    let took = from.elapsed();
    tasks.abort_all();
    close_all(busy).await;
    let mut longest = histogram();
    while let Ok(cycle) = cycles.try_recv() {
        record(&mut longest, cycle);
    }
    let status = stage.client.admin().status().await;
    let status = status.map_err(|error| Failure::of("the status", error))?;
    let mut figures = Figures::default();
    figures.add("sessions", f64::from(args.sessions), "");
    figures.add("holds", rate(status.holds, 1.0), "");
    figures.add("filled_in", filled_in.as_secs_f64(), "s");
    figures.add("until_every_node_had_one", took.as_secs_f64(), "s");
    let (mut entries, mut paused) = (0.0, 0.0);
    for (before, after) in before.iter().zip(&after) {
        let more = |name: &str| number(after, name) - number(before, name);
        entries += more("conclave_apply_seconds_count");
        let bucket = format!("conclave_apply_seconds_bucket{{le=\"{PAUSE_MAX}\"}}");
        paused += more("conclave_apply_seconds_count") - more(&bucket);
    }
    figures.add("entries_applied", entries, "");
    figures.add("pauses_over_20_ms", paused, "");
    figures.add("longest_pause_at_most", longest_pause(&before, &after) * 1e3, "ms");
    figures.add("cycle_p50", rate(longest.value_at_quantile(0.5), 1e3), "ms");
    figures.add("cycle_longest", rate(longest.max(), 1e3), "ms");
    let memory = stage.processes().iter().map(|node| node.usage().memory_kib).max().unwrap_or(0);
    figures.add("memory_of_the_largest_node", rate(memory, 1024.0), "MiB");
    Ok(figures)
}

/// Every session with its locks, which stay when its stream ends.
async fn fill(stage: &Stage, args: &SnapshotArgs) -> Result<(), Failure> {
    let leader = stage.leader().await?;
    let channels = connections(&leader.address, args.sessions).await?;
    let filling = Arc::new(Semaphore::new(FILLING_MAX));
    let mut tasks = JoinSet::new();
    for number in 0..args.sessions {
        let permit = Arc::clone(&filling).acquire_owned().await;
        let permit = permit.map_err(|error| Failure::of("filling", error))?;
        let channel = channels[number as usize % channels.len()].clone();
        let locks = args.locks;
        tasks.spawn(async move {
            let result = one_session(channel, number, locks).await;
            drop(permit);
            result
        });
        while let Some(done) = tasks.try_join_next() {
            filled(done)?;
        }
        if number % 1_000 == 0 {
            progress::say(&format!("{number} of {} sessions hold their locks", args.sessions));
        }
    }
    while let Some(done) = tasks.join_next().await {
        filled(done)?;
    }
    Ok(())
}

fn filled(done: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), Failure> {
    let done = done.map_err(|error| Failure::of("filling", error))?;
    done.map_err(|error| Failure::of("filling", error))
}

async fn one_session(channel: Channel, number: u32, locks: u32) -> Result<(), String> {
    let (out, requests) = mpsc::channel(locks as usize + 1);
    let send = async |message| {
        let request = v1::StreamRequest { message: Some(message) };
        out.send(request).await.map_err(|error| error.to_string())
    };
    send(Request::Open(open_request(number, TTL))).await?;
    let mut client = SessionServiceClient::new(channel);
    let answered = client.stream(ReceiverStream::new(requests)).await;
    let mut inbound = answered.map_err(|status| status.to_string())?.into_inner();
    let mut granted = 0;
    while let Some(answer) = inbound.message().await.map_err(|status| status.to_string())? {
        match answer.message {
            Some(Message::Opened(_)) => {
                for lock in 0..locks {
                    send(Request::Call(acquire(number, lock))).await?;
                }
            }
            Some(Message::Answer(v1::CallAnswer {
                result: Some(v1::call_answer::Result::Granted(_)),
                ..
            })) => granted += 1,
            other => return Err(format!("{other:?}")),
        }
        if granted == locks {
            return Ok(());
        }
    }
    Err("a stream ended before its locks were granted".to_owned())
}

fn acquire(session: u32, lock: u32) -> v1::CallRequest {
    let demand = Some(v1::item::Demand::Mutex(v1::MutexDemand {}));
    let item = v1::Item { name: format!("bench/full/{session}/{lock}"), demand };
    let acquire = v1::AcquireOp { items: vec![item], ..v1::AcquireOp::default() };
    let op = Some(v1::call_request::Op::Acquire(acquire));
    v1::CallRequest { seq: u64::from(lock) + 1, seen_through: 0, op }
}

async fn lock_again_and_again(session: &Session, times: &mpsc::UnboundedSender<Duration>) -> Error {
    let mutex = session.mutex(format!("bench/beside/{}", session.id()));
    loop {
        let from = Instant::now();
        match mutex.lock().await {
            Ok(guard) => match guard.release().await {
                // Nobody listens any more once it is over.
                Ok(()) => drop(times.send(from.elapsed())),
                Err(error) => return error,
            },
            Err(error) => return error,
        }
    }
}

/// Makes the logs grow until a snapshot is due.
async fn write_again_and_again(session: &Session) -> Error {
    let register = session.register(format!("bench/value/{}", session.id()));
    loop {
        if let Err(error) = register.set("x".repeat(VALUE_BYTES)).await {
            return error;
        }
    }
}

/// The upper end of the longest span that something fell into, in seconds; of the last one, which has none, infinity.
fn longest_pause(before: &[String], after: &[String]) -> f64 {
    let mut longest = 0.0_f64;
    for (before, after) in before.iter().zip(after) {
        let mut below = 0.0;
        for (name, now) in buckets(after) {
            let more = now - number(before, &name);
            if more > below {
                let limit = name.split('"').nth(1).unwrap_or_default();
                longest = longest.max(limit.parse().unwrap_or(f64::INFINITY));
            }
            below = more;
        }
    }
    longest
}

/// In the order of their limits, which is that of the text.
fn buckets(text: &str) -> impl Iterator<Item = (String, f64)> {
    let lines = text.lines().filter(|line| line.starts_with("conclave_apply_seconds_bucket"));
    lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    })
}

fn number(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

async fn metrics_of_all(stage: &Stage) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for endpoint in &stage.endpoints {
        let text = metrics(endpoint).await;
        let text = text.map_err(|error| Failure::of(&format!("metrics of {endpoint}"), error))?;
        // A node that does not tell has not shown that it never paused.
        if buckets(&text).next().is_none() {
            let advice = "measure a newer one";
            return Err(Failure::new(
                format!("{endpoint} does not tell how long apply took"),
                advice,
            ));
        }
        all.push(text);
    }
    Ok(all)
}

async fn metrics(endpoint: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(endpoint).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_is_that_of_what_came_since() {
        let text = |counts: [u32; 3]| {
            let [first, second, all] = counts;
            format!(
                "conclave_apply_seconds_bucket{{le=\"0.01\"}} {first}\n\
                 conclave_apply_seconds_bucket{{le=\"0.02\"}} {second}\n\
                 conclave_apply_seconds_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        let longest = |before, after| longest_pause(&[text(before)], &[text(after)]);
        assert_eq!(longest([1, 2, 3], [9, 10, 11]).to_bits(), 0.01_f64.to_bits());
        assert_eq!(longest([1, 2, 3], [9, 11, 12]).to_bits(), 0.02_f64.to_bits());
        assert!(longest([1, 2, 3], [1, 2, 4]).is_infinite());
        assert_eq!(longest([1, 2, 3], [1, 2, 3]).to_bits(), 0.0_f64.to_bits());
    }
}
