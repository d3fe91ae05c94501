//! The leader is killed again and again while clients lock and unlock: how long nobody is granted anything.

use std::time::Duration;

use conclave_client::Session;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::conclave::{close_all, open_sessions};
use crate::failure::Failure;
use crate::figures::Figures;
use crate::progress;
use crate::rows::median;
use crate::stage::Stage;

/// A pause after an error, so that nobody asks in a busy loop.
const ERROR_PAUSE: Duration = Duration::from_millis(5);
/// Undisturbed time before each kill.
const QUIET: Duration = Duration::from_secs(1);
/// Whoever is not back after this time is lost.
const BACK_MAX: Duration = Duration::from_secs(30);

/// A client was granted its lock.
#[derive(Debug, Clone, Copy)]
struct Grant {
    client: usize,
    at: Instant,
}

/// Kills the leader so many times; each time it is started again and the cluster is whole before the next.
pub(crate) async fn failover(
    stage: &mut Stage,
    kills: u32,
    clients: u32,
) -> Result<Figures, Failure> {
    let sessions = open_sessions(&stage.client, clients, Duration::from_secs(10)).await?;
    let (grants, mut granted) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for (client, session) in sessions.iter().enumerate() {
        tasks.spawn(lock_again_and_again(client, session.clone(), grants.clone()));
    }
    let (mut gaps, mut slowest) = (Vec::new(), Vec::new());
    for number in 1..=kills {
        progress::say(&format!("kill {number} of {kills}"));
        sleep(QUIET).await;
        let (gap, of_slowest) = kill_once(stage, &mut granted, sessions.len()).await?;
        gaps.push(gap.as_secs_f64());
        slowest.push(of_slowest.as_secs_f64());
    }
    tasks.abort_all();
    let lost = sessions.iter().filter(|session| !session.is_valid()).count();
    close_all(sessions).await;
    let longest = |gaps: &[f64]| gaps.iter().copied().fold(0.0, f64::max);
    let mut figures = Figures::default();
    figures.add("kills", f64::from(kills), "");
    figures.add("gap_median", median(gaps.iter().copied()), "s");
    figures.add("gap_longest", longest(&gaps), "s");
    figures.add("slowest_client_gap_median", median(slowest.iter().copied()), "s");
    figures.add("slowest_client_gap_longest", longest(&slowest), "s");
    figures.add("sessions_lost", f64::from(u32::try_from(lost).unwrap_or(u32::MAX)), "");
    Ok(figures)
}

/// The longest time without a grant for anybody, and for whoever it was longest.
async fn kill_once(
    stage: &mut Stage,
    granted: &mut mpsc::UnboundedReceiver<Grant>,
    clients: usize,
) -> Result<(Duration, Duration), Failure> {
    let mut last = vec![None; clients];
    while let Ok(Grant { client, at }) = granted.try_recv() {
        last[client] = Some(at);
    }
    let cluster = stage
        .cluster
        .as_mut()
        .ok_or_else(|| Failure::new("only nodes of our own are killed", "leave --endpoint away"))?;
    let leader = cluster.kill_leader().await?;
    let killed = Instant::now();
    let mut gaps = vec![Duration::ZERO; clients];
    let (mut latest, mut longest) = (killed, Duration::ZERO);
    // What was on its way when the leader died ends the gap of nobody: each must be granted after it was granted nothing.
    while gaps.iter().any(|gap| *gap < Duration::from_millis(100)) {
        let next = timeout(BACK_MAX, granted.recv()).await;
        let Ok(Some(Grant { client, at })) = next else {
            return Err(Failure::new("clients did not come back after a leader was killed", ""));
        };
        longest = longest.max(at.saturating_duration_since(latest));
        latest = latest.max(at);
        let before = last[client].replace(at).unwrap_or(killed).max(killed);
        gaps[client] = gaps[client].max(at.saturating_duration_since(before));
        if killed.elapsed() > BACK_MAX {
            return Err(Failure::new("a kill of the leader did not disturb every client", ""));
        }
    }
    cluster.start_node(leader)?;
    cluster.settled().await?;
    Ok((longest, gaps.into_iter().max().unwrap_or_default()))
}

async fn lock_again_and_again(
    client: usize,
    session: Session,
    grants: mpsc::UnboundedSender<Grant>,
) {
    let mutex = session.mutex(format!("bench/failover/{}", session.id()));
    while session.is_valid() {
        match mutex.lock().await {
            Ok(guard) => {
                // Nobody listens any more once it is over.
                let _over = grants.send(Grant { client, at: Instant::now() });
                let _released_or_lost = guard.release().await;
            }
            Err(_) => sleep(ERROR_PAUSE).await,
        }
    }
}
