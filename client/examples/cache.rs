//! A cache that is filled once for all processes: whoever needs the entry first computes it, everybody else waits for it, and for a
//! while it is there. Here eight tasks with sessions of their own stand for eight processes.
//!
//! `cargo run -p conclave-client --example cache -- [KEY]`

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use conclave_client::{Client, Value};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let key = std::env::args().nth(1).unwrap_or_else(|| format!("of-{}", std::process::id()));
    let client = Client::from_environment()?;
    let computed = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        tasks.spawn(cached(client.clone(), format!("examples/cache/{key}"), computed.clone()));
    }
    let mut values = Vec::new();
    while let Some(value) = tasks.join_next().await {
        values.push(value??);
    }
    values.dedup();
    println!("computed {} times: {values:?}", computed.load(Ordering::Relaxed));
    if values.len() != 1 || computed.load(Ordering::Relaxed) > 1 {
        return Err("the entry was not the same for all".into());
    }
    Ok(())
}

async fn cached(client: Client, key: String, computed: Arc<AtomicU32>) -> Result<Value, Failure> {
    let session = client.session().name("cache").open().await?;
    let entry = session.once(key, Duration::from_secs(60));
    let result = entry
        .run(async |_run| {
            computed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, Infallible>("an expensive value")
        })
        .await?;
    session.close().await?;
    Ok(result.value)
}
