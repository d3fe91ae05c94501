//! Sessions that do nothing but live: what they cost, and whether one of so many is ever forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::args::{KeptAlive, SessionsArgs};
use crate::failure::Failure;
use crate::figures::Figures;
use crate::process::{Usage, own_usage};
use crate::progress;
use crate::stage::Stage;
use crate::wire::v1::session_service_client::SessionServiceClient;
use crate::wire::v1::stream_request::Message as Request;
use crate::wire::v1::stream_response::Message;
use crate::wire::{connections, open_request, v1};

/// Opened at a time.
const OPENING_MAX: usize = 256;
/// For all of them.
const OPEN_MAX: Duration = Duration::from_secs(600);

/// What all sessions add to.
#[derive(Debug, Default)]
struct Counts {
    open: AtomicU32,
    ended: AtomicU32,
    acknowledged: AtomicU64,
    /// Why the first that ended did.
    why: OnceCell<String>,
}

pub(crate) async fn sessions(
    stage: &Stage,
    args: &SessionsArgs,
    measured: Duration,
) -> Result<Figures, Failure> {
    let leader = stage.leader().await?;
    let channels = connections(&leader.address, args.count).await?;
    let counts = Arc::new(Counts::default());
    let memory_before = stage.processes().iter().map(|node| node.usage()).collect::<Vec<_>>();
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let opening = Arc::new(Semaphore::new(OPENING_MAX));
    for number in 0..args.count {
        let channel = channels[number as usize % channels.len()].clone();
        let one = One { number, ttl: args.ttl, every: args.every(), counts: Arc::clone(&counts) };
        let opening = Arc::clone(&opening);
        let by = args.by;
        tasks.spawn(async move {
            let result = match by {
                KeptAlive::Stream => one.by_stream(channel, &opening).await,
                KeptAlive::Unary => one.by_calls(channel, &opening).await,
            };
            let why = result.err().unwrap_or_else(|| "its stream ended".to_owned());
            // Only the first is kept.
            let _later = one.counts.why.set(why);
            one.counts.ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    all_open(&counts, args.count, started).await?;
    let opened_in = started.elapsed();
    // One round, so that the last ones have also settled.
    progress::say("all are open; they settle");
    sleep(args.ttl).await;
    let (before, own_before) = (usages(stage), own_usage());
    let acknowledged = counts.acknowledged.load(Ordering::Relaxed);
    progress::say("measuring");
    sleep(measured).await;
    let (after, own_after) = (usages(stage), own_usage());
    let acknowledged = counts.acknowledged.load(Ordering::Relaxed) - acknowledged;
    let status = stage.client.admin().status().await;
    let status = status.map_err(|error| Failure::of("the status", error))?;
    tasks.abort_all();
    let seconds = measured.as_secs_f64();
    let mut figures = Figures::default();
    figures.add("sessions", f64::from(args.count), "");
    figures.add("connections", f64::from(u32::try_from(channels.len()).unwrap_or(0)), "");
    figures.add("opened", f64::from(args.count) / opened_in.as_secs_f64(), "/s");
    figures.add("keepalives_acknowledged", crate::rows::rate(acknowledged, seconds), "/s");
    figures.add("ended", f64::from(counts.ended.load(Ordering::Relaxed)), "");
    let missing = u64::from(args.count).saturating_sub(status.sessions);
    figures.add("missing_at_the_end", crate::rows::rate(missing, 1.0), "");
    for (place, node) in stage.processes().iter().enumerate() {
        let role = if node.name() == leader.name { "leader" } else { "follower" };
        let what = |what: &str| format!("{what}_{}_{role}", node.name());
        let cpu = (after[place].cpu_seconds - before[place].cpu_seconds) / seconds;
        figures.add(what("cpu"), cpu, "cores");
        let grown = after[place].memory_kib.saturating_sub(memory_before[place].memory_kib);
        let each = crate::rows::rate(grown * 10, 10.0) / f64::from(args.count);
        figures.add(what("memory_of_a_session"), each, "KiB");
    }
    let generator = (own_after.cpu_seconds - own_before.cpu_seconds) / seconds;
    figures.add("cpu_of_this_program", generator, "cores");
    if let Some(why) = counts.why.get() {
        eprintln!("the first session that ended: {why}");
    }
    Ok(figures)
}

fn usages(stage: &Stage) -> Vec<Usage> {
    stage.processes().iter().map(|node| node.usage()).collect()
}

async fn all_open(counts: &Counts, count: u32, started: Instant) -> Result<(), Failure> {
    loop {
        let (open, ended) =
            (counts.open.load(Ordering::Relaxed), counts.ended.load(Ordering::Relaxed));
        progress::say(&format!("{open} of {count} sessions are open"));
        if open == count {
            return Ok(());
        }
        if ended > 0 || started.elapsed() > OPEN_MAX {
            let why = counts.why.get().cloned().unwrap_or_default();
            return Err(Failure::new(
                format!("{open} of {count} sessions were opened, {ended} ended: {why}"),
                "",
            ));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// One session.
struct One {
    number: u32,
    ttl: Duration,
    every: Duration,
    counts: Arc<Counts>,
}

impl One {
    /// With a stream of its own. Ends only when the session does.
    async fn by_stream(&self, channel: Channel, opening: &Semaphore) -> Result<(), String> {
        let permit = opening.acquire().await.map_err(|error| error.to_string())?;
        let (out, requests) = mpsc::channel(2);
        let send = async |message| {
            let request = v1::StreamRequest { message: Some(message) };
            out.send(request).await.map_err(|error| error.to_string())
        };
        send(Request::Open(open_request(self.number, self.ttl))).await?;
        let mut client = SessionServiceClient::new(channel);
        let answered = client.stream(ReceiverStream::new(requests)).await;
        let answered = answered.map_err(|status| status.to_string())?;
        let mut inbound = answered.into_inner();
        let mut next = Instant::now() + self.every;
        let mut number = 0;
        let mut permit = Some(permit);
        while let Some(answer) = inbound.message().await.map_err(|status| status.to_string())? {
            match answer.message {
                Some(Message::Opened(_)) => {
                    permit.take();
                    self.counts.open.fetch_add(1, Ordering::Relaxed);
                }
                Some(Message::KeepAlive(_)) => {
                    self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                other => return Err(format!("{other:?}")),
            }
            sleep_until(next).await;
            next += self.every;
            number += 1;
            let keep_alive = v1::StreamKeepAlive { number, losses_seen_through: 0 };
            send(Request::KeepAlive(keep_alive)).await?;
        }
        Ok(())
    }

    /// By a unary call each time.
    async fn by_calls(&self, channel: Channel, opening: &Semaphore) -> Result<(), String> {
        let permit = opening.acquire().await.map_err(|error| error.to_string())?;
        let mut client = SessionServiceClient::new(channel);
        let request = open_request(self.number, self.ttl);
        let secret = request.secret.clone();
        let opened = client.open(request).await.map_err(|status| status.to_string())?.into_inner();
        let key = v1::SessionKey { session: opened.session, secret, epoch: opened.epoch };
        drop(permit);
        self.counts.open.fetch_add(1, Ordering::Relaxed);
        let mut next = Instant::now();
        for number in 1.. {
            next += self.every;
            sleep_until(next).await;
            let key = Some(key.clone());
            let request = v1::KeepAliveRequest { key, number, losses_seen_through: 0 };
            client.keep_alive(request).await.map_err(|status| status.to_string())?;
            self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
