//! 10,001 tasks through a group that runs ten at once and lets a hundred wait, from the course's program that loses some: here
//! each runs exactly once. Prints how many were accepted, how many ran, and the most that ran at once.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_local::{GroupError, SpawnError, TaskCtx, TaskGroup};

const TASKS: usize = 10_001;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Group(#[from] GroupError<std::io::Error>),
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let group = TaskGroup::<(), std::io::Error>::builder()
        .max_running(NonZeroUsize::new(10).expect("not zero"))
        .max_queued(100)
        .build();
    let (spawner, running, most) =
        (group.spawner(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..TASKS {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let work = async move |_: TaskCtx<_, _>| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        spawner.spawn(work).await?;
    }
    let ran = group.join().await?.len();
    println!("accepted {TASKS}, ran {ran}, at most {} at once", most.load(Ordering::SeqCst));
    Ok(())
}
