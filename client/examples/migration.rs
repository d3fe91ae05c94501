//! A schema migration under a write lock: services read under the same lock, and each step is written to a register that refuses
//! a migration which has lost its lock without knowing.
//!
//! `cargo run -p conclave-client --example migration`

use conclave_client::{Client, Error, Refusal, Register};

const STEPS: [&str; 3] = ["create table orders", "backfill orders", "drop table purchases"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let session = Client::from_environment()?.session().name("migration").open().await?;
    let schema = session.rwlock("examples/schema");

    // A service that reads holds off the migration for as long as it needs the schema as it is.
    let reading = schema.read().await?;
    println!("reading with token {}", reading.token());
    reading.release().await?;

    let writing = schema.write().await?;
    println!("migrating with token {}", writing.token());
    let progress = session.register("examples/schema/version").guarded(&writing);
    tokio::select! {
        // Stop at once: nobody else may write before this one has.
        lost = writing.lost() => return Err(Error::Lost(lost).into()),
        migrated = migrate(&progress) => migrated?,
    }
    // Readers that wait go on already while this one looks whether all is well.
    let checking = writing.downgrade().await?;
    println!("the schema is at {:?}", progress.get().await?.map(|entry| entry.value));
    checking.release().await?;

    // The fence: a write that comes late, after the lock was given up, is refused.
    match progress.set("a step of yesterday").await {
        Err(Error::Refused(Refusal::Guard)) => println!("a late step is refused"),
        other => return Err(format!("the fence let it pass: {other:?}").into()),
    }
    session.close().await?;
    Ok(())
}

async fn migrate(progress: &Register) -> Result<(), Error> {
    let mut entry = progress.get().await?;
    let done = entry.as_ref().and_then(|entry| entry.value.as_text()?.parse().ok()).unwrap_or(0);
    for (step, words) in STEPS.iter().enumerate().skip(done) {
        println!("step {}: {words}", step + 1);
        let next = (step + 1).to_string();
        match &entry {
            None => progress.create(next).await?,
            Some(entry) => progress.compare_and_set(entry.version, next).await?,
        };
        entry = progress.get().await?;
    }
    Ok(())
}
