//! A batch whose calls of a weak service are limited over all processes: eight units at a time, and large calls weigh more. Start it
//! twice: together they never exceed the limit.
//!
//! `cargo run -p conclave-client --example batch -- [CALLS]`

use std::time::Duration;

use conclave_client::{Client, Error, Session};
use tokio::task::JoinSet;

/// All who use the semaphore say the same.
const LIMIT: u32 = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let calls: u32 = std::env::args().nth(1).map_or(Ok(20), |calls| calls.parse())?;
    let session = Client::from_environment()?.session().name("batch").open().await?;
    let mut tasks = JoinSet::new();
    for number in 1..=calls {
        tasks.spawn(call(session.clone(), number));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    session.close().await?;
    println!("{calls} calls done");
    Ok(())
}

async fn call(session: Session, number: u32) -> Result<(), Error> {
    // Every fifth call is a large one. It is served also under a flood of small ones: nobody overtakes.
    let weight = if number.is_multiple_of(5) { 4 } else { 1 };
    let permit = session.semaphore("examples/batch", LIMIT).acquire_many(weight).await?;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
        lost = permit.lost() => return Err(Error::Lost(lost)),
    }
    println!("call {number} with weight {weight}");
    permit.release().await
}
