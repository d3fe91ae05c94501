//! A client process for tests that stop or kill it: `holder hold ENDPOINTS NAME TTL_MS` or
//! `holder wait ENDPOINTS NAME TTL_MS COUNT`. It writes one line per fact, stamped with CLOCK_BOOTTIME in nanoseconds.

use std::time::Duration;

use conclave_client::Client;
use rustix::time::{ClockId, clock_gettime};

fn boottime_ns() -> i128 {
    let now = clock_gettime(ClockId::Boottime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, endpoints, name, ttl_ms, rest @ ..] = &arguments[..] else {
        return Err("usage: holder hold|wait ENDPOINTS NAME TTL_MS [COUNT]".into());
    };
    let client = Client::connect(endpoints.split(','))?;
    let ttl = Duration::from_millis(ttl_ms.parse()?);
    match mode.as_str() {
        "hold" => hold(&client, name, ttl).await,
        "wait" => {
            let count = rest.first().ok_or("a count")?.parse()?;
            wait(&client, name, ttl, count).await
        }
        other => Err(format!("no mode {other}").into()),
    }
}

/// Holds the lock and says every few milliseconds whether it believes so; ends when it does not.
async fn hold(
    client: &Client,
    name: &str,
    ttl: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let session = client.session().name("holder").ttl(ttl).open().await?;
    let guard = session.mutex(name).lock().await?;
    println!("granted {}", guard.token());
    loop {
        // The stamp comes first: what is believed after it is believed of a later moment.
        let stamp = boottime_ns();
        if !guard.is_valid() {
            println!("lost {stamp}");
            return Ok(());
        }
        println!("valid {stamp}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// `count` sessions wait for the lock; each gives it back at once.
async fn wait(
    client: &Client,
    name: &str,
    ttl: Duration,
    count: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut waiters = tokio::task::JoinSet::new();
    for number in 0..count {
        let session = client.session().name(format!("doomed-{number}")).ttl(ttl).open().await?;
        let name = name.to_owned();
        waiters.spawn(async move {
            let guard = session.mutex(name).lock().await?;
            println!("granted {}", guard.token());
            guard.release().await
        });
    }
    println!("waiting");
    while let Some(ended) = waiters.join_next().await {
        ended??;
    }
    Ok(())
}
