//! A worker that one process runs, with a warm standby: every process warms up, stands aside until it is warm, and works while it
//! leads. Start it twice, stop the one that works: the other goes on.
//!
//! `cargo run -p conclave-client --example leader -- [TICKS]` (0: for ever)

use std::time::Duration;

use conclave_client::{CancellationToken, Client, Led, Token};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ticks: u64 = std::env::args().nth(1).map_or(Ok(0), |ticks| ticks.parse())?;
    let session = Client::from_environment()?
        .session()
        .name("ticker")
        .label("pid", std::process::id().to_string())
        .open()
        .await?;
    let election = session.election("examples/ticker").value(std::process::id().to_string());
    loop {
        // A standby that is not warm yet is seen by observers, but cannot win.
        let mut standby = election.clone().eligible(false).stand()?;
        warm_up().await;
        standby.set_eligible(true).await?;
        let leadership = standby.won().await?;
        let led = leadership.lead(async |term, cancel| tick(ticks, term, cancel).await).await?;
        match led {
            Led::Finished(()) => break,
            Led::Stopped { value: (), lost } => println!("no longer leading: {lost:?}"),
        }
    }
    session.close().await?;
    Ok(())
}

async fn warm_up() {
    println!("warming up");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Comes to its end within one tick when it is told to.
async fn tick(ticks: u64, term: Token, cancel: CancellationToken) {
    println!("leading in term {term}");
    let mut done = 0;
    while !cancel.is_cancelled() && (ticks == 0 || done < ticks) {
        done += 1;
        println!("tick {done} of term {term}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
