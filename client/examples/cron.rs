//! A job that must run once a minute, on whichever host is first: every host's cron starts this, one runs the job, all print its result.
//!
//! `cargo run -p conclave-client --example cron -- [MINUTE]`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conclave_client::{Client, OnceError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let minute = match std::env::args().nth(1) {
        Some(minute) => minute,
        // The hosts' clocks agree on the minute, or the job runs twice: once for each minute.
        None => (SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 60).to_string(),
    };
    let session = Client::from_environment()?.session().name("cron").open().await?;
    let once = session
        .once(format!("examples/cron/{minute}"), Duration::from_secs(24 * 3600))
        .attempts_max(3);
    let outcome = once
        .run(async |run| {
            println!("running it with token {}", run.token());
            report().await
        })
        .await;
    match outcome {
        Ok(result) if result.ran => println!("ran it: {}", result.value),
        Ok(result) => println!("it was run: {}", result.value),
        // Not kept: another host runs it, up to three times in all.
        Err(OnceError::Run(error)) => return Err(error.into()),
        Err(other) => return Err(other.into()),
    }
    session.close().await?;
    Ok(())
}

async fn report() -> Result<String, std::io::Error> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(format!("written by process {}", std::process::id()))
}
