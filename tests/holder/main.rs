//! A client process for tests that stop or kill it: `holder hold|run|write ENDPOINTS NAME TTL_MS` or
//! `holder wait ENDPOINTS NAME TTL_MS COUNT`. It writes one line per fact, stamped with CLOCK_BOOTTIME in nanoseconds.

use std::time::Duration;

use conclave_client::{Client, Error, Refusal, Turn};
use rustix::time::{ClockId, clock_gettime};

fn boottime_ns() -> i128 {
    let now = clock_gettime(ClockId::Boottime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, endpoints, name, ttl_ms, rest @ ..] = &arguments[..] else {
        return Err("usage: holder hold|run|wait|write ENDPOINTS NAME TTL_MS [COUNT]".into());
    };
    let client = Client::connect(endpoints.split(','))?;
    let ttl = Duration::from_millis(ttl_ms.parse()?);
    match mode.as_str() {
        "hold" => hold(&client, name, ttl).await,
        "run" => run(&client, name, ttl).await,
        "write" => write(&client, name, ttl).await,
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

/// Runs a once that never comes to an end.
async fn run(client: &Client, name: &str, ttl: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let session = client.session().name("runner").ttl(ttl).open().await?;
    match session.once(name, Duration::from_secs(60)).turn().await? {
        Turn::Run(run) => {
            println!("granted {}", run.token());
            Err(run.lost().await.to_string().into())
        }
        Turn::Done(_) => Err("it was done before".into()),
    }
}

/// Holds the lock and writes a register under it until that is refused, whatever the guard says meanwhile.
async fn write(
    client: &Client,
    name: &str,
    ttl: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let session = client.session().name("holder").ttl(ttl).open().await?;
    let guard = session.mutex(name).lock().await?;
    // A session of its own writes: it is the token that counts, not who brings it.
    let writer = client.session().name("writer").open().await?;
    let register = writer.register(format!("{name}/state")).guarded(&guard);
    loop {
        match register.set("old").await {
            Ok(version) => println!("wrote {version}"),
            Err(Error::Refused(Refusal::Guard)) => {
                println!("refused");
                return Ok(());
            }
            // This session was away for as long: a new one brings the same token.
            Err(_) => break,
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let writer = client.session().name("writer").open().await?;
    match writer.register(format!("{name}/state")).guarded(&guard).set("old").await {
        Err(Error::Refused(Refusal::Guard)) => println!("refused"),
        other => println!("not refused: {other:?}"),
    }
    Ok(())
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
