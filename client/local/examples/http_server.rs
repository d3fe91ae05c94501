//! The article's last question: an HTTP server and a signal handler, where one that exits takes all along, and a clean-up that
//! takes too long is reported, not awaited.
//!
//! The server listens on a free port of loopback and says which. SIGINT and SIGTERM stop it: requests under way are finished, then
//! the clean-up runs. A second signal aborts. Arguments make it misbehave: `stubborn` adds an actor that never stops, `stuck` a
//! clean-up that never ends, `failing` an actor that fails when `/fail` is asked for, and `grace MS` sets the grace.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use conclave_local::{RunGroup, TaskError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|other| other == word);
    let grace = words.iter().skip_while(|word| *word != "grace").nth(1);
    let grace = grace.map_or(10_000, |ms| ms.parse().expect("milliseconds"));

    let (fail, mut failed) = mpsc::channel(1);
    let mut group = RunGroup::<io::Error>::new()
        .grace(Duration::from_millis(grace))
        .shutdown_on_signals()
        .actor("http", async move |stop| serve(stop, fail).await)
        .actor("watch", async |stop: CancellationToken| {
            stop.cancelled().await;
            println!("stopping");
            Ok(())
        })
        .cleanup("deregister", async || {
            println!("deregistered");
            Ok(())
        });
    if has("failing") {
        group = group.actor("worker", async move |_| match failed.recv().await {
            Some(()) => Err(io::Error::other("asked to fail")),
            None => Ok(()),
        });
    }
    if has("stubborn") {
        group = group.actor("stubborn", async |_| std::future::pending().await);
    }
    if has("stuck") {
        group = group.cleanup("stuck", async || {
            println!("cleaning up");
            std::future::pending().await
        });
    }
    let report = group.run().await;
    println!("cause: {}", report.cause);
    for (name, outcome) in &report.outcomes {
        match outcome {
            Ok(()) => println!("{name}: ended"),
            Err(TaskError::Cancelled) => println!("{name}: timed out, not awaited"),
            Err(error) => println!("{name}: {error}"),
        }
    }
    report.exit_code()
}

async fn serve(stop: CancellationToken, fail: mpsc::Sender<()>) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let slow = stop.clone();
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route(
            "/fail",
            get(async move || {
                let _full = fail.try_send(());
            }),
        )
        // Ends only after the stop: what graceful means.
        .route(
            "/slow",
            get(async move || {
                println!("slow request began");
                slow.cancelled().await;
                "finished"
            }),
        );
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}
